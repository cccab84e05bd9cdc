"""Replays as they stand in the table: what each is to replay, how far it has come, and whether it goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relay.model.ids import DeliveryId, Generation, from_iso, iso
from relay.model.replay import Replay, ReplayState
from relay.storage.items import Item, shard_of, ttl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.storage.listings import Listings
    from relay.storage.table import Table

REPLAYS = "replays"  # the partitions of the feed
RUNNING = "replays#running"  # the one partition of what is due


class Replays:
    """The replays of a store."""

    def __init__(self, table: Table, listings: Listings, now: Callable[[], datetime]) -> None:
        self._table = table
        self._listings = listings
        self._now = now

    def save(self, replay: Replay) -> None:
        """Save a new replay; one that runs is due at once."""
        self._table.put(_replay_item(replay, due_at=replay.started_at if replay.state is ReplayState.RUNNING else None))

    def get(self, replay_id: str) -> Replay | None:
        """Return the replay, or None."""
        item = self._table.get(_pk(replay_id), "JOB")
        return None if item is None else _replay_of(item)

    def started(self, replay_id: str, limit: int) -> list[tuple[DeliveryId, Generation]]:
        """Return up to *limit* deliveries that the replay has started, each with the generation that it gave it."""
        condition = "pk = :pk AND begins_with(sk, :prefix)"
        items, _ = self._table.page(condition, {":pk": _pk(replay_id), ":prefix": "dlv_"}, Limit=limit)
        return [(DeliveryId(item["sk"]), Generation(item["generation"])) for item in items]

    def has_started(self, replay_id: str, delivery: str) -> bool:
        """Tell whether the replay has started the delivery."""
        return self._table.get(_pk(replay_id), delivery) is not None

    def newest(self, limit: int) -> list[Replay]:
        """Return the newest *limit* replays."""
        entries, _ = self._listings.page([REPLAYS], limit=limit)
        found = (self.get(_id_of(entry)) for entry in entries)
        return [replay for replay in found if replay is not None]

    def due(self) -> list[str]:
        """Return the ids of the replays that are due to go on."""
        values = {":pk": RUNNING, ":now": iso(self._now())}
        items, _ = self._table.page("due_pk = :pk AND due_sk <= :now", values, IndexName="due")
        return [_id_of(item) for item in items]

    def advance(self, before: Replay, after: Replay, due_at: datetime | None) -> bool:
        """Save how far a running replay has come; return whether nobody stopped or advanced it meanwhile.

        Args:
            due_at: When it is to go on; None: it is done.
        """
        return self._put_over(before, _replay_item(after, due_at))

    def turn(self, replay: Replay, state: ReplayState) -> bool:
        """Stop a running replay, or resume a stopped one; return whether it still was what *replay* says."""
        item = _replay_item(replace(replay, state=state), due_at=self._now() if state is ReplayState.RUNNING else None)
        return self._put_over(replay, item)

    def _put_over(self, before: Replay, item: Item) -> bool:
        """Put *item* if the replay's state and position are still those of *before*; return whether they were."""
        values: Item = {":state": before.state.value, ":at": before.at}
        same = "#at = :at" if before.at is not None else "attribute_not_exists(#at)"
        return self._table.put_if(item, f"#state = :state AND {same}", values, ["state", "at"]) is None


def _pk(replay_id: str) -> str:
    return f"REPLAY#{replay_id}"


def _id_of(item: Mapping[str, Any]) -> str:
    return str(item["pk"]).removeprefix("REPLAY#")


def _replay_item(replay: Replay, due_at: datetime | None) -> Item:
    started_at = iso(replay.started_at)
    return {
        "pk": _pk(replay.id),
        "sk": "JOB",
        "kind": "JOB",
        "state": replay.state.value,
        "by": replay.by,
        "reason": replay.reason,
        "started_at": started_at,
        "expires_at": ttl(replay.expires_at),
        "query": dict(replay.query),
        "rate": replay.rate,
        "at": replay.at,
        "replayed": replay.replayed,
        "skipped": replay.skipped,
        "feed_pk": f"{REPLAYS}#{shard_of(replay.id)}",
        "feed_sk": f"{started_at}#{replay.id}",
        "due_pk": RUNNING if due_at else None,
        "due_sk": iso(due_at) if due_at else None,
    }


def _replay_of(item: Mapping[str, Any]) -> Replay:
    return Replay(
        id=_id_of(item),
        state=ReplayState(item["state"]),
        by=item.get("by"),
        reason=item.get("reason"),
        started_at=from_iso(item["started_at"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        query=item["query"],
        rate=int(item["rate"]),
        at=item.get("at"),
        replayed=int(item["replayed"]),
        skipped=int(item["skipped"]),
    )
