"""The outbox mark of an event: the last thing to go, and only with all that it stands for recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.errors import UpstreamError
from relay.model.delivery import Status
from relay.publishing.answers import Done
from tests.unit.relay.table_wire import wire_of

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World

pytestmark = pytest.mark.local_aws


def mark(world: World, event: Event) -> frozenset[str]:
    """Return the groups that *event* still owes."""
    now = world.store.event(event.id)
    assert now is not None
    return now.unpublished


def test_the_mark_goes_after_every_delivery_is_recorded(world: World) -> None:
    """Whatever ends the function in between, the sweep finds it."""
    with wire_of(world) as wire:
        event = world.post().event

    writes = [it for it in wire.asked if it[0] in {"PutItem", "UpdateItem"}]
    recorded = {("PutItem", f"DELIVERY#{name}") for name in event.expected}
    assert writes[-1] == ("UpdateItem", "EVENT")
    assert set(writes[-4:-1]) == recorded
    assert mark(world, event) == frozenset()


def test_a_record_that_fails_leaves_the_mark_of_its_group(world: World) -> None:
    """QStash has the message, and nothing says so: publish it again, under the same id."""
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("PutItem", "DELIVERY#erp")
        accepted = world.post()

    assert isinstance(accepted.failure, UpstreamError)
    assert accepted.failure.service == "DynamoDB"
    assert mark(world, accepted.event) == {"audit"}
    assert world.statuses(accepted.event.id) == {
        "ledger": Status.IN_FLIGHT,
        "erp": Status.PENDING,
        "builder": Status.IN_FLIGHT,
    }


def test_what_was_not_recorded_is_made_up_for_without_a_second_message(world: World) -> None:
    """The sweep publishes that group alone, and QStash knows it."""
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("PutItem", "DELIVERY#erp")
        event = world.post().event

    world.sweep()

    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert mark(world, event) == frozenset()
    assert [it.url.path for it in world.wire.published[2:]] == ["/v2/publish/relay.audit"]
    assert len(world.wire.taken) == 2


def test_a_mark_that_cant_be_taken_off_stays_owed(world: World) -> None:
    """All is recorded, and the next sweep takes it off."""
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("UpdateItem", "EVENT")
        accepted = world.post()

    assert isinstance(accepted.failure, UpstreamError)
    assert mark(world, accepted.event) == {"audit", "ci"}
    assert world.sweep().published == 1
    assert mark(world, accepted.event) == frozenset()
    assert len(world.wire.taken) == 2


def test_a_group_that_qstash_did_not_take_keeps_its_mark(world: World) -> None:
    """And only it."""
    del world.wire.topics["relay.audit"]
    world.wire.failures = [404, 404]

    event = world.post().event

    assert mark(world, event) == {"audit"}


def test_a_failed_record_keeps_no_other_event_owed(world: World) -> None:
    """Of a page of the outbox, each stands for itself."""
    bad, good = world.save(b"bad", "bad"), world.save(b"good", "good")
    publications = [*world.owed_publications(bad), *world.owed_publications(good)]
    bad_writes = iter([True])
    with wire_of(world) as wire:
        wire.fails = lambda _, item: item == "DELIVERY#builder" and next(bad_writes, False)
        outcomes = world.publisher.publish(publications)

    assert sum(it != Done() for it in outcomes) == 1
    assert sorted([mark(world, bad), mark(world, good)], key=len) == [frozenset(), {"ci"}]
