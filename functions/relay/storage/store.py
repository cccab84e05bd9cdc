"""The table and the bucket: how everything is kept.  Hides keys, indexes and conditions (see `items`), and S3.

* An event's small items never hold the body, so an update never pays for it.  A body goes first, to an item of its
  own or (above `INLINE_BODY_MAX_BYTES`) to the bucket, under its hash; then one conditional put makes the event, its
  expected deliveries and its outbox mark, and deduplicates.
* `due` is sparse: what is to be published (`outbox#{shard}`) or looked after (`watch#{shard}`), by when.
* Its parts have the rest, a module each: `listings`, `replays`, `refusals`, `quarantine` (refused requests that are
  kept whole), `spool`, `pauses`, `leases`, `reconciliation`, `deployment` and `state` (the relay's own items).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relay.errors import UpstreamError
from relay.model.delivery import Delivery
from relay.model.ids import EventId, from_iso, iso
from relay.storage.bucket import Bucket
from relay.storage.deployment import Deployment
from relay.storage.items import (
    SHARDS,
    Item,
    body_key,
    conflict_item,
    conflict_of,
    delivery_item,
    delivery_of,
    event_item,
    event_of,
    ttl,
)
from relay.storage.leases import Lease, Leases
from relay.storage.listings import Listings
from relay.storage.pauses import Pauses
from relay.storage.quarantine import Quarantine
from relay.storage.reconciliation import Reconciliation
from relay.storage.refusals import Refusals
from relay.storage.replays import Replays
from relay.storage.spool import Spool
from relay.storage.state import State
from relay.storage.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from relay.model.event import Conflict, Event

INLINE_BODY_MAX_BYTES = 64 * 1024  # an item holds 400 KB; above this a bucket's PUT is far cheaper, too
CHANGE_TRIES = 8
CONFLICTS_MAX = 20  # kept of one event: whoever sends more isn't correcting it
REMOVE_MARK = "REMOVE unpublished, due_pk, due_sk"
SEEN_MARGIN = timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """One thing that the sweep has to turn to: a delivery, or (no destination) the first publish of an event."""

    event: EventId
    destination: str | None
    at: datetime


class Store:
    """The relay's records in one DynamoDB table and one S3 bucket.

    Args:
        now: Returns the current aware UTC time.
        dynamodb, s3: Clients; by default those of `relay.runtime.aws`.
    """

    def __init__(
        self,
        table: str,
        bucket: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        dynamodb: DynamoDBClient | None = None,
        s3: S3Client | None = None,
    ) -> None:
        self.table = Table(table, now, dynamodb)
        self.bucket = Bucket(bucket, s3)
        self.now = now
        self.listings = Listings(self.table, now)
        self.reconciliation = Reconciliation(self.table)
        self.replays = Replays(self.table, self.listings, now)
        self.refusals = Refusals(self.table)
        self.quarantine = Quarantine(self.table, self.bucket, now)
        self.spool = Spool(self.table, self.bucket, now)
        self.pauses = Pauses(self.table, now)
        self.leases = Leases(self.table, now)
        self.deployment = Deployment(self.table, now)
        self.state = State(self.table, now)

    def lease(self, lease: Lease, owner: str) -> AbstractContextManager[bool]:
        """Hold *lease* within `with store.lease(…) as is_free`; it is given back at the end, whatever fails.

        Args:
            owner: Tells this run from others.
        """
        return self.leases.held(lease, owner)

    @staticmethod
    def shards() -> range:
        """Return the shards of the indexes."""
        return range(SHARDS)

    # -- bodies ---------------------------------------------------------------------------------------------------

    def save_body(self, event: EventId, sha256: str, body: bytes, expires_at: datetime) -> None:
        """Save *body* under its event and hash; saving the same again changes nothing."""
        if len(body) > INLINE_BODY_MAX_BYTES:
            self.bucket.put(body_key(event, sha256), body)
            return
        self.table.put(
            {
                "pk": event,
                "sk": f"BODY#{sha256}",
                "kind": "BODY",
                "body": body,
                "expires_at": ttl(expires_at),
            }
        )

    def body(self, event: Event) -> bytes:
        """Return the bytes that the source sent.

        Raises:
            UpstreamError: The body is gone or can't be read now.
        """
        if self.is_body_in_bucket(event):
            return self.bucket.get(body_key(event.id, event.sha256))
        item = self.table.get(event.id, f"BODY#{event.sha256}")
        if item is None:
            raise UpstreamError("DynamoDB", "the event's body is gone")
        return bytes(item["body"])

    @staticmethod
    def is_body_in_bucket(event: Event) -> bool:
        """Tell whether the body of *event* is in the bucket: large ones are."""
        return event.size_bytes > INLINE_BODY_MAX_BYTES

    def presigned_body(self, event: Event, *, method: str, content_type: str | None, seconds: int) -> str:
        """Return a URL that gives the body, which is in the bucket, to whoever asks it by *method* within *seconds*.

        S3 says of it what is given here, and that it is to be saved, not shown: who wrote it is anybody.

        Args:
            method: `GET` or `HEAD`; the URL is good for that one alone.
        """
        answer = {"ResponseContentDisposition": f'attachment; filename="{event.sha256}"'}
        if content_type is not None:
            answer["ResponseContentType"] = content_type
        operation = "head_object" if method == "HEAD" else "get_object"
        return self.bucket.presigned(operation, body_key(event.id, event.sha256), seconds, **answer)

    # -- events ---------------------------------------------------------------------------------------------------

    def add_event(self, event: Event, due_at: datetime) -> Event | None:
        """Save *event* with its outbox mark, unless it is there: the put that saves is the one that deduplicates.

        Returns:
            None where it was saved now, else the event that was there.
        """
        old = self.table.put_if_absent(event_item(event, due_at))
        return None if old is None else event_of(old)

    def first_sent(self, source: str, key: str, now: datetime, within: timedelta) -> datetime:
        """Return when *source* sent what has the key *key* first, if that is *within* so long ago; else *now*.

        Whoever asks first decides; the same answer then holds for all, whether or not an event came of it.
        """
        item = {**_seen(source, key, "AT"), "at": iso(now), "expires_at": ttl(now + within + SEEN_MARGIN)}
        condition = "attribute_not_exists(pk) OR #at < :since"
        old = self.table.put_if(item, condition, {":since": iso(now - within)}, ["at"])
        return now if old is None else from_iso(old["at"])

    def first_key(self, source: str, sha256: str, key: str, expires_at: datetime) -> str:
        """Return the idempotency key under which *source* first sent what has the hash *sha256*: *key*, if now."""
        old = self.table.put_if_absent({**_seen(source, sha256, "KEY"), "key": key, "expires_at": ttl(expires_at)})
        return key if old is None else str(old["key"])

    def event(self, event: EventId) -> Event | None:
        """Return the event, or None."""
        item = self.table.get(event, "EVENT")
        return None if item is None else event_of(item)

    def events(self, ids: Iterable[EventId]) -> list[Event]:
        """Return those of *ids* that exist, in their order."""
        return [event for event in map(self.event, ids) if event is not None]

    def received_at(self, ids: Iterable[EventId]) -> dict[EventId, datetime]:
        """Return when those of *ids* were received that exist, read consistently.

        An EVENT item is below 4 KB as a rule, so each costs one read unit, and a hundred are one request.
        """
        found = self.table.get_many([(event, "EVENT") for event in ids], ["received_at"])
        return {EventId(pk): from_iso(item["received_at"]) for (pk, _), item in found.items()}

    def mark_reconciled(self, event: EventId) -> None:
        """Say in the event's record that it came because it was asked for; the first to say so counts."""
        self.table.update(
            (event, "EVENT"),
            "SET reconciled_at = :now",
            {":now": iso(self.now())},
            condition="attribute_exists(pk) AND attribute_not_exists(reconciled_at)",
        )

    def history(self, event: EventId) -> tuple[Event, list[Delivery]] | None:
        """Return an event with all its deliveries, expected ones that have no record included: one query."""
        found: Event | None = None
        known: dict[str, Delivery] = {}
        between = {":pk": event, ":low": "DELIVERY#", ":high": "EVENT"}
        for item in self.table.query("pk = :pk AND sk BETWEEN :low AND :high", between):
            if item["kind"] == "EVENT":
                found = event_of(item)
            else:
                delivery = delivery_of(item)
                known[delivery.destination] = delivery
        if found is None:
            return None
        expected = {name: Delivery.of(found, name) for name in found.expected}
        return found, list((expected | known).values())

    def published(self, event: Event, groups: frozenset[str]) -> None:
        """Take *groups* off the event's outbox mark; with the last one the mark itself goes.

        On condition that the mark is still this generation's; what others take off at the same time stays off.
        """
        if not event.unpublished:
            return
        key = (event.id, "EVENT")
        ours = "generation = :generation"
        values: Item = {":generation": event.generation}
        if groups >= event.unpublished:
            seen = values | {":seen": set(event.unpublished)}
            if self.table.update(key, REMOVE_MARK, seen, condition=f"{ours} AND unpublished = :seen"):
                return
        self.table.update(key, "DELETE unpublished :done", values | {":done": set(groups)}, condition=ours)
        self.forget_mark(event)

    def forget_mark(self, event: Event) -> None:
        """Take the outbox mark off an event that owes nothing any more."""
        condition = "generation = :generation AND attribute_not_exists(unpublished) AND attribute_exists(due_pk)"
        self.table.update(
            (event.id, "EVENT"), "REMOVE due_pk, due_sk", {":generation": event.generation}, (), condition
        )

    def postpone_event(self, event: Event, due_at: datetime) -> None:
        """Have the sweep try the event again at *due_at*."""
        self.table.update(
            (event.id, "EVENT"),
            "SET due_sk = :due",
            {":due": iso(due_at), ":generation": event.generation},
            condition="generation = :generation AND attribute_exists(due_pk)",
        )

    def reroute(self, before: Event, after: Event, due_at: datetime) -> bool:
        """Have the event *after* expect, and owe, what it does, where it is *before* still and owes no publish.

        A publish that is owed began at another time than what is expected from now on: the event has room for one.
        """
        item = event_item(after, due_at)
        names = ("expected", "unpublished", "held", "routed_at", "route_error", "feed_pk", "due_pk", "due_sk")
        there = [it for it in names if item[it] is not None]
        gone = [it for it in names if item[it] is None]
        change = f"SET {', '.join(f'{it} = :{it}' for it in there)}" + (f" REMOVE {', '.join(gone)}" if gone else "")
        values = {f":{it}": item[it] for it in there} | {":before": before.expected, ":generation": before.generation}
        condition = "expected = :before AND generation = :generation AND attribute_not_exists(unpublished)"
        return self.table.update((after.id, "EVENT"), change, values, condition=condition)

    def add_conflict(self, event: Event, conflict: Conflict) -> bool:
        """Keep that other bytes came under the id of *event*, and count them once.  Returns whether they were new.

        Once there are `CONFLICTS_MAX` others aren't kept, nor counted.
        """
        if event.conflicts >= CONFLICTS_MAX:
            return False
        if self.table.put_if_absent(conflict_item(conflict, event.expires_at)) is not None:
            return False
        self.table.update((event.id, "EVENT"), "ADD conflicts :one", {":one": 1}, condition="attribute_exists(pk)")
        return True

    def conflicts(self, event: Event) -> list[Conflict]:
        """Return the other bodies that came under the id of *event*."""
        values = {":pk": event.id, ":prefix": "CONFLICT#"}
        return [conflict_of(it) for it in self.table.query("pk = :pk AND begins_with(sk, :prefix)", values)]

    # -- deliveries -----------------------------------------------------------------------------------------------

    def delivery(self, event: Event, destination: str) -> Delivery:
        """Return the delivery as it stands: its record, or what the event alone implies."""
        item = self.table.get(event.id, f"DELIVERY#{destination}")
        return Delivery.of(event, destination) if item is None else delivery_of(item)

    def change_delivery(
        self,
        event: Event,
        destination: str,
        change: Callable[[Delivery], Delivery],
        *,
        known: Delivery | None = None,
    ) -> tuple[Delivery, Delivery]:
        """Apply the commutative *change* to a delivery and save it, on condition that nothing came in between.

        Args:
            change: A pure function of the delivery as it stands.  Where it changes nothing, nothing is written, but a
                delivery that has no record gets one.
            known: How it stood just now, or stands where it has no record: saves a read; being wrong costs one write.

        Returns:
            The delivery before and after.

        Raises:
            UpstreamError: The record changed under us `CHANGE_TRIES` times.
        """
        before = known or self.delivery(event, destination)
        for _ in range(CHANGE_TRIES):
            after = change(before)
            if after == before and before.version:
                return before, before
            after = replace(after, version=before.version + 1)
            item = delivery_item(after)
            if before.version:
                old = self.table.put_if(item, "version = :version", {":version": before.version})
            else:
                old = self.table.put_if_absent(item)
            if old is None:
                return before, after
            before = delivery_of(old) if old else self.delivery(event, destination)
        raise UpstreamError("DynamoDB", "the delivery is changing too fast")

    def start_replay(self, record: Item, before: Delivery, after: Delivery) -> bool:
        """Save the REPLAY *record* and the delivery's new generation, both or neither.

        Returns:
            False where the delivery isn't *before* any more, or the replay has started it already.
        """
        changed = delivery_item(replace(after, version=before.version + 1))
        return self.table.put_both(record, changed, "version = :version", {":version": before.version})

    # -- what is due ----------------------------------------------------------------------------------------------

    def due(self, queue: str, shard: int, limit: int, after: Item | None = None) -> tuple[list[Due], Item | None]:
        """Return up to *limit* things of *queue* in *shard* that are due now, the oldest first.

        Args:
            queue: `OUTBOX` or `WATCH`.
            after: Where the page before ended.

        Returns:
            The things, and where the page ended; None: nothing more is due.
        """
        values = {":pk": f"{queue}#{shard}", ":now": iso(self.now())}
        condition = "due_pk = :pk AND due_sk <= :now"
        items, last = self.table.page(condition, values, after=after, IndexName="due", Limit=limit)
        found = [
            Due(
                event=EventId(item["pk"]),
                destination=item["sk"].removeprefix("DELIVERY#") if item["sk"] != "EVENT" else None,
                at=from_iso(item["due_sk"]),
            )
            for item in items
        ]
        return found, last


def _seen(source: str, said: str, what: str) -> Item:
    return {"pk": f"SEEN#{source}#{said}", "sk": what, "kind": "SEEN"}
