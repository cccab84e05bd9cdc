"""What an answer of QStash means: for the message, for all others, and for ever."""

from __future__ import annotations

import pytest

from relay.errors import QStashError, Untraceable, UpstreamError


@pytest.mark.parametrize(
    ("answered", "permanent", "concerns_the_message", "concerns_all"),
    [
        (None, False, False, True),
        (400, True, True, False),
        (401, False, False, True),
        (403, False, False, True),
        (404, False, True, False),
        (408, False, True, False),
        (412, True, True, False),
        (413, True, True, False),
        (422, True, True, False),
        (429, False, False, True),
        (499, False, True, False),
        (500, False, True, True),
        (502, False, True, True),
        (503, False, True, True),
    ],
)
def test_a_status_tells_whom_it_concerns(
    answered: int | None, *, permanent: bool, concerns_the_message: bool, concerns_all: bool
) -> None:
    """A 5xx may be the message's fault or QStash's: it is tried alone, and if all fail nobody listens."""
    error = QStashError("no", answered=answered)

    assert (error.permanent, error.concerns_the_message, error.concerns_all) == (
        permanent,
        concerns_the_message,
        concerns_all,
    )


def test_what_nobody_can_trace_is_over() -> None:
    """Trying again tells nobody anything."""
    error = Untraceable("its log doesn't reach back so far")

    assert (error.permanent, error.quota, error.answered) == (True, None, None)
    assert isinstance(error, QStashError)


def test_an_error_without_a_time_says_when_to_come_again() -> None:
    """Half a minute; else what QStash asked for, were it none."""
    assert QStashError("no").retry_after_s == UpstreamError("DynamoDB", "no").retry_after_s == 30
    assert QStashError("no", retry_after_s=0).retry_after_s == 0
    assert QStashError("no", retry_after_s=7).retry_after_s == 7
