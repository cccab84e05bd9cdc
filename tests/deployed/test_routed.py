"""Fan-out as relay.toml says it, from outside: routes, computed settings, own headers, AWS targets, QStash's state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

ORDER = {"kind": "order.paid", "total": 20, "account": "a1"}
MACHINE = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
QUEUES = ("shop", "shop.fifo", "of-topic")


@pytest.fixture(scope="module")
def targets(relay: Relay) -> dict[str, str]:
    """Make what the configuration names in this account; return the queues' URLs."""
    sqs, sns = relay.aws("sqs"), relay.aws("sns")
    urls = {
        name: sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if name.endswith(".fifo") else {})
        for name in QUEUES
    }
    found = {name: str(it["QueueUrl"]) for name, it in urls.items()}
    asked = {"QueueUrl": found["of-topic"], "AttributeNames": ["QueueArn"]}
    arn = sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="shop")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    role = "arn:aws:iam::000000000000:role/machine"
    relay.aws("stepfunctions").create_state_machine(name="shop", definition=json.dumps(MACHINE), roleArn=role)
    relay.aws("s3").create_bucket(Bucket="deployed-archive")
    return found


def sent(relay: Relay, body: Any) -> str:
    """Send *body* as the source `fanout`; return the event's id."""
    answer = relay.send("fanout", json.dumps(body).encode(), content_type="application/json")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["event_id"])


@pytest.fixture(scope="module")
def order(relay: Relay, targets: dict[str, str]) -> str:  # noqa: ARG001  # the targets are to be there
    """Send an order that every route takes; it is delivered everywhere."""
    event_id = sent(relay, ORDER)
    for name in ("picky", "queue", "fifo", "topic", "machine", "bucket"):
        relay.delivery(event_id, name, "delivered")
    return event_id


def test_a_route_gives_what_it_makes_of_the_body_with_the_destinations_own_headers(
    relay: Relay, order: str, destinations: Destinations
) -> None:
    """The secret is in what arrives, and nowhere in QStash."""
    (got,) = destinations.received("picky", order)
    secret = relay.secret("destinations")["picky"]

    assert json.loads(got.body) == {"paid": 20}
    assert (got.headers["x-token"], got.headers["x-team"]) == (secret, "a")
    logged = json.dumps(relay.qstash("/v2/logs?label=order-a1"))
    assert "picky" in logged
    assert secret not in logged


def test_each_target_has_it_once(relay: Relay, order: str, targets: dict[str, str]) -> None:
    asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    for name, url in targets.items():
        messages = relay.aws("sqs").receive_message(QueueUrl=url, **asked).get("Messages", [])
        ours = [it for it in messages if order in json.dumps(it.get("MessageAttributes", {}))]
        assert [json.loads(it["Body"]) for it in ours] == [ORDER], (name, messages)
    listed = relay.aws("stepfunctions").list_state_machines()["stateMachines"]
    (machine,) = [it["stateMachineArn"] for it in listed if it["name"] == "shop"]
    started = relay.aws("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert [it["name"].startswith(order) for it in started].count(True) == 1
    keys = [it["Key"] for it in relay.aws("s3").list_objects_v2(Bucket="deployed-archive")["Contents"]]
    assert [it.endswith(order) for it in keys].count(True) == 1


def test_what_is_too_large_for_a_target_is_dead_after_one_attempt(relay: Relay, order: str) -> None:
    """QStash is told not to try again; the other targets have it."""
    assert order
    event_id = sent(relay, {**ORDER, "account": "large", "more": "x" * 300_000})

    dead = relay.delivery(event_id, "topic", "dead_lettered")

    assert len(dead["attempts"]) == 1
    relay.delivery(event_id, "queue", "delivered")
    relay.delivery(event_id, "machine", "dead_lettered")


def test_an_event_that_no_route_takes_is_listed_as_such(relay: Relay) -> None:
    event_id = sent(relay, {"kind": "visit"})

    assert relay.event(event_id)["deliveries"] == {}
    eventually(
        lambda: event_id in {it["id"] for it in relay.ask("events", status="unrouted").json()["events"]},
        "the event is listed as unrouted",
    )
    assert relay.ask("audit").json()["unrouted"] >= 1


def test_qstash_holds_the_schedule_and_the_queue_and_a_drift_is_found_and_mended(relay: Relay) -> None:
    (schedule,) = [it for it in relay.qstash("/v2/schedules") if it["scheduleId"] == "deployed.daily"]
    assert schedule["cron"] == "CRON_TZ=Europe/Berlin 0 3 * * *"
    assert schedule["destination"].startswith(f"{relay.local.relay_url}/webhooks/daily?tick=")
    (queue,) = [it for it in relay.qstash("/v2/queues") if it["name"] == "deployed.fifo"]
    assert queue["parallelism"] == 1
    assert relay.ask("sync").json() == {"differs": []}

    relay.qstash("/v2/schedules/deployed.daily", "DELETE")
    relay.qstash("/v2/queues", "POST", queueName="deployed.fifo", parallelism=2, paused=True)

    differs = [it["change"] for it in relay.ask("sync").json()["differs"]]
    assert differs == ["set schedule deployed.daily", "set queue deployed.fifo"]
    done = relay.mend()
    assert set(differs) <= {it["change"] for it in done["done"]}  # it pins flow controls, too
    assert relay.ask("sync").json() == {"differs": []}
    (queue,) = [it for it in relay.qstash("/v2/queues") if it["name"] == "deployed.fifo"]
    assert (queue["parallelism"], queue["paused"]) == (1, True)
    relay.qstash("/v2/queues/deployed.fifo/resume", "POST")


def test_who_only_holds_qstashs_keys_can_not_tick(relay: Relay) -> None:
    """Though the signature is right: the URL is one that QStash alone knows."""
    answer = relay.call_back(f"{relay.local.relay_url}/webhooks/daily", {"kind": "daily"})

    assert answer.status_code == 401
    assert "the one that the relay gave its schedule" in answer.text
