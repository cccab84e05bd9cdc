"""Claim checks: a body too large to carry reaches its destination byte for byte, whenever it is asked for."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.deployed.clients import SETTLED_S

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

BODY = random.Random(4).randbytes(4 * 1024 * 1024)  # noqa: S311  # the same each time


@pytest.fixture(scope="module")
def check(relay: Relay, destinations: Destinations) -> dict[str, Any]:
    """Send the largest body that there may be, and return what its destination gets instead."""
    event_id = relay.send("acme", BODY).json()["event_id"]
    (got,) = destinations.await_received("bytes", 1, event_id=event_id, timeout_s=SETTLED_S)
    assert got.headers["content-type"] == "application/vnd.fanout-relay.claim-check+json"
    found: dict[str, Any] = json.loads(got.body)
    return found


def test_a_destination_gets_4_mib_of_anything_through_the_link(check: dict[str, Any]) -> None:
    answer = httpx.get(check["url"], follow_redirects=True, timeout=30, trust_env=False)

    assert answer.content == BODY
    assert hashlib.sha256(answer.content).hexdigest() == check["sha256"]
    assert (check["size_bytes"], check["content_type"]) == (len(BODY), "application/octet-stream")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_presigned_url_that_died_is_asked_for_again(check: dict[str, Any]) -> None:
    """The local S3 lets no URL die, so this one is broken by hand; the link is what lasts."""
    first = httpx.get(check["url"], trust_env=False).headers["location"]
    dead = httpx.get(first.partition("?")[0].replace(check["sha256"], "0" * 64), trust_env=False)

    again = httpx.get(check["url"], follow_redirects=True, timeout=30, trust_env=False)

    assert "X-Amz-Expires=300" in first
    assert not dead.is_success
    assert again.content == BODY


def test_head_tells_how_large_it_is(check: dict[str, Any]) -> None:
    answer = httpx.head(check["url"], follow_redirects=True, trust_env=False)

    assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(BODY)))


def test_a_link_that_the_relay_never_made_is_not_found(check: dict[str, Any]) -> None:
    answer = httpx.get(check["url"][:-1] + ("0" if check["url"][-1] != "0" else "1"), trust_env=False)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
