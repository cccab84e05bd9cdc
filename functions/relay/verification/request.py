"""An inbound request, and the language of places in it.  Each part is parsed once, on demand.

A *place* says where a value stands:

* `X-GitHub-Delivery`                      a header
* `body:data.object.id`                    a path in the body; a number is an index, `*` is every item of a list
* `form:payload.event.type`                a field of a form (urlencoded or multipart), and a path in the JSON it holds
* `query:validationToken`                  a parameter of the query string
* `claim:jti`                              a claim of the JWT that signed the request
* `@structured-key`                        what a function of `PLACES` finds
* `X-Gitea-Delivery|X-GitHub-Delivery`     the first of these that is there

Until its signature is checked a body is the JSON that its bytes are, or the form that they say; from then on what
`relay.model.content` makes of it.

Nothing here raises: a part that can't be read counts as absent.
"""

from __future__ import annotations

import base64
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from relay.model import content
from relay.model.content import BROKEN, pairs, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from relay.model.content import Content, Pairs

    Reader = Callable[[Any, Sequence[str]], list[str]]

ESCAPED_MAX_BYTES = 256 * 1024  # who escapes sends little, and to escape is slow
_BACKSLASH = re.compile(r"\\(?!/)")
_NOT_ASCII = re.compile(r"[^ -~]+")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class InboundRequest:
    """One HTTP request.

    Attributes:
        method: In upper case.
        urls: The public URLs that it may have been sent to, whole: one for each of the relay's base URLs.
        headers: Names in lower case; of a repeated header the values, joined by commas.
        body: The bytes as they came.
        claims: Those of the JWT that signed it, once that is verified.
        signed: The bytes that a MAC or a private key signed, once that is verified.
        unpacks: Whether the scheme signs what is in a body that is packed.
        verified: Whether its signature was checked, so that its body may be unpacked and decoded.
    """

    def __init__(self, *, method: str, urls: Sequence[str], headers: Mapping[str, str], body: bytes) -> None:
        self.method = method.upper()
        self.urls = tuple(urls)
        self.headers = headers
        self.body = body
        self.claims: Mapping[str, Any] = {}
        self.signed: bytes | None = None
        self.unpacks = False
        self.verified = False

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
        return content.unpacked(self.body)

    @cached_property
    def content(self) -> Content:
        """What the body says, decoded: for who has checked the signature."""
        return content.of_headers(self.body, self.headers)

    @property
    def held(self) -> Any:
        """What the body holds, as far as is known; `BROKEN` where it can't be read."""
        if not self.verified:
            return self.json
        return BROKEN if self.content.trouble else self.content.value

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
        return content.media_type(self.headers.get("content-type"))

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
            return [(it.name, it.value) for it in content.multipart(self.body, self.headers["content-type"])]
        return pairs(self.body)

    @property
    def fields(self) -> Pairs:
        """The fields of the form, of a body that may be packed."""
        return self.content.fields if self.verified else self.form

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
            if not dot:
                return first(self.fields, rest)
            value = next((it for field, it in reversed(self.fields) if field == name), "")
            return read(parsed(value.encode(errors="replace")), path.split("."))
        return read(self.claims if kind == "claim" else self.held, rest.split("."))


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


def _escaped(char: str) -> str:
    """Return *char* as JSON escapes it: as `\\n`, or as `\\u00e9`, two of them where it has a surrogate pair."""
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def braintree_kind(request: InboundRequest) -> str | None:
    """Return the kind that the XML in the form's payload names."""
    payload = request.find("form:bt_payload") or ""
    try:
        found = re.search(rb"<kind>([a-z0-9_]{1,100})</kind>", base64.b64decode(payload))
    except ValueError:
        return None
    return found[1].decode() if found else None


def structured_key(request: InboundRequest) -> str | None:
    """Return the first key of the body that holds an object or a list: that key is what the event is called."""
    held = request.held if isinstance(request.held, dict) else {}
    return next((as_text(name) for name, value in held.items() if isinstance(value, dict | list)), None)


PLACES: dict[str, Callable[[InboundRequest], str | None]] = {
    "@braintree-kind": braintree_kind,
    "@structured-key": structured_key,
}
