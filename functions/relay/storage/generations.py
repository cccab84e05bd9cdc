"""Starts a delivery again: a new generation of it, and why."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.model.ids import iso, new_generation
from relay.storage.items import ttl

if TYPE_CHECKING:
    from relay.model.delivery import Delivery
    from relay.model.event import Event
    from relay.storage.store import Store


@dataclass(frozen=True)
class Cause:
    """Why a delivery has a new generation: *replay_id* of all that began together, who asked, and the reason given."""

    replay_id: str
    by: str | None
    reason: str | None


def start_again(store: Store, event: Event, delivery: Delivery, cause: Cause) -> Delivery | None:
    """Give *delivery* a new generation, due at once; None where it has changed meanwhile and is left alone."""
    now = store.now()
    after = delivery.replayed(new_generation(), now)
    record = {
        "pk": f"REPLAY#{cause.replay_id}",
        "sk": delivery.id,
        "kind": "REPLAY",
        "event_id": event.id,
        "by": cause.by,
        "reason": cause.reason,
        "started_at": iso(now),
        "generation": after.generation,
        "replaces": delivery.generation,
        "dlq_id": delivery.dlq_id,
        "expires_at": ttl(event.expires_at),
    }
    return after if store.start_replay(record, delivery, after) else None


def new_replay_id() -> str:
    """Return an id that no other replay has."""
    return "rpl_" + secrets.token_hex(8)
