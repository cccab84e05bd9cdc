"""Makes the JSON of the answers from records.  Times are ISO 8601; nothing here reads the table."""

from __future__ import annotations

import base64
import codecs
from typing import TYPE_CHECKING, Any

from relay.model.ids import EventId, delivery_id, iso
from relay.storage.items import delivery_item, event_item

if TYPE_CHECKING:
    from datetime import datetime

    from relay.model.delivery import Delivery
    from relay.model.event import Conflict, Event
    from relay.model.refusal import Reason, Refusal, Slot
    from relay.model.replay import Replay
    from relay.storage.items import Item


def conflict_json(conflict: Conflict) -> dict[str, Any]:
    """Return a conflicting body's facts, without the body."""
    return {
        "sha256": conflict.sha256,
        "size_bytes": conflict.size_bytes,
        "received_at": iso(conflict.received_at),
        "content_type": conflict.content_type,
        "headers": conflict.headers,
    }


def count_json(reason: Reason, slots: list[Slot]) -> dict[str, Any]:
    """Return how many requests of a source were refused for one reason, and when."""
    return {
        "reason": reason.value,
        "count": sum(it.count for it in slots),
        "since": iso(min(it.since for it in slots)),
        "last_at": iso(slots[0].refusal.at),
    }


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """Return the sample of one refused request."""
    shown = {
        "source": refusal.source,
        "reason": refusal.reason.value,
        "at": iso(refusal.at),
        "message": refusal.message,
        "untrusted": refusal.untrusted,
        "method": refusal.method,
        "path": refusal.path,
        "source_ip": refusal.source_ip,
        "user_agent": refusal.headers.get("user-agent"),
        "content_type": refusal.headers.get("content-type"),
        "header_names": list(refusal.header_names),
        "headers": refusal.headers,
        "signed_at": iso(refusal.signed_at) if refusal.signed_at else None,
        "size_bytes": refusal.size_bytes,
        "sha256": refusal.sha256,
        "body_truncated": refusal.size_bytes > len(refusal.body),
    }
    try:
        # Cut within a character, it is still text.
        text = codecs.getincrementaldecoder("utf-8")().decode(refusal.body, final=not shown["body_truncated"])
    except UnicodeDecodeError:
        return shown | {"body_base64": base64.b64encode(refusal.body).decode()}
    return shown | {"body": text}


def event_json(event: Event) -> dict[str, Any]:
    """Return *event* as operators see it."""
    return event_row(event_item(event, event.received_at))


def event_row(item: Item) -> dict[str, Any]:
    """Return an event as operators see it, from its item or from the item's entry in the index."""
    return {
        "id": item["pk"],
        "source": item["source"],
        "type": item["event_type"],
        "idempotency_key": item["idempotency_key"],
        "received_at": item["received_at"],
        "size_bytes": int(item["size_bytes"]),
        "sha256": item["sha256"],
        "content_type": item.get("content_type"),
        "published": not item.get("unpublished"),
        "suspected_replay_of": item.get("suspected_replay_of"),
        "reconciled_at": item.get("reconciled_at"),
        "conflicts": int(item.get("conflicts", 0)),
    }


def request_json(event: Event) -> dict[str, Any]:
    """Return the request of *event*: method and query, which listings don't have."""
    return {"method": event.method, "query": event.raw_query, "query_left_out": event.query_left_out}


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return *delivery*, without its attempts, as operators see it."""
    return delivery_row(delivery_item(delivery))


def delivery_row(item: Item) -> dict[str, Any]:
    """Return a delivery as operators see it, from its item or from the item's entry in the index."""
    return {
        "id": delivery_id(EventId(item["pk"]), item["destination"]),
        "event_id": item["pk"],
        "destination": item["destination"],
        "group": item["group"],
        "source": item["source"],
        "type": item["event_type"],
        "status": item["status"],
        "generation": item["generation"],
        "message_id": item.get("message_id"),
        "dlq_id": item.get("dlq_id"),
        "reason": item.get("reason"),
        "attempts_count": int(item["attempts_count"]),
        "event_received_at": item["received_at"],
        "updated_at": item["updated_at"],
        "received_at": item.get("handed_over_at"),
    }


def replay_json(job: Replay) -> dict[str, Any]:
    """Return a replay as operators see it."""
    return {
        "id": job.id,
        "state": job.state.value,
        "by": job.by,
        "reason": job.reason,
        "started_at": iso(job.started_at),
        "query": dict(job.query),
        "rate": job.rate,
        "replayed": job.replayed,
        "skipped": job.skipped,
    }


def attempts_json(delivery: Delivery) -> list[dict[str, Any]]:
    """Return the delivery's attempts, message by message, the oldest message first, each in order of number."""
    first_heard: dict[str, datetime] = {}
    for attempt in sorted(delivery.attempts.values()):
        first_heard.setdefault(attempt.message_id, attempt.at)
    return [
        {
            "number": attempt.number,
            "at": iso(attempt.at),
            "status_code": attempt.status_code,
            "outcome": "succeeded" if attempt.succeeded else "failed",
            "message_id": attempt.message_id,
            "generation": attempt.generation,
            "response": attempt.response,
        }
        for attempt in sorted(delivery.attempts.values(), key=lambda it: (first_heard[it.message_id], it.number))
    ]
