"""The table and the bucket: how everything is kept.  Hides the keys, the indexes and the conditional writes.

| item     | pk               | sk                       | index `feed`: pk, sk                          | index `due` |
|----------|------------------|--------------------------|-----------------------------------------------|-------------|
| EVENT    | `rly_…`          | `EVENT`                  | `events#{shard}`, `{received}#{id}`           | see below   |
| BODY     | `rly_…`          | `BODY#{sha256}`          |                                               |             |
| DELIVERY | `rly_…`          | `DELIVERY#{destination}` | `{status}#{shard}`, `{received}#{id}#{dest}`  | see below   |
| REPLAY   | `REPLAY#{id}`    | delivery's id            |                                               |             |
| ORPHAN   | `ORPHAN#{event}` | `{message}.{n}.{kind}`   |                                               |             |

`COUNT`, `LEASE`, `KEYS` (QStash's signing keys, the key of callback URLs) and `DESIRED` (what deploys want of QStash)
are single items under a pk of that name.

* An event's small items never hold the body, so an update never pays for it.  A body goes first, to an item of its
  own or (above `INLINE_BODY_MAX_BYTES`) to the bucket, under its hash; then one conditional put makes the event, its
  expected deliveries and its outbox mark, and deduplicates.
* `feed` lists newest first: every partition has the same sort key, so a page is a merge and a cursor is one sort key.
* `due` is sparse: what is to be published (`outbox#{shard}`), by when.
* Expired items (TTL deletes them days late) count as absent in every condition and every answer.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay import aws
from relay.errors import UpstreamError
from relay.model import (
    Attempt,
    Delivery,
    Event,
    EventId,
    Generation,
    Status,
    from_iso,
    iso,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

SHARDS = 8  # fixed: 8 partitions of an index take 8,000 small writes a second
INLINE_BODY_MAX_BYTES = 64 * 1024  # an item holds 400 KB; above this a bucket's PUT is far cheaper, too
CHANGE_TRIES = 8
PAGE_READS_MAX = 10

Item = dict[str, Any]


def shard_of(event: str) -> int:
    """Return the index shard of *event*: stable, so that an item finds its partition again."""
    return zlib.crc32(event.encode()) % SHARDS


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
        self.table = table
        self.bucket = bucket
        self.now = now
        self._given_dynamodb = dynamodb
        self._given_s3 = s3

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        return self._given_dynamodb or aws.client("dynamodb")

    @cached_property
    def _s3(self) -> S3Client:
        return self._given_s3 or aws.client("s3")

    # -- bodies ---------------------------------------------------------------------------------------------------

    def save_body(self, event: EventId, sha256: str, body: bytes, expires_at: datetime) -> None:
        """Save *body* under its event and hash; saving the same again changes nothing."""
        if len(body) > INLINE_BODY_MAX_BYTES:
            with aws.speaking_to("S3"):
                self._s3.put_object(Bucket=self.bucket, Key=_body_key(event, sha256), Body=body)
            return
        self._put(
            {
                "pk": event,
                "sk": f"BODY#{sha256}",
                "kind": "BODY",
                "body": body,
                "expires_at": _ttl(expires_at),
            }
        )

    def body(self, event: Event) -> bytes:
        """Return the bytes that the source sent.

        Raises:
            UpstreamError: The body is gone or can't be read now.
        """
        if event.size_bytes > INLINE_BODY_MAX_BYTES:
            with aws.speaking_to("S3"):
                answer = self._s3.get_object(Bucket=self.bucket, Key=_body_key(event.id, event.sha256))
                return answer["Body"].read()
        item = self._get(event.id, f"BODY#{event.sha256}")
        if item is None:
            raise UpstreamError("DynamoDB", "the event's body is gone")
        return bytes(item["body"])

    # -- events ---------------------------------------------------------------------------------------------------

    def add_event(self, event: Event, due_at: datetime) -> Event | None:
        """Save *event* with its outbox mark, unless it is there: the put that saves is the one that deduplicates.

        Returns:
            None where it was saved now, else the event that was there.
        """
        old = self._put_if_absent(_event_item(event, due_at))
        return None if old is None else _event(old)

    def event(self, event: EventId) -> Event | None:
        """Return the event, or None."""
        item = self._get(event, "EVENT")
        return None if item is None else _event(item)

    def events(self, ids: Iterable[EventId]) -> list[Event]:
        """Return those of *ids* that exist, in their order."""
        return [event for event in map(self.event, ids) if event is not None]

    def history(self, event: EventId) -> tuple[Event, list[Delivery]] | None:
        """Return an event with all its deliveries, expected ones that have no record included: one query."""
        found: Event | None = None
        known: dict[str, Delivery] = {}
        for item in self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=_wire({":pk": event, ":low": "DELIVERY#", ":high": "EVENT"}),
            ConsistentRead=True,
        ):
            if item["kind"] == "EVENT":
                found = _event(item)
            else:
                delivery = _delivery(item)
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
        self._update_if((event.id, "EVENT"), change, "generation = :generation", values)

    def postpone_event(self, event: Event, due_at: datetime) -> None:
        """Have the sweep try the event again at *due_at*."""
        self._update_if(
            (event.id, "EVENT"),
            "SET due_sk = :due",
            "generation = :generation AND attribute_exists(due_pk)",
            {":due": iso(due_at), ":generation": event.generation},
        )

    # -- deliveries -----------------------------------------------------------------------------------------------

    def delivery(self, event: Event, destination: str) -> Delivery:
        """Return the delivery as it stands: its record, or what the event alone implies."""
        item = self._get(event.id, f"DELIVERY#{destination}")
        return Delivery.of(event, destination) if item is None else _delivery(item)

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
            item = _delivery_item(after)
            if before.version:
                old = self._put_if(item, "version = :version", {":version": before.version})
            else:
                old = self._put_if_absent(item)
            if old is None:
                return before, after
            before = _delivery(old) if old else self.delivery(event, destination)
        raise UpstreamError("DynamoDB", "the delivery is changing too fast")

    def start_replay(self, record: Item, before: Delivery, after: Delivery) -> bool:
        """Save the REPLAY *record* and the delivery's new generation, both or neither.

        Returns:
            False where the delivery isn't *before* any more.
        """
        put = {
            "TableName": self.table,
            "Item": _wire(_delivery_item(replace(after, version=before.version + 1))),
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": _wire({":version": before.version}),
        }
        writes: Any = [{"Put": {"TableName": self.table, "Item": _wire(record)}}, {"Put": put}]
        with aws.speaking_to("DynamoDB"):
            try:
                self._dynamodb.transact_write_items(TransactItems=writes)
            except self._dynamodb.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
                if codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                    return False
                raise
        return True

    # -- the outbox -----------------------------------------------------------------------------------------------

    def due(self, shard: int, limit: int) -> list[tuple[EventId, str | None, datetime]]:
        """Return up to *limit* things to publish in *shard* that are due now, the oldest first.

        Returns:
            Of each: its event, its destination (None: the event's first publish), and since when it is due.
        """
        with aws.speaking_to("DynamoDB"):
            answer = self._dynamodb.query(
                TableName=self.table,
                IndexName="due",
                KeyConditionExpression="due_pk = :pk AND due_sk <= :now",
                ExpressionAttributeValues=_wire({":pk": f"outbox#{shard}", ":now": iso(self.now())}),
                Limit=limit,
            )
        found = []
        for item in map(_plain, answer["Items"]):
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
        values = {":pk": partition, ":since": since, ":below": below, ":now": _ttl(self.now())}
        values |= {f":f{n}": value for n, value in enumerate(equal.values())}
        kept = " AND ".join(["#expires > :now", *(f"#f{n} = :f{n}" for n in range(len(equal)))])
        request: Any = {
            "TableName": self.table,
            "IndexName": "feed",
            "KeyConditionExpression": "feed_pk = :pk AND feed_sk BETWEEN :since AND :below",
            "FilterExpression": kept,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": _wire(values),
            "ScanIndexForward": False,
            "Limit": max(limit + 1, 25),
        }
        found: list[Item] = []
        for _ in range(PAGE_READS_MAX):
            with aws.speaking_to("DynamoDB"):
                answer = self._dynamodb.query(**request)
            found += [item for item in map(_plain, answer["Items"]) if item["feed_sk"] != below]
            last = answer.get("LastEvaluatedKey")
            if not last:
                return found, None
            stopped_at = _plain(last)["feed_sk"]
            if len(found) > limit:
                return found, stopped_at
            request["ExclusiveStartKey"] = last
        return found, stopped_at

    # -- odds and ends --------------------------------------------------------------------------------------------

    def add_orphan(self, event: EventId, key: str, details: Mapping[str, Any], expires_at: datetime) -> bool:
        """Keep a callback that fits nothing, and count it once.  Returns whether it was new."""
        item = {
            "pk": f"ORPHAN#{event}",
            "sk": key,
            "kind": "ORPHAN",
            **details,
            "expires_at": _ttl(expires_at),
        }
        if self._put_if_absent(item) is not None:
            return False
        with aws.speaking_to("DynamoDB"):
            self._dynamodb.update_item(
                TableName=self.table,
                Key=_wire({"pk": "COUNT", "sk": "orphans"}),
                UpdateExpression="ADD amount :one",
                ExpressionAttributeValues=_wire({":one": 1}),
            )
        return True

    def count(self, name: str) -> int:
        """Return how many there were of *name* (`orphans`)."""
        item = self._get("COUNT", name)
        return int(item["amount"]) if item else 0

    def take_lease(self, name: str, owner: str, length: timedelta) -> bool:
        """Take the lease *name* for *owner*, unless somebody holds it."""
        now = self.now()
        item = {"pk": "LEASE", "sk": name, "kind": "LEASE", "owner": owner, "until": iso(now + length)}
        condition = "attribute_not_exists(pk) OR #until < :now OR #owner = :owner"
        values = {":now": iso(now), ":owner": owner}
        return self._put_if(item, condition, values, {"#until": "until", "#owner": "owner"}) is None

    def give_back_lease(self, name: str, owner: str) -> None:
        """End the lease, if *owner* still holds it."""
        self._update_if(
            ("LEASE", name),
            "SET #until = :past",
            "#owner = :owner",
            {":past": "", ":owner": owner},
            ["until", "owner"],
        )

    def keys(self) -> Item:
        """Return QStash's signing keys `current` and `next`, and `mac`, that of callback URLs; {} before a deploy."""
        return self._get("KEYS", "KEYS") or {}

    def save_keys(self, *, current: str, following: str, mac: str) -> None:
        """Save QStash's signing keys; keep the MAC key that is there, else take *mac*."""
        with aws.speaking_to("DynamoDB"):
            self._dynamodb.update_item(
                TableName=self.table,
                Key=_wire({"pk": "KEYS", "sk": "KEYS"}),
                UpdateExpression="SET #current = :current, #next = :next, mac = if_not_exists(mac, :mac)",
                ExpressionAttributeNames={"#current": "current", "#next": "next"},
                ExpressionAttributeValues=_wire({":current": current, ":next": following, ":mac": mac}),
            )

    def desired(self) -> dict[str, Item]:
        """Return the states that deploys want of QStash and haven't ended: physical id -> `groups`, `at`."""
        return dict((self._get("DESIRED", "DESIRED") or {}).get("states", {}))

    def save_desired(self, states: Mapping[str, Item]) -> None:
        """Save the states that QStash should hold from now on; the newest is what counts."""
        self._put({"pk": "DESIRED", "sk": "DESIRED", "kind": "DESIRED", "states": states})

    # -- DynamoDB -------------------------------------------------------------------------------------------------

    def _get(self, pk: str, sk: str) -> Item | None:
        with aws.speaking_to("DynamoDB"):
            answer = self._dynamodb.get_item(TableName=self.table, Key=_wire({"pk": pk, "sk": sk}), ConsistentRead=True)
        item = _plain(answer.get("Item", {}))
        if not item or item.get("expires_at", float("inf")) <= _ttl(self.now()):
            return None
        return item

    def _query(self, **request: Any) -> Iterator[Item]:
        now = _ttl(self.now())
        while True:
            with aws.speaking_to("DynamoDB"):
                answer = self._dynamodb.query(TableName=self.table, **request)
            yield from (it for it in map(_plain, answer["Items"]) if it.get("expires_at", now + 1) > now)
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put(self, item: Item) -> None:
        with aws.speaking_to("DynamoDB"):
            self._dynamodb.put_item(TableName=self.table, Item=_wire(item))

    def _put_if_absent(self, item: Item) -> Item | None:
        """Put *item* unless one is there that hasn't expired; return that one, else None."""
        condition = "attribute_not_exists(pk) OR expires_at <= :now"
        return self._put_if(item, condition, {":now": _ttl(self.now())})

    def _put_if(self, item: Item, condition: str, values: Item, names: dict[str, str] | None = None) -> Item | None:
        """Put *item* on *condition*; return None where it held, else the item that was there ({}: none)."""
        request: Any = {
            "TableName": self.table,
            "Item": _wire(item),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": _wire(values),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if names:
            request["ExpressionAttributeNames"] = names
        with aws.speaking_to("DynamoDB"):
            try:
                self._dynamodb.put_item(**request)
            except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
                answer: Any = error.response
                return _plain(answer.get("Item", {}))
        return None

    def _update_if(
        self, key: tuple[str, str], change: str, condition: str, values: Item, names: Iterable[str] = ()
    ) -> None:
        """Update on *condition*; where it doesn't hold, somebody else was faster and nothing is owed."""
        request: Any = {
            "TableName": self.table,
            "Key": _wire({"pk": key[0], "sk": key[1]}),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": _wire(values),
        }
        if names:
            request["ExpressionAttributeNames"] = {f"#{name}": name for name in names}
        with aws.speaking_to("DynamoDB"):
            try:
                self._dynamodb.update_item(**request)
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                return


# -- items ----------------------------------------------------------------------------------------------------------


def _ttl(moment: datetime) -> int:
    return int(moment.timestamp())


def _body_key(event: str, sha256: str) -> str:
    return f"bodies/{event}/{sha256}"


def _wire(item: Mapping[str, Any]) -> dict[str, Any]:
    from boto3.dynamodb.types import TypeSerializer

    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items() if value is not None}


def _plain(item: Mapping[str, Any]) -> Item:
    from boto3.dynamodb.types import TypeDeserializer

    deserialize = TypeDeserializer().deserialize
    return {name: deserialize(value) for name, value in item.items()}


def _event_item(event: Event, due_at: datetime) -> Item:
    item = asdict(event)
    item.pop("id")
    received = iso(event.received_at)
    return item | {
        "pk": event.id,
        "sk": "EVENT",
        "kind": "EVENT",
        "received_at": received,
        "expires_at": _ttl(event.expires_at),
        "unpublished": set(event.unpublished) or None,
        "feed_pk": f"events#{shard_of(event.id)}",
        "feed_sk": f"{received}#{event.id}",
        "due_pk": f"outbox#{shard_of(event.id)}" if event.unpublished else None,
        "due_sk": iso(due_at) if event.unpublished else None,
    }


def _event(item: Item) -> Event:
    return Event(
        id=EventId(item["pk"]),
        source=item["source"],
        idempotency_key=item["idempotency_key"],
        event_type=item["event_type"],
        received_at=from_iso(item["received_at"]),
        content_type=item.get("content_type"),
        headers=item["headers"],
        sha256=item["sha256"],
        size_bytes=int(item["size_bytes"]),
        expected=item["expected"],
        generation=Generation(item["generation"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        unpublished=frozenset(item.get("unpublished", ())),
    )


def _delivery_item(delivery: Delivery) -> Item:
    received = iso(delivery.event_received_at)
    return {
        "pk": delivery.event_id,
        "sk": f"DELIVERY#{delivery.destination}",
        "kind": "DELIVERY",
        "destination": delivery.destination,
        "group": delivery.group,
        "source": delivery.source,
        "event_type": delivery.event_type,
        "received_at": received,
        "generation": delivery.generation,
        "since": iso(delivery.since),
        "expires_at": _ttl(delivery.expires_at),
        "status": delivery.status.value,
        "attempts": {key: _attempt_item(attempt) for key, attempt in delivery.attempts.items()},
        "attempts_count": len(delivery.attempts),
        "message_id": delivery.message_id,
        "dlq_id": delivery.dlq_id,
        "published_at": iso(delivery.published_at) if delivery.published_at else None,
        "handed_over_at": iso(delivery.handed_over_at) if delivery.handed_over_at else None,
        "updated_at": iso(delivery.updated_at),
        "version": delivery.version,
        "feed_pk": f"{delivery.status.value}#{shard_of(delivery.event_id)}",
        "feed_sk": f"{received}#{delivery.event_id}#{delivery.destination}",
        "due_pk": f"outbox#{shard_of(delivery.event_id)}" if delivery.due_at else None,
        "due_sk": iso(delivery.due_at) if delivery.due_at else None,
    }


def _attempt_item(attempt: Attempt) -> Item:
    item = asdict(attempt) | {"at": iso(attempt.at)}
    return {name: value for name, value in item.items() if value is not None}


def _delivery(item: Item) -> Delivery:
    def moment(name: str) -> datetime | None:
        return from_iso(item[name]) if item.get(name) else None

    return Delivery(
        event_id=EventId(item["pk"]),
        destination=item["destination"],
        group=item["group"],
        source=item["source"],
        event_type=item["event_type"],
        event_received_at=from_iso(item["received_at"]),
        generation=Generation(item["generation"]),
        since=from_iso(item["since"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        status=Status(item["status"]),
        attempts={key: _attempt(it) for key, it in item["attempts"].items()},
        message_id=item.get("message_id"),
        dlq_id=item.get("dlq_id"),
        published_at=moment("published_at"),
        handed_over_at=moment("handed_over_at"),
        due_at=moment("due_sk"),
        version=int(item["version"]),
    )


def _attempt(item: Item) -> Attempt:
    return Attempt(
        at=from_iso(item["at"]),
        number=int(item["number"]),
        message_id=item["message_id"],
        generation=Generation(item["generation"]),
        succeeded=item["succeeded"],
        status_code=int(item["status_code"]) if "status_code" in item else None,
        response=item.get("response"),
    )
