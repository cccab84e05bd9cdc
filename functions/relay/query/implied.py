"""Deliveries that have no record yet: their event expects them, and still owes their first publish.

No index has an entry for such a delivery.  The outbox marks of a shard lead to its events.  A shard with over
`MARKS_MAX` marks is walked event by event instead, since many of its events then have such deliveries.
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
    """A delivery's place in the listings, the same as of its later record.

    Attributes:
        at: The sort key.
    """

    at: str
    event: EventId
    destination: str


def newest(
    store: Store, *, since: str, below: str, equal: Mapping[str, str], destination: str | None, limit: int
) -> tuple[list[Place], str | None]:
    """Return the newest deliveries without a record, and the sort key to go on below; None at the end.

    A delivery that got a record meanwhile may be among them: `delivery` reads its state.  A page may be short before
    the end.

    Args:
        since: Lowest sort key, inclusive.
        below: Highest sort key, exclusive.
        equal: Attributes that the events must have.
        destination: The deliveries' destination; None: any.
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
    """Yield the deliveries of *event*, an item or an index entry, whose first publish is owed."""
    for name, group in event["expected"].items():
        if group in event["unpublished"]:
            yield Place(delivery_position(event, name), EventId(event["pk"]), name)


def delivery(store: Store, place: Place) -> Delivery | None:
    """Return the current delivery at *place*, which may have a record by now; None: its event has expired."""
    event = store.event(place.event)
    if event is None or place.destination not in event.expected:
        return None
    return store.delivery(event, place.destination)
