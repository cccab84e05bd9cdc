"""What the server's tests stand on: a clock that tests move, a destination that remembers, and a client."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.local.qstash.asgi import app
from infra.local.qstash.state import Settings, documented_users

START_S = 1_800_000_000.0
URL = "https://destination.test/hook"
USERS = documented_users({})
TOKEN = USERS[0].token


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = START_S
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, waking every sleeper at its time."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(40):
        await asyncio.sleep(0)


Answering = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


@dataclass
class Destination:
    """Remembers what it gets, and answers as it is told: the next of *answers*, and then *default*."""

    answers: list[httpx.Response | Exception | Answering] = field(default_factory=list)
    default: Answering = field(default=lambda _: httpx.Response(200))
    requests: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    clock: FakeClock | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.clock:
            self.times.append(self.clock.now() - START_S)
        answer = self.answers.pop(0) if self.answers else self.default
        if isinstance(answer, Exception):
            raise answer
        given = answer if isinstance(answer, httpx.Response) else answer(request)
        return given if isinstance(given, httpx.Response) else await given

    def to(self, host: str) -> list[httpx.Request]:
        """Return the requests that went to *host*."""
        return [request for request in self.requests if request.url.host == host]


@dataclass
class Local:
    """A running server: a client of it, its clock, and all that its deliveries reach."""

    http: httpx.AsyncClient
    clock: FakeClock
    destination: Destination

    async def publish(self, to: str = URL, body: bytes = b"body", expect: int = 200, **headers: str) -> Any:
        """Publish; keywords are settings, so ``forward_x="1"`` is ``Upstash-Forward-X: 1``."""
        given = {f"Upstash-{name.replace('_', '-')}": value for name, value in headers.items()}
        response = await self.http.post(f"/v2/publish/{to}", content=body, headers=given)
        assert response.status_code == expect, response.text
        await settle()
        return response.json()

    async def get(self, path: str, **params: str) -> Any:
        """Return the JSON of *path*."""
        response = await self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    async def group(self, name: str, *endpoints: tuple[str, str]) -> None:
        """Make a URL group of (name, url)."""
        body = {"endpoints": [{"name": one, "url": url} for one, url in endpoints]}
        response = await self.http.post(f"/v2/topics/{name}/endpoints", json=body)
        assert response.status_code == 200, response.text

    async def states(self, message_id: str) -> list[str]:
        """Return the states that a message went through, first to last."""
        log = await self.get("/v2/logs", messageId=message_id, order="earliestFirst")
        return [row["state"] for row in log["logs"]]

    async def dead_letters(self, **params: str) -> list[Any]:
        """Return the DLQ."""
        messages: list[Any] = (await self.get("/v2/dlq", **params))["messages"]
        return messages


@asynccontextmanager
async def local(
    *answers: httpx.Response | Exception | Answering,
    settings: Settings | None = None,
    default: Answering = lambda _: httpx.Response(200),
    test_hosts: bool = False,
) -> AsyncIterator[Local]:
    """Run a server of its own, whose deliveries get *answers* and then *default*."""
    clock = FakeClock()
    destination = Destination(list(answers), default=default, clock=clock)
    application = app(
        users=documented_users({}),
        clock=clock,
        settings=settings,
        transport=httpx.MockTransport(destination),
        test_hosts=test_hosts,
    )
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application),
            base_url="http://qstash.test",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as http,
    ):
        yield Local(http, clock, destination)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make an async test one that pytest runs."""

    def sync() -> None:
        asyncio.run(test())

    sync.__name__, sync.__doc__ = test.__name__, test.__doc__
    return sync
