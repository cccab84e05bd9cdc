"""The verb of ingest: prove who sent it, save it, publish it, acknowledge it.  In this order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from relay import signatures
from relay.errors import BodyTooLarge, RelayError
from relay.model import Event, event_id, new_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.publish import Publisher
    from relay.settings import Settings, Source
    from relay.store import Store

BODY_MAX_BYTES = 4 * 1024 * 1024  # Lambda takes 6 MB of event, and a binary body comes in base64
SWEEP_AFTER = timedelta(seconds=30)  # ingest publishes within less; what is due later than that is the sweep's
PUBLISH_BUDGET_MAX_S = 5.0


@dataclass(frozen=True)
class Acceptance:
    """What became of an accepted request: its event, and whether it was there already or is published now."""

    event: Event
    duplicate: bool
    failure: RelayError | None = None


def accept(
    source: Source,
    *,
    headers: Mapping[str, str],
    body: bytes,
    secrets: list[str],
    settings: Settings,
    store: Store,
    publisher: Callable[[], Publisher],
) -> Acceptance:
    """Take one webhook in.

    Args:
        headers: The request's, names in lower case.
        body: The bytes as they came.
        secrets: The source's current signing secrets.
        publisher: Gives the publisher; called once the event is durable, so that nothing it needs can cost the event.

    Raises:
        BodyTooLarge: More than `BODY_MAX_BYTES`.
        SignatureError: None of *secrets* signed *body*.
        UpstreamError: It couldn't be saved; the source must send it again.
    """
    if len(body) > BODY_MAX_BYTES:
        raise BodyTooLarge(f"the relay takes bodies of up to {BODY_MAX_BYTES} bytes")
    signatures.verify(source.row, headers=headers, body=body, secrets=secrets)
    event = _event(source, headers, body, settings, store)
    store.save_body(event.id, event.sha256, body, event.expires_at)
    old = store.add_event(event, due_at=event.received_at + SWEEP_AFTER)
    if old is not None:
        return Acceptance(old, duplicate=True)
    try:
        publisher().publish_event(event, body, timeout_s=_budget_s(source))
    except RelayError as failure:  # the event is durable: whatever keeps QStash from it is the sweep's to mend
        return Acceptance(event, duplicate=False, failure=failure)
    return Acceptance(event, duplicate=False)


def _budget_s(source: Source) -> float:
    """Return how long the publishes may take together: a third of what the source waits, group by group."""
    return min(PUBLISH_BUDGET_MAX_S, source.row.timeout_s / 3) / max(1, len(source.to))


def _event(source: Source, headers: Mapping[str, str], body: bytes, settings: Settings, store: Store) -> Event:
    said = signatures.describe(source.row, headers=headers, body=body)
    now = store.now()
    expected = {name: group for group in source.to for name in settings.groups[group].destinations}
    return Event(
        id=event_id(source.name, said.idempotency_key),
        source=source.name,
        idempotency_key=said.idempotency_key,
        event_type=said.event_type,
        received_at=now,
        content_type=headers.get("content-type"),
        headers=said.headers,
        sha256=hashlib.sha256(body).hexdigest(),
        size_bytes=len(body),
        expected=expected,
        generation=new_generation(),
        expires_at=now + timedelta(days=settings.retention_days),
        unpublished=frozenset(source.to),
    )
