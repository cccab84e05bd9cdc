"""A quota of QStash that is used up holds all publishing until it is full again, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import QStashError
from relay.ingest.webhook import Webhook
from relay.jobs.due import HOLD_MAX
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.storage.items import shard_of
from relay.verification.verify import WebhookInfo
from tests.unit.relay.world import World

if TYPE_CHECKING:
    from relay.jobs.run import Swept


def used_up(world: World, until: datetime, quota: str = "RateLimit") -> None:
    """Have QStash say of the next publish that *quota* is used up *until* a time."""
    world.wire.failures = [429]
    world.wire.failure_headers = {f"{quota}-Reset": str(int(until.timestamp())), f"{quota}-Remaining": "0"}


def held(world: World, quota: str = "RateLimit", *, for_s: int = 1800) -> Swept:
    """Have a sweep meet a quota that is used up for *for_s* seconds; return what it did."""
    used_up(world, world.clock.at + timedelta(seconds=40 + for_s), quota)
    return world.sweep(40)


@pytest.mark.parametrize("quota", ["RateLimit", "Burst-RateLimit"])
def test_publishing_is_held_until_the_quota_is_full_again(world: World, quota: str) -> None:
    """As QStash says: in seconds since the epoch."""
    world.save()

    done = held(world, quota)

    until = world.clock.at + timedelta(seconds=1800)
    assert done.held_until == until
    assert world.store.state.hold() == until


@pytest.mark.parametrize(("quota", "name"), [("RateLimit", "daily"), ("Burst-RateLimit", "burst")])
def test_the_hold_names_the_quota(world: World, quota: str, name: str) -> None:
    """An owner buys more messages; nobody buys more calls."""
    world.save()

    held(world, quota)

    hold = world.store.table.get("HOLD", "HOLD")
    assert hold is not None
    assert f"the {name} quota" in hold["reason"]


def test_nothing_is_published_before_the_hold_ends_and_all_of_it_then(world: World) -> None:
    """One call told it all; what was due stays so."""
    event = world.save()
    held(world)
    calls = len(world.wire.asked)

    during = world.sweep(1799 - 1)
    asked = len(world.wire.asked)
    after = world.sweep(2)

    assert (during.published, during.failed, asked) == (0, 0, calls)
    assert during.held_until is not None
    assert (after.published, after.held_until) == (1, None)
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_the_rest_of_the_run_publishes_nothing(world: World) -> None:
    """No shard asks for itself."""
    for number in range(12):
        world.save(key=str(number))

    held(world)

    assert len(world.wire.asked) == 1


def test_a_hold_lasts_an_hour_at_the_most(world: World) -> None:
    """Somebody may have bought more meanwhile."""
    world.save()

    done = held(world, for_s=20 * 3600)

    assert done.held_until == world.clock.at + HOLD_MAX
    assert world.sweep(HOLD_MAX.total_seconds()).published == 1


def test_a_quota_without_a_reset_holds_for_a_moment(world: World) -> None:
    """And not for ever."""
    world.save()
    world.wire.failures = [429]

    done = world.sweep()

    assert done.held_until is not None
    assert timedelta(0) < done.held_until - world.clock.at <= timedelta(minutes=1)


def test_a_refusal_that_names_no_quota_holds_nothing(world: World) -> None:
    """A server in trouble is asked again by the next run."""
    world.save()
    world.wire.failures = [503] * 3
    world.wire.failure_headers = {"Retry-After": "1800"}

    assert world.sweep().held_until is None
    assert world.store.state.hold() is None


def test_a_webhook_is_acknowledged_whatever_the_quota(world: World) -> None:
    """It is durable, and the sweep's."""
    used_up(world, world.clock.at + timedelta(hours=1))

    accepted = world.post()

    assert isinstance(accepted.failure, QStashError)
    assert accepted.failure.quota == "daily"
    assert world.store.event(accepted.event.id) is not None
    assert world.sweep().published == 1


def test_a_webhook_is_acknowledged_during_a_hold(world: World) -> None:
    """The hold is the sweep's: it takes nothing from ingest."""
    world.save()
    held(world)

    assert world.post(key="during").failure is None


def test_the_spool_is_taken_in_during_a_hold(world: World) -> None:
    """What it holds must become durable in the table, published or not."""
    world.save()
    held(world)
    said = WebhookInfo("spooled", has_id=True, event_type="push", headers={})
    world.store.spool.put(Webhook("github", world.clock.at, said, None, b"{}").dump())
    used_up(world, world.clock.at + timedelta(hours=1))

    done = world.sweep(60)

    assert (done.unspooled, done.failed) == (1, 0)
    assert world.store.spool.oldest(10) == []


def silent(world: World, **line: Any) -> str:
    """Return the message of a delivery that was made, and whose callback never came."""
    message = world.message(world.post(key="silent").event, "builder")
    world.wire.say(message, "DELIVERED", **line)
    return message


def test_what_is_in_flight_is_looked_after_during_a_hold(world: World) -> None:
    """Looking takes no messages."""
    silent(world)
    world.clock.at += timedelta(minutes=20)
    world.save()

    assert held(world).settled == 1


def test_a_look_that_meets_a_quota_holds_as_well(world: World) -> None:
    """Calls have a quota, too."""
    silent(world)
    world.wire.broken = {"GET /v2/logs": 429}
    until = World.began + timedelta(minutes=30)
    world.wire.failure_headers = {"Burst-RateLimit-Reset": str(int(until.timestamp()))}

    done = world.sweep(1200)

    assert done.failed == 1
    assert world.store.state.hold() == done.held_until == until


def test_a_shard_that_has_something_to_look_after_publishes_nothing_either(world: World) -> None:
    """It is gone through for the look alone."""
    flying, owed = [k for k in map(str, range(60)) if shard_of(event_id("github", k)) == 0][:2]
    world.wire.say(world.message(world.post(key=flying).event, "builder"), "DELIVERED")
    world.clock.at += timedelta(minutes=20)
    event = world.save(key=owed)
    world.store.state.save_hold(world.clock.at + timedelta(hours=1), "used up")

    done = world.sweep(60)

    assert (done.settled, done.published) == (1, 0)
    assert len(world.wire.published) == 2
    assert set(world.statuses(event.id).values()) == {Status.PENDING}
