"""What fails in passing is tried again while there is time; what fails for good at once is told at once."""

from __future__ import annotations

import pytest

from relay.errors import AnswerTooLong, OperatorError, OutOfTime, QStashError, RelayError, UpstreamError
from relay.runtime import deadline
from relay.runtime.retrying import PERMISSION_S, WAIT_MAX_S, with_retries

PASSING = [
    QStashError("no answer"),
    QStashError("away", answered=503),
    QStashError("slow down", answered=429),
    UpstreamError("DynamoDB", "ThrottlingException"),
    UpstreamError("DynamoDB", "ReadTimeoutError"),
    UpstreamError("Secrets Manager", "AccessDeniedException"),
]
FOR_GOOD = [
    *(QStashError("no", answered=status) for status in (400, 401, 403, 404, 405, 412)),
    AnswerTooLong(1),
    OutOfTime("QStash"),
    UpstreamError("DynamoDB", "ResourceNotFoundException"),
    OperatorError("no token"),
]


class Run:
    """A run whose time passes only as it waits, and what it is to do."""

    def __init__(self, left_s: float = 100.0) -> None:
        self.left_s = left_s
        self.slept: list[float] = []
        self.failures: list[RelayError] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left_s -= seconds

    def do(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    def retried(self) -> str:
        with deadline.within(lambda: self.left_s):
            return with_retries(self.do)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run()
    monkeypatch.setattr("time.sleep", run.sleep)
    return run


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again_after_longer_and_longer(run: Run, error: RelayError) -> None:
    run.failures = [error] * 3

    assert (run.retried(), run.slept) == ("done", [1, 2, 4])


@pytest.mark.parametrize("error", FOR_GOOD, ids=repr)
def test_what_does_not_pass_is_told_at_once(run: Run, error: RelayError) -> None:
    run.failures = [error]

    with pytest.raises(type(error)):
        run.retried()

    assert run.slept == []


def test_it_is_left_alone_for_as_long_as_it_asks(run: Run) -> None:
    run.failures = [QStashError("slow down", answered=429, retry_after_s=7)]

    assert (run.retried(), run.slept) == ("done", [7])


@pytest.mark.parametrize("asked", [None, 1000])
def test_it_ends_before_its_time_does_and_tells_the_last_failure(run: Run, asked: int | None) -> None:
    run.failures = [QStashError(f"{n}", answered=503, retry_after_s=asked) for n in range(100)]

    with pytest.raises(QStashError) as told:
        run.retried()

    assert run.left_s > 0
    assert str(told.value) == f"QStash: {len(run.slept)}"
    assert (sum(run.slept) > 60) == (asked is None)
    assert max(run.slept, default=0) <= WAIT_MAX_S


def test_a_permission_that_is_not_there_after_a_minute_will_not_come(run: Run) -> None:
    run.left_s = 1000
    run.failures = [UpstreamError("Secrets Manager", "AccessDeniedException")] * 100

    with pytest.raises(UpstreamError):
        run.retried()

    assert PERMISSION_S <= sum(run.slept) < 2 * PERMISSION_S


def test_where_nobody_says_how_long_it_may_take_it_is_tried_once(run: Run) -> None:
    run.failures = [QStashError("away", answered=503)]

    with pytest.raises(QStashError):
        with_retries(run.do)

    assert run.slept == []
