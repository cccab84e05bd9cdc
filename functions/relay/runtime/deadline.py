"""How long what is under way may still take: said where it begins, heeded where anybody else is asked.

A run that a slow service holds up would be ended in the middle, without word of how far it came, and the next would be
the same.  So whoever begins a run, or a share of one, says how long it may take (`within`); and who calls out (`aws`,
`caller`, `fetch`, `github`) waits no longer than that, and begins nothing once it is over.
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
    """Return what says how long the function that has the Lambda *context* may still take, but for a margin.

    Without a context, as whoever calls a function by hand has none, it may take for ever.
    """

    def left() -> float:
        if context is None:
            return math.inf
        return float(context.get_remaining_time_in_millis()) / 1000 - margin_s

    return left


@contextmanager
def within(left: Callable[[], float]) -> Iterator[None]:
    """Let all that is done within take no longer than *left* says, in seconds, nor than was said around it."""
    around = _limit.get()
    token = _limit.set(left if around is None else lambda: min(left(), around()))
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let all that is done within take no longer than *seconds* from now."""
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
    """Let all that is done within leave *seconds* of the time that there is, for what comes after."""
    around = _limit.get()
    with within(lambda: math.inf if around is None else around() - seconds):
        yield


@contextmanager
def regardless() -> Iterator[None]:
    """Let the little that is done within be done though time is over: to leave word, or to give a lease back."""
    token = _limit.set(None)
    try:
        yield
    finally:
        _limit.reset(token)


def seconds_left() -> float:
    """Return how long what is under way may still take; infinity where nobody has said."""
    limit = _limit.get()
    return math.inf if limit is None else limit()


def time_for(service: str, most_s: float) -> float:
    """Return how long a call of *service* may take, in seconds: *most_s*, or what is left.

    Raises:
        OutOfTime: Nothing is: it isn't called.
    """
    left = seconds_left()
    if left < LEAST_S:
        raise OutOfTime(service)
    return min(most_s, left)
