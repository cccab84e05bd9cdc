"""The sweep over the real store, QStash at the wire: page by page, and nothing stands in another's way."""

from __future__ import annotations

from datetime import timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.jobs.due import BACKOFF_MAX
from relay.jobs.sweep import BATCH
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.query import answers
from relay.storage.items import OUTBOX, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.model.event import Event
    from tests.unit.relay.world import World


def keys_of(shard: int) -> Iterator[str]:
    """Yield idempotency keys whose events all have the index shard *shard*."""
    return (key for key in map(str, count()) if shard_of(event_id("github", key)) == shard)


def saved(world: World, amount: int, *, shard: int = 0, body: bytes = b"{}") -> list[Event]:
    """Return *amount* events of *shard* that are due to be published, the oldest first."""
    events = []
    for key in islice(keys_of(shard), amount):
        events.append(world.save(body, key))
        world.clock.at += timedelta(milliseconds=1)
    return events


def due(world: World, *, shard: int = 0) -> int:
    """Return how many are due to be published now."""
    return len(world.store.due(OUTBOX, shard, 100)[0])


def statuses(world: World, events: list[Event]) -> set[Status]:
    """Return the statuses of all deliveries of *events*."""
    return {status for it in events for status in world.statuses(it.id).values()}


def test_all_that_is_due_is_published_page_by_page(world: World) -> None:
    """A page is a batch."""
    events = saved(world, BATCH + 3)

    done = world.sweep()

    assert world.wire.batches == [2 * BATCH, 2 * 3]
    assert (done.published, done.failed) == (BATCH + 3, 0)
    assert statuses(world, events) == {Status.IN_FLIGHT}


def test_what_is_due_is_read_page_by_page_the_oldest_first(world: World) -> None:
    """And a page goes on where the one before ended."""
    events = saved(world, 5)
    world.clock.at += timedelta(seconds=40)

    first, after = world.store.due(OUTBOX, 0, 3)
    second, _ = world.store.due(OUTBOX, 0, 3, after)

    assert [it.event for it in [*first, *second]] == [it.id for it in events]


def test_a_page_of_what_qstash_does_not_take_keeps_nothing_behind_it_waiting(world: World) -> None:
    """A group that isn't there: it is tried again later, and the next have their turn."""
    poison = saved(world, BATCH, body=b"poison")
    world.wire.refused = {b"poison": 404}
    (good,) = [world.save(b"good", key) for key in islice(keys_of(0), BATCH, BATCH + 1)]

    done = world.sweep()

    assert (done.published, done.failed) == (1, BATCH)
    assert statuses(world, [good]) == {Status.IN_FLIGHT}
    assert statuses(world, poison) == {Status.PENDING}
    assert due(world) == 0


def test_a_page_whose_bodies_are_gone_keeps_nothing_behind_it_waiting(world: World) -> None:
    """Nothing can be published without its bytes; somebody is told, and the next have their turn."""
    poison = saved(world, BATCH)
    good = world.save(b"good", next(islice(keys_of(0), BATCH, None)))
    for event in poison:
        key = {"pk": {"S": event.id}, "sk": {"S": f"BODY#{event.sha256}"}}
        world.store.table.client.delete_item(TableName=world.store.table.name, Key=key)  # type: ignore[arg-type]

    done = world.sweep()

    assert (done.published, done.failed) == (1, BATCH)
    assert statuses(world, [good]) == {Status.IN_FLIGHT}
    assert due(world) == 0


@pytest.mark.parametrize("failure", [500, 401, httpx.ConnectError("down")])
def test_while_qstash_is_down_a_page_is_enough_to_know(world: World, failure: Any) -> None:
    """The rest isn't even tried, in no shard; all of it stays owed."""
    events = [*saved(world, BATCH + 3), *saved(world, 2, shard=1)]
    world.wire.failures = [failure] * 999

    done = world.sweep()

    assert world.wire.batches == [2 * BATCH]
    assert (done.published, done.failed) == (0, BATCH)
    world.wire.failures = []
    assert world.sweep().published == BATCH + 5
    assert statuses(world, events) == {Status.IN_FLIGHT}


def test_what_fails_is_tried_again_the_later_the_longer_it_has_waited(world: World) -> None:
    """Half of its age, in bounds."""
    saved(world, 1)
    world.wire.failures = [401] * 3

    waits = []
    for seconds in (40, 560, 36_000):
        world.sweep(seconds)
        swept_at = world.clock.at
        world.clock.at += timedelta(days=1)
        waits.append(world.store.due(OUTBOX, 0, 1)[0][0].at - swept_at)
        world.clock.at = swept_at

    assert [round(it.total_seconds()) for it in waits] == [30, 300, BACKOFF_MAX.total_seconds()]


def test_what_qstash_asks_to_wait_is_waited(world: World) -> None:
    """Its Retry-After counts where it is the longer one."""
    saved(world, 1)
    world.wire.failures = [503] * 9
    world.wire.failure_headers = {"Retry-After": "300"}

    world.sweep()

    world.clock.at += timedelta(seconds=299)
    assert due(world) == 0
    world.clock.at += timedelta(seconds=1)
    assert due(world) == 1


def test_the_oldest_is_as_old_as_its_event(world: World) -> None:
    """Not as what it was postponed to: an alarm that forgets is none."""
    saved(world, 1)
    world.wire.failures = [httpx.ConnectError("down")] * 2

    first, second = world.sweep(40), world.sweep(560)

    assert [round(it.oldest_s) for it in (first, second)] == [40, 600]


def test_what_waits_is_listed_as_pending(world: World) -> None:
    """A record of each delivery, so that listings by status show it."""
    (event,) = saved(world, 1)
    world.wire.failures = [httpx.ConnectError("down")]

    world.sweep()

    listed = answers.list_deliveries(world.store, {"status": "pending"})["deliveries"]
    assert {it["destination"] for it in listed} == set(event.expected)


def test_what_is_refused_and_may_be_there_keeps_no_other_shard_from_being_published(world: World) -> None:
    """QStash answers: it is this one's own affair."""
    refused = saved(world, 1, shard=0, body=b'{"a":1}')
    others = saved(world, 1, shard=1)
    world.wire.refused = {b'{"a":1}': 400}

    world.sweep()

    assert (statuses(world, refused), statuses(world, others)) == ({Status.PENDING}, {Status.IN_FLIGHT})
