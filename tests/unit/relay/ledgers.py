"""What tests of the ledger do by hand: statuses, marks and index entries as they come only of what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.jobs.audit import GRACE, Audited, audit
from relay.ledger.balance import Balance, balance
from relay.model.delivery import OPEN, Delivery, Status
from relay.model.ids import iso
from relay.storage.items import shard_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model.event import Event
    from tests.unit.relay.world import World

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
NAMES = ("builder", "erp", "ledger")

Counts = dict[str, dict[Status, int]]


def whole(world: World, *, positions: list[str | None] | None = None, seconds: Callable[[], float] = lambda: 30) -> Any:
    """Return the balance of all that came until now."""
    since, until = iso(world.began - DAY), iso(world.clock.at + SECOND)
    return balance(world.store, since=since, until=until, positions=positions, seconds_left=seconds)


def counts(*found: Balance) -> Counts:
    """Return how many deliveries have which status, all of *found* added up."""
    total: dict[str, Counter[Status]] = {}
    for part in found:
        for name, statuses in part.by_destination.items():
            total.setdefault(name, Counter()).update(statuses)
    return {name: dict(statuses) for name, statuses in total.items()}


def saved(world: World, key: str = "d-1") -> Event:
    """Have an event saved of which QStash takes nothing."""
    world.wire.failures = [500] * 3
    event = world.post(key=key).event
    world.wire.failures = []
    return event


def put(world: World, event: Event, name: str, status: Status, **changes: Any) -> Delivery:
    """Have the delivery be in *status*: due in an hour where it is open, else not at all."""
    due_at = world.clock.at + timedelta(hours=1) if status in OPEN else None
    given = {"status": status, "due_at": due_at, **changes}
    return world.store.change_delivery(event, name, lambda it: replace(it, **given))[1]


def unmark(world: World, event: Event) -> None:
    """Take the outbox mark off the event, though nothing was published."""
    edit(world, event, "EVENT", "REMOVE unpublished, due_pk, due_sk")


def edit(world: World, event: Event, sk: str, change: str) -> None:
    """Change an item of the event around the store, by an expression of DynamoDB's."""
    world.store.table.update((event.id, sk), f"{change} SET by_hand = :yes", {":yes": True})


def not_due(world: World, event: Event, name: str) -> None:
    """Have nothing be due of the delivery."""
    edit(world, event, f"DELIVERY#{name}", "REMOVE due_pk, due_sk")


def hide(world: World, event: Event, name: str) -> None:
    """Have the index not show the delivery yet."""
    edit(world, event, f"DELIVERY#{name}", "REMOVE feed_pk")


def haunt(world: World, event: Event, name: str, status: Status) -> None:
    """Have the index still show the delivery in *status*, with nothing due."""
    known = world.store.delivery(event, name)
    received = iso(known.event_received_at)
    world.store.table.put(
        {
            "pk": event.id,
            "sk": f"GHOST#{name}#{status}",
            "destination": name,
            "status": status.value,
            "expires_at": int(known.expires_at.timestamp()),
            "feed_pk": f"{status.value}#{shard_of(event.id)}",
            "feed_sk": f"{received}#{event.id}#{name}",
        }
    )


def audited(world: World, after: timedelta = GRACE + SECOND, seconds: Callable[[], float] = lambda: 30) -> Audited:
    """Run the audit, some time later."""
    world.clock.at += after
    return audit(world.publisher, owner="a", seconds_left=seconds)
