"""The destinations of demo and tests do what they are told, and keep what they get."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from infra.local.destinations import DEAD, Behaviour, Destinations, flaky

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sig_" + "k" * 40


@pytest.fixture
def destinations() -> Iterator[Destinations]:
    """A server without destinations yet."""
    with Destinations() as served:
        yield served


def post(url: str, body: bytes = b"{}", event: str = "rly_1", **headers: str) -> int:
    """Post *body* of *event* to *url*; return the status."""
    given = {"Relay-Event-Id": event, **headers}
    return httpx.post(url, content=body, headers=given, trust_env=False).status_code


def signed(url: str, body: bytes, key: str = KEY) -> str:
    """Return QStash's signature."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": "Upstash", "sub": url, "exp": time.time() + 60, "body": digest}
    return jwt.encode(claims, key, algorithm="HS256")


def test_what_comes_is_kept_byte_for_byte(destinations: Destinations) -> None:
    url = destinations.behave("healthy")

    post(url + "/in?x=1", b"\xff\x00", "rly_1", **{"X-Own": "1"})

    (got,) = destinations.received("healthy")
    assert (got.path, got.body, got.event_id, got.answered) == ("/healthy/in?x=1", b"\xff\x00", "rly_1", 200)
    assert got.headers["x-own"] == "1"


def test_a_flaky_one_fails_for_each_event_anew_and_then_recovers(destinations: Destinations) -> None:
    url = destinations.behave("flaky", flaky(2))

    statuses = {event: [post(url, event=event) for _ in range(3)] for event in ("rly_1", "rly_2")}

    assert statuses == {"rly_1": [500, 500, 200], "rly_2": [500, 500, 200]}


def test_a_dead_one_fails_until_it_is_repaired(destinations: Destinations) -> None:
    url = destinations.behave("dead", DEAD)
    before = [post(url) for _ in range(3)]

    destinations.behave("dead")

    assert (before, post(url)) == ([503] * 3, 200)


def test_a_slow_one_takes_its_time(destinations: Destinations) -> None:
    url = destinations.behave("slow", Behaviour(delay_s=0.3))
    began = time.monotonic()

    post(url)

    assert time.monotonic() - began >= 0.3


def test_one_that_was_not_made_is_not_there(destinations: Destinations) -> None:
    assert post(f"{destinations.base_url}/nobody") == 404


def test_only_what_qstash_signed_for_it_is_taken(destinations: Destinations) -> None:
    url = destinations.behave("healthy")
    destinations.expect_signatures("sig_" + "o" * 40, KEY)

    statuses = [
        post(url, b"{}", **{"Upstash-Signature": token})
        for token in (
            signed(url, b"{}"),
            signed(url, b"{ }"),
            signed(url + "/other", b"{}"),
            signed(url, b"{}", "sig_" + "x" * 40),
            "no token",
        )
    ]

    assert statuses == [200, 401, 401, 401, 401]


def test_waiting_ends_when_enough_has_come_or_says_what_is_missing(destinations: Destinations) -> None:
    url = destinations.behave("healthy")
    post(url)

    assert len(destinations.await_received("healthy", 1, timeout_s=1)) == 1
    with pytest.raises(TimeoutError, match="got 1 of 2"):
        destinations.await_received("healthy", 2, timeout_s=0.05)
