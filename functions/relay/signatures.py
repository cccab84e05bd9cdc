"""How sources sign: one engine over scheme rows.  A verification returns nothing or raises one error, for any input."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from relay.errors import SignatureError
from relay.model import EVENT_TYPE_MAX_CHARS, EVENT_TYPE_UNKNOWN, IDEMPOTENCY_KEY_MAX_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALGORITHMS = {"hmac-sha1": hashlib.sha1, "hmac-sha256": hashlib.sha256, "hmac-sha512": hashlib.sha512}
_TEMPLATE = re.compile(r"(?P<header>[A-Za-z0-9-]+): (?P<prefix>[^{}]*)\{(?P<encoding>hex|base64)\}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


@dataclass(frozen=True)
class Row:
    """One signature scheme.

    Attributes:
        header: The header that carries the signature; *prefix* stands before it, *encoding* is hex or base64.
        id: Where the source's own id of an event is: a header's name, or `body:` and a dotted path; None: nowhere.
        type: Locations whose values, joined by dots, are the event type; absent ones are left out.
        forward: Patterns of the source's own headers that destinations get.
        timeout_s: How long the source waits for an answer.
    """

    header: str
    prefix: str
    encoding: str
    algorithm: str
    id: str | None
    type: tuple[str, ...]
    forward: tuple[str, ...]
    timeout_s: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Row:
        """Return the row that *row*, as it stands in the flat configuration, says.

        Raises:
            ValueError: For a signature template or an algorithm that there isn't.
        """
        template = _TEMPLATE.fullmatch(row["signature"])
        if template is None:
            raise ValueError("signature must look like 'X-Header: prefix{hex}' or 'X-Header: {base64}'")
        if row["algorithm"] not in ALGORITHMS:
            raise ValueError(f"algorithm must be one of {', '.join(ALGORITHMS)}")
        types = row["type"] or []
        return cls(
            **template.groupdict(),
            algorithm=row["algorithm"],
            id=row["id"],
            type=(types,) if isinstance(types, str) else tuple(types),
            forward=tuple(row["forward"]),
            timeout_s=row["timeout_s"],
        )


def verify(row: Row, *, headers: Mapping[str, str], body: bytes, secrets: Iterable[str]) -> None:
    """Raise unless one of *secrets* signed exactly *body*.

    Args:
        row: The source's scheme.
        headers: The request's, names in lower case.
        body: The bytes as they came.
        secrets: The source's current signing secrets; any may have signed.

    Raises:
        SignatureError: For every other input; names the failed check.  No other error leaves this function.
    """
    value = headers.get(row.header.lower())
    if value is None:
        raise SignatureError(f"{row.header} is missing")
    given = _decoded(value.strip(), row)
    if given is None:
        raise SignatureError(f"{row.header} is malformed")
    matches = [hmac.compare_digest(given, _digest(row, secret, body)) for secret in secrets]
    if not any(matches):
        raise SignatureError(f"{row.header} doesn't match")


def sign(row: Row, secret: str, body: bytes) -> tuple[str, str]:
    """Return the header's name and value with which *secret* signs *body*: what the source would send."""
    digest = _digest(row, secret, body)
    text = digest.hex() if row.encoding == "hex" else base64.b64encode(digest).decode()
    return row.header, row.prefix + text


def _digest(row: Row, secret: str, body: bytes) -> bytes:
    return hmac.digest(secret.encode(), body, row.algorithm.removeprefix("hmac-"))


def _decoded(value: str, row: Row) -> bytes | None:
    if not value.startswith(row.prefix) or not value.isascii():
        return None
    text = value.removeprefix(row.prefix)
    if row.encoding == "hex":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


@dataclass(frozen=True)
class Described:
    """What a verified request says of itself: the source's id of the event, its type, and what destinations get."""

    idempotency_key: str
    event_type: str
    headers: dict[str, str]


def describe(row: Row, *, headers: Mapping[str, str], body: bytes) -> Described:
    """Return what the request says of itself.  A body that isn't the JSON it should be has the type `unknown`.

    Without an id the key is the body's SHA-256: the same bytes are the same event.
    """
    wanted = (*row.type, *((row.id,) if row.id else ()))
    parsed = _parsed(body) if any(place.startswith("body:") for place in wanted) else None
    key = _found(row.id, headers, parsed) if row.id else None
    if key is None or len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        key = "sha256:" + hashlib.sha256(body if key is None else key.encode()).hexdigest()
    return Described(
        idempotency_key=key,
        event_type=_type(row, headers, parsed),
        headers={
            name: value
            for name, value in headers.items()
            if any(fnmatchcase(name, pattern.lower()) for pattern in row.forward)
        },
    )


_BROKEN = object()


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _BROKEN


def _type(row: Row, headers: Mapping[str, str], parsed: Any) -> str:
    content_type = headers.get("content-type", "application/json")
    if parsed is _BROKEN and "json" in content_type.lower():
        return EVENT_TYPE_UNKNOWN
    values = [_found(place, headers, parsed) for place in row.type]
    return ".".join(value for value in values if value)[:EVENT_TYPE_MAX_CHARS] or EVENT_TYPE_UNKNOWN


def _found(place: str, headers: Mapping[str, str], parsed: Any) -> str | None:
    if not place.startswith("body:"):
        return headers.get(place.lower()) or None
    value = parsed
    for step in place.removeprefix("body:").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value).encode(errors="replace").decode()  # JSON can hold lone surrogates, which nothing can store
