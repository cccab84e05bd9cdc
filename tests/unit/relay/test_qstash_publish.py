"""The client of QStash: what it sends, one message or many, and what it makes of a refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.errors import AnswerTooLong, OutOfTime, QStashError
from relay.qstash.client import Accepted, Message
from relay.qstash.http import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S, DAY_S
from relay.runtime.deadline import within
from tests.unit.relay.qstash_wire import AT, Wire, client

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE = Message(
    destination="relay.audit",
    body=b'{"a": "\xc3\xa4"}',
    content_type="application/json",
    headers={"Relay-Event-Id": "rly_a", "X-Odd": "ä\n"},
    deduplication_id="id",
    label="rly_a.g",
    callback="https://relay.example.com/cb",
    failure_callback="https://relay.example.com/fcb",
    retries=0,
    retry_delay=None,
    timeout_s=30,
)
NOW_S = int(AT.timestamp())


def refused(status: int, headers: dict[str, str] | None = None, text: str = "no") -> QStashError:
    """Return the error that an answer of *status* with *headers* makes."""

    def wire(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, text=text)

    with pytest.raises(QStashError) as raised:
        client(wire).publish([MESSAGE])
    return raised.value


def test_a_batch_carries_each_message_as_it_would_go_alone() -> None:
    """Destination, headers, and the body as text."""
    other = replace(MESSAGE, destination="https://erp.example.com/in", callback=None, retries=5, retry_delay="500")
    wire = Wire([[{"messageId": "a", "url": "https://x"}, {"messageId": "b", "url": "https://y"}], {"messageId": "c"}])

    taken = client(wire).publish([MESSAGE, other])

    (asked,) = wire.asked
    assert (asked.method, asked.url.path, asked.headers["Authorization"]) == ("POST", "/v2/batch", "Bearer token")
    first, second = json.loads(asked.content)
    assert first == {"destination": "relay.audit", "headers": MESSAGE.wire_headers(), "body": '{"a": "ä"}'}
    assert second["destination"] == "https://erp.example.com/in"
    assert "Upstash-Callback" not in second["headers"]
    assert (second["headers"]["Upstash-Retries"], second["headers"]["Upstash-Retry-Delay"]) == ("5", "500")
    assert taken == [[Accepted("a", "https://x"), Accepted("b", "https://y")], [Accepted("c", None)]]


def test_one_message_goes_with_its_bytes() -> None:
    """Whatever they are."""
    wire = Wire({"messageId": "a"})

    taken = client(wire).publish([replace(MESSAGE, body=b"\xff\x00")])

    assert wire.asked[0].url.path == "/v2/publish/relay.audit"
    assert wire.asked[0].content == b"\xff\x00"
    assert taken == [[Accepted("a", None)]]


def test_a_message_says_all_that_qstash_is_to_know() -> None:
    """Nothing is left to a default that could change; a header is made safe."""
    assert MESSAGE.wire_headers() == {
        "Content-Type": "application/json",
        "Upstash-Method": "POST",
        "Upstash-Deduplication-Id": "id",
        "Upstash-Label": "rly_a.g",
        "Upstash-Retries": "0",
        "Upstash-Timeout": "30s",
        "Upstash-Callback": "https://relay.example.com/cb",
        "Upstash-Callback-Retries": "5",
        "Upstash-Callback-Timeout": "20s",
        "Upstash-Failure-Callback": "https://relay.example.com/fcb",
        "Upstash-Failure-Callback-Retries": "5",
        "Upstash-Failure-Callback-Timeout": "20s",
        "Upstash-Forward-Relay-Event-Id": "rly_a",
        "Upstash-Forward-X-Odd": "%C3%A4%0A",
    }


@pytest.mark.parametrize(("body", "text"), [(b"", ""), ("ä€".encode(), "ä€"), (b"\xff", None), (b"\xc3", None)])
def test_a_body_is_text_where_it_reads_back_as_its_bytes(body: bytes, text: str | None) -> None:
    """Else a batch would change it."""
    assert replace(MESSAGE, body=body).text == text


@pytest.mark.parametrize(
    ("headers", "quota", "retry_after_s"),
    [
        ({"RateLimit-Reset": str(NOW_S + 90)}, "daily", 90),
        ({"Burst-RateLimit-Reset": str(NOW_S + 7)}, "burst", 7),
        ({"RateLimit-Reset": str(NOW_S - 5)}, "daily", 1),
        ({"RateLimit-Reset": str(NOW_S + 10 * DAY_S)}, "daily", DAY_S),
        ({"RateLimit-Reset": "soon", "Retry-After": "12"}, "burst", 12),
        ({"RateLimit-Reset": "-1"}, "burst", 30),
        ({"RateLimit-Reset": "9" * 40}, "burst", 30),
        ({"RateLimit-Reset": "\u0663"}, "burst", 30),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "burst", 30),
        ({}, "burst", 30),
    ],
)
def test_a_429_names_a_quota_and_when_it_is_full_again(headers: Any, quota: str, retry_after_s: int) -> None:
    """Seconds since the epoch, in headers that tell the quotas apart."""
    error = refused(429, {name: value.encode() for name, value in headers.items()})

    assert (error.quota, error.retry_after_s) == (quota, retry_after_s)


def test_only_a_429_names_a_quota() -> None:
    """Its headers may stand in any answer."""
    error = refused(503, {"RateLimit-Reset": str(NOW_S + 90), "Retry-After": "12"})

    assert (error.quota, error.retry_after_s) == (None, 12)


def test_an_error_has_qstashs_words_and_no_more_than_enough() -> None:
    """It is kept with the delivery."""
    error = refused(413, text="too large: " + "x" * 1000)

    assert "413" in str(error)
    assert "too large" in str(error)
    assert len(str(error)) < 300
    assert error.answered == 413


def test_no_answer_is_an_error_without_a_status() -> None:
    """And without the token."""

    def wire(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("token")

    with pytest.raises(QStashError, match="ConnectTimeout") as raised:
        client(wire).publish([MESSAGE])

    assert (raised.value.answered, raised.value.concerns_all) == (None, True)
    assert "token" not in str(raised.value)


@pytest.mark.parametrize("left_s", [0.5, 5.0, 9.0, 60.0])
def test_a_call_takes_no_longer_than_its_caller_has(left_s: float) -> None:
    """The source waits behind it, or the rest of a run: to connect and to be answered, both."""
    wire = Wire({"messageId": "a"})

    with within(lambda: left_s):
        client(wire).publish([MESSAGE])

    timeout = wire.asked[0].extensions["timeout"]
    assert timeout["connect"] + timeout["read"] == pytest.approx(min(left_s, CALL_TIMEOUT_S))
    assert 0 < timeout["connect"] <= CONNECT_TIMEOUT_S


def test_nothing_is_called_with_no_time_left() -> None:
    """What wasn't tried is no doubt: it stays as it is."""
    wire = Wire({"messageId": "a"})

    with within(lambda: 0.0), pytest.raises(OutOfTime):
        client(wire).publish([MESSAGE])

    assert wire.asked == []


def test_an_answer_that_drips_is_given_up() -> None:
    """Each byte comes in time, and the whole of it wouldn't."""
    left = iter([5.0, 5.0, 3.0, 1.0, -1.0])

    def dripping() -> Iterator[bytes]:
        yield from iter([b" "] * 1000)

    with within(lambda: next(left)), pytest.raises(QStashError, match="in time"):
        client(lambda _: httpx.Response(200, content=dripping())).publish([MESSAGE])


def test_an_answer_that_is_too_long_is_not_read_to_its_end() -> None:
    """What is read has to have room in a function."""
    read: list[int] = []

    def long() -> Iterator[bytes]:
        for number in range(1000):
            read.append(number)
            yield b" " * 1000

    with pytest.raises(AnswerTooLong):
        client(lambda _: httpx.Response(200, content=long())).http.call("GET", "/v2/dlq", most_bytes=5000)

    assert len(read) == 6


def test_a_reset_is_told_from_now() -> None:
    """By the relay's clock."""
    later = AT + timedelta(minutes=5)

    assert refused(429, {"RateLimit-Reset": str(int(later.timestamp()))}).retry_after_s == 300
