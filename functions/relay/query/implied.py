"""Deliveries that have no record yet: an event is to be published first, and names them in what it expects.

No entry of an index stands for one of them.  They are found by what owes them, the outbox mark of their event: where
few events of a shard have one, by these; else by walking the shard's events, among which they are then many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from relay.model.ids import EventId
from relay.storage.listings import delivery_position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay.model.delivery import Delivery
    from relay.storage.items import Item
    from relay.storage.store import Store


class Place(NamedTuple):
    """Where a delivery stands in the listings, as its record's entry would.

    Attributes:
        at: Its sort key.
    """

    at: str
    event: EventId
    destination: str


def newest(
    store: Store, *, since: str, below: str, equal: Mapping[str, str], destination: str | None, limit: int
) -> tuple[list[Place], str | None]:
    """Return the newest deliveries without a record, and the sort key to go on below; None at the end.

    One that got a record since is among them: `delivery` tells how it stands.  A page may be short before the end.

    Args:
        since: Lowest sort key, inclusive.
        below: Sort key that all must be below.
        equal: Attributes that their events must have.
        destination: That they must have; None: any.
    """
    found: list[Place] = []
    floor = ""
    for shard in store.shards():
        events, stopped_at = store.listings.marked(shard, since=since, below=below, equal=equal, limit=limit)
        found += [it for event in events for it in places(event) if it.at < below]
        floor = max(floor, stopped_at or "")
    wanted = (it for it in found if it.at >= floor and destination in {None, it.destination})
    page = sorted(wanted, reverse=True)
    if len(page) > limit:
        return page[:limit], page[limit - 1].at
    return page, floor or None


def places(event: Item) -> Iterator[Place]:
    """Yield the deliveries that *event*, an item or its entry, owes its first publish."""
    for name, group in event["expected"].items():
        if group in event["unpublished"]:
            yield Place(delivery_position(event, name), EventId(event["pk"]), name)


def delivery(store: Store, place: Place) -> Delivery | None:
    """Return the delivery at *place* as it stands: it may have a record by now; None: its event has expired."""
    event = store.event(place.event)
    if event is None or place.destination not in event.expected:
        return None
    return store.delivery(event, place.destination)
