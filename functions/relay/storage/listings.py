"""The index `feed`: what there is, newest first.  Every partition has the same sort key, so a page is a merge."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from relay.model.delivery import Status
from relay.model.ids import iso
from relay.storage.items import EVENTS, HIGHEST, LOWEST, OUTBOX, SHARDS, Item, ttl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relay.storage.table import Table

PAGE_READS_MAX = 10
OWED_LOOKED_AT = 50
MARKS_MAX = 50  # of a shard, whose events are read one by one
NONE: Mapping[str, str] = MappingProxyType({})


class Listings:
    """The listings of a store."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def page(
        self,
        kinds: Iterable[str],
        *,
        since: str = LOWEST,
        below: str = HIGHEST,
        equal: Mapping[str, str] = NONE,
        limit: int,
    ) -> tuple[list[Item], str | None]:
        """Return the newest *limit* entries of some *kinds*, all shards merged.

        Args:
            kinds: `EVENTS`, `UNROUTED`, `REPLAYS`, or statuses of deliveries.
            since: Lowest sort key, inclusive.
            below: Sort key that all entries must be below.
            equal: Attributes that entries must have, and their values.

        Returns:
            The entries, newest first, and the sort key to go on below; None at the end.  A page may be short, or
            empty, before the end: reading is bounded, however rare the entries are.
        """
        found: list[Item] = []
        floor = ""
        for kind in kinds:
            for shard in range(SHARDS):
                items, stopped_at = self.newest(kind, shard, since=since, below=below, equal=equal, limit=limit)
                found += items
                floor = max(floor, stopped_at or "")
        found = sorted(
            (entry for entry in found if entry["feed_sk"] >= floor), key=lambda entry: entry["feed_sk"], reverse=True
        )
        page = found[:limit]
        if len(found) > limit:
            return page, page[-1]["feed_sk"]
        return page, floor or None

    def newest(
        self,
        kind: str,
        shard: int,
        *,
        since: str = LOWEST,
        below: str = HIGHEST,
        equal: Mapping[str, str] = NONE,
        limit: int,
        unpublished: bool = False,
    ) -> tuple[list[Item], str | None]:
        """Return the newest entries of one kind in one shard, and where to go on below; None at the end.

        At least *limit* of them, where there are so many; fewer, where reading on found too few of *equal*.

        Args:
            unpublished: Of events, only those that are to be published first.
        """
        names = {"#expires": "expires_at", **{f"#f{n}": name for n, name in enumerate(equal)}}
        values = {":pk": _partition(kind, shard), ":since": since, ":below": below, ":now": ttl(self._now())}
        values |= {f":f{n}": value for n, value in enumerate(equal.values())}
        only = ["attribute_exists(unpublished)"] if unpublished else []
        kept = " AND ".join(["#expires > :now", *(f"#f{n} = :f{n}" for n in range(len(equal))), *only])
        request: Any = {
            "IndexName": "feed",
            "FilterExpression": kept,
            "ExpressionAttributeNames": names,
            "ScanIndexForward": False,
            "Limit": max(limit + 1, 25),
        }
        condition = "feed_pk = :pk AND feed_sk BETWEEN :since AND :below"
        found: list[Item] = []
        last: Item | None = None
        for _ in range(PAGE_READS_MAX):
            items, last = self._table.page(condition, values, after=last, **request)
            found += [item for item in items if item["feed_sk"] != below]
            if last is None:
                return found, None
            if len(found) > limit:
                break
        return found, last["feed_sk"] if last else None

    def marked(
        self, shard: int, *, since: str = LOWEST, below: str = HIGHEST, equal: Mapping[str, str] = NONE, limit: int
    ) -> tuple[list[Item], str | None]:
        """Return the newest events of *shard* that owe a first publish, and where to go on below; None at the end.

        Where few events have an outbox mark, these are read, all of them; else the shard's events are walked.
        """
        marks = self._marks(shard)
        if marks is None:
            return self.newest(EVENTS, shard, since=since, below=below, equal=equal, limit=limit, unpublished=True)
        read = (self._table.get(event, "EVENT") for event in marks)
        return [
            event
            for event in read
            if event is not None
            and event.get("unpublished")
            and since <= event["feed_sk"] < below
            and all(event[name] == value for name, value in equal.items())
        ], None

    def _marks(self, shard: int) -> list[str] | None:
        """Return the ids of the events of *shard* that owe a first publish; None where they may be over `MARKS_MAX`.

        The index lags by moments.
        """
        found: list[str] = []
        last: Item | None = None
        for _ in range(PAGE_READS_MAX):
            items, last = self._table.page(
                "due_pk = :pk", {":pk": _partition(OUTBOX, shard)}, after=last, IndexName="due"
            )
            found += [item["pk"] for item in items if item["sk"] == "EVENT"]
            if len(found) > MARKS_MAX:
                return None
            if last is None:
                return found
        return None

    def oldest(
        self, kind: str, shard: int, *, above: str = LOWEST, below: str = HIGHEST, limit: int | None = None
    ) -> tuple[list[Item], bool]:
        """Return the entries of one kind and shard between two sort keys, the oldest first; and whether there are more.

        Args:
            limit: At most so many; None: all.
        """
        values = {":pk": _partition(kind, shard), ":above": above, ":below": below, ":now": ttl(self._now())}
        request: Any = {"IndexName": "feed", "FilterExpression": "expires_at > :now"}
        found: list[Item] = []
        last: Item | None = None
        while True:
            condition = "feed_pk = :pk AND feed_sk BETWEEN :above AND :below"
            items, last = self._table.page(condition, values, after=last, **request)
            found += [entry for entry in items if above < entry["feed_sk"] < below]
            if limit is not None and len(found) > limit:
                return found[:limit], True
            if last is None:
                return found, False

    def count(self, kind: str, *, above: str = LOWEST, below: str = HIGHEST, most: int) -> int:
        """Return how many entries of one kind there are between two sort keys: up to *most* of each shard."""
        found = (self.oldest(kind, shard, above=above, below=below, limit=most) for shard in range(SHARDS))
        return sum(len(entries) for entries, _ in found)

    def has_open(self, by: datetime) -> bool:
        """Tell whether anything that came *by* a time is still to end: QStash has it, or is to have it.

        The indexes lag by moments.  Where very much is to be published, it may be told of what came later, too.
        """
        until = f"{iso(by)}{HIGHEST}"
        return any(
            self._owes(shard, iso(by)) or self.oldest(Status.IN_FLIGHT, shard, below=until, limit=0)[1]
            for shard in range(SHARDS)
        )

    def _owes(self, shard: int, by: str) -> bool:
        outbox = {":pk": _partition(OUTBOX, shard)}
        page, more = self._table.page("due_pk = :pk", outbox, IndexName="due", Limit=OWED_LOOKED_AT)
        items = (self._table.get(entry["pk"], entry["sk"]) for entry in page)
        return more is not None or any(item is not None and item["received_at"] <= by for item in items)


def kind_of(entry: Item) -> str:
    """Return the kind that an entry is listed under: `EVENTS`, `UNROUTED`, `REPLAYS` or a delivery's status."""
    return str(entry["feed_pk"]).partition("#")[0]


def delivery_position(event: Item, destination: str) -> str:
    """Return the sort key that the entry of a delivery of *event* has, or would have."""
    return f"{event['feed_sk']}#{destination}"


def position_past(event: Item) -> str:
    """Return a sort key above those of *event*, an entry, and of its deliveries, and below those of later events."""
    return f"{event['feed_sk']}#{HIGHEST}"


def _partition(kind: str, shard: int) -> str:
    return f"{kind}#{shard}"
