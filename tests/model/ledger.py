"""What must be true of a world that is quiet, whatever happened before: nothing is lost, nothing is doubled."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from relay.ledger.balance import balance
from relay.model.delivery import OPEN, Status
from relay.model.ids import EventId, iso, label
from tests.model.configuration import expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.model.delivery import Delivery
    from relay.model.event import Event
    from tests.model.world import World


def violations(world: World) -> list[str]:
    """Return every way in which *world*, which is quiet, breaks the promise."""
    return [*world.broken, *_unaccounted(world), *_doubled(world), *_left_over(world), *_unbalanced(world)]


def _unaccounted(world: World) -> Iterator[str]:
    """Every acknowledged event is over at each destination that it was for, and what its record says is true."""
    for event_id in world.acknowledged:
        history = world.store.history(EventId(event_id))
        if history is None:
            yield f"{event_id} was acknowledged, and there is no record of it"
            continue
        event, deliveries = history
        found = {it.destination for it in deliveries}
        possible = [expected(event.source, it) for it in world.layouts]
        if found not in possible and not (world.was_narrow and found and found <= set().union(*possible)):
            yield f"{event_id} is not expected where it should be"
        for delivery in deliveries:
            yield from _untrue(world, event, delivery)


def _untrue(world: World, event: Event, delivery: Delivery) -> Iterator[str]:
    seen = [it for it in world.destinations.seen if (it.event, it.destination) == (event.id, delivery.destination)]
    current = [it for it in seen if it.label == label(event.id, delivery.generation)]
    if any(hashlib.sha256(it.body).hexdigest() != event.sha256 for it in seen):
        yield f"{delivery.id} brought other bytes than its event's"
    taken = any(it.succeeded for it in current)
    if delivery.status in OPEN or delivery.status is Status.HELD:
        yield f"{delivery.id} stays {delivery.status}; its destination saw it {len(current)} times, taken: {taken}"
    elif delivery.status is Status.UNACCOUNTED and event.id not in world.overdue:
        yield f"{delivery.id} is unaccounted: {delivery.reason}; taken: {taken}"
    elif delivery.status is not Status.UNACCOUNTED and (delivery.status is Status.DELIVERED) != taken:
        yield f"{delivery.id} is {delivery.status}, and its destination took it: {taken}"
    always_there = all(delivery.destination in expected("github", it) for it in world.layouts)
    if delivery.status is Status.REMOVED and always_there:
        yield f"{delivery.id} is removed, and its destination has always been there"
    if delivery.status is Status.DELIVERED and not any(it.succeeded for it in delivery.attempts.values()):
        yield f"{delivery.id} is delivered by no attempt"


def _doubled(world: World) -> Iterator[str]:
    """One generation of a delivery is one message; where one was taken, only a person begins another."""
    messages: dict[tuple[str, str], set[str]] = defaultdict(set)
    taken: dict[tuple[str, str], set[str]] = defaultdict(set)
    for arrival in world.destinations.seen:
        if arrival.label not in world.retried:
            messages[arrival.label, arrival.destination].add(arrival.message)
            if arrival.succeeded:
                taken[arrival.event, arrival.destination].add(arrival.label)
    for (what, destination), ids in messages.items():
        if len(ids) > 1:
            yield f"{what} went to {destination} as {len(ids)} messages"
    for (event, destination), labels in taken.items():
        if len(labels) > 1 and (event, destination) not in world.replayed:
            yield f"{event} was taken by {destination} in {len(labels)} generations, and nobody asked for that"


def _left_over(world: World) -> Iterator[str]:
    """Nothing is due, nothing waits in the spool, no callback fitted nothing."""
    for item in world.table.items.values():
        if "due_pk" in item:
            yield f"{item['pk']['S']} {item['sk']['S']} is still due"
    if world.bucket:
        spooled = [it for it in world.bucket if it.startswith("spool/")]
        if spooled:
            yield f"{len(spooled)} are still in the spool"
    if orphans := world.store.state.count("orphans"):
        yield f"{orphans} callbacks fitted nothing"


def _unbalanced(world: World) -> Iterator[str]:
    """The relay's own ledger says the same: what was expected is what became of it."""
    found = balance(world.store, since="0", until=iso(world.now()), seconds_left=lambda: 60)
    count = sum(len(item["expected"]["M"]) for item in world.table.items.values() if "expected" in item)
    if sum(it.total() for it in found.by_destination.values()) != count:
        yield f"of {count} deliveries, the ledger has {dict(found.by_destination)}"
    for finding in found.findings:
        if finding.event in world.overdue and not finding.mendable:
            continue
        yield f"the ledger finds {finding.id}: {finding.why}"
