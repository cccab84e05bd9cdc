"""Replays of many, for tests: what is there to replay, and a replay of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.model.delivery import Status
from relay.replay import bulk
from tests.unit.relay.ledgers import SECOND, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model.event import Event
    from relay.model.replay import Replay
    from tests.unit.relay.world import World

ERP = {"destination": "erp"}


def dead(world: World, number: int, status: Status = Status.DEAD_LETTERED, first: int = 0) -> list[Event]:
    """Have so many events come, a second each, whose delivery to erp is over; return them, the oldest first."""
    found = []
    for position in range(first, first + number):
        world.clock.at += SECOND
        event = world.post(key=str(position)).event
        put(world, event, "erp", status)
        found.append(event)
    world.clock.at += SECOND
    return found


def start(world: World, query: dict[str, str] | None = None, rate: int = 600) -> Replay:
    return bulk.start(world.store, ERP if query is None else query, rate=rate, by="arn:me", reason="mended")


def advance(world: World, job: Replay, seconds: Callable[[], float] = lambda: 30) -> int:
    return bulk.advance(world.store, world.router, job.id, seconds, workers=1)


def known(world: World, job: Replay) -> Replay:
    found = world.store.replays.get(job.id)
    assert found is not None
    return found


def erp(world: World, events: list[Event]) -> list[Status]:
    return [world.store.delivery(it, "erp").status for it in events]
