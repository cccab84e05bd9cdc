"""What can be wrong with a scheme's row as a whole: what the engine has no word for, and what would prove nothing.

It is looked at when a configuration is read, so that the functions needn't.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from relay.scheme import ALGORITHMS, HASHES, HMACS, JWTS, ODD_SIGNS, PUBLIC_KEYS, TOKEN, WHOLE, Row
from relay.secret import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Wrong = tuple[str, str]  # a key of the row, and what is wrong there

KINDS = (*KEYS, "plaid")  # of keys; Plaid's come from Plaid
TIME_FORMATS = ("s", "ms", "iso", "iso-utc")
_BYTES = ("hex", "HEX", "base64", "base64url")
_FIELDS = ("body", "time", "url", "method", "secret")


def mistakes(row: Mapping[str, Any]) -> list[Wrong]:
    """Return what is wrong with *row*, as it stands in the flat configuration; the first kind that there is."""
    try:
        it = Row.of(row)
    except ValueError as error:
        key, _, words = str(error).partition(" ")
        return [(key, words)]
    return list(_words(it)) or list(_proof(it))


def _words(row: Row) -> Iterator[Wrong]:
    """Yield the words that the engine doesn't know."""
    if not set(row.algorithms) <= set(ALGORITHMS) or (len(row.algorithms) > 1 and not set(row.algorithms) <= set(JWTS)):
        yield "algorithm", f"must be one of {', '.join(ALGORITHMS)}"
    elif not row.spots and row.algorithms[0] not in WHOLE:
        yield "signature", "is missing: say where it stands, like 'X-Signature: {hex}'"
    if row.odd and row.odd not in ODD_SIGNS:
        yield "signs", f"must be a template, or one of {', '.join(ODD_SIGNS)}"
    if row.key not in KINDS:
        yield "key", f"must be one of {', '.join(KINDS)}"
    if row.time_format not in TIME_FORMATS:
        yield "time_format", f"must be one of {', '.join(TIME_FORMATS)}"
    for name in {field for it in row.signs for field in it.fields if field.isalpha()} - {*_FIELDS}:
        for near in get_close_matches(name, _FIELDS, 1):
            yield "signs", f"has a field {{{name}}}: did you mean {{{near}}}?"


def _proof(row: Row) -> Iterator[Wrong]:
    """Yield what keeps a request of *row* from being verified, or a verified one from proving anything."""
    algorithm = row.algorithms[0]
    spelled = ("text", "base64") if algorithm == TOKEN else ("jwt",) if algorithm in JWTS else _BYTES
    for it in row.spots:
        if it.encoding not in spelled:
            yield "signature", f"has {{{it.encoding}}}, and {algorithm} is written as {{{'} or {'.join(spelled)}}}"
    if any(it.startswith("claim:") for place in row.id for it in place.split("|")) and algorithm not in JWTS:
        yield "id", "is a claim, and no JWT signs the request"
    timed = row.time is not None or any("time" in it.groupindex for spot in row.spots for it in spot.items)
    if row.tolerance_s is not None and not timed:
        yield "tolerance_s", "needs a signed time: say time, or {time} in signature"
    if algorithm in {*HMACS, *HASHES, *PUBLIC_KEYS} and not row.odd:
        yield from _template(row, timed=timed)


def _template(row: Row, *, timed: bool) -> Iterator[Wrong]:
    """Yield what is wrong with what is signed, where templates say it."""
    fields = [set(it.fields) for it in row.signs]
    if row.algorithms[0] in HASHES and not all(any(f.startswith("secret") for f in it) for it in fields):
        yield "signs", f"must hold {{secret}}: without it anybody can make the {row.algorithms[0]}"
    if not all(any(_varies(f) for f in it) for it in fields):
        yield "signs", "must hold {body}, or what else varies: else one signature is right for every request"
    if any("time" in it for it in fields) and not timed:
        yield "signs", "has {time}, and nothing says where it stands: say time, or {time} in signature"
    in_body = row.time is not None and row.time.startswith("body:") and row.signs_body
    if row.tolerance_s is not None and timed and not in_body and not all("time" in it for it in fields):
        yield "tolerance_s", "needs the time to be signed: put {time} into signs"


def _varies(field: str) -> bool:
    return not field.startswith(("secret", "url")) and field != "method"
