"""Waiting one's turn: a line with places, for queues, flow control and an account's parallelism."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..language.grammar import FlowControl
    from .clock import Clock


class Line:
    """So many places at a time, given first come, first served: ``async with line`` waits for one and holds it."""

    def __init__(self, places: int | None = None) -> None:
        """Make a line with *places*; None: no limit."""
        self.places = places
        self.taken = 0
        self.paused = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._keys_first = False
        self.blocked: dict[FlowKey, None] = {}  # in their lines somebody waits for nothing but a place of this one

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        if not self._waiting and self.free():
            self.take()
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
                self.leave()  # the place came, and nobody was there any more
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def pause(self, *, paused: bool) -> None:
        """Give no more places, or give them again."""
        self.paused = paused
        self.serve()

    def serve(self) -> None:
        """Give every free place to the next in line; to be called after a change of the limits, too."""
        self._keys_first = not self._keys_first  # so that under load neither keeps the other waiting for ever
        if self._keys_first:
            self._serve_keys()
        self._serve_own()
        self._serve_keys()

    def _serve_keys(self) -> None:
        while self.blocked and self.free():
            key = next(iter(self.blocked))
            del self.blocked[key]
            key.serve()  # which comes back if it needs more places than there are

    def _serve_own(self) -> None:
        while self._waiting and self.free():
            turn = self._waiting.popleft()
            if not turn.done():
                self.take()
                turn.set_result(None)

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self.serve()

    def free(self) -> bool:
        """Return whether a place can be had now."""
        return not self.paused and (self.places is None or self.taken < self.places)

    def take(self) -> None:
        """Take a free place."""
        self.taken += 1


class FlowKey(Line):
    """The line of a flow-control key: besides places, at most *rate* turns in each period.

    A period begins with the first turn after the one before it ended.  Who has a place here has one of the account's as
    well: both are taken at once, so that a turn is counted when it begins, however long it waited for the other.
    """

    def __init__(self, clock: Clock, account: Line, rest_s: Callable[[], float]) -> None:
        """Make a key; after each turn it gives none for *rest_s* seconds, whatever its limits are."""
        super().__init__()
        self._rest_s = rest_s
        self._account = account
        self.rate: int | None = None
        self.period_s = 1
        self.turns = 0
        self.period_start_s = clock.now()
        self.pinned_parallelism = False
        self.pinned_rate = False
        self._clock = clock
        self._uncounted = 0
        self._rests_until_s = 0.0
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

    def reset(self, *, places: bool = False) -> None:
        """End the current period; with *places*, no longer count who has one, either."""
        self.turns, self.period_start_s = 0, self._clock.now()
        if places:
            self.taken, self._uncounted = 0, self._uncounted + self.taken
        self.serve()

    @property
    def is_unused(self) -> bool:
        """Whether forgetting it would change nothing."""
        held = self.taken or self._uncounted or self.waiting or self.paused or self._clock.now() < self._rests_until_s
        return self.is_over and not (held or self.pinned_parallelism or self.pinned_rate)

    def free(self) -> bool:
        if not super().free():
            return False
        if self._clock.now() < self._rests_until_s:
            return self._serve_at(self._rests_until_s)
        if self.is_over:
            self.turns, self.period_start_s = 0, self._clock.now()
        if self.rate is not None and self.turns >= self.rate:
            return self._serve_at(self.period_start_s + self.period_s)
        if not self._account.free():
            self._account.blocked[self] = None
            return False
        return True

    def _serve_at(self, at_s: float) -> Literal[False]:
        """Serve again then; nothing is free until then."""
        if self._stop_alarm is None:
            self._stop_alarm = self._clock.call_later(at_s - self._clock.now(), self.serve)
        return False

    @property
    def is_over(self) -> bool:
        """Whether the last period has ended, and no turn has begun another."""
        return self._clock.now() >= self.period_start_s + self.period_s

    def take(self) -> None:
        super().take()
        self._account.take()
        self.turns += 1
        self._rests_until_s = self._clock.now() + self._rest_s()

    def leave(self) -> None:
        if self._uncounted:  # whoever was there first leaves first
            self.taken, self._uncounted = self.taken + 1, self._uncounted - 1
        super().leave()
        self._account.leave()
