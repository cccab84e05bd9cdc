"""The end of a pause over the real store: what is held goes at a bounded rate, once, and nothing stays behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import BadRequest, WrongState
from relay.model.delivery import Status
from relay.model.replay import RATE_MAX, ReplayState
from relay.replay import bulk, pauses
from relay.replay.deliveries import replay_deliveries
from tests.unit.relay.ledgers import SECOND, audited, haunt, put
from tests.unit.relay.replays import advance, dead, erp, known

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.model.replay import Replay
    from tests.unit.relay.world import World


def held(world: World, number: int, first: int = 0) -> list[Event]:
    """Have so many events come whose delivery to erp is held."""
    return dead(world, number, Status.HELD, first)


def resume(world: World, rate: int = 600) -> Replay:
    return pauses.resume(world.store, "erp", rate=rate, by="arn:me", reason="mended")


def test_a_resumed_destination_gets_what_was_held_at_the_rate_each_once(world: World) -> None:
    """A replay of many, with who and why, that the sweep does."""
    world.store.pauses.add("erp", "arn:me", None)
    events = held(world, 3)
    before = len(world.wire.published)

    job = resume(world, rate=2)
    first = world.sweep(seconds=0)
    second = world.sweep(seconds=60)
    third = world.sweep(seconds=60)

    assert world.store.pauses.all() == {}
    assert (job.by, job.reason, job.rate) == ("arn:me", "mended", 2)
    assert (first.replayed, second.replayed, third.replayed) == (2, 1, 0)
    assert erp(world, events) == [Status.IN_FLIGHT] * 3
    assert len(world.wire.published[before:]) == 3
    assert known(world, job).state is ReplayState.DONE


def test_only_what_is_held_goes_and_only_to_that_destination(world: World) -> None:
    world.store.pauses.add("erp", "arn:me", None)
    (event,) = held(world, 1)
    put(world, event, "ledger", Status.HELD)
    (other,) = dead(world, 1, first=7)

    resume(world)
    world.sweep(seconds=0)

    assert world.delivery(event, "ledger").status is Status.HELD
    assert erp(world, [other]) == [Status.DEAD_LETTERED]


def test_what_is_not_paused_is_not_resumed(world: World) -> None:
    with pytest.raises(WrongState):
        resume(world)

    assert world.store.replays.newest(9) == []


@pytest.mark.parametrize("rate", [0, RATE_MAX + 1])
def test_a_rate_out_of_bounds_leaves_the_pause(world: World, rate: int) -> None:
    world.store.pauses.add("erp", "arn:me", None)

    with pytest.raises(BadRequest):
        resume(world, rate)

    assert set(world.store.pauses.all()) == {"erp"}


def test_a_destination_paused_again_meanwhile_gets_no_more(world: World) -> None:
    """What was still held stays held, and goes once it is resumed again."""
    world.store.pauses.add("erp", "arn:me", None)
    events = held(world, 3)
    job = resume(world, rate=1)
    world.sweep(seconds=0)
    world.store.pauses.add("erp", "arn:you", None)

    advance(world, job)
    meanwhile = erp(world, events)
    again = resume(world)
    advance(world, again)

    assert sorted(meanwhile) == sorted([Status.HELD, Status.HELD, Status.IN_FLIGHT])
    assert (known(world, job).state, known(world, job).replayed, known(world, job).skipped) == (ReplayState.DONE, 1, 2)
    assert sorted(erp(world, events)) == sorted([Status.PENDING, Status.PENDING, Status.IN_FLIGHT])


@pytest.mark.parametrize(("later", "became"), [(timedelta(0), Status.HELD), (timedelta(seconds=1), Status.IN_FLIGHT)])
def test_what_began_before_the_pause_goes_on(world: World, later: timedelta, became: Status) -> None:
    """QStash may have it, though nobody heard; to hold it would be to send it again."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500)
    replay_deliveries(world.store, [world.delivery(event, "erp").id], by=None, reason=None)
    world.clock.at += later
    world.store.pauses.add("erp", "arn:me", None)
    world.paused = world.store.pauses.all()

    world.sweep(seconds=40)

    assert world.statuses(event.id)["erp"] is became


# -- what an older view of the pauses has held ------------------------------------------------------------------------


def test_the_audit_lets_go_what_is_held_though_its_destination_is_not_paused(world: World) -> None:
    """A function may know of the end of a pause ten seconds late."""
    events = held(world, 2)

    done = audited(world)
    world.sweep(seconds=0)

    (job,) = world.store.replays.newest(9)
    assert (done.released, job.by) == (1, "relay")
    assert job.query["destination"] == "erp"
    assert erp(world, events) == [Status.IN_FLIGHT] * 2


def test_the_audit_leaves_what_is_held_to_its_pause(world: World) -> None:
    world.store.pauses.add("erp", "arn:me", None)
    events = held(world, 1)

    done = audited(world)

    assert done.released == 0
    assert erp(world, events) == [Status.HELD]


@pytest.mark.parametrize("state", [ReplayState.RUNNING, ReplayState.STOPPED])
def test_the_audit_starts_no_second_replay_of_the_same_nor_undoes_a_persons_stop(
    world: World, state: ReplayState
) -> None:
    world.store.pauses.add("erp", "arn:me", None)
    held(world, 1)
    job = resume(world)
    bulk.turn(world.store, job.id, state)

    done = audited(world)

    assert done.released == 0
    assert [it.id for it in world.store.replays.newest(9)] == [job.id]


def test_a_replay_that_was_stopped_long_ago_keeps_nothing(world: World) -> None:
    """The newest counts: it is done, so that what is held since is nobody's."""
    world.store.pauses.add("erp", "arn:me", None)
    stopped = resume(world)
    bulk.turn(world.store, stopped.id, ReplayState.STOPPED)
    world.clock.at += SECOND
    world.store.pauses.add("erp", "arn:me", None)
    advance(world, resume(world))
    events = held(world, 1)

    done = audited(world)
    world.sweep(seconds=0)

    assert done.released == 1
    assert erp(world, events) == [Status.IN_FLIGHT]


def test_the_audit_believes_the_table_not_an_index_that_lags(world: World) -> None:
    (event,) = held(world, 1)
    haunt(world, event, "ledger", Status.HELD)
    put(world, event, "erp", Status.DELIVERED)

    assert audited(world).released == 0


def test_however_much_is_held_by_pauses_what_is_not_has_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of each shard an audit, and the next goes on where it ended."""
    monkeypatch.setattr(pauses, "HELD_A_SHARD", 1)
    monkeypatch.setattr("relay.storage.items.SHARDS", 1)
    world.store.pauses.add("erp", "arn:me", None)
    held(world, 9)
    (event,) = held(world, 1, first=99)
    put(world, event, "ledger", Status.HELD)

    released = [audited(world, SECOND).released for _ in range(11)]
    world.sweep(seconds=0)

    assert sum(released) >= 1
    assert world.delivery(event, "ledger").status is Status.IN_FLIGHT
