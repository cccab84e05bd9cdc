"""Runs of the sweep share its shards, go on where one ended, and a shard that fails stops no other."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from relay.ingest.webhook import Webhook
from relay.jobs.sweep import sweep
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.storage.items import SHARDS, shard_of
from relay.storage.leases import sweep_of
from relay.verification.verify import WebhookInfo
from tests.unit.relay.slow import left, slow_aws, slow_qstash
from tests.unit.relay.table_wire import wire_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.model.event import Event
    from tests.unit.relay.world import World


def one_of_each(world: World, shards: Iterable[int] = range(SHARDS)) -> list[Event]:
    """Return an event of each of *shards* that is due to be published."""
    keys = {shard: next(k for k in map(str, count()) if shard_of(event_id("github", k)) == shard) for shard in shards}
    return [world.save(key=key) for key in keys.values()]


def published(world: World, events: list[Event]) -> list[int]:
    """Return the shards of those of *events* that QStash has."""
    return [shard_of(it.id) for it in events if set(world.statuses(it.id).values()) == {Status.IN_FLIGHT}]


def test_two_sweeps_at_once_share_the_work(world: World) -> None:
    """Each shard under a lease of its own."""
    world.wire.failures = [500, 500, 500]
    event = world.post().event
    world.clock.at += timedelta(seconds=40)
    lease = sweep_of(shard_of(event.id))
    assert world.store.leases.take(lease, "another")

    held = sweep(world.publisher, owner="a", seconds_left=lambda: 30)
    world.store.leases.give_back(lease, "another")
    free = sweep(world.publisher, owner="a", seconds_left=lambda: 30)

    assert (held.published, held.skipped) == (0, 1)
    assert (free.published, free.skipped) == (1, 0)


def test_a_sweep_that_runs_out_of_time_goes_on_next_time(world: World) -> None:
    """Bounded per run; what comes last has its turn, too."""
    world.wire.failures = [500] * 99
    for number in range(12):
        world.post(key=str(number))
    world.wire.failures = []
    world.clock.at += timedelta(seconds=40)

    with slow_aws(world, lambda: 0.2):
        first = sweep(world.publisher, owner="a", seconds_left=left(world, 20))
    second = sweep(world.publisher, owner="b", seconds_left=lambda: 30)

    assert 0 < first.published < 12
    assert first.published + second.published == 12


def test_a_run_that_is_out_of_time_leaves_word_where_to_go_on(world: World) -> None:
    """The shard it didn't come to is the next one's first."""
    events = one_of_each(world)
    world.clock.at += timedelta(seconds=40)
    slow_qstash(world, lambda: 3.2)

    done = world.sweep(0, left(world, 10))

    assert published(world, events) == [0, 1]
    assert (
        done.cut_short == world.store.state.sweep_words() == {"publish": 3}
    )  # its call was the last, and wasn't answered


def test_the_next_run_begins_there(world: World) -> None:
    """So that the last shards have their turn."""
    events = one_of_each(world)
    world.store.state.save_sweep_words({"publish": 5})
    world.clock.at += timedelta(seconds=40)
    slow_qstash(world, lambda: 3.2)

    world.sweep(0, left(world, 10))

    assert published(world, events) == [5, 6]
    assert world.store.state.sweep_words() == {"publish": 0}


def test_a_run_that_came_round_forgets_where_it_began(world: World) -> None:
    """And went through all, from whichever."""
    events = one_of_each(world)
    world.store.state.save_sweep_words({"publish": 5, "watch": 3})

    world.sweep()

    assert sorted(published(world, events)) == list(range(SHARDS))
    assert world.store.state.sweep_words() == {}


@pytest.mark.local_aws
def test_a_shard_whose_index_fails_stops_no_other(world: World) -> None:
    """The table is many partitions."""
    events = one_of_each(world)
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("Query", "outbox#2")
        done = world.sweep()

    assert (done.published, done.failed) == (SHARDS - 1, 1)
    assert published(world, events) == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.local_aws
def test_a_shard_that_fails_under_way_is_free_for_the_next_run(world: World) -> None:
    """Its lease is given back, before it ends by itself."""
    events = one_of_each(world, [2])
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("GetItem", "EVENT")
        failed = world.sweep()
    again = sweep(world.publisher, owner="another", seconds_left=lambda: 30)

    assert (failed.published, failed.failed) == (0, 1)
    assert (again.published, again.skipped) == (1, 0)
    assert published(world, events) == [2]


@pytest.mark.local_aws
def test_the_spool_is_taken_in_though_every_shard_fails(world: World) -> None:
    """An index that lags or is throttled says nothing of the table's own keys."""
    said = WebhookInfo("spooled", has_id=True, event_type="push", headers={})
    world.store.spool.put(Webhook("github", world.clock.at, said, None, b"{}").dump())
    with wire_of(world) as wire:
        wire.fails = lambda operation, _: operation == "Query"
        done = world.sweep()

    assert (done.failed, done.unspooled) == (2 * SHARDS + 1, 1)  # and the replays of many
    assert set(world.statuses(event_id("github", "spooled")).values()) == {Status.IN_FLIGHT}


@pytest.mark.local_aws
def test_a_record_that_fails_is_another_ones_turn(world: World) -> None:
    """One event that can't be read leaves the others of its page alone."""
    keys = [k for k in map(str, range(60)) if shard_of(event_id("github", k)) == 3][:3]
    events = [world.save(key=key) for key in keys]
    reads = iter([True])
    with wire_of(world) as wire:
        wire.fails = lambda operation, item: (operation, item) == ("GetItem", "EVENT") and next(reads, False)
        done = world.sweep()

    assert (done.published, done.failed) == (2, 1)
    assert len(published(world, events)) == 2
