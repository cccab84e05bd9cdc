"""What the server's tests stand on: a clock that stands still, a destination that remembers, and a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from infra.local.qstash.app import app
from infra.local.qstash.broker.clock import Clock, all_idle
from infra.local.qstash.broker.messages import Answer, Outgoing
from infra.local.qstash.broker.state import Settings, documented_users
from infra.local.qstash.language.grammar import canonical

if TYPE_CHECKING:
    from starlette.applications import Starlette

START_S = 1_800_000_000.0
URL = "https://destination.test/hook"
USERS = documented_users({})
TOKEN = USERS[0].token
ADMIN = {"Authorization": "Bearer admin"}


Answering = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


@dataclass
class Destination:
    """Remembers what it gets, and answers as it is told: the next of *answers*, and then *default*."""

    answers: list[httpx.Response | Exception | Answering] = field(default_factory=list)
    default: Answering = field(default=lambda _: httpx.Response(200))
    requests: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    came_from: list[str] = field(default_factory=list)
    clock: Clock | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.clock:
            self.times.append(self.clock.now() - START_S)
        answer = self.answers.pop(0) if self.answers else self.default
        if isinstance(answer, Exception):
            raise answer
        given = answer if isinstance(answer, httpx.Response) else answer(request)
        return given if isinstance(given, httpx.Response) else await given

    async def send(self, outgoing: Outgoing) -> Answer:
        """Be the network: hand a request over in httpx's form, and its answer back."""
        headers = [(name.encode(), value.encode()) for name, values in outgoing.header.items() for value in values]
        request = httpx.Request(outgoing.method, outgoing.url, headers=headers, content=outgoing.body)
        self.came_from.append(outgoing.comes_from)
        response = await self(request)
        header: dict[str, list[str]] = {}
        for name, value in response.headers.raw:
            header.setdefault(canonical(name.decode()), []).append(value.decode())
        return Answer(response.status_code, header, response.content)

    def to(self, host: str) -> list[httpx.Request]:
        """Return the requests that went to *host*."""
        return [request for request in self.requests if request.url.host == host]


@dataclass
class Local:
    """A running server: a client of it, its clock, and all that its deliveries reach."""

    http: httpx.AsyncClient
    clock: Clock
    destination: Destination

    async def publish(self, to: str = URL, body: bytes = b"body", expect: int = 200, **headers: str) -> Any:
        """Publish; keywords are settings, so ``forward_x="1"`` is ``Upstash-Forward-X: 1``."""
        given = {f"Upstash-{name.replace('_', '-')}": value for name, value in headers.items()}
        response = await self.http.post(f"/v2/publish/{to}", content=body, headers=given)
        assert response.status_code == expect, response.text
        await all_idle()
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

    async def admin(self, method: str, path: str, body: object = None, expect: int = 200) -> Any:
        """Call the admin API."""
        response = await self.http.request(method, f"/admin/{path}", json=body, headers=ADMIN)
        assert response.status_code == expect, response.text
        return response.json()

    @asynccontextmanager
    async def passing(self, seconds: float) -> AsyncIterator[None]:
        """Let *seconds* pass while the block waits."""
        passing = asyncio.create_task(self.clock.advance(seconds))
        yield
        await passing

    async def states(self, message_id: str) -> list[str]:
        """Return the states that a message went through, first to last."""
        log = await self.get("/v2/logs", messageId=message_id, order="earliestFirst")
        return [row["state"] for row in log["logs"]]

    async def dead_letters(self, **params: str) -> list[Any]:
        """Return the DLQ."""
        messages: list[Any] = (await self.get("/v2/dlq", **params))["messages"]
        return messages


@asynccontextmanager
async def serving(application: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Run an application without a server, and hand over a client of the first user's."""
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application),
            base_url="http://qstash.test",
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as client,
    ):
        yield client


@asynccontextmanager
async def local(
    *answers: httpx.Response | Exception | Answering,
    settings: Settings | None = None,
    default: Answering = lambda _: httpx.Response(200),
    test_hosts: bool = False,
    admin: bool = False,
) -> AsyncIterator[Local]:
    """Run a server of its own, whose deliveries get *answers* and then *default*."""
    clock = Clock(START_S)
    destination = Destination(list(answers), default=default, clock=clock)
    application = app(
        clock=clock,
        settings=settings,
        send=destination.send,
        test_hosts=test_hosts,
        admin_token=ADMIN["Authorization"].removeprefix("Bearer ") if admin else "",
    )
    async with serving(application) as http:
        yield Local(http, clock, destination)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make an async test one that pytest runs."""

    def sync() -> None:
        asyncio.run(test())

    sync.__name__, sync.__doc__ = test.__name__, test.__doc__
    return sync
