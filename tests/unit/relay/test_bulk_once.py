"""Replays of many start each delivery once: over crashes, over runs at the same time, over what dies again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import UpstreamError
from relay.model.delivery import Status
from relay.model.replay import ReplayState
from relay.replay import bulk
from relay.storage.leases import REPLAYS
from tests.unit.relay.replays import advance, dead, erp, known, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model.event import Event
    from relay.model.replay import Replay
    from tests.unit.relay.world import World


class Crash(Exception):
    """The function is gone."""


def before_put(world: World, sk: str, do: Callable[[], object]) -> Callable[[], None]:
    """Have *do* be done before the next item of that *sk* is put; return what undoes this."""
    events: Any = world.store.table.client.meta.events

    def on_put(params: Any, **_: Any) -> None:
        if params["TableName"] == world.store.table.name and params["Item"]["sk"]["S"] == sk:
            stop()
            do()

    def stop() -> None:
        events.unregister("provide-client-params.dynamodb.PutItem", on_put)

    events.register("provide-client-params.dynamodb.PutItem", on_put)
    return stop


def crash() -> None:
    raise Crash


def generations(world: World, events: list[Event]) -> list[str]:
    return [world.store.delivery(it, "erp").generation for it in events]


def recorded(world: World, job: Replay) -> int:
    return len(world.store.replays.started(job.id, 9))


@pytest.mark.local_aws
def test_a_crash_before_the_position_is_saved_starts_nothing_twice(world: World) -> None:
    """The page is done again: what was started of it has its record."""
    events = dead(world, 3)
    job = start(world)
    before_put(world, "JOB", crash)
    with pytest.raises(Crash):
        advance(world, job)
    begun = generations(world, events)

    advance(world, job)

    assert generations(world, events) == begun
    assert recorded(world, job) == 3
    assert known(world, job).state is ReplayState.DONE


@pytest.mark.local_aws
def test_what_died_again_before_the_page_is_done_again_is_not_replayed_twice(world: World) -> None:
    """Between a crash and the next run it may have ended once more."""
    events = dead(world, 3)
    job = start(world)
    before_put(world, "JOB", crash)
    with pytest.raises(Crash):
        advance(world, job)
    begun = generations(world, events)
    for event in events:
        world.report(event, "erp", "failure", scope="d.erp", generation=world.store.delivery(event, "erp").generation)

    again = advance(world, job)

    assert erp(world, events) == [Status.DEAD_LETTERED] * 3
    assert generations(world, events) == begun
    assert (again, known(world, job).state) == (3, ReplayState.DONE)


def test_what_died_again_is_not_replayed_by_the_next_run(world: World) -> None:
    events = dead(world, 4)
    job = start(world, rate=2)
    advance(world, job)
    for event in events[2:]:
        world.report(event, "erp", "failure", scope="d.erp", generation=world.store.delivery(event, "erp").generation)

    advance(world, job)

    assert erp(world, events) == [Status.PENDING] * 2 + [Status.DEAD_LETTERED] * 2
    assert (known(world, job).state, known(world, job).replayed) == (ReplayState.DONE, 4)


def test_another_replay_replays_it_again(world: World) -> None:
    """Once by each."""
    events = dead(world, 1)
    advance(world, start(world))
    world.report(events[0], "erp", "failure", scope="d.erp", generation=generations(world, events)[0])

    assert advance(world, start(world)) == 1


def test_a_failure_within_a_page_has_the_page_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table refused isn't passed over."""
    events = dead(world, 3)
    job = start(world)
    real, calls = world.store.start_replay, []

    def failing(*given: Any) -> bool:
        calls.append(given)
        if len(calls) == 2:
            raise UpstreamError("DynamoDB", "no answer")
        return real(*given)

    monkeypatch.setattr(world.store, "start_replay", failing)
    with pytest.raises(UpstreamError):
        advance(world, job)
    assert known(world, job).at is None

    advance(world, job)

    assert erp(world, events) == [Status.PENDING] * 3
    assert recorded(world, job) == 3


def test_a_run_beside_another_leaves_the_replays_to_it(world: World) -> None:
    dead(world, 3)
    job = start(world)
    world.store.leases.take(REPLAYS, "another")

    swept = world.sweep(seconds=1)

    assert (swept.replayed, known(world, job).replayed) == (0, 0)


def test_while_a_quota_holds_all_publishing_nothing_is_started(world: World) -> None:
    """It would only wait, and its rate with it."""
    dead(world, 1)
    job = start(world)
    world.store.state.save_hold(world.clock.at + REPLAYS.length, "a quota")

    world.sweep(seconds=1)

    assert known(world, job).replayed == 0


@pytest.mark.local_aws
def test_of_two_advances_at_once_one_has_its_position_saved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease may end under a run that is slow: the other's pages are not counted twice, nor gone back over."""
    monkeypatch.setattr(bulk, "PAGE", 2)
    events = dead(world, 5)
    job = start(world)
    others: list[int] = []
    before_put(world, "JOB", lambda: others.append(advance(world, job)))

    slow = advance(world, job)

    assert (others, slow) == ([3], 0)
    assert (known(world, job).state, known(world, job).replayed) == (ReplayState.DONE, 3)
    assert recorded(world, job) == len(events)


@pytest.mark.local_aws
def test_of_two_advances_in_the_middle_one_has_its_position_saved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)
    dead(world, 8)
    job = start(world, rate=2)
    advance(world, job)
    others: list[int] = []
    before_put(world, "JOB", lambda: others.append(advance(world, job)))

    slow = advance(world, job)

    assert (others, slow, known(world, job).replayed) == ([2], 0, 4)


@pytest.mark.local_aws
def test_a_stop_while_it_advances_holds(world: World) -> None:
    """The page that was under way is started, and known by its records; its position isn't saved."""
    dead(world, 3)
    job = start(world)
    before_put(world, "JOB", lambda: bulk.turn(world.store, job.id, ReplayState.STOPPED))

    advance(world, job)
    stopped = known(world, job)
    bulk.turn(world.store, job.id, ReplayState.RUNNING)
    advance(world, job)

    assert stopped.state is ReplayState.STOPPED
    assert known(world, job).state is ReplayState.DONE
    assert recorded(world, job) == 3


@pytest.mark.local_aws
def test_an_advance_while_it_is_stopped_keeps_its_position(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before it was turned is older than what the run has saved: that stands."""
    monkeypatch.setattr(bulk, "PAGE", 2)
    dead(world, 5)
    job = start(world, rate=2)
    before_put(world, "JOB", lambda: advance(world, job))

    turned = bulk.turn(world.store, job.id, ReplayState.STOPPED)

    assert known(world, job) == turned
    assert (turned.state, turned.replayed) == (ReplayState.STOPPED, 2)


@pytest.mark.local_aws
def test_a_replay_that_was_done_while_it_was_stopped_is_done(world: World) -> None:
    dead(world, 1)
    job = start(world)
    before_put(world, "JOB", lambda: advance(world, job))

    with pytest.raises(Exception, match="done"):
        bulk.turn(world.store, job.id, ReplayState.STOPPED)

    assert known(world, job).state is ReplayState.DONE
