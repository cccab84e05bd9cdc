"""A slow QStash takes no more of a run than its share: the others have theirs, and the next run begins elsewhere."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.ingest.webhook import Webhook
from relay.jobs.sweep import BATCH
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.storage.items import shard_of
from relay.storage.leases import sweep_of
from relay.verification.verify import WebhookInfo
from tests.unit.relay.slow import left, slow_aws, slow_qstash
from tests.unit.relay.told import SILENCE_S, tell

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World

RUN_S = 45.0  # of 55 s, without the margin


def due(world: World, amount: int, shard: int | None = 0) -> list[Event]:
    """Return so many events that are due to be published, of one *shard* if one is said."""
    keys = (key for key in map(str, range(9999)) if shard in (None, shard_of(event_id("github", key))))
    return [world.save(b'{"n": %d}' % number, next(keys)) for number in range(amount)]


def silent(world: World) -> Event:
    """Return an event whose deliveries were made, and whose callbacks never came."""
    event = world.post(key="silent").event
    for name in ("ledger", "erp", "builder"):
        tell(world, world.message(event, name), "ACTIVE", "DELIVERED", responseStatus=200)
    return event


def spooled(world: World) -> None:
    said = WebhookInfo("spooled", has_id=True, event_type="push", headers={})
    world.store.spool.put(Webhook("github", world.clock.at, said, None, b"{}").dump())


def published(world: World, events: list[Event]) -> int:
    return sum(set(world.statuses(it.id).values()) == {Status.IN_FLIGHT} for it in events)


def test_a_qstash_that_fails_slowly_is_asked_a_few_times_and_no_more(world: World) -> None:
    """A page of 25 events is 50 messages: they aren't sent singly to one who can't take any; and all are put off."""
    due(world, BATCH)
    world.wire.failures = [503] * 99
    world.clock.at += timedelta(seconds=60)
    began, wire = world.clock.at, slow_qstash(world, lambda: 3.0)

    done = world.sweep(0, left(world, RUN_S))

    assert len(wire.calls) == 3
    assert (world.clock.at - began).total_seconds() < 10
    assert (done.published, done.failed) == (0, BATCH)
    assert world.sweep(1).failed == 0


def test_messages_that_go_alone_are_not_all_sent_to_one_who_takes_none(world: World) -> None:
    """What is no text is a call each."""
    for number in range(BATCH):
        world.save(b"\xff%d" % number, str(number))
    world.wire.failures = [503] * 99
    world.clock.at += timedelta(seconds=60)
    wire = slow_qstash(world, lambda: 3.0)

    world.sweep(0, left(world, RUN_S))

    assert len(wire.calls) <= 3


@pytest.mark.parametrize("takes_s", [2.0, 5.0, 9.0, None], ids=str)
def test_however_slow_publishing_is_the_others_have_their_turn(world: World, takes_s: float | None) -> None:
    """Half of a run is publishing's; what reported nothing is looked after, and the spool is taken in."""
    event = silent(world)
    world.clock.at += timedelta(seconds=SILENCE_S)
    due(world, 9 * BATCH)
    spooled(world)
    world.clock.at += timedelta(seconds=60)
    wire = slow_qstash(world, lambda: takes_s if world.wire.asked[-1:] == [] or _publishes(wire.calls) else 0.1)
    ends = left(world, RUN_S)

    done = world.sweep(0, ends)

    assert set(world.statuses(event.id).values()) == {Status.DELIVERED}
    assert (done.unspooled, world.store.spool.oldest(9)) == (1, [])
    assert ends() >= 0


def _publishes(calls: list[str]) -> bool:
    return calls[-1].startswith(("POST /v2/batch", "POST /v2/publish"))


def test_what_is_looked_after_slowly_keeps_nothing_from_being_published_nor_taken_in(world: World) -> None:
    """A call that takes its ten seconds, again and again."""
    flying = [world.post(key=f"f{number}").event for number in range(20)]
    world.clock.at += timedelta(seconds=SILENCE_S)
    events = due(world, 8, shard=None)
    spooled(world)
    world.clock.at += timedelta(seconds=60)
    wire = slow_qstash(world, lambda: 0.1 if _publishes(wire.calls) else None)
    ends = left(world, RUN_S)

    done = world.sweep(0, ends)

    assert published(world, events) == 8
    assert done.unspooled == 1
    assert all(set(world.statuses(it.id).values()) == {Status.IN_FLIGHT} for it in flying)
    assert ends() >= 0


def test_every_shard_has_its_turn_within_a_few_runs_though_each_call_is_slow(world: World) -> None:
    """A run has time for some: the next one goes on where it ended."""
    events = due(world, 40, shard=None)
    slow_qstash(world, lambda: 6.0)

    for _ in range(6):
        world.clock.at += timedelta(seconds=60)
        ends = left(world, RUN_S)
        world.sweep(0, ends)
        assert ends() >= 0

    assert published(world, events) == 40


def test_what_was_taken_is_recorded_before_time_is_over(world: World) -> None:
    """A part of what is left is for that alone, though QStash uses all that it is given."""
    events = due(world, BATCH)
    world.clock.at += timedelta(seconds=60)
    slow_qstash(world, lambda: math.inf)

    with slow_aws(world, lambda: 0.02):
        done = world.sweep(0, left(world, 20))

    assert published(world, events) == done.published == BATCH


def test_what_has_room_has_the_time_that_others_leave(world: World) -> None:
    """With nothing to look after and nothing spooled a run is publishing's; a call that was cut short ends no more."""
    events = due(world, 12 * BATCH)
    world.clock.at += timedelta(seconds=60)
    slow_qstash(world, lambda: 3.0)

    world.sweep(0, left(world, RUN_S))

    assert published(world, events) >= 10 * BATCH


def test_the_spool_publishes_nothing_while_qstash_takes_nothing(world: World) -> None:
    """Many are saved in the time that one publish would wait."""
    due(world, 1)
    for number in range(20):
        said = WebhookInfo(str(number), has_id=True, event_type="push", headers={})
        world.store.spool.put(Webhook("github", world.clock.at, said, None, b"{}").dump())
    world.clock.at += timedelta(seconds=60)
    wire = slow_qstash(world, lambda: None)

    done = world.sweep(0, left(world, RUN_S))

    assert done.unspooled == 20
    assert len(wire.calls) <= 2


def test_a_lease_is_given_back_though_time_is_over(world: World) -> None:
    """Else the next run would find its shard taken."""
    due(world, 3 * BATCH)
    world.clock.at += timedelta(seconds=60)
    with slow_aws(world, lambda: 0.05):
        world.sweep(0, left(world, 6))

    assert world.store.leases.take(sweep_of(0), "another")
