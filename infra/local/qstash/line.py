"""Waiting one's turn: a line with places, for queues, flow control and an account's parallelism."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock
    from .grammar import FlowControl


class Line:
    """So many places at a time, given first come, first served: ``async with line`` waits for one and holds it."""

    def __init__(self, places: int | None = None) -> None:
        """Make a line with *places*; None: no limit."""
        self.places = places
        self.taken = 0
        self.paused = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        if not self._waiting and self._free():
            self._take()
            return self
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self.serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():
                self._leave()  # the place came, and nobody was there any more
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def pause(self, *, paused: bool) -> None:
        """Give no more places, or give them again."""
        self.paused = paused
        self.serve()

    def serve(self) -> None:
        """Give every free place to the next in line; to be called after a change of the limits, too."""
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if not turn.done():
                self._take()
                turn.set_result(None)

    def _leave(self) -> None:
        self.taken -= 1
        self.serve()

    def _free(self) -> bool:
        return not self.paused and (self.places is None or self.taken < self.places)

    def _take(self) -> None:
        self.taken += 1


class FlowKey(Line):
    """The line of a flow-control key: besides places, at most *rate* turns in each period.

    A period begins with the first turn after the one before it ended.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.rate: int | None = None
        self.period_s = 1
        self.turns = 0
        self.period_start_s = clock.now()
        self.pinned_parallelism = False
        self.pinned_rate = False
        self._clock = clock
        self._stop_alarm: Callable[[], None] | None = None

    def limit(self, wanted: FlowControl) -> None:
        """Take over the limits of the newest publish, but for what is pinned."""
        if not self.pinned_parallelism:
            self.places = wanted.parallelism
        if not self.pinned_rate:
            self.rate, self.period_s = wanted.rate, wanted.period_s
        self.serve()

    def serve(self) -> None:
        if self._stop_alarm is not None:  # it was set for limits that may have changed
            self._stop_alarm()
            self._stop_alarm = None
        super().serve()

    def reset(self) -> None:
        """End the current period."""
        self.turns, self.period_start_s = 0, self._clock.now()
        self.serve()

    def _free(self) -> bool:
        if not super()._free():
            return False
        left_s = self.period_start_s + self.period_s - self._clock.now()
        if left_s <= 0:
            self.turns, self.period_start_s = 0, self._clock.now()
        if self.rate is None or self.turns < self.rate:
            return True
        if self._stop_alarm is None:
            self._stop_alarm = self._clock.call_later(left_s, self.serve)
        return False

    def _take(self) -> None:
        super()._take()
        self.turns += 1
