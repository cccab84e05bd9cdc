"""The equation that proves the promise: for each destination, expected deliveries = the sum over all statuses.

Each event names its expected deliveries when it comes.  The balance reads their statuses from the index, shard by shard
and slice by slice.  The index lags, so a delivery that looks wrong there is read again from the table.  An open
delivery that nothing is due to publish or to follow up is unaccounted, and so is one that QStash can't tell of.

Cost of an event with two deliveries: about 0.3 read units (three entries of the index, eventually consistent), and one
query of the table if the index looks wrong.  A run costs 72 queries, however few events there are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.model.delivery import Delivery, Status
from relay.model.ids import DeliveryId, EventId, delivery_id
from relay.storage.items import EVENTS
from relay.storage.listings import position_past

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from relay.model.event import Event
    from relay.storage.items import Item
    from relay.storage.store import Store

EVENTS_A_SLICE = 500
OPEN_A_SHARD = 500
NOBODY_PUBLISHES = "it isn't published, and nothing is due to publish it"
NOBODY_LOOKS = "QStash has it, and nothing is due to look after it"


@dataclass(frozen=True)
class Finding:
    """A delivery that is unaccounted: which, and why.

    Attributes:
        mendable: Whether the sweep mends the delivery once it is due again.
    """

    event: EventId
    destination: str
    why: str
    mendable: bool

    @property
    def id(self) -> DeliveryId:
        """The delivery's id."""
        return delivery_id(self.event, self.destination)


@dataclass
class Balance:
    """The deliveries expected in a time, by status.

    Attributes:
        by_destination: Destination -> how many deliveries have which status.
        findings: The unaccounted deliveries.
        positions: The sort key of each shard to go on above; None: the shard was read to its end.
    """

    by_destination: dict[str, Counter[Status]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    positions: list[str | None] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Tell whether all shards were read to their ends."""
        return all(it is None for it in self.positions)

    def add(self, destination: str, status: Status) -> None:
        """Count one expected delivery."""
        self.by_destination.setdefault(destination, Counter())[status] += 1


def balance(
    store: Store,
    *,
    since: str,
    until: str,
    positions: list[str | None] | None = None,
    seconds_left: Callable[[], float],
) -> Balance:
    """Return the balance of the events that came from *since* to before *until*, as ISO times.

    Args:
        positions: Those of an earlier balance of the same times, to go on from.
        seconds_left: The time left; if it runs out, the balance stops between two slices.
    """
    found = Balance(positions=[since] * len(store.shards()) if positions is None else list(positions))
    for shard in store.shards():
        while (position := found.positions[shard]) is not None and seconds_left() > 0:
            found.positions[shard] = _slice(store, shard, position, until, found)
    return found


def forgotten(store: Store) -> list[Finding]:
    """Return the open deliveries, of any age, that nothing is due for; up to `OPEN_A_SHARD` of each shard and status.

    The oldest come first.
    """
    found: list[Finding] = []
    for shard in store.shards():
        for status in (Status.PENDING, Status.IN_FLIGHT):
            entries, _ = store.listings.oldest(status, shard, limit=OPEN_A_SHARD)
            suspects = {it["pk"]: it for it in entries if "due_sk" not in it}
            for history in map(store.history, map(EventId, suspects)):
                if history is not None:
                    event, deliveries = history
                    found += [it for one in deliveries for it in _findings(event, one, event.unpublished)]
    return [it for it in found if it.mendable]


def _slice(store: Store, shard: int, above: str, until: str, found: Balance) -> str | None:
    """Add the next events of *shard* and their deliveries to *found*; return where to go on; None at the end."""
    events, more = store.listings.oldest(EVENTS, shard, above=above, below=until, limit=EVENTS_A_SLICE)
    top = position_past(events[-1]) if more else until
    recorded: dict[tuple[str, str], list[Item]] = {}
    for status in Status:
        entries, _ = store.listings.oldest(status, shard, above=above, below=top)
        for entry in entries:
            recorded.setdefault((entry["pk"], entry["destination"]), []).append(entry)
    for event in events:
        doubtful = {
            name: group
            for name, group in event["expected"].items()
            if not _is_sound(event, group, recorded.get((event["pk"], name), []))
        }
        for name in event["expected"].keys() - doubtful.keys():
            entries = recorded.get((event["pk"], name), [])
            found.add(name, Status(entries[0]["status"]) if entries else Status.PENDING)
        if doubtful:
            _read_again(store, event, doubtful, found)
    return top if more else None


def _is_sound(event: Mapping[str, Any], group: str, entries: list[Item]) -> bool:
    """Tell whether the index shows one status, and something due if that status is open."""
    if len(entries) > 1:
        return False  # the index is between two statuses of the delivery
    marked = group in event.get("unpublished", ()) and "due_sk" in event
    if not entries:
        return marked
    status = Status(entries[0]["status"])
    if status is Status.PENDING:
        return marked or "due_sk" in entries[0]
    return status is not Status.UNACCOUNTED and (status is not Status.IN_FLIGHT or "due_sk" in entries[0])


def _read_again(store: Store, entry: Item, names: Mapping[str, str], found: Balance) -> None:
    """Add the deliveries of *entry*'s event to the destinations *names*, as the table has them."""
    history = store.history(EventId(entry["pk"]))
    if history is None:
        return  # it expired between the two reads
    event, deliveries = history
    marked = event.unpublished if "due_sk" in entry else frozenset()  # once it isn't due, it never is again
    for delivery in deliveries:
        if delivery.destination in names:
            found.add(delivery.destination, delivery.status)
            found.findings += _findings(event, delivery, marked)


def _findings(event: Event, delivery: Delivery, marked: Collection[str]) -> Iterator[Finding]:
    where = event.id, delivery.destination
    if delivery.status is Status.UNACCOUNTED:
        yield Finding(*where, delivery.reason or "", mendable=False)
    elif delivery.due_at is not None:
        return
    elif delivery.status is Status.PENDING and delivery.group not in marked:
        yield Finding(*where, NOBODY_PUBLISHES, mendable=True)
    elif delivery.status is Status.IN_FLIGHT:
        yield Finding(*where, NOBODY_LOOKS, mendable=True)
