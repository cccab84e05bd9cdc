"""The local QStash as a synchronous client of httpx reaches it: an ASGI application on an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from infra.local.qstash.broker.clock import all_idle
from tests.memory_aws.calls import Boundary

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from infra.local.qstash.broker.clock import Clock
    from tests.memory_aws import Calls

STEP_S = 0.5
_BOUNDARY = Boundary(refused=httpx.ConnectError, silent=httpx.ReadTimeout)


class Bridge(httpx.BaseTransport):
    """Carries requests over; time passes for one that isn't answered at once, until its sender gives up.

    Attributes:
        busy: Whether the loop runs; nothing can be carried over then.
    """

    def __init__(self, application: Starlette, runner: asyncio.Runner, clock: Clock, calls: Calls) -> None:
        self._inner = httpx.ASGITransport(application)
        self._runner = runner
        self._clock = clock
        self._calls = calls
        self.busy = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the application's answer, or raise what a network would."""
        name = f"qstash.{request.method} {request.url.path.rpartition('/')[0]}"
        return self._calls.take(name, lambda: self._carry(request), _BOUNDARY)

    def _carry(self, request: httpx.Request) -> httpx.Response:
        self.busy = True
        try:
            return self._runner.run(self._answer(request))
        finally:
            self.busy = False

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        same = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        asking = asyncio.create_task(self._inner.handle_async_request(same))
        gives_up_s = self._clock.now() + request.extensions["timeout"]["read"]
        await all_idle()
        while not asking.done() and self._clock.now() < gives_up_s:
            await self._clock.advance(min(STEP_S, gives_up_s - self._clock.now()))
        if not asking.done():
            asking.cancel()
            await asyncio.wait([asking])
            raise httpx.ReadTimeout("no answer", request=request)
        try:
            response = await asking
        except ConnectionResetError as error:
            raise httpx.RemoteProtocolError("the connection was dropped", request=request) from error
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())
