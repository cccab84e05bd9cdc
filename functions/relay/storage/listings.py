"""The index `feed`: what there is, newest first.  Every partition has the same sort key, so a page is a merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.model.delivery import Status
from relay.model.ids import iso
from relay.storage.items import OUTBOX, SHARDS, Item, ttl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relay.storage.table import Table

PAGE_READS_MAX = 10
OWED_LOOKED_AT = 50


class Listings:
    """The listings of a store."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def feed(
        self,
        partitions: Iterable[str],
        *,
        since: str,
        below: str,
        equal: Mapping[str, str],
        limit: int,
    ) -> tuple[list[Item], str | None]:
        """Return the newest *limit* entries of some feed partitions (`events` or statuses), all shards merged.

        Args:
            since: Lowest sort key, inclusive.
            below: Sort key that all entries must be below.
            equal: Attributes that entries must have.

        Returns:
            The entries, newest first, and the sort key to go on below; None at the end.  A page may be short, or
            empty, before the end: reading is bounded, however rare the entries are.
        """
        found: list[Item] = []
        floor = ""
        for partition in partitions:
            for shard in range(SHARDS):
                items, stopped_at = self.newest(f"{partition}#{shard}", since, below, equal, limit)
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
        partition: str,
        since: str,
        below: str,
        equal: Mapping[str, str],
        limit: int,
        *,
        unpublished: bool = False,
    ) -> tuple[list[Item], str | None]:
        """Return the newest entries of one partition (with its shard), and where to go on below; None at the end.

        At least *limit* of them, where there are so many; fewer, where reading on found too few of *equal*.

        Args:
            unpublished: Of events, only those that are to be published first.
        """
        names = {"#expires": "expires_at", **{f"#f{n}": name for n, name in enumerate(equal)}}
        values = {":pk": partition, ":since": since, ":below": below, ":now": ttl(self._now())}
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

    def marks(self, shard: int, most: int) -> list[str] | None:
        """Return the ids of the events of *shard* that are to be published first; None where they may be over *most*.

        The index lags by moments.
        """
        found: list[str] = []
        last: Item | None = None
        for _ in range(PAGE_READS_MAX):
            items, last = self._table.page("due_pk = :pk", {":pk": f"{OUTBOX}#{shard}"}, after=last, IndexName="due")
            found += [it["pk"] for it in items if it["sk"] == "EVENT"]
            if len(found) > most:
                return None
            if last is None:
                return found
        return None

    def entries(self, partition: str, above: str, below: str, limit: int | None = None) -> tuple[list[Item], bool]:
        """Return the entries of one partition between two sort keys, the oldest first, and whether there are more.

        Args:
            partition: With its shard, `events#3`.
            limit: At most so many; None: all.
        """
        values = {":pk": partition, ":above": above, ":below": below, ":now": ttl(self._now())}
        request: Any = {"IndexName": "feed", "FilterExpression": "expires_at > :now"}
        found: list[Item] = []
        last: Item | None = None
        while True:
            condition = "feed_pk = :pk AND feed_sk BETWEEN :above AND :below"
            items, last = self._table.page(condition, values, after=last, **request)
            found += [it for it in items if above < it["feed_sk"] < below]
            if limit is not None and len(found) > limit:
                return found[:limit], True
            if last is None:
                return found, False

    def has_open(self, by: datetime) -> bool:
        """Tell whether anything that came *by* a time is still to end: QStash has it, or is to have it.

        The indexes lag by moments.  Where very much is to be published, it may be told of what came later, too.
        """
        until = f"{iso(by)}~"
        in_flight = Status.IN_FLIGHT.value
        return any(
            self._owes(f"{OUTBOX}#{shard}", iso(by)) or self.entries(f"{in_flight}#{shard}", "0", until, 0)[1]
            for shard in range(SHARDS)
        )

    def _owes(self, partition: str, by: str) -> bool:
        page, more = self._table.page("due_pk = :pk", {":pk": partition}, IndexName="due", Limit=OWED_LOOKED_AT)
        items = (self._table.get(it["pk"], it["sk"]) for it in page)
        return more is not None or any(it is not None and it["received_at"] <= by for it in items)
