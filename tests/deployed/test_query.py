"""What an operator may ask of a deployed relay."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

if TYPE_CHECKING:
    from tests.deployed.clients import Relay


@pytest.fixture(scope="module")
def five(relay: Relay) -> list[str]:
    """Five events of one type of their own, settled, the newest first."""
    kind = uuid4().hex
    sent = []
    for _ in range(5):
        body = b'{"kind":"%s"}' % kind.encode()
        sent.append(relay.send("acme", body, content_type="application/json").json()["event_id"])
    for event_id in sent:
        relay.delivery(event_id, "bytes", "delivered")
    return [kind, *reversed(sent)]


def test_pages_follow_one_another_without_a_gap_or_a_repeat(relay: Relay, five: list[str]) -> None:
    kind, *sent = five
    seen, cursor = [], None

    for _ in range(10):
        query = {"type": kind, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = relay.ask("events", **query).json()
        seen += [it["id"] for it in page["events"]]
        cursor = page["cursor"]
        if cursor is None:
            break

    assert seen == sent
    assert cursor is None


def test_deliveries_are_found_by_destination_status_and_type(relay: Relay, five: list[str]) -> None:
    kind, *sent = five

    found = relay.ask("deliveries", destination="bytes", status="delivered", type=kind).json()["deliveries"]
    none = relay.ask("deliveries", destination="bytes", status="dead_lettered", type=kind).json()["deliveries"]

    assert [it["event_id"] for it in found] == sent
    assert none == []


def test_events_are_found_by_time_and_source(relay: Relay, five: list[str]) -> None:
    kind, newest, second, *_ = five
    since = relay.event(second)["received_at"]

    found = relay.ask("events", source="acme", type=kind, since=since).json()["events"]
    before = relay.ask("events", source="acme", type=kind, until=since).json()["events"]

    assert [it["id"] for it in found] == [newest, second]
    assert [it["id"] for it in before] == five[3:]


def test_an_event_is_found_by_its_sources_own_id(relay: Relay) -> None:
    own = uuid4().hex
    event_id = relay.send("acme", b"\xff", id=own).json()["event_id"]

    shown = relay.ask(f"events/acme%3A{own}", body="true").json()

    assert (shown["id"], shown["idempotency_key"], shown["body_base64"]) == (event_id, own, "/w==")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"colour": "red"}, "unknown_filter"),
        ({"cursor": "!"}, "bad_cursor"),
        ({"status": "lost"}, "bad_filter"),
        ({"since": "yesterday"}, "bad_filter"),
        ({"limit": "0"}, "bad_filter"),
    ],
)
def test_what_it_cannot_filter_by_gets_400_that_names_it(relay: Relay, query: dict[str, str], code: str) -> None:
    answer = relay.ask("events", **query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert next(iter(query)) in answer.json()["error"]["message"]


def test_an_unknown_event_gets_404(relay: Relay) -> None:
    assert relay.ask("events/rly_nothing").status_code == 404


def test_the_deployed_configuration_is_told_without_a_secret(relay: Relay) -> None:
    answer = relay.ask("config")

    assert answer.json()["sources"]["github"]["url"] == f"{relay.local.relay_url}/webhooks/github"
    assert answer.json()["url_groups"]["apps"]["publishing"]["retries"] == 2
    assert not any(secret in answer.text for secret in relay.local.secrets.values())


@pytest.mark.parametrize("path", ["events", "events/x", "deliveries", "config"])
def test_an_unsigned_question_gets_403(relay: Relay, path: str) -> None:
    assert httpx.get(f"{relay.local.relay_url}/v1/{path}", trust_env=False).status_code == 403


def test_an_unsigned_replay_gets_403(relay: Relay) -> None:
    assert relay.post("/v1/replays", b"{}", {}).status_code == 403
