"""Retries the calls of a deploy to AWS and QStash, for as long as there is time, while their failures may pass.

Hides which failures may pass.  A call must be safe to make twice: the first may have worked, and its answer been lost.
Without a deadline (`relay.runtime.deadline`) a call is made once.
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


def with_retries(do: Callable[[], T]) -> T:
    """Call *do* until it returns, fails for good, or time is over; return its result.

    Raises:
        RelayError: The error of the last call.
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
    """Tell whether *error* may pass by itself, after *spent* seconds of waiting."""
    if isinstance(error, OutOfTime | AnswerTooLong):
        return False
    if isinstance(error, QStashError):
        return error.concern is Concern.MOMENT
    if error.reason in _DENIED:
        return spent < PERMISSION_S
    return error.reason not in _FOR_GOOD
