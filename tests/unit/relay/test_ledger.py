"""The ledger over the real store: what is expected is what each delivery is, in any state, whatever the index shows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from relay.ledger.balance import NOBODY_LOOKS, NOBODY_PUBLISHES, balance
from relay.model.delivery import Status
from relay.model.ids import iso
from tests.unit.relay.ledgers import DAY, NAMES, SECOND, counts, edit, haunt, hide, not_due, put, saved, unmark, whole

if TYPE_CHECKING:
    from tests.unit.relay.world import World


@pytest.mark.parametrize("status", Status)
def test_every_status_is_counted(world: World, status: Status) -> None:
    """What is expected is the sum of them."""
    event = world.post().event
    put(world, event, "erp", status)

    found = whole(world)

    in_flight = {Status.IN_FLIGHT: 1}
    assert counts(found) == {"builder": in_flight, "ledger": in_flight, "erp": {status: 1}}
    assert [it.destination for it in found.findings] == (["erp"] if status is Status.UNACCOUNTED else [])


def test_what_only_the_event_names_is_pending(world: World) -> None:
    """Its mark is what owes it: no delivery has a record."""
    saved(world)

    found = whole(world)

    assert counts(found) == {name: {Status.PENDING: 1} for name in NAMES}
    assert found.findings == []


def test_a_postponed_event_owes_what_it_owed(world: World) -> None:
    """Its deliveries have records then, which are due by the event alone."""
    saved(world)
    world.wire.failures = [500] * 3
    world.sweep()

    found = whole(world)

    assert counts(found) == {name: {Status.PENDING: 1} for name in NAMES}
    assert found.findings == []


@pytest.mark.parametrize(
    ("since", "until", "is_in"),
    [
        (timedelta(0), SECOND, True),
        (-SECOND, timedelta(0), False),
        (timedelta(microseconds=1), SECOND, False),
        (-SECOND, timedelta(microseconds=1), True),
    ],
    ids=["from the moment on", "up to the moment", "after it", "just over it"],
)
def test_a_window_has_its_beginning_and_not_its_end(
    world: World, since: timedelta, until: timedelta, *, is_in: bool
) -> None:
    """So that two windows side by side have every event once."""
    world.post()
    at = world.clock.at
    world.clock.at += DAY  # it is when the event came that counts

    found = balance(world.store, since=iso(at + since), until=iso(at + until), seconds_left=lambda: 30)

    assert sum(it.total() for it in found.by_destination.values()) == (3 if is_in else 0)
    assert found.complete


def test_a_delivery_belongs_to_when_its_event_came(world: World) -> None:
    """Not to when it changed: a replay moves nothing from one window to another."""
    event = world.post().event
    at = world.clock.at
    world.clock.at += DAY
    put(world, event, "erp", Status.DELIVERED, since=world.clock.at)

    then = balance(world.store, since=iso(at), until=iso(at + SECOND), seconds_left=lambda: 30)
    now = balance(world.store, since=iso(at + SECOND), until=iso(at + 2 * DAY), seconds_left=lambda: 30)

    assert counts(then)["erp"] == {Status.DELIVERED: 1}
    assert counts(now) == {}


def test_what_has_expired_is_not_expected(world: World) -> None:
    """Though the table may have it for days."""
    event = world.post().event
    world.clock.at = event.expires_at

    assert counts(whole(world)) == {}


# -- an index that lags -------------------------------------------------------------------------------------------


def test_two_entries_of_one_delivery_are_one_delivery(world: World) -> None:
    """On its way from one status to the next, the index has both, or shows the old one a little longer."""
    event = world.post().event
    put(world, event, "erp", Status.DELIVERED)
    haunt(world, event, "erp", Status.IN_FLIGHT)

    assert counts(whole(world))["erp"] == {Status.DELIVERED: 1}


def test_a_delivery_that_the_index_does_not_show_is_read_from_the_table(world: World) -> None:
    event = world.post().event
    put(world, event, "erp", Status.DELIVERED)
    hide(world, event, "erp")

    found = whole(world)

    assert counts(found)["erp"] == {Status.DELIVERED: 1}
    assert found.findings == []


def test_what_the_table_shows_to_be_owed_is_not_found(world: World) -> None:
    """The index is behind: it shows neither that it is in flight, nor that it is due."""
    event = world.post().event
    hide(world, event, "erp")

    found = whole(world)

    assert counts(found)["erp"] == {Status.IN_FLIGHT: 1}
    assert found.findings == []


@pytest.mark.local_aws
def test_what_looks_right_is_not_read_again(world: World) -> None:
    """What is in order costs the index alone: else an audit would read the whole table."""
    world.post()
    saved(world, "d-2")
    world.wire.failures = [500] * 3
    world.sweep()
    asked: list[str] = []

    def note(params: Any, **_: Any) -> None:
        asked.append(params.get("IndexName", "table"))

    events: Any = world.store.table.client.meta.events
    events.register("provide-client-params.dynamodb.*", note)
    whole(world)
    events.unregister("provide-client-params.dynamodb.*", note)

    assert set(asked) == {"feed"}


@pytest.mark.parametrize("stale", [Status.PENDING, Status.IN_FLIGHT, Status.UNACCOUNTED])
def test_a_status_that_looks_wrong_is_read_again(world: World, stale: Status) -> None:
    """The index says that it is unaccounted, the table that it arrived: nothing is found."""
    event = world.post().event
    put(world, event, "erp", Status.DELIVERED)
    hide(world, event, "erp")
    haunt(world, event, "erp", stale)

    found = whole(world)

    assert counts(found)["erp"] == {Status.DELIVERED: 1}
    assert found.findings == []


def test_an_event_that_the_index_shows_longer_than_the_table_is_left_out(world: World) -> None:
    """It expired between the two reads."""
    event = saved(world)
    entry = world.store.table.get(event.id, "EVENT")
    assert entry is not None
    unmark(world, event)
    world.store.table.update((event.id, "EVENT"), "SET expires_at = :past", {":past": 1})
    world.store.table.put(entry | {"sk": "GHOST#EVENT", "unpublished": None})

    assert counts(whole(world)) == {}


# -- what is found ------------------------------------------------------------------------------------------------


def test_what_nothing_is_due_to_publish_is_found(world: World) -> None:
    """The mark is gone, and QStash has nothing: the sweep would never turn to it."""
    event = saved(world)
    unmark(world, event)

    found = whole(world)

    assert counts(found) == {name: {Status.PENDING: 1} for name in NAMES}
    assert {(it.event, it.destination, it.why, it.mendable) for it in found.findings} == {
        (event.id, name, NOBODY_PUBLISHES, True) for name in NAMES
    }
    assert {it.id for it in found.findings} == {f"dlv_{event.id[4:]}.{name}" for name in NAMES}


def test_a_mark_of_another_group_does_not_owe_a_delivery(world: World) -> None:
    event = saved(world)
    world.store.published(event, frozenset({"ci"}))

    (found,) = whole(world).findings

    assert (found.destination, found.why) == ("builder", NOBODY_PUBLISHES)


def test_a_replay_that_nothing_is_due_to_publish_is_found(world: World) -> None:
    event = world.post().event
    put(world, event, "erp", Status.PENDING)
    not_due(world, event, "erp")

    (found,) = whole(world).findings

    assert (found.destination, found.why, found.mendable) == ("erp", NOBODY_PUBLISHES, True)


def test_what_nothing_is_due_to_look_after_is_found(world: World) -> None:
    """Its callback may be lost: nobody would ask QStash."""
    event = world.post().event
    not_due(world, event, "erp")

    (found,) = whole(world).findings

    assert (found.event, found.destination, found.why, found.mendable) == (event.id, "erp", NOBODY_LOOKS, True)


def test_what_is_unaccounted_is_found_with_its_reason(world: World) -> None:
    """A person decides: nothing mends it."""
    event = world.post().event
    put(world, event, "erp", Status.UNACCOUNTED, reason="nobody knows")

    (found,) = whole(world).findings

    assert (found.event, found.destination, found.why, found.mendable) == (event.id, "erp", "nobody knows", False)


def test_a_mark_that_is_not_due_owes_nothing(world: World) -> None:
    """Its groups are owed, and the sweep would never turn to them."""
    event = saved(world)
    edit(world, event, "EVENT", "REMOVE due_pk, due_sk")

    found = whole(world)

    assert {(it.destination, it.why, it.mendable) for it in found.findings} == {
        (name, NOBODY_PUBLISHES, True) for name in NAMES
    }
