"""The verb of ingest: prove who sent it, save it, publish it, acknowledge it.  In this order.

All of it has the time that the source waits, and each step leaves the next ones theirs: what can't be proven in time is
refused, and comes again; what the table can't take in time is spooled; what can't be published in time is the sweep's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.errors import BodyTooLarge, Defect, RelayError, SignatureError, UpstreamError
from relay.model.delivery import DEAD, SWEEP_AFTER, Delivery
from relay.model.event import Conflict, Event
from relay.model.ids import DeliveryId, event_id, iso, new_generation
from relay.publishing.answers import Failed
from relay.publishing.routing import expecting, routing_now
from relay.runtime.aws import LAST_CALL_S
from relay.runtime.deadline import at_most, leaving, regardless, seconds_left
from relay.runtime.metrics import count_defect
from relay.storage.generations import Cause, new_replay_id, start_again
from relay.verification.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from relay.config.settings import Settings, Source
    from relay.ingest.webhook import Webhook
    from relay.publishing.publisher import Publisher
    from relay.storage.store import Store
    from relay.verification.handshakes import HandshakeAnswer
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret
    from relay.verification.verify import WebhookInfo

BODY_MAX_BYTES = 4 * 1024 * 1024  # Lambda takes 6 MB of event, and a binary body comes in base64
CONTENT_TYPE_MAX_CHARS = 500
PUBLISH_BUDGET_MAX_S = 5.0
MARGIN_S = 0.5  # of what a source waits, for the network and the gateway; of a short time a tenth
LEAST_S = 1.0  # however little a source waits: else the start of a function alone would refuse it
EXAMINE_LEAVES_S = 5.0  # for what comes after; of a short time half
SAVE_LEAVES_S = 2.0  # for the spool, where a call of the table was the last that there was time for
_OF_ANOTHER_SECRET = {"bad_signature", "wrong_token", "wrong_issuer", "unusable_secret"}


def budget_s(source: Source, age_s: float) -> float:
    """Return how long taking in a request of *source* may take, that came *age_s* seconds ago."""
    waits_s = source.row.timeout_s
    return max(LEAST_S, waits_s - min(MARGIN_S, waits_s / 10) - LAST_CALL_S - age_s)


@dataclass(frozen=True)
class Proof:
    """What it takes to prove who sent a request.

    Attributes:
        secrets: Returns the source's current signing secrets, each time as they are known then.
        refresh: Reads them again, if that may be; tells whether they changed.
        fetch: Returns the bytes at a provider's URL; None: nothing can be fetched.
    """

    secrets: Callable[[], Sequence[Secret]]
    refresh: Callable[[], bool]
    fetch: Callable[..., bytes] | None


def examine(source: Source, received: InboundRequest, proof: Proof, *, at: float) -> WebhookInfo | HandshakeAnswer:
    """Return what *received* says of its event, or the answer to its handshake.

    Where no secret made the signature they are read again, so that one that was set just now works.

    Args:
        at: Now, in epoch seconds.

    Raises:
        BodyTooLarge: More than `BODY_MAX_BYTES`.
        SignatureError: None of the source's secrets signed it.
    """
    if len(received.body) > BODY_MAX_BYTES:
        raise BodyTooLarge(f"the relay takes bodies of up to {BODY_MAX_BYTES} bytes")
    with leaving(min(EXAMINE_LEAVES_S, seconds_left() / 2)):
        try:
            return verify(source.row, received, proof.secrets(), at=at, fetch=proof.fetch)
        except SignatureError as error:
            if error.reason not in _OF_ANOTHER_SECRET or not proof.refresh():
                raise
        return verify(source.row, received, proof.secrets(), at=at, fetch=proof.fetch)


@dataclass(frozen=True)
class Acceptance:
    """What became of an accepted request.

    Attributes:
        duplicate: Whether its event was there already.
        conflict: Whether it was there with other bytes; these are kept beside it.
        reopened: The deliveries that had died, and are made again since the source sent the event again.
        failure: What kept it from being published now; the sweep does it.
    """

    event: Event
    duplicate: bool
    conflict: bool = False
    reopened: tuple[DeliveryId, ...] = ()
    failure: RelayError | None = None


def accept(
    source: Source,
    webhook: Webhook,
    *,
    settings: Settings,
    store: Store,
    publisher: Callable[[], Publisher],
    paused: Callable[[], Collection[str]],
) -> Acceptance:
    """Take one webhook in, whose sender is proven.

    Args:
        paused: Returns the destinations that are paused now.
        publisher: Gives the publisher; called once the event is durable, so that nothing it needs can cost the event.

    Raises:
        SignatureError: It is a suspected replay, and the source refuses those.
        UpstreamError: It couldn't be saved.
    """
    with leaving(min(SAVE_LEAVES_S, seconds_left() / 2)):
        described = _event(source, webhook, settings, store)
        routing = routing_now(settings, described, webhook.body)
        event = expecting(settings, described, routing, paused)
        store.save_body(event.id, event.sha256, webhook.body, event.expires_at)
        old = store.add_event(event, due_at=store.now() + SWEEP_AFTER)
    if old is not None and old.generation != event.generation:  # else this very put was made, and its answer lost
        return _again(source, event, old, store, publisher)
    try:
        with at_most(_publish_s(source)):
            publisher().publish_event(event, webhook.body, routing)
    except RelayError as failure:  # the event is durable: whatever keeps QStash from it is the sweep's to mend
        return Acceptance(event, duplicate=False, failure=failure)
    except Exception as error:  # noqa: BLE001  # and so is what nobody thought of
        return Acceptance(event, duplicate=False, failure=Defect(error))
    return Acceptance(event, duplicate=False)


def _again(source: Source, event: Event, old: Event, store: Store, publisher: Callable[[], Publisher]) -> Acceptance:
    """Take in a duplicate of the event *old*, which says that its source has doubts: what died is made again.

    What is on its way, or delivered, is not sent again; what isn't published yet is in the outbox.
    """
    conflict = event.sha256 != old.sha256
    if conflict:
        kept = Conflict(old.id, event.sha256, event.size_bytes, event.received_at, event.content_type, event.headers)
        store.add_conflict(old, kept)
    # No later than the event: the very request, which was spooled as well, or one that was kept back since before.
    if not source.reopens or event.received_at <= old.received_at:
        return Acceptance(old, duplicate=True, conflict=conflict)
    reopened = _reopened(old, store)
    failure: RelayError | None = None
    if reopened:
        try:
            with at_most(_publish_s(source)):
                ready = publisher()
                body = store.body(old)
                publications = [
                    publication for delivery in reopened for publication in ready.pack_delivery(old, delivery, body)
                ]
                outcomes = ready.publish(publications)
                failure = next((outcome.error for outcome in outcomes if isinstance(outcome, Failed)), None)
        except RelayError as error:  # they are due, and so the sweep's
            failure = error
        except Exception as error:  # noqa: BLE001
            failure = Defect(error)
    ids = tuple(it.id for it in reopened)
    return Acceptance(old, duplicate=True, conflict=conflict, reopened=ids, failure=failure)


def _reopened(event: Event, store: Store) -> list[Delivery]:
    """Give those deliveries of *event* that died a new generation, and return them as they stand now."""
    history = store.history(event.id)
    dead = [it for it in history[1] if it.status in DEAD] if history else []
    cause = Cause(new_replay_id(), "source", "the source sent the event again")
    return [again for it in dead if (again := start_again(store, event, it, cause)) is not None]


def accept_or_spool(
    source: Source,
    webhook: Webhook,
    *,
    settings: Settings,
    store: Store,
    publisher: Callable[[], Publisher],
    paused: Callable[[], Collection[str]],
) -> Acceptance | Webhook:
    """Take one webhook in; where the table doesn't take it, keep it for the sweep: many sources never send again.

    Raises:
        SignatureError: As `accept`.
        UpstreamError: There is no place left to keep it: its source must send it again.
    """
    try:
        return accept(source, webhook, settings=settings, store=store, publisher=publisher, paused=paused)
    except SignatureError:
        raise
    except Exception as error:  # noqa: BLE001  # who sent it is proven: it mustn't get lost
        if not isinstance(error, UpstreamError):  # nobody thought of it: a person must hear of it
            count_defect(error)
        left_s = max(LAST_CALL_S, seconds_left())  # however late it is: a late answer is better than none
        with regardless(), at_most(left_s):
            store.spool.put(webhook.dump())
        return webhook


def _publish_s(source: Source) -> float:
    """Return how long publishing may take before the source is answered."""
    return min(PUBLISH_BUDGET_MAX_S, source.row.timeout_s / 3)


def _event(source: Source, webhook: Webhook, settings: Settings, store: Store) -> Event:
    info = webhook.info
    sha256 = hashlib.sha256(webhook.body).hexdigest()
    key = info.idempotency_key if info.has_id else f"{info.idempotency_key}@{_episode(source, webhook, store)}"
    event = Event(
        id=event_id(source.name, key),
        source=source.name,
        idempotency_key=key,
        event_type=info.event_type,
        received_at=webhook.received_at,
        saved_at=store.now(),
        content_type=webhook.content_type and webhook.content_type[:CONTENT_TYPE_MAX_CHARS],
        headers=info.headers,
        sha256=sha256,
        size_bytes=len(webhook.body),
        query=info.query,
        method=info.method,
        raw_query=info.raw_query,
        query_left_out=info.query_left_out,
        expected={},
        generation=new_generation(),
        expires_at=webhook.received_at + timedelta(days=settings.retention_days),
    )
    return event if info.signed_sha256 is None else _with_suspicion(event, info.signed_sha256, source, store)


def _episode(source: Source, webhook: Webhook, store: Store) -> str:
    """Return what tells this event from the same said long ago: when the source said it first.

    A source without ids may say the same of another event; only within the time in which it retries it is the same one.
    """
    within = timedelta(seconds=source.row.retries_for_s)
    if not within:
        return iso(webhook.received_at)
    return iso(store.first_sent(source.name, webhook.info.idempotency_key, webhook.received_at, within))


def _with_suspicion(event: Event, signed_sha256: str, source: Source, store: Store) -> Event:
    """Return *event*, flagged where what was signed made an event before under another id, which nothing signs."""
    first = store.first_key(event.source, signed_sha256, event.idempotency_key, event.expires_at)
    before = event_id(event.source, first)
    if before == event.id or store.event(before) is None:  # seen, and never saved: nothing to be a replay of
        return event
    if source.refuses_replays:
        raise SignatureError("the same signed request came before under another id", reason="replayed")
    return replace(event, suspected_replay_of=before)
