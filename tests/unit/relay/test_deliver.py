"""Delivering over the real store: an event is handed to the bus, and that is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import BadRequest, NotFound, Undeliverable, UpstreamError
from relay.parcels import body_mac
from relay.targets import deliver
from tests.flat import bus
from tests.unit.relay.world import FLAT, MAC

if TYPE_CHECKING:
    from relay.model import Event
    from tests.unit.relay.world import World


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
    world: World, event: Event, bus: Bus, *, name: str = "ledger", published: bytes = b"{}", without: str = ""
) -> Event:
    headers = {"relay-event-id": event.id, "relay-body-mac": body_mac(MAC, event.id, published)}
    headers.pop(without, None)
    return deliver(
        name,
        headers=headers,
        body=b"{}",
        mac_key=MAC,
        settings=world.settings,
        store=world.store,
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


def test_what_the_bus_will_never_take_is_not_retried(world: World) -> None:
    """489, straight to the dead letters."""
    from botocore.exceptions import ClientError

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
