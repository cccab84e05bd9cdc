"""Deadlines: how long a run may still take.  The run sets one where it begins, and every call to a service keeps to it.

Without one, a slow service would have Lambda end a run in the middle, with no record of its progress, and the next run
would end the same way.  So a run, or a part of one, sets its deadline (`within`).  Each client (`aws`, QStash's `http`,
`fetcher`, `github`) waits no longer than the time left, and begins no call after it.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from relay.errors import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAST_S = 0.2  # with less left a call would only be cut off

_limit: ContextVar[Callable[[], float] | None] = ContextVar("limit", default=None)


def of(context: Any, margin_s: float) -> Callable[[], float]:
    """Return a function that tells the seconds left of the Lambda *context*, less *margin_s*.

    Without a context, as in a call by hand, the time left is infinite.
    """

    def left() -> float:
        if context is None:
            return math.inf
        return float(context.get_remaining_time_in_millis()) / 1000 - margin_s

    return left


@contextmanager
def within(left: Callable[[], float]) -> Iterator[None]:
    """Limit the block to the seconds that *left* returns, and to any deadline around it."""
    around = _limit.get()
    token = _limit.set(left if around is None else lambda: min(left(), around()))
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Limit the block to *seconds* from now."""
    clock = _limit.get()
    if clock is None:
        ends = time.monotonic() + seconds
        left: Callable[[], float] = lambda: ends - time.monotonic()  # noqa: E731  # the clock that there is
    else:
        rest = clock() - seconds
        left = lambda: clock() - rest  # noqa: E731  # as it is told around
    with within(left):
        yield


@contextmanager
def leaving(seconds: float) -> Iterator[None]:
    """Limit the block so that *seconds* of the time left remain for the work after it."""
    around = _limit.get()
    with within(lambda: math.inf if around is None else around() - seconds):
        yield


@contextmanager
def regardless() -> Iterator[None]:
    """Lift the deadline for the block: for a last short write, such as to give a lease back."""
    token = _limit.set(None)
    try:
        yield
    finally:
        _limit.reset(token)


def seconds_left() -> float:
    """Return the seconds left until the deadline; infinity where there is none."""
    limit = _limit.get()
    return math.inf if limit is None else limit()


def time_for(service: str, most_s: float) -> float:
    """Return how long a call of *service* may take, in seconds: *most_s*, or less where less is left.

    Raises:
        OutOfTime: No time is left for the call.
    """
    left = seconds_left()
    if left < LEAST_S:
        raise OutOfTime(service)
    return min(most_s, left)
