"""What a person, or a source, does about a delivery that died; and whether the ledger balances."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from infra.local.destinations import DEAD
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay


@pytest.fixture
def repaired(destinations: Destinations) -> Iterator[Destinations]:
    """A destination that a test repairs, and that is dead again afterwards."""
    yield destinations
    destinations.behave("dead", DEAD)


def test_a_redelivery_of_what_died_goes_to_that_destination_alone(relay: Relay, repaired: Destinations) -> None:
    """Its source sends it again: seen isn't delivered."""
    delivery = str(uuid4())
    event_id = relay.push(id=delivery).json()["event_id"]
    relay.settled(event_id)
    repaired.behave("dead")

    answer = relay.push(id=delivery)

    assert answer.status_code == 200
    assert answer.json()["reopened"] == [f"dlv_{event_id.removeprefix('rly_')}.dead"]
    found = relay.delivery(event_id, "dead", "delivered")
    assert [it["outcome"] for it in found["attempts"]] == ["failed"] * 3 + ["succeeded"]
    assert len(repaired.received("healthy", event_id)) == 1


def test_other_bytes_under_the_same_id_are_kept_and_shown(relay: Relay) -> None:
    name = uuid4().hex
    event_id = relay.send("acme", b"first", id=name).json()["event_id"]

    answer = relay.send("acme", b"second", id=name)

    assert answer.json() == {"event_id": event_id, "duplicate": True, "conflict": True}
    (other,) = relay.event(event_id)["conflicting"]
    kept = relay.ask(f"events/{event_id}", body="true", sha256=other["sha256"]).json()
    assert (kept["body"], relay.ask(f"events/{event_id}", body="true").json()["body"]) == ("second", "first")


def test_a_replay_of_a_query_counts_first_and_then_replays_what_it_counted(
    relay: Relay, repaired: Destinations
) -> None:
    kind = uuid4().hex
    sent = [relay.push(b'{"action":"%s"}' % kind.encode()).json()["event_id"] for _ in range(2)]
    for event_id in sent:
        relay.settled(event_id)
    query = {"type": f"pull_request.{kind}", "status": "dead_lettered"}
    counted = relay.replay(query=query, dry_run=True).json()
    repaired.behave("dead")

    started = relay.replay(query=query, reason="repaired")

    assert counted == {"count": {"dead_lettered": 2}, "complete": True}
    assert started.status_code == 202
    for event_id in sent:
        relay.delivery(event_id, "dead", "delivered", timeout_s=90)
    shown = relay.ask(f"replays/{started.json()['id']}").json()
    assert (shown["state"], shown["replayed"], shown["reason"]) == ("done", 2, "repaired")
    assert len(shown["deliveries"]) == 2


def test_the_ledger_balances(relay: Relay) -> None:
    """Each destination has what was expected of it, to the last delivery."""
    event_id = relay.push(b'{"action":"audited"}').json()["event_id"]
    relay.settled(event_id)
    since = relay.event(event_id)["received_at"]

    def look() -> dict[str, dict[str, int]] | None:
        answer = relay.ask("audit", since=since).json()
        assert answer["unaccounted"] == []
        found = {it["destination"]: it for it in answer["destinations"]}
        done = {"healthy", "flaky", "dead"} <= found.keys()
        return found if done and all(found[it]["in_flight"] == 0 for it in ("healthy", "flaky", "dead")) else None

    found = eventually(look, "the ledger is quiet")
    for name in ("healthy", "flaky", "dead"):
        counts = {key: value for key, value in found[name].items() if key not in {"destination", "expected"}}
        assert sum(counts.values()) == found[name]["expected"]
    assert found["healthy"]["delivered"] == found["healthy"]["expected"]
