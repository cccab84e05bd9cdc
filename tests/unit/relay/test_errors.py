"""What an answer of QStash means: for the message, for all others, and for ever."""

from __future__ import annotations

import pytest

from relay.concern import Concern
from relay.errors import QStashError, Untraceable, UpstreamError

DNS = "invalid destination url: unable to resolve host: lookup web on 172.20.0.10:53: no such host"
LOOPBACK = "invalid destination url: endpoint resolves to a loopback address: 127.0.0.1"
SCHEME = "invalid destination url: endpoint has invalid scheme, add http:// or https://"


@pytest.mark.parametrize(
    ("answered", "text", "concern"),
    [
        (None, "no answer", Concern.MOMENT),
        *((status, "no", Concern.MOMENT) for status in (302, 408, 425, 429, 500, 502, 503)),
        *((status, "no", Concern.ACCOUNT) for status in (401, 402, 403)),
        (404, "topic a not found", Concern.PLACE),
        (404, "user (x) not found in this region (eu-central-1). Check that …", Concern.ACCOUNT),
        *((status, "no", Concern.MESSAGE) for status in (413, 414, 431)),
        *((status, "something new", Concern.UNKNOWN) for status in (400, 405, 409, 412, 422, 499)),
        *((400, text, Concern.ENDPOINT) for text in (DNS, LOOPBACK, SCHEME)),
        (422, DNS, Concern.ENDPOINT),
        (400, "endpoint resolves to a private address", Concern.ENDPOINT),
        (400, "invalid callback url: unable to resolve host", Concern.ACCOUNT),
        (400, "DeduplicationId cannot contain ':'", Concern.MESSAGE),
        (412, "quota maxMessageSize exceeded, current limit: 1048576", Concern.MESSAGE),
        (412, "quota maxRetries exceeded, current limit: 3", Concern.UNKNOWN),
        (503, DNS, Concern.MOMENT),
        (413, DNS, Concern.MESSAGE),
    ],
)
def test_an_answer_tells_whom_it_concerns(answered: int | None, text: str, concern: Concern) -> None:
    """By its status, and where that says nothing by its text; one that isn't known decides nothing for good."""
    error = QStashError(f"POST was answered {answered}: {text}", answered=answered)

    assert error.concern is concern
    assert error.permanent == (concern is Concern.MESSAGE)
    assert error.refused == (concern in {Concern.MESSAGE, Concern.ENDPOINT, Concern.UNKNOWN})
    assert error.concerns_the_message == (error.refused or concern is Concern.PLACE)
    assert error.concerns_all == (concern in {Concern.ACCOUNT, Concern.MOMENT})


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
