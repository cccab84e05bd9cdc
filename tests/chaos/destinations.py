"""The destinations of a chaos run, on loopback: they fail as the mix has it, and count what arrives.

What they count is a request with its nonce, QStash's message id and number of the try, and what it was answered: the
one half of the ledger that the relay has no hand in.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.mix import Behaviour

LATE_S = {"steady": 2.4, "flaky": 2.4, "rough": 1.4}  # longer than the destination's group waits
HANG_S = 6
HUGE = b"<html>" + b"error " * 875_000  # 5 MB
GARBAGE = b"\x00\xff not HTTP at all \r\n\r\n" * 5


@dataclass(frozen=True)
class Arrival:
    """One request to a destination.

    Attributes:
        nonce: The webhook's; empty where the body has none.
        retried: QStash's count, from 0; -1 where it said none.
        status: What was answered; None where nothing was.
        seen: Whether who asked was still there for the answer.
        sha256: Of the body.
        at: Monotonic seconds, when the answer was given.
    """

    destination: str
    nonce: str
    event_id: str
    message_id: str
    retried: int
    status: int | None
    seen: bool
    sha256: str
    at: float

    @property
    def taken(self) -> bool:
        """Tell whether the destination said that it has it."""
        return self.status is not None and 200 <= self.status < 300


class Destinations:
    """A server in a thread of its own; use it as a context."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.struck: Counter[str] = Counter()
        self.base_url = ""
        self._behaviours: Mapping[tuple[str, str], Behaviour] = {}
        self._failed: Counter[tuple[str, str]] = Counter()
        self._recovered: set[tuple[str, str]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        application = web.Application(client_max_size=8 * 1024 * 1024)
        application.router.add_route("*", "/{destination}", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.base_url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    def behave(self, behaviours: Mapping[tuple[str, str], Behaviour]) -> None:
        """Fail, by (destination, nonce), as *behaviours* has it."""
        self._behaviours = behaviours

    def recover(self, destination: str, nonce: str) -> None:
        """Take from now on what was refused before."""
        self._recovered.add((destination, nonce))

    async def _take(self, request: web.Request) -> web.StreamResponse:
        destination, body = request.match_info["destination"], await request.read()
        nonce = _nonce(body)
        behaviour = self._befalls(destination, nonce)
        kind = behaviour.kind if behaviour else ""
        if kind:
            self.struck[kind] += 1
        if kind in ("hang", "late"):
            await asyncio.sleep(LATE_S[destination] if kind == "late" else HANG_S)
        response = _RESPONSES[kind]() if kind in _RESPONSES else web.Response(status=_STATUS.get(kind, 200))
        there = request.transport is not None and not request.transport.is_closing()
        if kind in ("hang", "reset", "garbage"):
            if kind == "garbage" and request.transport is not None:
                request.transport.write(GARBAGE)
            status, there = None, False
            if request.transport is not None:
                request.transport.abort() if kind == "reset" else request.transport.close()
        else:
            status = response.status
        self._keep(request, destination, nonce, status, seen=there, body=body)
        return response

    def _befalls(self, destination: str, nonce: str) -> Behaviour | None:
        behaviour = self._behaviours.get((destination, nonce))
        if behaviour is None or (destination, nonce) in self._recovered:
            return None
        self._failed[destination, nonce] += 1
        return behaviour if self._failed[destination, nonce] <= behaviour.failures else None

    def _keep(
        self, request: web.Request, destination: str, nonce: str, status: int | None, *, seen: bool, body: bytes
    ) -> None:
        retried = request.headers.get("Upstash-Retried", "")
        self.arrivals.append(
            Arrival(
                destination=destination,
                nonce=nonce,
                event_id=request.headers.get("Relay-Event-Id", ""),
                message_id=request.headers.get("Upstash-Message-Id", ""),
                retried=int(retried) if retried.isdigit() else -1,
                status=status,
                seen=seen,
                sha256=hashlib.sha256(body).hexdigest(),
                at=time.monotonic(),
            )
        )


def _nonce(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("nonce", "")) if isinstance(said, dict) else ""


_STATUS = {"error": 500, "late": 200}
_RESPONSES = {
    "nonretryable": lambda: web.Response(status=489, headers={"Upstash-NonRetryable-Error": "true"}),
    "busy": lambda: web.Response(status=429, headers={"Retry-After": "1"}),
    "huge": lambda: web.Response(status=502, body=HUGE, content_type="text/html"),
    "redirect": lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
}
