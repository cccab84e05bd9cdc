"""One call of the API: what it carries, read and checked; and its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, unquote

from starlette.responses import Response

from ..broker.messages import Wanted
from ..broker.views import shaped
from ..language.grammar import Refused
from ..language.options import split_target
from . import selection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from ..broker.engine import Engine
    from ..broker.state import User
    from ..language.options import Headers

Found = TypeVar("Found")


@dataclass(frozen=True)
class Call:
    """One authenticated request, its body read."""

    user: User
    engine: Engine
    request: Request
    body: bytes

    @property
    def now_s(self) -> float:
        return self.engine.clock.now()

    @property
    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    @property
    def query(self) -> str:
        return str(self.request.scope["query_string"].decode("latin-1"))

    @property
    def params(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)

    def path(self, part: str) -> str:
        """Return a part of the path, decoded."""
        return unquote(self.request.path_params[part])

    @property
    def ends(self) -> str:
        """Return the last part of the path: the verb, for instance ``pause``."""
        return str(self.request.url.path.rpartition("/")[2])

    @property
    def headers(self) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        for key, value in self.request.scope["headers"]:
            headers.setdefault(key.decode("latin-1").lower(), []).append(value.decode("utf-8", "surrogateescape"))
        return headers

    def json(self) -> Any:
        """Return the body as JSON, or refuse it."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not JSON") from error

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object, or refuse it."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refused(400, "the body is not a JSON object")
        return value

    def selection_params(self) -> dict[str, list[str]]:
        """Return filters from the query and, as the Python SDK sends them, from the body."""
        return self.params | (selection.from_json(self.json_object()) if self.body.strip() else {})

    @property
    def caller_ip(self) -> str:
        return self.request.client.host if self.request.client else ""

    def wanted(self, queue_name: str | None = None) -> Wanted:
        """Return what this publish asks for, with the settings of the query among its headers, which win."""
        destination, settings = split_target(self.request.path_params["destination"], self.query)
        headers = settings | self.headers
        return Wanted(
            destination=destination, headers=headers, body=self.body, caller_ip=self.caller_ip, queue_name=queue_name
        )


Verb = Callable[[Call], Response]


def existing(things: Mapping[str, Found], wanted: str, kind: str) -> Found:
    """Return the thing called *wanted*, or refuse with 404; *kind* is QStash's word for such things."""
    if wanted not in things:
        raise Refused(404, f"{kind} {wanted} not found")
    return things[wanted]


def lower_case(headers: dict[str, Any]) -> Headers:
    """Return headers that came as a JSON object; a value may be a string or an array of strings."""
    return {key.lower(): value if isinstance(value, list) else [value] for key, value in headers.items()}


def as_json(value: object, status: int = 200) -> Response:
    """Return an answer that is *value*."""
    # Escaped to ASCII: a lone surrogate that came in by JSON must not break the answer.
    return Response(json.dumps(value, separators=(",", ":")), status, media_type="application/json")


def answer(value: object, status: int = 200) -> Response:
    """Return an answer that is *value* in the usual shape."""
    response = as_json(shaped(value), status)
    response.value = value  # type: ignore[attr-defined]
    return response
