"""Steps that the tests of the server have in common."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest

from infra.local.qstash.broker.clock import all_idle

from .fakes import START_S, USERS

if TYPE_CHECKING:
    from .fakes import Answering, Local

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


def each(names: str, *cases: object) -> Callable[[AsyncTest], Callable[..., None]]:
    """Make an async test one that pytest runs with each of the cases."""

    def make(test: AsyncTest) -> Callable[..., None]:
        @functools.wraps(test)
        def sync(**case: Any) -> None:
            asyncio.run(test(**case))

        parametrized: Callable[..., None] = pytest.mark.parametrize(names.split(), cases)(sync)
        return parametrized

    return make


async def _answer(server: Local, method: str, path: str, body: object, settings: dict[str, str]) -> httpx.Response:
    headers = {f"Upstash-{name.replace('_', '-')}": value for name, value in settings.items()}
    form: Any = {"content": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    response = await server.http.request(method, f"/v2/{path}", headers=headers, **form)
    await all_idle()
    return response


async def call(server: Local, method: str, path: str, body: object = None, /, **settings: str) -> Any:
    """Call the API and return the JSON of its answer; keywords are settings, as `Local.publish` has them."""
    response = await _answer(server, method, path, body, settings)
    assert response.is_success, response.text
    return response.json()


async def refused(server: Local, status: int, method: str, path: str, body: object = None, /, **settings: str) -> str:
    """Make a call that is answered with that *status*, and return its error."""
    response = await _answer(server, method, path, body, settings)
    assert (response.status_code, [*response.json()]) == (status, ["error"]), response.text
    return str(response.json()["error"])


def slow(server: Local, seconds: float, status: int = 200) -> Answering:
    """Answer after so many seconds."""

    async def answer(_: httpx.Request) -> httpx.Response:
        await server.clock.sleep(seconds)
        return httpx.Response(status)

    return answer


def arrived(server: Local) -> list[tuple[str, float]]:
    """Return the path of every delivery, without its slash, and how many seconds after the start it came."""
    requests = zip(server.destination.requests, server.destination.times, strict=True)
    return [(request.url.path[1:], at_s) for request, at_s in requests]


def fail(status: int = 500, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def claims(request: httpx.Request, key: str = USERS[0].current_key, at_s: float = START_S) -> dict[str, Any]:
    """Check a delivery's signature with PyJWT, as a receiver does, and return what it claims."""
    found: dict[str, Any] = jwt.decode(
        request.headers["Upstash-Signature"],
        key,
        algorithms=["HS256"],
        issuer="Upstash",
        options={"verify_exp": False, "verify_iat": False, "require": ["exp", "nbf", "sub"]},
    )
    assert found["iat"] == math.floor(at_s)
    return found
