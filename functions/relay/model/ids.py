"""Ids and times as texts: makes them, and reads them back."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import UTC, datetime
from typing import NewType

EventId = NewType("EventId", str)
DeliveryId = NewType("DeliveryId", str)
Generation = NewType("Generation", str)

IDEMPOTENCY_KEY_MAX_CHARS = 300


def kept_key(key: str) -> str:
    """Return *key*, a source's own id of an event, or its hash if it is longer than `IDEMPOTENCY_KEY_MAX_CHARS`."""
    if len(key) <= IDEMPOTENCY_KEY_MAX_CHARS:
        return key
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def event_id(source: str, idempotency_key: str) -> EventId:
    """Return the id of the event with *idempotency_key* of *source*: the same pair always makes the same id."""
    digest = hashlib.sha256(f"{source}\0{kept_key(idempotency_key)}".encode()).digest()[:20]
    return EventId("rly_" + base64.b32encode(digest).decode().lower())


def destination_delivery_id(event: EventId) -> str:
    """Return the `Relay-Delivery-Id` that a destination gets: the same over attempts and replays.

    QStash sends one set of headers to every endpoint of a URL group, so this id can't name the destination; within one
    destination it identifies the delivery.
    """
    return "dlv_" + event.removeprefix("rly_")


def delivery_id(event: EventId, destination: str) -> DeliveryId:
    """Return the id of the delivery of *event* to *destination*: `dlv_<event's part>.<destination>`."""
    return DeliveryId(f"{destination_delivery_id(event)}.{destination}")


def split_delivery_id(text: str) -> tuple[EventId, str | None]:
    """Return the event and, if *text* names one, the destination of a delivery id in either form."""
    part, _, destination = text.removeprefix("dlv_").partition(".")
    return EventId("rly_" + part), destination or None


def new_generation() -> Generation:
    """Return a generation that no other delivery ever had.  It is random, since records expire and ids return."""
    return Generation(secrets.token_hex(8))


def group_scope(group: str) -> str:
    """Return the scope of a publish to a URL group."""
    return f"g.{group}"


def destination_scope(destination: str) -> str:
    """Return the scope of a publish to one destination's own URL."""
    return f"d.{destination}"


def deduplication_id(relay: str, event: EventId, generation: Generation, scope: str) -> str:
    """Return QStash's deduplication id of a publish: a hash, hex, so that it has no `:`."""
    return hashlib.sha256("\0".join((relay, event, generation, scope)).encode()).hexdigest()[:40]


def iso(moment: datetime) -> str:
    """Return *moment* as records have it: ISO 8601, UTC, microseconds; text order is time order."""
    # Not strftime: it may give a year before 1000 fewer than four digits.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_iso(text: str) -> datetime:
    """Return the ISO 8601 time in *text* as an aware UTC datetime."""
    return datetime.fromisoformat(text).astimezone(UTC)


def label(event: EventId, generation: Generation) -> str:
    """Return the QStash label under which one generation's messages are found in its logs."""
    return f"{event}.{generation}"


def delivery_label(event: EventId, generation: Generation, destination: str) -> str:
    """Return the second QStash label of a message to one destination's URL alone, beside its generation's label."""
    return f"{label(event, generation)}.{destination}"
