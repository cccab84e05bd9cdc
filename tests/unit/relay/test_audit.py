"""The audit over the real store, QStash at the wire: what it balances when, and what it mends."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.errors import UpstreamError
from relay.jobs.audit import FIRST, GRACE, OVERLAP, Audited, audit
from relay.model.delivery import Status
from relay.storage.leases import AUDIT
from tests.unit.relay.dead_letters import DeadLetters
from tests.unit.relay.ledgers import NAMES, SECOND, audited, not_due, put, saved, unmark
from tests.unit.relay.slow import left, slow_aws

if TYPE_CHECKING:
    from datetime import datetime

    from tests.unit.relay.world import World

HOUR = timedelta(hours=1)


def post_at(world: World, at: datetime) -> None:
    """Have an event come at another time than now, which it is again then."""
    now = world.clock.at
    world.clock.at = at
    world.post(key=str(at))
    world.clock.at = now


# -- what it mends ------------------------------------------------------------------------------------------------


def test_what_nobody_publishes_is_published_once(world: World) -> None:
    """Its mark was lost: the sweep turns to each of its deliveries, whose URL gets it."""
    event = saved(world)
    unmark(world, event)
    before = len(world.wire.published)

    done = audited(world)
    world.sweep()
    again = audited(world)
    world.sweep()

    assert (done.balanced, done.repaired, done.findings) == (3, 3, [])
    assert (again.balanced, again.repaired) == (3, 0)
    assert world.statuses(event.id) == dict.fromkeys(NAMES, Status.IN_FLIGHT)
    targets = sorted(it.url.path.removeprefix("/v2/publish/") for it in world.wire.published[before:])
    assert targets == sorted(world.settings.destination_url(name) for name in NAMES)


def test_what_qstash_has_all_the_same_is_attached(world: World) -> None:
    """It was taken, and the answer lost, and then the mark: the log is asked before anything is published."""
    world.wire.failures = [httpx.ReadTimeout("lost")]
    event = world.post().event
    unmark(world, event)
    before = len(world.wire.published)

    done = audited(world)
    world.sweep()

    assert done.repaired == 3
    assert world.statuses(event.id) == dict.fromkeys(NAMES, Status.IN_FLIGHT)
    assert len(world.wire.published) == before
    assert len(world.wire.taken) == 2


def test_what_nobody_looks_after_is_looked_after(world: World) -> None:
    event = world.post().event
    not_due(world, event, "erp")
    message = world.store.delivery(event, "erp").message_id
    assert message is not None
    world.wire.say(message, "DELIVERED", responseStatus=200)

    done = audited(world)
    world.sweep()

    assert (done.repaired, done.findings) == (1, [])
    assert world.statuses(event.id)["erp"] is Status.DELIVERED


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_FLIGHT])
def test_what_nobody_owes_anything_is_mended_however_old_its_event_is(world: World, status: Status) -> None:
    """What is replayed, or waited in the spool, came long before any window."""
    event = world.post().event
    audited(world)
    world.clock.at += timedelta(days=2)
    audited(world)
    put(world, event, "erp", status, due_at=None)

    done = audited(world)

    assert (done.balanced, done.repaired) == (0, 1)
    assert world.store.delivery(event, "erp").due_at is not None


@pytest.mark.local_aws
def test_what_is_heard_of_meanwhile_needs_no_mending(world: World) -> None:
    """Its callback comes between the look at the ledger and the change."""
    event = world.post().event
    not_due(world, event, "erp")
    events: Any = world.store.table.client.meta.events

    def report(params: Any, **_: Any) -> None:
        if params["Key"]["sk"]["S"] == "EVENT":
            events.unregister("provide-client-params.dynamodb.GetItem", report)
            world.report(event, "erp")

    events.register("provide-client-params.dynamodb.GetItem", report)
    done = audited(world)

    assert done.repaired == 0
    assert world.statuses(event.id)["erp"] is Status.DELIVERED


def test_what_is_unaccounted_is_found_and_left_to_a_person(world: World) -> None:
    event = world.post().event
    put(world, event, "erp", Status.UNACCOUNTED, reason="nobody knows")

    done = audited(world)

    assert [(it.destination, it.why) for it in done.findings] == [("erp", "nobody knows")]
    assert (done.repaired, done.unaccounted) == (0, 1)
    assert world.statuses(event.id)["erp"] is Status.UNACCOUNTED


def test_the_unaccounted_of_any_time_are_counted(world: World) -> None:
    """The alarm lasts until a person has decided, however long ago the event came."""
    for number in range(3):
        put(world, world.post(key=str(number)).event, "erp", Status.UNACCOUNTED)
    audited(world, after=timedelta(days=9))

    done = audited(world)

    assert (done.balanced, done.findings, done.unaccounted) == (0, [], 3)


# -- what it balances when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "balanced"),
    [(FIRST, 3), (FIRST + SECOND, 0), (GRACE + SECOND, 3), (GRACE, 0)],
    ids=["a day ago", "before", "five minutes ago", "just now"],
)
def test_the_first_audit_balances_a_day_but_for_what_is_on_its_way(world: World, age: timedelta, balanced: int) -> None:
    world.post()

    assert audited(world, after=age).balanced == balanced


@pytest.mark.parametrize(("before", "balanced"), [(timedelta(0), 3), (OVERLAP, 3), (OVERLAP + SECOND, 0)], ids=str)
def test_the_next_audit_goes_on_where_the_last_one_ended_and_an_hour_before(
    world: World, before: timedelta, balanced: int
) -> None:
    """What was in the spool is written late, under the time at which it came."""
    world.clock.at += 3 * HOUR
    ended = world.clock.at - GRACE
    audited(world, after=timedelta(0))
    post_at(world, ended - before)

    done = audited(world, after=timedelta(minutes=5))

    assert done.balanced == balanced


def test_however_long_no_audit_ran_nothing_is_left_out(world: World) -> None:
    audited(world)
    world.post()

    assert audited(world, after=timedelta(days=5)).balanced == 3


def cut_short(world: World) -> Audited:
    """Run the audit, some time later, with a table so slow that it doesn't come to the end."""
    world.clock.at += GRACE + SECOND
    with slow_aws(world, lambda: 0.3):
        return audited(world, after=timedelta(0), seconds=left(world, 20))


def test_an_audit_goes_on_where_time_ran_out(world: World) -> None:
    """The next one does the rest of the same window, however late; the one after it what came meanwhile."""
    for number in range(12):
        world.post(key=str(number))

    first = cut_short(world)
    world.post(key="meanwhile")
    second = audited(world, after=3 * OVERLAP)
    third = audited(world)

    assert (first.complete, second.complete, third.complete) == (False, True, True)
    assert 0 < first.balanced < 36
    assert first.balanced + second.balanced == 36
    assert third.balanced == 39


def test_the_rest_of_a_window_is_mended_too(world: World) -> None:
    events = [saved(world, str(number)) for number in range(12)]
    for event in events:
        unmark(world, event)

    first = cut_short(world)
    second = audited(world)

    assert 0 < first.repaired < 36
    assert first.repaired + second.repaired == 36


# -- one at a time, and all of it ---------------------------------------------------------------------------------


def test_beside_another_audit_it_does_nothing(world: World) -> None:
    world.post()
    world.clock.at += GRACE
    world.store.leases.take(AUDIT, "another")

    done = audited(world, after=SECOND)

    assert done == Audited(skipped=True)
    assert world.store.state.last_audit() == {}


def test_its_lease_is_free_at_once(world: World) -> None:
    audited(world)

    assert world.store.leases.take(AUDIT, "another")


def test_while_qstash_is_away_it_fails_and_the_next_one_does_it_all(world: World) -> None:
    """Its alarm is told, its lease free, and where it goes on is where it would have."""
    letters = DeadLetters(world)
    event = world.post().event
    dead = letters.add_callback(event, "erp")
    letters.failures = [503]
    with pytest.raises(UpstreamError):
        audited(world)

    done = audit(world.publisher, owner="b", seconds_left=lambda: 30)

    assert (done.skipped, done.balanced, done.settled) == (False, 3, 1)
    assert dead not in letters.ids
