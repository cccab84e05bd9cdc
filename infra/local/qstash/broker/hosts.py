"""Public test hosts, answered inside the server, for clients that need them where there is no internet."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from yarl import URL

from .messages import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .clock import Clock
    from .messages import Outgoing

_STATUS_HOSTS = ("mock.httpstatus.io", "httpstat.us", "httpbin.org")
_EXAMPLE_HOSTS = ("example.com", "example.net", "example.org")
_WELCOMING_HOSTS = ("api.openai.com", "api.anthropic.com", "api.resend.com", "qstash.upstash.io")


def answering_test_hosts(
    send: Callable[[Outgoing], Awaitable[Answer]], clock: Clock
) -> Callable[[Outgoing], Awaitable[Answer]]:
    """Return a *send* that never calls these hosts, but answers for them as they are known to."""

    async def answer(outgoing: Outgoing) -> Answer:
        url = URL(outgoing.url, encoded=True)
        status = _status(outgoing.method, url.host or "", url.path)
        if status is None:
            return await send(outgoing)
        sleep = url.query.get("sleep", "")
        if url.host in _STATUS_HOSTS and re.fullmatch(r"[0-9]{1,6}", sleep):
            await clock.sleep(int(sleep) / 1000)
        text = f"{status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else 'Unknown'}"
        return Answer(status, {"Content-Type": ["text/plain; charset=utf-8"]}, text.encode())

    return answer


def _status(method: str, host: str, path: str) -> int | None:
    if host in _STATUS_HOSTS:
        found = re.fullmatch(r"/(?:status/)?([2-5][0-9][0-9])", path)
        return int(found[1]) if found else 404
    if host in _EXAMPLE_HOSTS:
        return 405 if method != "GET" else 200 if path == "/" else 404
    return 200 if host in _WELCOMING_HOSTS or host.endswith(".requestcatcher.com") else None
