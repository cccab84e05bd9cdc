"""Public test hosts, answered inside the server, for clients that need them where there is no internet."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import httpx

if TYPE_CHECKING:
    from .state import Clock

_HOSTS = (
    "mock.httpstatus.io",
    "example.com",
    "example.org",
    "httpbin.org",
    "*.requestcatcher.com",
    "api.openai.com",
    "api.resend.com",
)


def test_hosts(clock: Clock) -> dict[str, httpx.AsyncBaseTransport]:
    """Return what to mount into an httpx client so that it never calls these hosts."""

    async def answer(request: httpx.Request) -> httpx.Response:
        sleep = parse_qs(request.url.query.decode("ascii")).get("sleep", [""])[0]
        if request.url.host == "mock.httpstatus.io" and re.fullmatch(r"[0-9]{1,6}", sleep):
            await clock.sleep(int(sleep) / 1000)
        status = _status(request)
        return httpx.Response(status, text=f"{status} {_phrase(status)}", request=request)

    return dict.fromkeys((f"all://{host}" for host in _HOSTS), httpx.MockTransport(answer))


def _status(request: httpx.Request) -> int:
    host, path = request.url.host, request.url.path
    if host in ("mock.httpstatus.io", "httpbin.org"):
        found = re.fullmatch(r"/(?:status/)?([2-5][0-9][0-9])", path)
        return int(found[1]) if found else 404
    if host in ("example.com", "example.org"):
        if request.method != "GET":
            return 405
        return 200 if path == "/" else 404
    return 200


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
