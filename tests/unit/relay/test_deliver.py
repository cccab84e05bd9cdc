"""Delivering over the real store: an event is handed to the bus, and that is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from relay.errors import BadRequest, NotFound, Undeliverable, UpstreamError
from relay.model.delivery import Status
from relay.storage.generations import Cause, new_replay_id, start_again
from relay.targets.deliver import Delivered, deliver
from relay.targets.handover import DOUBT, HandOver
from relay.targets.handover import hand_over as give
from relay.urls import body_mac
from tests.flat import bus
from tests.unit.relay.world import FLAT, MAC

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.storage.store import Store
    from tests.unit.relay.world import World


def aws_error(status: int) -> ClientError:
    """Return an error with which AWS answers."""
    said: Any = {"Error": {"Code": "Broken"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "Call")


class Bus:
    """EventBridge's client as far as deliver uses it: what it is given, and what it answers."""

    def __init__(self, answer: Any = None) -> None:
        self.entries: list[Any] = []
        self.answer = answer or {"FailedEntryCount": 0}

    def put_events(self, *, Entries: list[Any]) -> Any:  # noqa: N803  # AWS's name
        self.entries += Entries
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture(autouse=True)
def _handed_over(world: World) -> None:
    """Have ledger be an event bus."""
    world.deploy(FLAT | {"destinations": {**FLAT["destinations"], "ledger": bus("audit")}})


def hand_over(
    world: World,
    event: Event,
    bus: Bus,
    *,
    name: str = "ledger",
    published: bytes = b"{}",
    without: str = "",
    store: Store | None = None,
) -> Delivered:
    headers = {"relay-event-id": event.id, "relay-body-mac": body_mac(MAC, event.id, published)}
    headers.pop(without, None)
    with world.acting("deliver"):
        return deliver(
            name,
            headers=headers,
            body=b"{}",
            mac_key=MAC,
            settings=world.settings,
            store=store or world.store,
            clients=lambda *_: bus,
        )


def test_a_delivery_is_handed_to_the_bus_and_recorded(world: World) -> None:
    """With the delivery's id, so that a consumer can deduplicate."""
    event, bus = world.post().event, Bus()

    hand_over(world, event, bus)

    detail = json.loads(bus.entries[0]["Detail"])
    assert bus.entries[0]["DetailType"] == "github"
    assert bus.entries[0]["Source"] == "relay.github"
    assert detail["body"] == {}
    assert detail["delivery_id"].endswith(".ledger")
    assert world.store.delivery(event, "ledger").handed_over_at == world.clock()


def test_a_failed_hand_over_is_not_recorded_and_is_retried(world: World) -> None:
    """QStash sends it again after a non-2xx."""
    event = world.post().event

    with pytest.raises(UpstreamError):
        hand_over(world, event, Bus({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}))

    assert world.store.delivery(event, "ledger").handed_over_at is None


def test_what_the_bus_has_is_not_given_to_it_again(world: World) -> None:
    """QStash sends again what it got no answer for, and every message at least once."""
    event, bus = world.post().event, Bus()

    assert not hand_over(world, event, bus).already
    assert hand_over(world, event, bus).already

    assert len(bus.entries) == 1


def test_a_replay_is_given_to_the_bus_again(world: World) -> None:
    event, bus = world.post().event, Bus()
    hand_over(world, event, bus)
    world.report(event, "ledger")
    cause = Cause(new_replay_id(), "a person", "asked for")
    assert start_again(world.store, event, world.delivery(event, "ledger"), cause) is not None

    assert not hand_over(world, event, bus).already

    assert len(bus.entries) == 2


class Unwritable:
    """A store that can't be written after a hand-over."""

    def __init__(self, store: Store, error: Exception) -> None:
        self._store, self._error = store, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def change_delivery(self, *_: object) -> None:
        raise self._error


@pytest.mark.parametrize("error", [UpstreamError("DynamoDB", "ThrottlingException"), KeyError("x")])
def test_a_record_that_cant_be_written_has_nothing_handed_over_twice(world: World, error: Exception) -> None:
    """QStash would send it again, and its callback tells of the delivery, too."""
    event, bus = world.post().event, Bus()

    done = hand_over(world, event, bus, store=Unwritable(world.store, error))  # type: ignore[arg-type]

    assert isinstance(done.failure, UpstreamError)
    world.report(event, "ledger")
    assert world.delivery(event, "ledger").status is Status.DELIVERED


@pytest.mark.parametrize(
    ("target", "error", "times"),
    [
        ({}, ReadTimeoutError(endpoint_url=""), 1),
        ({}, aws_error(500), 1),
        ({}, aws_error(400), 0),
        ({"kind": "sqs", "group_id": "source"}, ReadTimeoutError(endpoint_url=""), 0),
        ({"kind": "step_functions"}, aws_error(503), 0),
        ({"kind": "sns"}, aws_error(503), 1),
    ],
)
def test_a_hand_over_whose_answer_is_lost_says_that_it_may_be_doubled(
    world: World, target: dict[str, str], error: Exception, times: int
) -> None:
    """What we answer stands at the attempt."""
    event = world.post().event
    whole = {"kind": "eventbridge", "name": "x", "arn": "arn:aws:sns:us-east-1:111122223333:x"} | target
    delivery = world.delivery(event, "ledger")
    account = {"partition": "aws", "region": "us-east-1", "account": "111122223333"}
    handover = HandOver(whole, event, delivery.id, delivery.generation, b"{}", None, account)

    class Broken:
        class exceptions:  # noqa: N801  # boto3's name
            class ExecutionAlreadyExists(Exception):  # AWS's name
                pass

        def __getattr__(self, _: str) -> Any:
            def call(**_: object) -> None:
                raise error

            return call

    with pytest.raises(UpstreamError) as failed:
        give(handover, lambda *_: Broken())

    assert str(failed.value).count(DOUBT) == times


def test_what_the_bus_will_never_take_is_not_retried(world: World) -> None:
    """489, straight to the dead letters."""
    event = world.post().event
    error = ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, "PutEvents")

    with pytest.raises(Undeliverable):
        hand_over(world, event, Bus(error))


def test_a_delivery_whose_body_is_not_the_events_is_refused(world: World) -> None:
    """QStash's signature covers body and URL, not the header that names the event."""
    one, other, bus = world.post().event, world.post(b"[]", key="d-2").event, Bus()

    with pytest.raises(BadRequest):
        hand_over(world, other, bus, published=b"[]")
    with pytest.raises(NotFound):
        hand_over(world, one, bus, name="erp")

    assert bus.entries == []


@pytest.mark.parametrize("without", ["relay-body-mac", "relay-event-id"])
def test_a_delivery_that_proves_nothing_is_refused(world: World, without: str) -> None:
    """Who holds QStash's keys, as a destination may, could send it."""
    event, bus = world.post().event, Bus()

    with pytest.raises(BadRequest):
        hand_over(world, event, bus, without=without)

    assert bus.entries == []
