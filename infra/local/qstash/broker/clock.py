"""Where the server's time comes from, and how it is moved.

A clock runs with the machine's or stands still.  Either can be put forward: then whatever waits by it wakes in its
order, each at its own time, as if that time had passed.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_TURNS = 40  # of the event loop, in which a task that was woken comes to its next wait


async def all_idle() -> None:
    """Let every task run until it waits."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


class Clock:
    """Unix seconds, and timers that go by them."""

    def __init__(self, still_at_s: float | None = None) -> None:
        """Make a clock that stands still at *still_at_s*, or runs."""
        self._still_s = still_at_s
        self._ahead_s = 0.0
        self._numbers = itertools.count()
        self._timers: dict[int, tuple[float, int, Callable[[], None]]] = {}

    def now(self) -> float:
        """Return Unix seconds."""
        return (time.time() if self._still_s is None else self._still_s) + self._ahead_s

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Call *callback* once, when *seconds* have passed; return what prevents it."""
        number, handle = next(self._numbers), None

        def ring() -> None:
            if self._timers.pop(number, None):
                callback()

        def cancel() -> None:
            self._timers.pop(number, None)
            if handle:
                handle.cancel()

        self._timers[number] = (self.now() + seconds, number, ring)
        if self._still_s is None:
            handle = asyncio.get_running_loop().call_later(seconds, ring)
        return cancel

    async def sleep(self, seconds: float) -> None:
        """Return once *seconds* have passed."""
        if seconds > 0:
            passed = asyncio.Event()
            cancel = self.call_later(seconds, passed.set)
            try:
                await passed.wait()
            finally:
                cancel()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """Raise `TimeoutError` out of the block, if it takes longer than *seconds*."""
        async with asyncio.timeout(None) as limit:
            cancel = self.call_later(seconds, lambda: limit.reschedule(asyncio.get_running_loop().time()))
            try:
                yield
            finally:
                cancel()

    async def advance(self, seconds: float, settle: Callable[[], Awaitable[None]] = all_idle) -> None:
        """Put the clock forward, waking every sleeper at its time; *settle* returns when all wait again."""
        end_s = self.now() + seconds
        await settle()
        while self._timers and (due := min(self._timers.values()))[0] <= end_s:
            self._put(due[0])
            due[2]()
            await settle()
        self._put(end_s)

    def _put(self, at_s: float) -> None:
        """Put the clock forward to *at_s*, if it is not there yet."""
        if self._still_s is None:
            self._ahead_s += max(0.0, at_s - self.now())
        else:
            self._still_s = max(self._still_s, at_s)
