"""The table and the bucket: how everything is kept.  Hides keys, indexes and conditions (see `relay.items`), and S3.

* An event's small items never hold the body, so an update never pays for it.  A body goes first, to an item of its
  own or (above `INLINE_BODY_MAX_BYTES`) to the bucket, under its hash; then one conditional put makes the event, its
  expected deliveries and its outbox mark, and deduplicates.
* `feed` lists newest first: every partition has the same sort key, so a page is a merge and a cursor is one sort key.
* `due` is sparse: what is to be published (`outbox#{shard}`), by when.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay import aws
from relay.errors import UpstreamError
from relay.items import (
    SHARDS,
    Item,
    body_key,
    delivery_item,
    delivery_of,
    event_item,
    event_of,
    refusal_item,
    refusal_key,
    slot_of,
    ttl,
)
from relay.model import Delivery, Event, EventId, from_iso, iso
from relay.refusals import SLOTS, Refusal, Slot
from relay.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

INLINE_BODY_MAX_BYTES = 64 * 1024  # an item holds 400 KB; above this a bucket's PUT is far cheaper, too
CHANGE_TRIES = 8
PAGE_READS_MAX = 10
SPOOL = "spool/"
SEEN_MARGIN = timedelta(days=1)
HANDSHAKE_KEPT_FOR = timedelta(days=1)


class Store:
    """The relay's records in one DynamoDB table and one S3 bucket.

    Args:
        now: Returns the current aware UTC time.
        dynamodb, s3: Clients; by default those of `relay.aws`.
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
        self.bucket = bucket
        self.now = now
        self._given_s3 = s3

    @cached_property
    def _s3(self) -> S3Client:
        return self._given_s3 or aws.client("s3")

    # -- bodies ---------------------------------------------------------------------------------------------------

    def save_body(self, event: EventId, sha256: str, body: bytes, expires_at: datetime) -> None:
        """Save *body* under its event and hash; saving the same again changes nothing."""
        if len(body) > INLINE_BODY_MAX_BYTES:
            with aws.speaking_to("S3"):
                self._s3.put_object(Bucket=self.bucket, Key=body_key(event, sha256), Body=body)
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
        if event.size_bytes > INLINE_BODY_MAX_BYTES:
            with aws.speaking_to("S3"):
                answer = self._s3.get_object(Bucket=self.bucket, Key=body_key(event.id, event.sha256))
                return answer["Body"].read()
        item = self.table.get(event.id, f"BODY#{event.sha256}")
        if item is None:
            raise UpstreamError("DynamoDB", "the event's body is gone")
        return bytes(item["body"])

    # -- the spool ------------------------------------------------------------------------------------------------

    def spool(self, data: bytes) -> None:
        """Keep *data* in the bucket, under a key that sorts by time."""
        with aws.speaking_to("S3"):
            self._s3.put_object(Bucket=self.bucket, Key=f"{SPOOL}{iso(self.now())}-{secrets.token_hex(8)}", Body=data)

    def spooled(self, limit: int, after: str) -> list[tuple[str, bytes]]:
        """Return the oldest of what is spooled after the key *after*, up to *limit*: keys and data."""
        with aws.speaking_to("S3"):
            listed = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=SPOOL, StartAfter=after, MaxKeys=limit)
            keys = [it["Key"] for it in listed.get("Contents", [])]
            return [(key, self._s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]

    def unspool(self, key: str) -> None:
        """Forget what is spooled under *key*."""
        with aws.speaking_to("S3"):
            self._s3.delete_object(Bucket=self.bucket, Key=key)

    # -- events ---------------------------------------------------------------------------------------------------

    def add_event(self, event: Event, due_at: datetime) -> Event | None:
        """Save *event* with its outbox mark, unless it is there: the put that saves is the one that deduplicates.

        Returns:
            None where it was saved now, else the event that was there.
        """
        old = self.table.put_if_absent(event_item(event, due_at))
        return None if old is None else event_of(old)

    def first_sent(self, source: str, sha256: str, now: datetime, within: timedelta) -> datetime:
        """Return when *source* sent the bytes of hash *sha256* first, if that is *within* so long ago; else *now*.

        Whoever asks first decides; the same answer then holds for all, whether or not an event came of it.
        """
        item = {**_seen(source, sha256, "AT"), "at": iso(now), "expires_at": ttl(now + within + SEEN_MARGIN)}
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

        On condition that the mark is still this generation's.
        """
        left = event.unpublished - groups
        values: Item = {":generation": event.generation}
        if left:
            change = "SET unpublished = :left"
            values[":left"] = set(left)
        else:
            change = "REMOVE unpublished, due_pk, due_sk"
        self.table.update((event.id, "EVENT"), change, values, condition="generation = :generation")

    def postpone_event(self, event: Event, due_at: datetime) -> None:
        """Have the sweep try the event again at *due_at*."""
        self.table.update(
            (event.id, "EVENT"),
            "SET due_sk = :due",
            {":due": iso(due_at), ":generation": event.generation},
            condition="generation = :generation AND attribute_exists(due_pk)",
        )

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
        fresh: bool = False,
    ) -> tuple[Delivery, Delivery]:
        """Apply the commutative *change* to a delivery and save it, on condition that nothing came in between.

        Args:
            change: A pure function of the delivery as it stands.  Where it changes nothing, nothing is written, but a
                delivery that has no record gets one.
            fresh: Assume that there is no record yet, which saves a read; being wrong costs one write.

        Returns:
            The delivery before and after.

        Raises:
            UpstreamError: The record changed under us `CHANGE_TRIES` times.
        """
        before = Delivery.of(event, destination) if fresh else self.delivery(event, destination)
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
            False where the delivery isn't *before* any more.
        """
        changed = delivery_item(replace(after, version=before.version + 1))
        return self.table.put_both(record, changed, "version = :version", {":version": before.version})

    # -- the outbox -----------------------------------------------------------------------------------------------

    def due(self, shard: int, limit: int) -> list[tuple[EventId, str | None, datetime]]:
        """Return up to *limit* things to publish in *shard* that are due now, the oldest first.

        Returns:
            Of each: its event, its destination (None: the event's first publish), and since when it is due.
        """
        values = {":pk": f"outbox#{shard}", ":now": iso(self.now())}
        items, _ = self.table.page("due_pk = :pk AND due_sk <= :now", values, IndexName="due", Limit=limit)
        found = []
        for item in items:
            destination = item["sk"].removeprefix("DELIVERY#") if item["sk"] != "EVENT" else None
            found.append((EventId(item["pk"]), destination, from_iso(item["due_sk"])))
        return found

    # -- listings -------------------------------------------------------------------------------------------------

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
                items, stopped_at = self._feed_partition(f"{partition}#{shard}", since, below, equal, limit)
                found += items
                floor = max(floor, stopped_at or "")
        found = sorted((it for it in found if it["feed_sk"] >= floor), key=lambda it: it["feed_sk"], reverse=True)
        page = found[:limit]
        if len(found) > limit:
            return page, page[-1]["feed_sk"]
        return page, floor or None

    def _feed_partition(
        self, partition: str, since: str, below: str, equal: Mapping[str, str], limit: int
    ) -> tuple[list[Item], str | None]:
        names = {"#expires": "expires_at", **{f"#f{n}": name for n, name in enumerate(equal)}}
        values = {":pk": partition, ":since": since, ":below": below, ":now": ttl(self.now())}
        values |= {f":f{n}": value for n, value in enumerate(equal.values())}
        kept = " AND ".join(["#expires > :now", *(f"#f{n} = :f{n}" for n in range(len(equal)))])
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
            items, last = self.table.page(condition, values, after=last, **request)
            found += [item for item in items if item["feed_sk"] != below]
            if last is None:
                return found, None
            if len(found) > limit:
                break
        return found, last["feed_sk"] if last else None

    # -- refusals -------------------------------------------------------------------------------------------------

    def add_refusal(self, refusal: Refusal, amount: int) -> None:
        """Keep *refusal* in the place of the oldest of its source and reason, and count *amount* with it: one update.

        Two at once may take the same place: the later stays, both are counted.
        """
        slots = {it.number: it for it in self._slots(refusal.source, f"{refusal.reason.value}#")}
        free = next((number for number in range(SLOTS) if number not in slots), None)
        number = min(slots, key=lambda it: slots[it].refusal.at) if free is None else free
        item = refusal_item(Slot(number, refusal, amount, since=refusal.at))
        if free is not None and self.table.put_if_absent(item) is None:
            return
        changed = ("kind", "sample", "expires_at")
        self.table.update(
            (item["pk"], item["sk"]),
            f"SET {', '.join(f'#{it} = :{it}' for it in changed)},"
            " since = if_not_exists(since, :since) ADD amount :amount",
            {f":{it}": item[it] for it in (*changed, "since", "amount")},
            changed,
        )

    def refusals(self, source: str) -> list[Slot]:
        """Return all that is kept of the refusals of *source*."""
        return list(self._slots(source, ""))

    def _slots(self, source: str, prefix: str) -> Iterator[Slot]:
        condition = "pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk"
        values = {":pk": refusal_key(source), ":prefix": prefix or None}
        return map(slot_of, self.table.query(condition, values))

    def save_handshake(self, source: str, kept: Mapping[str, str]) -> None:
        """Keep what the owner must see of the last handshake of *source*, for a day."""
        now = self.now()
        item = {"pk": "HANDSHAKE", "sk": source, "kind": "HANDSHAKE", "at": iso(now), "kept": dict(kept)}
        self.table.put({**item, "expires_at": ttl(now + HANDSHAKE_KEPT_FOR)})

    def handshake(self, source: str) -> Item | None:
        """Return `at` and `kept` of the last handshake of *source* that told something; None where there was none."""
        item = self.table.get("HANDSHAKE", source)
        return None if item is None else {"at": item["at"], "kept": item["kept"]}

    # -- odds and ends --------------------------------------------------------------------------------------------

    def add_orphan(self, event: EventId, key: str, details: Mapping[str, Any], expires_at: datetime) -> bool:
        """Keep a callback that fits nothing, and count it once.  Returns whether it was new."""
        item = {
            "pk": f"ORPHAN#{event}",
            "sk": key,
            "kind": "ORPHAN",
            **details,
            "expires_at": ttl(expires_at),
        }
        if self.table.put_if_absent(item) is not None:
            return False
        self.table.update(("COUNT", "orphans"), "ADD amount :one", {":one": 1})
        return True

    def count(self, name: str) -> int:
        """Return how many there were of *name* (`orphans`)."""
        item = self.table.get("COUNT", name)
        return int(item["amount"]) if item else 0

    def take_lease(self, name: str, owner: str, length: timedelta) -> bool:
        """Take the lease *name* for *owner*, unless somebody holds it."""
        now = self.now()
        item = {"pk": "LEASE", "sk": name, "kind": "LEASE", "owner": owner, "until": iso(now + length)}
        condition = "attribute_not_exists(pk) OR #until < :now OR #owner = :owner"
        values = {":now": iso(now), ":owner": owner}
        return self.table.put_if(item, condition, values, ["until", "owner"]) is None

    def give_back_lease(self, name: str, owner: str) -> None:
        """End the lease, if *owner* still holds it."""
        self.table.update(
            ("LEASE", name),
            "SET #until = :past",
            {":past": "", ":owner": owner},
            ["until", "owner"],
            condition="#owner = :owner",
        )

    def keys(self) -> Item:
        """Return QStash's signing keys `current` and `next`, and `mac`, that of callback URLs; {} before a deploy."""
        return self.table.get("KEYS", "KEYS") or {}

    def save_keys(self, *, current: str, following: str, mac: str) -> None:
        """Save QStash's signing keys; keep the MAC key that is there, else take *mac*."""
        self.table.update(
            ("KEYS", "KEYS"),
            "SET #current = :current, #next = :next, mac = if_not_exists(mac, :mac)",
            {":current": current, ":next": following, ":mac": mac},
            ["current", "next"],
        )

    def desired(self) -> dict[str, Item]:
        """Return the states that deploys want of QStash and haven't ended: physical id -> `groups`, `at`."""
        return dict((self.table.get("DESIRED", "DESIRED") or {}).get("states", {}))

    def save_desired(self, states: Mapping[str, Item]) -> None:
        """Save the states that QStash should hold from now on; the newest is what counts."""
        self.table.put({"pk": "DESIRED", "sk": "DESIRED", "kind": "DESIRED", "states": states})


def _seen(source: str, sha256: str, what: str) -> Item:
    return {"pk": f"SEEN#{source}#{sha256}", "sk": what, "kind": "SEEN"}
