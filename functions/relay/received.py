"""A request as it came, and where things stand in it.  Query, form, multipart and JSON are each parsed at most once.

A *place* says where a value stands:

* `X-GitHub-Delivery`                      a header
* `body:data.object.id`                    a path in the JSON body; a number is an index, `*` is every item of a list
* `form:payload.event.type`                a field of a form (urlencoded or multipart), and a path in the JSON it holds
* `query:validationToken`                  a parameter of the query string
* `claim:jti`                              a claim of the JWT that signed the request
* `@structured-key`                        what a function of `relay.odd` finds
* `X-Gitea-Delivery|X-GitHub-Delivery`     the first of these that is there

Nothing here raises: what can't be read isn't there.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FIELDS_MAX = 5_000  # of a form or a query; more isn't a webhook
UNPACKED_MAX_BYTES = 16 * 1024 * 1024
BROKEN = object()  # what a body that isn't JSON holds

Pairs = list[tuple[str, str]]


class Received:
    """One HTTP request.

    Attributes:
        method: In upper case.
        urls: The public URLs that it may have been sent to, whole: one for each of the relay's base URLs.
        headers: Names in lower case; of a repeated header the values, joined by commas.
        body: The bytes as they came.
        claims: Those of the JWT that signed it, once that is verified.
    """

    def __init__(self, *, method: str, urls: Sequence[str], headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.urls = tuple(urls)
        self.headers = headers
        self.body = body
        self.claims: Mapping[str, Any] = {}

    @property
    def url(self) -> str:
        """The URL that it was sent to, as far as is known."""
        return self.urls[0] if self.urls else ""

    @cached_property
    def json(self) -> Any:
        """What the JSON body holds; `BROKEN` where it isn't JSON."""
        return parsed(self.plain)

    @cached_property
    def plain(self) -> bytes:
        """The body, unpacked where it is gzip and doesn't grow beyond all bounds."""
        if not self.body.startswith(b"\x1f\x8b"):
            return self.body
        import zlib

        unpack = zlib.decompressobj(wbits=31)
        try:
            plain = unpack.decompress(self.body, UNPACKED_MAX_BYTES)
        except zlib.error:
            return self.body
        return plain if unpack.eof else self.body

    @cached_property
    def query(self) -> Pairs:
        """The parameters of the query string, in their order."""
        return _pairs(self.url.partition("#")[0].partition("?")[2].encode(errors="replace"))

    @cached_property
    def form(self) -> Pairs:
        """The fields of the form in the body, in their order."""
        content_type = self.headers.get("content-type", "")
        if content_type.lower().lstrip().startswith("multipart/"):
            return _multipart(content_type, self.body)
        return _pairs(self.body)

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return {name: parsed(value.encode(errors="replace")) for name, value in self.form}

    def find(self, place: str) -> str | None:
        """Return the value at *place*; None where there is none.  Several values are joined by commas."""
        for alternative in place.split("|"):
            values = self._values(alternative)
            if values:
                return ",".join(values)
        return None

    def is_json_expected(self) -> bool:
        """Tell whether the body says that it is JSON, or says nothing of itself."""
        return "json" in self.headers.get("content-type", "application/json").lower()

    def _values(self, place: str) -> list[str]:
        if place.startswith("@"):
            from relay.odd import PLACES

            value = PLACES[place](self)
            return [value] if value else []
        kind, colon, rest = place.partition(":")
        if not colon:
            value = self.headers.get(place.lower())
            return [value] if value else []
        if kind == "query":
            return first(self.query, rest)
        if kind == "form":
            name, dot, path = rest.partition(".")
            return texts(self._fields.get(name), path.split(".")) if dot else first(self.form, rest)
        return texts(self.claims if kind == "claim" else self.json, rest.split("."))


def parsed(text: bytes) -> Any:
    """Return the JSON value in *text*, or `BROKEN`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return BROKEN


def first(pairs: Pairs, name: str) -> list[str]:
    """Return the first value that *name* has in *pairs*, in a list; an empty one is none."""
    return [value for key, value in pairs if key == name and value][:1]


def texts(value: Any, path: Sequence[str]) -> list[str]:
    """Return the texts and whole numbers in *value* at *path*, each once, in their order."""
    found = [value]
    for step in path:
        found = [inner for outer in found for inner in _step(outer, step)]
    return list(dict.fromkeys(text for it in found if (text := as_text(it))))


def as_text(value: Any) -> str | None:
    """Return a text or a whole number as text, free of the lone surrogates that JSON can hold and nothing can store."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value).encode(errors="replace").decode()
    except ValueError:  # a number with more digits than Python writes
        return None


def _step(value: Any, step: str) -> Iterable[Any]:
    if isinstance(value, dict):
        if step == "*":
            return value.values()
        return [value[step]] if step in value else []
    if isinstance(value, list):
        if step == "*":
            return value
        return value[int(step) : int(step) + 1] if step.isascii() and step.isdigit() and len(step) < 10 else []
    return []


def _pairs(text: bytes) -> Pairs:
    try:
        return parse_qsl(
            text.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace"
        )
    except ValueError:
        return []


def _multipart(content_type: str, body: bytes) -> Pairs:
    from email.parser import BytesParser
    from email.policy import HTTP

    head = f"Content-Type: {content_type}\r\n\r\n".encode(errors="replace")
    found: Pairs = []
    try:
        for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts():
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                found.append((unquote_plus(name), content.decode(errors="replace")))
    except (ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError):
        return []  # the parser has many ways to fail on what anyone can send
    return found[:FIELDS_MAX]
