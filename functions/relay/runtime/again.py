"""Tries again what fails in passing, for as long as there is time: what a deploy asks of AWS and QStash.

Hides what passes.  Whatever is tried here must be right to do twice: the answer that was lost may have been a yes.
Where nobody has said how long it may take (`relay.runtime.deadline`), it is tried once.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, TypeVar

from relay.concern import Concern
from relay.errors import AnswerTooLong, OutOfTime, QStashError, UpstreamError
from relay.runtime.deadline import LEAST_S, seconds_left
from relay.runtime.http_api import logger

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST_WAIT_S = 1.0  # the next is twice as long, and so on
WAIT_MAX_S = 20.0
# A role's permission isn't known everywhere at once, and a deploy uses it seconds after it was made.
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
PERMISSION_S = 60.0
_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
_FOR_GOOD = frozenset({"ResourceNotFoundException", "ValidationException", "ValidationError"})  # AWS's codes


def again(do: Callable[[], T]) -> T:
    """Return what *do* returns, tried until it does, or fails for good, or time is over.

    Raises:
        RelayError: What *do* raised the last time.
    """
    spent, wait = 0.0, FIRST_WAIT_S
    while True:
        try:
            return do()
        except UpstreamError as error:
            left = seconds_left()
            pause = max(wait, error.wait_s if isinstance(error, QStashError) else 0.0)
            if not _passes(error, spent) or math.isinf(left) or left - pause < LEAST_S:
                raise
            logger.warning("tried again", extra={"reason": str(error), "in_s": pause})
        time.sleep(pause)
        spent, wait = spent + pause, min(2 * wait, WAIT_MAX_S)


def _passes(error: UpstreamError, spent: float) -> bool:
    """Tell whether *error* may pass by itself, when *spent* seconds were waited already."""
    if isinstance(error, OutOfTime | AnswerTooLong):
        return False
    if isinstance(error, QStashError):
        return error.concern is Concern.MOMENT
    if error.reason in _DENIED:
        return spent < PERMISSION_S
    return error.reason not in _FOR_GOOD
