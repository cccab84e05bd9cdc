"""The items of the table: their keys, their indexes, and how the model's nouns become items and come back.

| item     | pk               | sk                       | index `feed`: pk, sk                          | index `due` |
|----------|------------------|--------------------------|-----------------------------------------------|-------------|
| EVENT    | `rly_…`          | `EVENT`                  | `events#{shard}`, `{received}#{id}` (1)       | see below   |
| BODY     | `rly_…`          | `BODY#{sha256}`          |                                               |             |
| CONFLICT | `rly_…`          | `CONFLICT#{sha256}`      |                                               |             |
| DELIVERY | `rly_…`          | `DELIVERY#{destination}` | `{status}#{shard}`, `{received}#{id}#{dest}`  | see below   |
| REPLAY   | `REPLAY#{id}`    | delivery's id            |                                               |             |
| JOB      | `REPLAY#{id}`    | `JOB`                    | `replays#{shard}`, `{started}#{id}`           | see below   |
| ORPHAN   | `ORPHAN#{event}` | `{message}.{n}.{kind}`   |                                               |             |
| REFUSAL  | `REFUSAL#{name}` | `{reason}#{slot}`        |                                               |             |
| SEEN     | `SEEN#{name}#{sha256}` | `AT` or `KEY`      |                                               |             |
| RECONCILE | `RECONCILE#{name}` | `HOOK#…` or `GUID#…`  |                                               |             |
| QUARANTINE | `QUARANTINE#{name}` | `ROOM`              |                                               |             |

These are single items under a pk of that name: `COUNT`, `LEASE`, `KEYS` (QStash's signing keys, the key of callback
URLs), `DESIRED` (what deploys want of QStash), `URLS` (when a deploy last changed any), `HANDSHAKE` (what a source's
last one told, by source), `HOLD` (until when a quota holds all publishing), `PAUSED` (destinations), `SWEEP` (where the
next run goes on), `SPOOL` (why a spooled webhook isn't taken in, and where to go on) and `AUDIT` (what the last found).

The index `due` has `outbox#{shard}` (what is to be published), `watch#{shard}` (deliveries in flight, to be looked
after) and `replays#running` (replays of many that go on), each by its time.

A SEEN is made of bytes that came without an id (AT: when first), or of what was signed where nothing signs the id (KEY:
the first that it came under).

A REFUSAL is one of the fixed slots of a source (`(unknown)`: all that there aren't) and a reason: the sample in it,
and how many refusals were counted with it; so one update does both, and strangers make no keys.

A RECONCILE is how far the list of a source's hook was read, or an event that is in it and not here; see
`relay.storage.reconciliation`.

A QUARANTINE says how much is kept of what a source sent and was refused; see `relay.storage.quarantine`.

(1) `unrouted#{shard}` as long as no route takes it.

Both indexes have `SHARDS` partitions of each kind.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from relay.model.delivery import Attempt, Delivery, Status
from relay.model.event import Conflict, Event
from relay.model.ids import EventId, Generation, from_iso, iso
from relay.model.refusal import KEPT_FOR, Reason, Refusal, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTBOX = "outbox"  # what is due to be published
WATCH = "watch"  # what is due to be looked after: QStash has it, and hasn't reported its end
EVENTS = "events"  # of the feed, those that go somewhere
UNROUTED = "unrouted"  # and those that no route takes
LOWEST = "0"  # below every sort key of the feed, which begin with a time
HIGHEST = "~"  # above every one
SHARDS = 8  # fixed: 8 partitions of an index take 8,000 small writes a second

Item = dict[str, Any]

_SERIALIZE = TypeSerializer().serialize
_DESERIALIZE = TypeDeserializer().deserialize


def shard_of(event: str) -> int:
    """Return the index shard of *event*: stable, so that an item finds its partition again."""
    return zlib.crc32(event.encode()) % SHARDS


def ttl(moment: datetime) -> int:
    """Return *moment* as DynamoDB's TTL takes it: epoch seconds."""
    return int(moment.timestamp())


def body_key(event: str, sha256: str) -> str:
    """Return the key of a body in the bucket."""
    return f"bodies/{event}/{sha256}"


def wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return *item* as DynamoDB takes it; attributes that are None are left out."""
    return {name: _SERIALIZE(value) for name, value in item.items() if value is not None}


def plain(item: Mapping[str, Any]) -> Item:
    """Return the item that DynamoDB gave, as Python values."""
    return {name: _DESERIALIZE(value) for name, value in item.items()}


def event_item(event: Event, due_at: datetime) -> Item:
    """Return the EVENT item of *event*; with an outbox mark where it owes a publish."""
    item = asdict(event)
    item.pop("id")
    received = iso(event.received_at)
    return item | {
        "pk": event.id,
        "sk": "EVENT",
        "kind": "EVENT",
        "received_at": received,
        "saved_at": iso(event.saved_at),
        "reconciled_at": iso(event.reconciled_at) if event.reconciled_at else None,
        "expires_at": ttl(event.expires_at),
        "unpublished": set(event.unpublished) or None,
        "held": set(event.held) or None,
        "query": event.query or None,
        "method": event.method if event.method != "POST" else None,
        "raw_query": event.raw_query or None,
        "query_left_out": event.query_left_out or None,
        "routed_at": iso(event.routed_at) if event.routed_at else None,
        "feed_pk": f"{EVENTS if event.expected else UNROUTED}#{shard_of(event.id)}",
        "feed_sk": f"{received}#{event.id}",
        "due_pk": f"{OUTBOX}#{shard_of(event.id)}" if event.unpublished else None,
        "due_sk": iso(due_at) if event.unpublished else None,
    }


def event_of(item: Item) -> Event:
    """Return the event that its EVENT item says."""
    return Event(
        id=EventId(item["pk"]),
        source=item["source"],
        idempotency_key=item["idempotency_key"],
        event_type=item["event_type"],
        received_at=from_iso(item["received_at"]),
        saved_at=from_iso(item["saved_at"]),
        content_type=item.get("content_type"),
        headers=item["headers"],
        sha256=item["sha256"],
        size_bytes=int(item["size_bytes"]),
        expected=item["expected"],
        generation=Generation(item["generation"]),
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        unpublished=frozenset(item.get("unpublished", ())),
        suspected_replay_of=item.get("suspected_replay_of"),
        reconciled_at=from_iso(item["reconciled_at"]) if item.get("reconciled_at") else None,
        conflicts=int(item.get("conflicts", 0)),
        query=item.get("query", {}),
        method=item.get("method", "POST"),
        raw_query=item.get("raw_query", ""),
        query_left_out=item.get("query_left_out", False),
        held=frozenset(item.get("held", ())),
        routed_at=from_iso(item["routed_at"]) if item.get("routed_at") else None,
        route_error=item.get("route_error"),
    )


def conflict_item(conflict: Conflict, expires_at: datetime) -> Item:
    """Return the CONFLICT item of *conflict*."""
    return {
        "pk": conflict.event_id,
        "sk": f"CONFLICT#{conflict.sha256}",
        "kind": "CONFLICT",
        "size_bytes": conflict.size_bytes,
        "received_at": iso(conflict.received_at),
        "content_type": conflict.content_type,
        "headers": conflict.headers,
        "expires_at": ttl(expires_at),
    }


def conflict_of(item: Item) -> Conflict:
    """Return the conflict that its CONFLICT item says."""
    return Conflict(
        event_id=EventId(item["pk"]),
        sha256=item["sk"].partition("#")[2],
        size_bytes=int(item["size_bytes"]),
        received_at=from_iso(item["received_at"]),
        content_type=item.get("content_type"),
        headers=item["headers"],
    )


def delivery_item(delivery: Delivery) -> Item:
    """Return the DELIVERY item of *delivery*."""
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
        "expires_at": ttl(delivery.expires_at),
        "status": delivery.status.value,
        "attempts": {key: _attempt_item(attempt) for key, attempt in delivery.attempts.items()},
        "attempts_count": delivery.attempts_count,
        "attempts_gone": delivery.attempts_gone or None,
        "message_id": delivery.message_id,
        "dlq_id": delivery.dlq_id,
        "published_at": iso(delivery.published_at) if delivery.published_at else None,
        "handed_over_at": iso(delivery.handed_over_at) if delivery.handed_over_at else None,
        "updated_at": iso(delivery.updated_at),
        "missing_since": iso(delivery.missing_since) if delivery.missing_since else None,
        "refused_since": iso(delivery.refused_since) if delivery.refused_since else None,
        "refused_at": iso(delivery.refused_at) if delivery.refused_at else None,
        "reason": delivery.reason,
        "replaced_dlq_id": delivery.replaced_dlq_id,
        "version": delivery.version,
        "feed_pk": f"{delivery.status.value}#{shard_of(delivery.event_id)}",
        "feed_sk": f"{received}#{delivery.event_id}#{delivery.destination}",
        "due_pk": f"{_queue(delivery)}#{shard_of(delivery.event_id)}" if delivery.due_at else None,
        "due_sk": iso(delivery.due_at) if delivery.due_at else None,
    }


def _queue(delivery: Delivery) -> str:
    """Return what the sweep has to do about a delivery that is due: publish it, or look after it."""
    return OUTBOX if delivery.status is Status.PENDING else WATCH


def _attempt_item(attempt: Attempt) -> Item:
    item = asdict(attempt) | {"at": iso(attempt.at)}
    return {name: value for name, value in item.items() if value is not None}


def delivery_of(item: Item) -> Delivery:
    """Return the delivery that its DELIVERY item says."""

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
        attempts_gone=int(item.get("attempts_gone", 0)),
        message_id=item.get("message_id"),
        dlq_id=item.get("dlq_id"),
        published_at=moment("published_at"),
        handed_over_at=moment("handed_over_at"),
        due_at=moment("due_sk"),
        missing_since=moment("missing_since"),
        refused_since=moment("refused_since"),
        refused_at=moment("refused_at"),
        reason=item.get("reason"),
        replaced_dlq_id=item.get("replaced_dlq_id"),
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


def refusal_key(source: str) -> str:
    """Return the pk of a source's refusals."""
    return f"REFUSAL#{source}"


def refusal_item(slot: Slot) -> Item:
    """Return the REFUSAL item of *slot*."""
    kept = slot.refusal
    return {
        "pk": refusal_key(kept.source),
        "sk": f"{kept.reason.value}#{slot.number}",
        "kind": "REFUSAL",
        "amount": slot.count,
        "since": iso(slot.since),
        "expires_at": ttl(kept.at + KEPT_FOR),
        "sample": {
            "at": iso(kept.at),
            "message": kept.message,
            "method": kept.method,
            "path": kept.path,
            "source_ip": kept.source_ip,
            "header_names": list(kept.header_names),
            "headers": kept.headers,
            "signed_at": iso(kept.signed_at) if kept.signed_at else None,
            "size_bytes": kept.size_bytes,
            "sha256": kept.sha256,
            "body": kept.body,
        },
    }


def slot_of(item: Item) -> Slot:
    """Return the slot that its REFUSAL item says."""
    reason, _, number = item["sk"].partition("#")
    kept = item["sample"]
    refusal = Refusal(
        source=item["pk"].partition("#")[2],
        reason=Reason(reason),
        message=kept["message"],
        at=from_iso(kept["at"]),
        method=kept["method"],
        path=kept["path"],
        source_ip=kept["source_ip"],
        header_names=tuple(kept["header_names"]),
        headers=kept["headers"],
        signed_at=from_iso(kept["signed_at"]) if kept["signed_at"] else None,
        size_bytes=int(kept["size_bytes"]),
        sha256=kept["sha256"],
        body=bytes(kept["body"]),
    )
    return Slot(int(number), refusal, count=int(item["amount"]), since=from_iso(item["since"]))
