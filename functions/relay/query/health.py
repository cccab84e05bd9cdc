"""Destination health, computed from the `feed` index on request.

Pending, held and in-flight deliveries count whatever their age; the others count if their events came in the time
asked for.  The index lags by moments.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest, NotFound
from relay.model.delivery import DEAD, OPEN, Status
from relay.model.ids import from_iso, iso
from relay.query import implied
from relay.storage.filters import time_of
from relay.storage.items import HIGHEST, LOWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from relay.config.settings import Settings
    from relay.storage.items import Item
    from relay.storage.store import Store

SINCE = timedelta(days=1)
NOW = OPEN | {Status.HELD}  # count whatever their age
SLICE = 500
ENTRIES_MAX = 50_000  # some 30 MB of index: about a cent in 20 questions


@dataclass
class Health:
    """The health of one destination.

    Attributes:
        counts: How many deliveries have which status.
        attempts, failed: How many attempts were made, and how many of them failed.
        delivered_s: The time of each delivered one from its event's arrival to its delivery, in seconds.
        last_success_at: The time of the last success, an ISO time.
        oldest_in_flight_at: The arrival of the oldest event still in flight to the destination, an ISO time.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    attempts: int = 0
    failed: int = 0
    delivered_s: list[float] = field(default_factory=list)
    last_success_at: str | None = None
    oldest_in_flight_at: str | None = None

    def add(self, entry: Item) -> None:
        """Count the delivery of an index *entry*."""
        status, attempts = Status(entry["status"]), int(entry["attempts_count"])
        self.counts[status] += 1
        self.attempts += attempts
        self.failed += max(0, attempts - 1) if status is Status.DELIVERED else attempts
        received, updated = str(entry["received_at"]), str(entry["updated_at"])
        if status is Status.DELIVERED:
            self.delivered_s.append((from_iso(updated) - from_iso(received)).total_seconds())
            self.last_success_at = max(self.last_success_at or updated, updated)
        if status is Status.IN_FLIGHT:
            self.oldest_in_flight_at = min(self.oldest_in_flight_at or received, received)

    @property
    def failure_rate(self) -> float | None:
        """The share of failed attempts, 0 to 1; None without attempts."""
        return self.failed / self.attempts if self.attempts else None

    @property
    def p95_s(self) -> float | None:
        """The 95th percentile of `delivered_s`, in seconds; None if nothing was delivered."""
        ranked = sorted(self.delivered_s)
        return ranked[ceil(len(ranked) * 0.95) - 1] if ranked else None

    @property
    def looks_dead(self) -> bool:
        """Tell whether nothing was delivered, though attempts failed or deliveries died."""
        return not self.counts[Status.DELIVERED] and bool(self.failed or any(self.counts[it] for it in DEAD))

    def in_flight_s(self, now: datetime) -> float | None:
        """Return the age of the oldest event in flight, in seconds; None: none is in flight."""
        at = self.oldest_in_flight_at
        return None if at is None else max(0.0, (now - from_iso(at)).total_seconds())


@dataclass
class Look:
    """The health of each destination in the ledger; *complete*: whether all entries were read."""

    by_destination: dict[str, Health] = field(default_factory=dict)
    complete: bool = True


def look(store: Store, *, since: datetime, seconds_left: Callable[[], float], destination: str | None = None) -> Look:
    """Return the health of the destinations *since* a time, or of *destination* alone.

    All partitions are read in turn, the newest entries first.  If time or `ENTRIES_MAX` ends the reading, the oldest
    entries are missing.
    """
    equal: Mapping[str, str] = {} if destination is None else {"destination": destination}
    found, read = Look(), 0
    spared_s = seconds_left() / 2  # for deliveries with a record
    waiting = _without_record(store, found, lambda: seconds_left() - spared_s, destination)
    left = deque((status, shard, HIGHEST) for status in Status for shard in store.shards())
    while left:
        if seconds_left() <= 0 or read >= ENTRIES_MAX:
            found.complete = False
            break
        status, shard, below = left.popleft()
        oldest = LOWEST if status in NOW else iso(since)
        entries, stopped_at = store.listings.newest(status, shard, since=oldest, below=below, equal=equal, limit=SLICE)
        for entry in entries:
            found.by_destination.setdefault(entry["destination"], Health()).add(entry)
            waiting.discard((entry["pk"], entry["destination"]))
        read += len(entries)
        if stopped_at is not None:
            left.append((status, shard, stopped_at))
    for _, name in waiting:
        found.by_destination.setdefault(name, Health()).counts[Status.PENDING] += 1
    return found


def _without_record(
    store: Store, found: Look, seconds_left: Callable[[], float], destination: str | None
) -> set[tuple[str, str]]:
    """Return the deliveries, event and destination, that their events are to be published first for.

    Those among them that have a record already are counted by it.
    """
    waiting: set[tuple[str, str]] = set()
    left = deque((shard, HIGHEST) for shard in store.shards())
    while left:
        if seconds_left() <= 0 or len(waiting) >= ENTRIES_MAX:
            found.complete = False
            break
        shard, below = left.popleft()
        events, stopped_at = store.listings.marked(shard, below=below, limit=SLICE)
        places = (it for event in events for it in implied.places(event))
        waiting |= {(it.event, it.destination) for it in places if destination in {None, it.destination}}
        if stopped_at is not None:
            left.append((shard, stopped_at))
    return waiting


def list_destinations(
    settings: Settings,
    store: Store,
    query: Mapping[str, str],
    seconds_left: Callable[[], float],
    *,
    destination: str | None = None,
) -> dict[str, Any]:
    """Return the health of all configured destinations and all in the ledger, or of *destination* alone.

    `complete` is false if time ran out: then the oldest deliveries are missing from the numbers.

    Raises:
        BadRequest: A parameter is unknown, or `since` is no time.
        NotFound: There is no such destination.
    """
    if unknown := set(query) - {"since"}:
        raise BadRequest(f"unknown parameters: {', '.join(sorted(unknown))} (allowed: since)", code="unknown_filter")
    since = time_of(query, "since") or iso(store.now() - SINCE)
    paused = store.pauses.all()
    found = look(store, since=from_iso(since), seconds_left=seconds_left, destination=destination)
    known = {*settings.destinations, *paused, *found.by_destination}
    if destination is not None and destination not in known:
        raise NotFound("there is no such destination")
    return {
        "since": since,
        "complete": found.complete,
        "destinations": [
            {
                "destination": name,
                **_configured(settings, name),
                **_shown(found.by_destination.get(name, Health()), store.now()),
                "paused": paused.get(name),
            }
            for name in (sorted(known) if destination is None else [destination])
        ],
    }


def _configured(settings: Settings, name: str) -> dict[str, Any]:
    known = settings.destinations.get(name)
    return {
        "configured": known is not None,
        "group": known.group if known else None,
        "url": known.url if known else None,
    }


def _shown(health: Health, now: datetime) -> dict[str, Any]:
    return {
        "counts": {it.value: health.counts[it] for it in Status},
        "attempts": health.attempts,
        "failed_attempts": health.failed,
        "failure_rate": health.failure_rate,
        "p95_s": health.p95_s,
        "last_success_at": health.last_success_at,
        "dead_letters": health.counts[Status.DEAD_LETTERED],
        "oldest_in_flight_s": health.in_flight_s(now),
        "looks_dead": health.looks_dead,
    }
