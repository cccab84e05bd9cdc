"""Decodes a body once, for event types, ids, routes, transforms and targets alike.

The bytes decide the body's kind: gzip, JSON, a multipart form, an urlencoded form.  No signature covers the headers,
and the same bytes must read the same under any headers.  So the headers decide only if the bytes don't.

A form becomes an object of its fields, without files.  Of several fields of one name the last counts, and a field with
a JSON object or list becomes that value.  A form whose only field is `payload`, as GitHub and Slack send it, becomes
the payload's value.

Nothing here raises, and everything is bounded.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

Pairs = list[tuple[str, str]]

FIELDS_MAX = 5_000  # of a form or a query; more isn't a webhook
PARTS_MAX = 100  # of a multipart form
PART_HEAD_MAX_BYTES = 4096
UNPACKED_MAX_BYTES = 4 * 1024 * 1024
UNPACKED_MAX_TIMES = 100  # the packed size; a webhook's text packs to a tenth
UNPACKED_FREE_BYTES = 64 * 1024  # are fine, whatever the packed size
FORM = "application/x-www-form-urlencoded"
PAYLOAD = "payload"
BROKEN = object()  # the value of a body that isn't JSON
# These headers describe the bytes of a body, and go only with them.
ENTITY_HEADERS = frozenset(
    {
        *("content-encoding", "content-language", "content-disposition", "content-location"),
        *("content-md5", "content-digest", "digest", "repr-digest"),
    }
)
_GZIP = b"\x1f\x8b"
_FORM_BYTES = re.compile(rb"(?=[^=&]+=)[A-Za-z0-9%+.*_~&=;:/@!$'(),\[\]?|-]+")
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^";,\s]{1,70}))', re.IGNORECASE)
_PART_NAME = re.compile(
    r'^content-disposition: *form-data *;(?:[^\r\n]*;)? *name="([^"\r\n]{1,100})"', re.IGNORECASE | re.MULTILINE
)
_PART_FILE = re.compile(r"^content-disposition:[^\r\n]*; *filename\*?=", re.IGNORECASE | re.MULTILINE)
_DELIMITER = re.compile(rb"(?:\r\n)*(--[^\r\n]{1,200})\r\n")


@dataclass(frozen=True)
class Content:
    """A decoded body.

    Attributes:
        value: The value of its JSON or form; None if the body is empty or can't be read.
        fields: The form's fields in order, without files.
        text: The bytes, unpacked if possible.
        trouble: Why the body can't be read; None if it can, or is empty.
    """

    value: Any
    fields: Pairs
    text: bytes
    trouble: str | None = None


@lru_cache(maxsize=2)  # verification reads a webhook's body, and then its routes' expressions do
def read(body: bytes, content_type: str | None, encoding: str | None) -> Content:
    """Return *body*, decoded.

    Args:
        content_type: The `Content-Type` header.
        encoding: The `Content-Encoding` header.
    """
    if not body:
        return Content(None, [], body)
    try:
        text = _unpacked(body, (encoding or "").strip().lower())
    except ValueError as error:
        return Content(None, [], body, str(error))
    value = parsed(text)
    if value is not BROKEN:
        return Content(value, [], text)
    if _DELIMITER.match(text):
        parts = multipart(text)
        if parts:
            return _of_form([(it.name, it.value) for it in parts if not it.is_file], text)
    if _FORM_BYTES.fullmatch(text) or media_type(content_type) == FORM:
        fields = pairs(text)
        return _of_form(fields, text) if fields else Content(None, [], text, _too_many(text))
    return Content(None, [], text, _why_not_json(text))


def of_headers(body: bytes, headers: Mapping[str, str]) -> Content:
    """Return *body*, decoded by its bytes and *headers*, whose names are in lower case."""
    return read(body, headers.get("content-type"), headers.get("content-encoding"))


def unpacked(body: bytes) -> bytes:
    """Return *body*, unpacked if it is whole gzip within the bounds; else unchanged."""
    try:
        return _unpacked(body, "")
    except ValueError:
        return body


def parsed(text: bytes) -> Any:
    """Return the JSON value in *text*, or `BROKEN`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return BROKEN


def pairs(text: bytes) -> Pairs:
    """Return the fields of an urlencoded form or query, in order; none if there are over `FIELDS_MAX`."""
    try:
        return parse_qsl(
            text.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace"
        )
    except ValueError:
        return []


@dataclass(frozen=True)
class Part:
    """One part of a multipart form."""

    name: str
    value: str
    is_file: bool


def multipart(body: bytes, content_type: str | None = None) -> list[Part]:
    """Return the named parts of a multipart form, in order.  The first line of *body* is the delimiter.

    Args:
        content_type: If given, its boundary must be the same.
    """
    begin = _DELIMITER.match(body)
    if begin is None or (content_type is not None and begin[1] != _delimiter(content_type)):
        return []
    found: list[Part] = []
    chunks = (b"\r\n" + body[begin.start(1) :]).split(b"\r\n" + begin[1], PARTS_MAX + 1)[1:]
    for chunk in chunks[:PARTS_MAX]:
        head, blank, content = chunk[:PART_HEAD_MAX_BYTES].partition(b"\r\n\r\n")
        told = head.decode(errors="replace")
        name = _PART_NAME.search(told) if blank else None
        if name is not None:
            value = (content + chunk[PART_HEAD_MAX_BYTES:]).decode(errors="replace")
            found.append(Part(name[1], value, is_file=bool(_PART_FILE.search(told))))
    return found


def is_told(content_type: str | None) -> bool:
    """Tell whether *content_type* names a readable kind of body, or is empty."""
    kind = media_type(content_type)
    return not kind or "json" in kind or kind == FORM or kind.startswith("multipart/")


def media_type(content_type: str | None) -> str:
    """Return *content_type* without its parameters, in lower case."""
    return (content_type or "").partition(";")[0].strip().lower()


def _delimiter(content_type: str) -> bytes | None:
    found = _BOUNDARY.search(content_type)
    return None if found is None else b"--" + (found[1] or found[2]).encode(errors="replace")


def _of_form(fields: Pairs, text: bytes) -> Content:
    held = {name: _held(value) for name, value in fields}
    payload = held.get(PAYLOAD)
    is_payload = len(held) == 1 and isinstance(payload, dict | list)
    return Content(payload if is_payload else held, fields, text)


def _held(value: str) -> Any:
    """Return the JSON object or list in a form's field; else the field's text."""
    if value[:1] not in ("{", "["):
        return value
    held = parsed(value.encode(errors="replace"))
    return value if held is BROKEN else held


def _too_many(text: bytes) -> str:
    return f"it is a form of over {FIELDS_MAX} fields" if text.count(b"&") >= FIELDS_MAX else "it is an empty form"


def _why_not_json(text: bytes) -> str:
    if text.lstrip()[:1] in (b"{", b"["):
        try:
            json.loads(text)
        except RecursionError:
            return "it is JSON nested too deeply"
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError | UnicodeDecodeError):  # Python's own bound
                return "it is JSON with a number of over 4300 digits"
    return "it is neither JSON nor a form"


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Return *body*, unpacked if its bytes are gzip or its *encoding* is deflate.

    Raises:
        ValueError: The body can't be unpacked, or exceeds the bounds; the message says which.
    """
    if body.startswith(_GZIP):
        return _inflated(body, wbits=31, name="gzip")
    if encoding == "deflate":
        # Half of its senders leave out zlib's two bytes of head.
        has_head = body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflated(body, wbits=15 if has_head else -15, name="deflate")
    if encoding and encoding not in ("identity", "gzip", "x-gzip", "aws-chunked") and parsed(body) is BROKEN:
        raise ValueError(f"it is packed as {encoding[:40]}, which the relay doesn't unpack")
    return body  # also where a proxy has unpacked it and left the header


def _inflated(body: bytes, *, wbits: int, name: str) -> bytes:
    import zlib

    most = min(UNPACKED_MAX_BYTES, max(UNPACKED_FREE_BYTES, UNPACKED_MAX_TIMES * len(body)))
    unpack = zlib.decompressobj(wbits=wbits)
    try:
        plain = unpack.decompress(body, most)
    except zlib.error:
        raise ValueError(f"it is broken {name}") from None
    if unpack.unconsumed_tail:
        raise ValueError(f"it is {name} that unpacks to over {most} bytes")
    if not unpack.eof or unpack.unused_data:
        raise ValueError(f"it is broken {name}")
    return plain
