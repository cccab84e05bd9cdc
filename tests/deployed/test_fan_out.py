"""Where an event goes, what is recorded of it, and what a replay does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.destinations import DEAD
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay


@pytest.fixture
def dead(destinations: Destinations) -> Iterator[Destinations]:
    """A destination that may be repaired, and is dead again afterwards."""
    yield destinations
    destinations.behave("dead", DEAD)


def test_each_destination_has_a_delivery_of_its_own_with_every_attempt(relay: Relay) -> None:
    event_id = relay.push(b'{"action":"closed"}').json()["event_id"]

    deliveries = relay.settled(event_id)

    attempts = {
        name: [(it["number"], it["status_code"], it["outcome"]) for it in found["attempts"]]
        for name, found in deliveries.items()
    }
    assert attempts == {
        "healthy": [(1, 200, "succeeded")],
        "flaky": [(1, 500, "failed"), (2, 500, "failed"), (3, 200, "succeeded")],
        "dead": [(1, 503, "failed"), (2, 503, "failed"), (3, 503, "failed")],
    }
    assert {name: it["status"] for name, it in deliveries.items()} == {
        "healthy": "delivered",
        "flaky": "delivered",
        "dead": "dead_lettered",
    }
    assert deliveries["dead"]["dlq_id"] in {it["dlqId"] for it in relay.qstash("/v2/dlq")["messages"]}
    assert relay.event(event_id)["type"] == "pull_request.closed"


def test_a_replay_of_a_dead_letter_reaches_that_destination_alone(relay: Relay, dead: Destinations) -> None:
    event_id = relay.push().json()["event_id"]
    before = relay.settled(event_id)["dead"]
    dead.behave("dead")

    answer = relay.replay(delivery_ids=[before["id"]], reason="repaired")

    assert answer.status_code == 202
    assert [it["id"] for it in answer.json()["deliveries"]] == [before["id"]]
    after = relay.delivery(event_id, "dead", "delivered")
    assert after["generation"] != before["generation"]
    assert after["message_id"] != before["message_id"]
    assert [it.answered for it in dead.received("dead", event_id)] == [503, 503, 503, 200]
    assert len(dead.received("healthy", event_id)) == 1
    assert len(dead.received("flaky", event_id)) == 3


def test_a_replay_takes_up_what_died_again(relay: Relay) -> None:
    event_id = relay.push().json()["event_id"]
    first = relay.settled(event_id)["dead"]

    relay.replay(event_id=event_id)

    def died_again() -> dict[str, Any] | None:
        now = relay.delivery(event_id, "dead", "dead_lettered")
        return now if now["dlq_id"] and now["generation"] != first["generation"] else None

    second = eventually(died_again, "the replay is dead, too")
    assert second["dlq_id"] != first["dlq_id"]


def test_an_event_bus_gets_the_event(relay: Relay) -> None:
    sqs, events = relay.aws("sqs"), relay.aws("events")
    queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="orders", EventPattern=json.dumps({"detail-type": ["order"]}))
    events.put_targets(Rule="orders", Targets=[{"Id": "queue", "Arn": arn}])

    event_id = relay.send("orders", b'{"kind":"paid","n":1}', content_type="application/json").json()["event_id"]

    delivery = relay.delivery(event_id, "ledger", "delivered")
    taken = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "the queue has it")
    entry = json.loads(taken[0]["Body"])
    assert entry["detail-type"] == "order"
    assert event_id in json.dumps(entry["detail"])
    assert delivery["received_at"] is not None
