"""What is fetched from providers, and what never is."""

from __future__ import annotations

import json

import httpx
import pytest

from relay.errors import SignatureError, UpstreamError
from relay.internet.fetcher import BYTES_MAX, FAILED_S, FAILURES_MAX, KEPT_MAX, KEPT_S, Fetcher

URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem"


class Wire:
    """A provider at the wire: answers all the same, and keeps what it was asked."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []
        self.clock = 0.0
        self.fetch = Fetcher(httpx.MockTransport(self), clock=lambda: self.clock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_certificate_is_fetched_once_an_hour() -> None:
    wire = Wire(httpx.Response(200, content=b"pem"))

    assert [wire.fetch(URL) for _ in range(3)] == [b"pem"] * 3
    assert len(wire.asked) == 1
    wire.clock += KEPT_S
    wire.fetch(URL)
    assert len(wire.asked) == 2


def test_a_key_is_asked_for_by_post_and_kept_by_what_was_asked() -> None:
    wire = Wire(httpx.Response(200, json={"key": {}}))

    wire.fetch("https://production.plaid.com/webhook_verification_key/get", {"key_id": "1"})
    wire.fetch("https://production.plaid.com/webhook_verification_key/get", {"key_id": "2"})

    assert [(it.method, json.loads(it.content)) for it in wire.asked] == [
        ("POST", {"key_id": "1"}),
        ("POST", {"key_id": "2"}),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"location": "https://169.254.169.254/"}),
        httpx.Response(500),
        httpx.Response(200, content=b"x" * (BYTES_MAX + 1)),
        httpx.ConnectTimeout("slow"),
        httpx.RemoteProtocolError("no HTTP"),
    ],
)
def test_what_isnt_there_now_may_be_later(answer: httpx.Response | Exception) -> None:
    """The source is told to send again; nothing of it is kept, and no redirect is followed."""
    wire = Wire(answer)

    for _ in range(3):
        with pytest.raises(UpstreamError) as failed:
            wire.fetch(URL)
        assert failed.value.status == 503
        wire.clock += FAILED_S / 2

    assert [it.url.host for it in wire.asked] == ["sns.eu-central-1.amazonaws.com"] * 2


def test_what_its_owner_doesnt_have_is_a_refusal_and_asked_for_once_a_minute() -> None:
    """Else strangers could have Plaid asked with its customer's credentials as often as they like."""
    wire = Wire(httpx.Response(404))

    for _ in range(5):
        with pytest.raises(SignatureError) as refused:
            wire.fetch(URL)
        assert refused.value.reason == "untrusted_certificate"

    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 503])
def test_a_host_that_is_busy_or_mistrusts_us_is_no_proof_against_the_request(status: int) -> None:
    """Amazon SNS, for one, never sends again what was answered 4xx."""
    wire = Wire(httpx.Response(status))

    with pytest.raises(UpstreamError) as failed:
        wire.fetch(URL)

    assert (failed.value.status, failed.value.retry_after_s) == (503, 30)


def test_strangers_who_name_thing_after_thing_make_few_calls() -> None:
    """What is known is used on meanwhile; a minute later others have their turn."""
    wire = Wire(httpx.Response(200, content=b"pem"))
    wire.fetch(URL)
    wire.answer = httpx.Response(404)
    for number in range(FAILURES_MAX * 3):
        with pytest.raises((SignatureError, UpstreamError)):
            wire.fetch(f"https://sns.eu-central-1.amazonaws.com/{number}.pem")

    assert len(wire.asked) == 1 + FAILURES_MAX
    assert wire.fetch(URL) == b"pem"
    wire.clock += FAILED_S
    wire.answer = httpx.Response(200, content=b"other")
    assert wire.fetch("https://sns.eu-central-1.amazonaws.com/later.pem") == b"other"


def test_an_address_that_is_none_is_no_failure_of_ours() -> None:
    wire = Wire(httpx.Response(200))

    with pytest.raises(UpstreamError):
        wire.fetch("https://sns.eu-central-1.amazonaws.com/" + "x" * 70_000 + ".pem")


def test_what_is_used_stays_while_strangers_ask_for_other_things() -> None:
    wire = Wire(httpx.Response(200, content=b"pem"))

    for number in range(KEPT_MAX * 2):
        wire.fetch(f"https://sns.eu-central-1.amazonaws.com/{number}.pem")
        wire.fetch(URL)

    assert [str(it.url) for it in wire.asked].count(URL) == 1


def test_a_subscription_is_confirmed_each_time_it_is_asked_for() -> None:
    wire = Wire(httpx.Response(200, content=b"<ConfirmSubscriptionResponse/>"))

    wire.fetch.visit(URL)
    wire.fetch.visit(URL)

    assert len(wire.asked) == 2


def test_strangers_cant_fill_the_memory() -> None:
    """SNS lets the request name any certificate at its own host."""
    wire = Wire(httpx.Response(200, content=b"pem"))

    for number in range(KEPT_MAX * 2):
        wire.fetch(f"https://sns.eu-central-1.amazonaws.com/{number}.pem")
    wire.fetch(f"https://sns.eu-central-1.amazonaws.com/{KEPT_MAX * 2 - 1}.pem")

    assert len(wire.asked) == KEPT_MAX * 2
