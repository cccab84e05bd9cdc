"""The verb of a replay: terminal deliveries get a new generation, due at once; who asked, and why, is kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.errors import BadRequest, NotFound
from relay.model import TERMINAL, Delivery, Event, EventId, Status, iso, new_generation, split_delivery_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.store import Store

DELIVERIES_MAX = 100  # one call must end within the gateway's 30 seconds


@dataclass(frozen=True)
class Replay:
    """A replay that was started: its id, the deliveries as they stand now, and those left alone, with the reason."""

    id: str
    deliveries: list[Delivery]
    skipped: list[tuple[str, str]]


def replay_deliveries(store: Store, ids: Iterable[str], *, by: str | None, reason: str | None) -> Replay:
    """Replay the deliveries *ids*.

    Raises:
        BadRequest: One of *ids* names no destination, or there are too many.
        NotFound: There is no such delivery.
    """
    chosen = []
    for text in ids:
        event_id, destination = split_delivery_id(text)
        if destination is None:
            raise BadRequest(f"{text} names no destination: a delivery's id is dlv_….<destination>")
        chosen.append(_one(store, event_id, destination))
    return _start(store, chosen, TERMINAL, by, reason)


def replay_event(
    store: Store,
    event_id: EventId,
    *,
    destinations: Iterable[str] | None,
    include_delivered: bool,
    by: str | None,
    reason: str | None,
) -> Replay:
    """Replay an event's dead deliveries, or all that are over where *include_delivered*; at *destinations* only.

    Raises:
        NotFound: There is no such event, or no such destination of it.
    """
    history = store.history(event_id)
    if history is None:
        raise NotFound("there is no such event")
    event, deliveries = history
    wanted = None if destinations is None else set(destinations)
    if wanted is not None and (unknown := wanted - {it.destination for it in deliveries}):
        raise NotFound(f"the event has no delivery to {', '.join(sorted(unknown))}")
    chosen = [(event, it) for it in deliveries if wanted is None or it.destination in wanted]
    replayable = TERMINAL if include_delivered else TERMINAL - {Status.DELIVERED}
    return _start(store, chosen, replayable, by, reason)


def _one(store: Store, event_id: EventId, destination: str) -> tuple[Event, Delivery]:
    event = store.event(event_id)
    if event is None or destination not in event.expected:
        raise NotFound(f"there is no delivery of {event_id} to {destination}")
    return event, store.delivery(event, destination)


def _start(
    store: Store,
    chosen: list[tuple[Event, Delivery]],
    replayable: frozenset[Status],
    by: str | None,
    reason: str | None,
) -> Replay:
    if len(chosen) > DELIVERIES_MAX:
        raise BadRequest(f"one replay takes up to {DELIVERIES_MAX} deliveries")
    replay_id = "rpl_" + secrets.token_hex(8)
    now = store.now()
    started: list[Delivery] = []
    skipped: list[tuple[str, str]] = []
    for event, delivery in chosen:
        if delivery.status not in replayable:
            skipped.append((delivery.id, f"it is {delivery.status}"))
            continue
        after = delivery.replayed(new_generation(), now)
        record = {
            "pk": f"REPLAY#{replay_id}",
            "sk": delivery.id,
            "kind": "REPLAY",
            "event_id": event.id,
            "by": by,
            "reason": reason,
            "started_at": iso(now),
            "generation": after.generation,
            "replaces": delivery.generation,
            "dlq_id": delivery.dlq_id,
            "expires_at": int(event.expires_at.timestamp()),
        }
        if store.start_replay(record, delivery, after):
            started.append(after)
        else:
            skipped.append((delivery.id, "it changed meanwhile: look again"))
    return Replay(replay_id, started, skipped)
