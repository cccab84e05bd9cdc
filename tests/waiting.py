"""Waiting for what another process or thread is doing: the one place where tests poll."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_POLL_S = 0.001
LAST_POLL_S = 0.05


def eventually(look: Callable[[], T | None], what: str, timeout_s: float = 60) -> T:
    """Return what *look* returns, as soon as it is true: looked at often at first, then every `LAST_POLL_S`.

    Args:
        what: What is awaited, for the error.

    Raises:
        AssertionError: It isn't true within *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    poll_s = FIRST_POLL_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(poll_s)
        poll_s = min(2 * poll_s, LAST_POLL_S)
    return found
