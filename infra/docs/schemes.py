"""Writes what docs/schemes.md says of every scheme and of every key of a row: `python -m infra.docs.schemes`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from infra.config.schemes import Scheme, built_in_schemes
from relay.verification.scheme import HASHES, HMACS, JWTS, TOKEN, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parents[2] / "docs" / "schemes.md"
_PROOFS = {
    "sdk": "its SDK",
    "library": "another's library",
    "documentation": "its documentation",
    None: "",
}
_BLOCK = re.compile(r"(<!-- begin (?P<name>\w+)[^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)


def schemes() -> Iterator[str]:
    """Yield the table of all built-in schemes."""
    yield "| scheme | who | proof in | signs with | age | id | event type | waits | retries for | proven against |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, scheme in sorted(built_in_schemes().items()):
        row = Row.of(scheme.row())
        cells = [
            f"`{name}`",
            scheme.title + (f" (handshake: {row.handshake})" if row.handshake else ""),
            "<br>".join(f"`{it}`" for it in scheme.signature) or "the body",
            _algorithm(row),
            _span(row.tolerance_s[0]) if row.tolerance_s else "",
            _places(row.id) + ("" if not row.id or row.signs_id or not row.signs_body else " (not signed)"),
            _places(row.type),
            f"{row.timeout_s:g} s",
            _span(row.retries_for_s) if row.sends_again else "" if row.retries_for_s else "never",
            _PROOFS[scheme.proof],
        ]
        yield "| " + " | ".join(it.replace("|", "\\|") for it in cells) + " |"


def keys() -> Iterator[str]:
    """Yield the table of the keys of a row."""
    yield "| key | what it says | without it |"
    yield "| --- | --- | --- |"
    for name, field in Scheme.model_fields.items():
        default = field.get_default()
        shown = "" if default in (None, [], {}, "") else f"`{default}`"
        yield f"| `{name}` | {field.description} | {shown} |"


def _algorithm(row: Row) -> str:
    algorithm = row.algorithms[0]
    if algorithm in HMACS or algorithm in HASHES:
        return algorithm.upper().replace("SHA", "SHA-").replace("HMAC-SHA--", "HMAC-SHA-")
    if algorithm in JWTS:
        return "JWT " + ", ".join(JWTS[it] for it in row.algorithms)
    if algorithm == TOKEN:
        return "the secret itself"
    if row.special is not None and row.special.verify is not None:
        return row.special.signs_with
    return {"ed25519": "Ed25519", "ecdsa-p256-sha256": "ECDSA P-256"}[algorithm]


def _places(places: tuple[str, ...]) -> str:
    return ", ".join(f"`{it}`" for it in places)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


_WRITERS: dict[str, Callable[[], Iterator[str]]] = {"schemes": schemes, "keys": keys}


def written(text: str) -> str:
    """Return the page *text* with its tables as the code has them now."""
    return _BLOCK.sub(lambda it: it[1] + "\n".join(_WRITERS[it["name"]]()) + "\n" + it[3], text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
