"""A destination that QStash's answer didn't name: the group has it under another URL, or lacks it; the log tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.model.delivery import Status
from relay.model.ids import iso
from relay.publishing.deduplication import UNTOLD_YET
from relay.qstash.message_log import LOG_LAG

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World


def drifted(world: World) -> Event:
    """Return an event that QStash sent to another URL of erp than the relay knows: in the middle of a deploy."""
    world.wire.topics["relay.audit"]["erp"] = "https://erp.example.com/new"
    return world.post().event


def test_a_drifted_destination_asks_the_log_though_it_is_young(world: World) -> None:
    """The group's message has another deduplication id: QStash wouldn't know the two for one."""
    event = drifted(world)

    world.sweep(300)

    assert len(world.wire.log_calls) == 1
    assert len(world.wire.published) == 2
    assert world.message(event, "erp") == world.wire.logs[1]["messageId"]


def test_a_drifted_destination_is_told_as_waiting(world: World) -> None:
    """Its event isn't published as a whole yet."""
    event = world.save()
    world.wire.topics["relay.audit"]["erp"] = "https://erp.example.com/new"

    done = world.sweep()

    assert (done.published, done.waiting, done.failed) == (0, 1, 0)
    assert world.delivery(event, "erp").reason == UNTOLD_YET.format(iso(world.clock.at + LOG_LAG))
    assert world.delivery(event, "ledger").reason is None


def test_a_drifted_destination_is_not_published_to_while_the_log_fails(world: World) -> None:
    """Without it nobody knows; it stays owed."""
    event = drifted(world)
    world.wire.broken = {"GET /v2/logs": 500}

    done = world.sweep(300)

    assert (done.published, done.failed) == (0, 1)
    assert len(world.wire.published) == 2
    assert world.delivery(event, "erp").status is Status.PENDING
    assert world.delivery(event, "erp").due_at is not None


def test_a_drifted_destination_waits_until_the_log_cant_lag(world: World) -> None:
    """Its line comes late: what asked before would make a second message."""
    event = drifted(world)
    world.wire.lag = LOG_LAG

    for _ in range(6):
        world.sweep(60)

    assert len(world.wire.published) == 2
    assert world.message(event, "erp") == world.wire.logs[1]["messageId"]
