"""Replays of many over the real store: how they go on, are stopped and resumed, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.errors import NotFound, WrongState
from relay.model.delivery import Status
from relay.model.replay import ReplayState
from relay.replay import bulk
from relay.replay.deliveries import replay_event
from relay.storage.items import shard_of
from tests.unit.relay.ledgers import DAY, SECOND, put
from tests.unit.relay.replays import advance, dead, erp, known, start

if TYPE_CHECKING:
    from tests.unit.relay.world import World


# -- how it goes on -----------------------------------------------------------------------------------------------


def test_a_replay_is_due_at_once_and_done_by_the_sweep(world: World) -> None:
    """Each delivery under a generation and a deduplication id of its own, to its URL alone."""
    events = dead(world, 3)
    generations = {world.store.delivery(it, "erp").generation for it in events}
    before = len(world.wire.published)
    job = start(world)

    swept = world.sweep(seconds=0)

    assert (swept.replayed, swept.published) == (3, 3)
    assert erp(world, events) == [Status.IN_FLIGHT] * 3
    published = world.wire.published[before:]
    assert {it.url.path for it in published} == {"/v2/publish/https://erp.example.com/in"}
    assert len({it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}) == len(world.wire.published)
    assert not {world.store.delivery(it, "erp").generation for it in events} & generations
    assert (known(world, job).state, known(world, job).replayed, known(world, job).skipped) == (ReplayState.DONE, 3, 0)
    assert world.store.replays.due() == []


def test_a_run_starts_what_the_rate_allows_and_the_next_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, the newest first; a run a minute."""
    monkeypatch.setattr(bulk, "PAGE", 2)
    events = dead(world, 5)
    job = start(world, rate=3)

    first = world.sweep(seconds=0).replayed
    at_once = world.sweep(seconds=40).replayed
    after = erp(world, events)
    second = world.sweep(seconds=20).replayed

    assert (first, at_once, second) == (3, 0, 2)
    assert after == [Status.DEAD_LETTERED] * 2 + [Status.IN_FLIGHT] * 3
    assert erp(world, events) == [Status.IN_FLIGHT] * 5
    assert (known(world, job).state, known(world, job).replayed) == (ReplayState.DONE, 5)


def test_a_run_stops_where_time_is_short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)
    dead(world, 5)
    job = start(world)
    left = iter([1.0])

    first = advance(world, job, lambda: next(left, 0.0))
    second = advance(world, job)

    assert (first, second) == (2, 3)


def test_what_is_no_longer_what_was_asked_for_is_skipped(world: World) -> None:
    """It arrived, or is under way again, since the index was read; or its event has expired."""
    (event,) = dead(world, 1)
    job = start(world)
    entry = world.store.listings.oldest("dead_lettered", shard_of(event.id))[0]
    put(world, event, "erp", Status.DELIVERED)
    world.store.table.put(entry[0] | {"sk": "GHOST", "feed_pk": f"dead_lettered#{shard_of(event.id)}"})

    started = advance(world, job)

    assert started == 0
    assert erp(world, [event]) == [Status.DELIVERED]
    assert (known(world, job).replayed, known(world, job).skipped) == (0, 1)


# -- by hand ------------------------------------------------------------------------------------------------------


def test_a_replay_that_is_stopped_goes_on_where_it_was_when_resumed(world: World) -> None:
    """What was started goes on; nothing more is started meanwhile."""
    events = dead(world, 4)
    job = start(world, rate=2)
    world.sweep(seconds=0)

    stopped = bulk.turn(world.store, job.id, ReplayState.STOPPED)
    world.clock.at += DAY
    due = world.store.replays.due()
    meanwhile = world.sweep(seconds=120)
    directly = advance(world, job)
    resumed = bulk.turn(world.store, job.id, ReplayState.RUNNING)
    after = world.sweep(seconds=0)

    assert (stopped.state, resumed.state) == (ReplayState.STOPPED, ReplayState.RUNNING)
    assert due == []
    assert (meanwhile.replayed, directly, after.replayed) == (0, 0, 2)
    assert erp(world, events) == [Status.IN_FLIGHT] * 4
    assert known(world, job).replayed == 4


@pytest.mark.parametrize("state", [ReplayState.STOPPED, ReplayState.RUNNING])
def test_to_turn_it_twice_is_to_turn_it_once(world: World, state: ReplayState) -> None:
    job = start(world)

    turned = [bulk.turn(world.store, job.id, state) for _ in range(2)]

    assert turned[0] == turned[1]
    assert known(world, job).state is state


def test_a_replay_that_is_done_can_not_be_turned(world: World) -> None:
    job = start(world)
    world.sweep(seconds=0)

    for state in (ReplayState.STOPPED, ReplayState.RUNNING):
        with pytest.raises(WrongState):
            bulk.turn(world.store, job.id, state)
    with pytest.raises(NotFound):
        bulk.turn(world.store, "rpl_none", ReplayState.STOPPED)


def test_replays_are_listed_the_newest_first_with_who_and_why(world: World) -> None:
    """Those that named their deliveries among them; for as long as they are known."""
    (event,) = dead(world, 1)
    first = start(world)
    world.clock.at += SECOND
    named = replay_event(
        world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by="arn:you", reason="one"
    )
    world.clock.at += SECOND
    last = start(world, {"source": "github"}, rate=7)

    listed = world.store.replays.newest(9)
    due = world.store.replays.due()

    assert [it.id for it in listed] == [last.id, named.id, first.id]
    assert [(it.by, it.reason, it.rate, it.state) for it in listed] == [
        ("arn:me", "mended", 7, ReplayState.RUNNING),
        ("arn:you", "one", 0, ReplayState.DONE),
        ("arn:me", "mended", 600, ReplayState.RUNNING),
    ]
    assert (listed[1].replayed, listed[1].skipped, listed[1].query) == (1, 0, {})
    assert set(due) == {first.id, last.id}
    assert [it.id for it in world.store.replays.newest(2)] == [last.id, named.id]
    world.clock.at += 90 * DAY
    assert world.store.replays.newest(9) == []


def test_each_record_says_who_asked_and_why(world: World) -> None:
    (event,) = dead(world, 1)
    job = start(world)

    advance(world, job)

    delivery = world.store.delivery(event, "erp")
    assert world.store.replays.started(job.id, 9) == [(delivery.id, delivery.generation)]
    record = world.store.table.get(f"REPLAY#{job.id}", delivery.id)
    assert record is not None
    assert (record["sk"], record["by"], record["reason"]) == (delivery.id, "arn:me", "mended")
    assert (record["generation"], record["replaces"]) == (delivery.generation, event.generation)
    assert world.store.replays.has_started(job.id, delivery.id)
