"""Which destinations are paused, over the real store: two people at once don't undo each other's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.ledger.balance import forgotten
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.replay.deliveries import replay_deliveries, replay_event
from relay.wiring import Parts
from tests.unit.relay.ledgers import NAMES, counts, put, saved, unmark, whole

if TYPE_CHECKING:
    import pytest

    from tests.unit.relay.world import World


def test_a_destination_is_paused_until_it_is_not(world: World) -> None:
    """By whom, when and why stands there; only the end of a pause that there was is one."""
    before = world.store.pauses.all()

    said, changed = world.store.pauses.add("erp", "arn:me", "it burns")
    paused = world.store.pauses.all()
    ended = [world.store.pauses.remove(it) for it in ("erp", "erp", "crm")]

    assert (before, changed) == ({}, True)
    assert said == {"by": "arn:me", "at": iso(world.clock()), "reason": "it burns"}
    assert paused == {"erp": said}
    assert ended == [True, False, False]
    assert world.store.pauses.all() == {}


def test_who_paused_a_destination_first_stays_who_paused_it(world: World) -> None:
    first, _ = world.store.pauses.add("erp", "arn:me", None)
    world.clock.at += timedelta(hours=1)

    second = world.store.pauses.add("erp", "arn:you", "again")

    assert second == (first, False)
    assert world.store.pauses.all() == {"erp": first}


def test_pauses_at_the_same_time_are_all_kept(world: World) -> None:
    """Each is written on condition that nothing came in between."""
    world.store.pauses.add("old", "arn:me", None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: world.store.pauses.add(name, "arn:me", None), ["a", "b", "c", "d"]))
        pool.submit(world.store.pauses.remove, "old").result()

    assert set(world.store.pauses.all()) == {"a", "b", "c", "d"}


def test_a_function_knows_what_is_paused_without_a_read_a_webhook(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knows is ten seconds old at most."""
    relay = Parts(world.settings)
    relay.store = world.store
    reads: list[str] = []
    get = world.store.table.get

    def counted(pk: str, sk: str) -> object:
        reads.append(pk)
        return get(pk, sk)

    monkeypatch.setattr(world.store.table, "get", counted)

    first = relay.paused()
    world.store.pauses.add("erp", "arn:me", None)
    world.clock.at += timedelta(seconds=9)
    soon, reads_soon = relay.paused(), reads.count("PAUSED")
    world.clock.at += timedelta(seconds=1)
    later = relay.paused()

    assert (dict(first), dict(soon), set(later)) == ({}, {}, {"erp"})
    assert reads_soon == 2  # one of them the pause's own


def test_a_delivery_that_is_held_is_nobodys_to_publish_and_no_end(world: World) -> None:
    """Nothing is due of it, and the ledger balances; what QStash tells of the same generation outranks it."""
    event = saved(world)
    unmark(world, event)

    for name in event.expected:
        world.store.change_delivery(event, name, lambda it: it.ended(event.generation, Status.HELD, "paused"))
    found = whole(world)

    assert counts(found) == {name: {Status.HELD: 1} for name in NAMES}
    assert found.findings == forgotten(world.store) == []
    delivery = world.delivery(event, "erp")
    assert (delivery.status, delivery.due_at, delivery.reason) == (Status.HELD, None, "paused")
    assert delivery.published(event.generation, "msg_1", world.clock(), world.clock()).status is Status.IN_FLIGHT


def test_an_events_replay_leaves_alone_what_is_held(world: World) -> None:
    """It goes by itself once its destination is resumed; by its id it can be replayed."""
    event = saved(world)
    put(world, event, "erp", Status.HELD)
    held = world.delivery(event, "erp")

    whole_event = replay_event(
        world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by=None, reason=None
    )
    by_id = replay_deliveries(world.store, [held.id], by=None, reason=None)

    assert (whole_event.deliveries, whole_event.skipped) == ([], [(held.id, "it is held")])
    assert [it.status for it in by_id.deliveries] == [Status.PENDING]
