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
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Reader = Callable[[Any, Sequence[str]], list[str]]

FIELDS_MAX = 5_000  # of a form or a query; more isn't a webhook
UNPACKED_MAX_BYTES = 4 * 1024 * 1024
ESCAPED_MAX_BYTES = 256 * 1024  # who escapes sends little, and to escape is slow
PARTS_MAX = 100  # of a multipart form
PART_HEAD_MAX_BYTES = 4096
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^";,\s]{1,70}))', re.IGNORECASE)
_PART_NAME = re.compile(
    r'^content-disposition: *form-data *;(?:[^\r\n]*;)? *name="([^"\r\n]{1,100})"', re.IGNORECASE | re.MULTILINE
)
_BACKSLASH = re.compile(r"\\(?!/)")
_NOT_ASCII = re.compile(r"[^ -~]+")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
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
        signed: The bytes that a MAC or a private key signed, once that is verified.
        unpacks: Whether the scheme signs what is in a body that is packed.
    """

    def __init__(self, *, method: str, urls: Sequence[str], headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.urls = tuple(urls)
        self.headers = headers
        self.body = body
        self.claims: Mapping[str, Any] = {}
        self.signed: bytes | None = None
        self.unpacks = False

    @property
    def url(self) -> str:
        """The URL that it was sent to, as far as is known."""
        return self.urls[0] if self.urls else ""

    @cached_property
    def json(self) -> Any:
        """What the JSON body holds; `BROKEN` where it isn't JSON."""
        return parsed(self.plain if self.unpacks else self.body)

    @cached_property
    def plain(self) -> bytes:
        """The body, unpacked where it is gzip, whole, and doesn't grow beyond all bounds."""
        if not self.body.startswith(b"\x1f\x8b"):
            return self.body
        import zlib

        unpack = zlib.decompressobj(wbits=31)
        try:
            plain = unpack.decompress(self.body, UNPACKED_MAX_BYTES)
        except zlib.error:
            return self.body
        return plain if unpack.eof and not unpack.unused_data else self.body

    @cached_property
    def escaped(self) -> bytes:
        """The body as JSON in ASCII, é as `\\u00e9`; as it is where it is too large for that."""
        if len(self.body) > ESCAPED_MAX_BYTES:
            return self.body
        text = _BACKSLASH.sub(r"\\\\", self.body.decode(errors="replace"))
        return _NOT_ASCII.sub(lambda it: "".join(map(_escaped, it[0])), text).encode()

    @property
    def media_type(self) -> str:
        """What the content type says without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def raw_query(self) -> str:
        """The query string as it came."""
        return self.url.partition("#")[0].partition("?")[2]

    @cached_property
    def query(self) -> Pairs:
        """The parameters of the query string, in their order."""
        return pairs(self.raw_query.encode(errors="replace"))

    def query_without(self, names: Collection[str]) -> str:
        """Return the query string as it came, without the parameters *names*."""
        parameters = self.raw_query.split("&")
        return "&".join(it for it in parameters if unquote_plus(it.partition("=")[0]) not in names)

    @cached_property
    def form(self) -> Pairs:
        """The fields of the form in the body, in their order."""
        if self.media_type.startswith("multipart/"):
            return _multipart(self.headers["content-type"], self.body)
        return pairs(self.body)

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return {name: parsed(value.encode(errors="replace")) for name, value in reversed(self.form)}

    def find(self, place: str, read: Reader | None = None) -> str | None:
        """Return the value at *place*; None where there is none.  Several values are joined by commas."""
        for alternative in place.split("|"):
            values = self._values(alternative, read or texts)
            if any(values):
                return ",".join(values)
        return None

    def find_id(self, place: str) -> str | None:
        """Return the values at *place*, of each item of a list its own: what several have in common stands twice."""
        return self.find(place, of_each)

    def is_json_expected(self) -> bool:
        """Tell whether the body says that it is JSON, or says nothing of itself."""
        return "json" in self.headers.get("content-type", "application/json").lower()

    def _values(self, place: str, read: Reader) -> list[str]:
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
            return read(self._fields.get(name), path.split(".")) if dot else first(self.form, rest)
        return read(self.claims if kind == "claim" else self.json, rest.split("."))


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


def of_each(value: Any, path: Sequence[str]) -> list[str]:
    """Return the texts, numbers and truths in *value* at *path*: one for each item, empty where it has none."""
    if not path:
        return [str(value).lower() if isinstance(value, bool) else as_text(value) or ""]
    step, rest = path[0], path[1:]
    inner = list(_step(value, step))
    if step == "*":
        return [text for it in inner for text in of_each(it, rest)]
    return of_each(inner[0], rest) if inner else [""]


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


def pairs(text: bytes) -> Pairs:
    """Return the fields of an urlencoded form or query, in their order; none where there are too many to be one."""
    try:
        return parse_qsl(
            text.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace"
        )
    except ValueError:
        return []


def _multipart(content_type: str, body: bytes) -> Pairs:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return []
    found: Pairs = []
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode(errors="replace")
    parts = (b"\r\n" + body).split(delimiter, PARTS_MAX + 1)[1:]
    for part in parts[:PARTS_MAX]:
        head, blank, content = part[:PART_HEAD_MAX_BYTES].partition(b"\r\n\r\n")
        name = _PART_NAME.search(head.decode(errors="replace")) if blank else None
        if name is not None:
            found.append((name[1], (content + part[PART_HEAD_MAX_BYTES:]).decode(errors="replace")))
    return found


def _escaped(char: str) -> str:
    """Return *char* as JSON escapes it: as `\\n`, or as `\\u00e9`, two of them where it has a surrogate pair."""
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
