"""A request that a source sends, and how a value gets to a place of it: a header, the URL, the body or its form."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from relay.model.content import BROKEN
from relay.verification.request import InboundRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class CannotSign(Exception):
    """This request can't be signed with this secret; the message says why, and what to do."""


@dataclass(frozen=True)
class SourceRequest:
    """One HTTP request.

    Attributes:
        url: Whole, as the source was told it.
        headers: Names in lower case.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def inbound(self) -> InboundRequest:
        """Return it as the relay gets it."""
        return InboundRequest(method=self.method, urls=[self.url], headers=self.headers, body=self.body)


def time_text(time_format: str, at: float) -> str:
    if time_format.startswith("iso"):
        return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(at * 1000 if time_format == "ms" else at))


def put(request: SourceRequest, place: str, value: str, *, number: bool = False) -> SourceRequest:
    """Return *request* with *value* at *place*; nothing else of it changes, but that JSON is written anew."""
    kind, colon, rest = place.partition(":")
    if not colon:
        if not value.isascii():
            raise CannotSign(f"{place} would hold what no header can (ASCII only): set the signing secret again")
        return replace(request, headers={**request.headers, place.lower(): value})
    if kind == "query":
        base, _, query = request.url.partition("?")
        return replace(request, url=f"{base}?{_with_pair(query, rest, value)}")
    if kind == "body":
        held = json_of(request)
        set_at(held, rest.split("."), int(value) if number else value)
        return with_json(request, held)
    return _with_field(request, rest, value)


def _with_pair(text: str, name: str, value: str) -> str:
    """Return the urlencoded *text* in which *name* has *value*, and nothing else."""
    others = [it for it in text.split("&") if it and unquote_plus(it.partition("=")[0]) != name]
    return "&".join([*others, f"{quote(name, safe='')}={quote(value, safe='')}"])


def _with_field(request: SourceRequest, place: str, value: str) -> SourceRequest:
    """Return *request* with *value* in the field *place* of its form, or at a path of the JSON in that field."""
    name, dot, path = place.partition(".")
    old = next((it for key, it in request.inbound().form if key == name), None)
    if dot:
        try:
            held = json.loads(old or "")
        except (ValueError, RecursionError) as error:
            raise CannotSign(f"the form has no JSON in its field {name}: mend the file") from error
        set_at(held, path.split("."), value)
        value = json_text(held)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().lstrip().startswith("multipart/"):
        return replace(request, body=_with_pair(request.body.decode(), name, value).encode())
    if old is not None:
        return replace(request, body=request.body.replace(old.encode(), value.encode(), 1))
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if boundary is None:
        raise CannotSign("the form has no boundary: mend the file's content-type")
    part = f'--{boundary[1].strip()}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    return replace(request, body=part.encode() + request.body)


def json_of(request: SourceRequest) -> Any:
    """Return the JSON object in the body, anew each time."""
    held = request.inbound().json
    if held is BROKEN or not isinstance(held, dict):
        raise CannotSign("the body isn't the JSON object that the scheme signs: mend the file")
    return held


def with_json(request: SourceRequest, held: object) -> SourceRequest:
    return replace(request, body=json_text(held).encode(errors="surrogatepass"))


def json_text(held: object) -> str:
    return json.dumps(held, ensure_ascii=False, separators=(",", ":"))


def set_at(held: Any, path: Sequence[str], value: object) -> None:
    """Put *value* at *path* in *held*, making objects on the way."""
    for step in path[:-1]:
        held = held[int(step)] if isinstance(held, list) and step.isdigit() else _inner(held, step)
    if not isinstance(held, dict):
        raise CannotSign(f"the body has something else where {path[-1]} belongs: mend the file")
    held[path[-1]] = value


def _inner(held: Any, step: str) -> Any:
    if not isinstance(held, dict):
        raise CannotSign(f"the body has something else where {step} belongs: mend the file")
    return held.setdefault(step, {})
