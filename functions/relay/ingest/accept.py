"""The verb of ingest: prove the sender, save the event, publish it, acknowledge it.  In this order.

The source waits only so long, and each step leaves time for the next.  A request that can't be proven in time is
refused, and its source sends it again.  A webhook that the table can't take in time is spooled.  An event that can't
be published in time is left to the sweep.
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
MARGIN_S = 0.5  # of the time that a source waits, for the network and the gateway; of a short time a tenth
LEAST_S = 1.0  # however short a source waits: else a cold start alone would refuse the request
EXAMINE_LEAVES_S = 5.0  # for the steps after the proof; of a short time half
SAVE_LEAVES_S = 2.0  # for the spool, if the table takes all the time
_OF_ANOTHER_SECRET = {"bad_signature", "wrong_token", "wrong_issuer", "unusable_secret"}


def budget_s(source: Source, age_s: float) -> float:
    """Return how many seconds are left for a request of *source* that came *age_s* seconds ago."""
    waits_s = source.row.timeout_s
    return max(LEAST_S, waits_s - min(MARGIN_S, waits_s / 10) - LAST_CALL_S - age_s)


@dataclass(frozen=True)
class Proof:
    """The means to prove who sent a request.

    Attributes:
        secrets: Returns the source's signing secrets, as this function knows them at the call.
        refresh: Reads the secrets again, unless that was just done; tells whether they changed.
        fetch: Returns the bytes at a provider's URL; None: nothing can be fetched.
    """

    secrets: Callable[[], Sequence[Secret]]
    refresh: Callable[[], bool]
    fetch: Callable[..., bytes] | None


def examine(source: Source, received: InboundRequest, proof: Proof, *, at: float) -> WebhookInfo | HandshakeAnswer:
    """Verify *received*; return the info of its event, or the answer to its handshake.

    If no secret made the signature, the secrets are read again, so that a secret set just now works.

    Args:
        at: Now, in epoch seconds.

    Raises:
        BodyTooLarge: The body has more than `BODY_MAX_BYTES`.
        SignatureError: None of the source's secrets signed the request.
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
    """The event of an accepted request, and what the request changed.

    Attributes:
        duplicate: Whether the relay had the event before.
        conflict: Whether the event had another body; the new body is kept beside it.
        reopened: The dead deliveries that the redelivery reopened.
        failure: The error that prevented the publish; the sweep publishes later.
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
    """Save and publish one webhook whose sender is proven.

    Args:
        paused: Returns the destinations that are paused now.
        publisher: Makes the publisher.  It is called once the event is durable, so that its failure can't cost the
            event.

    Raises:
        SignatureError: The webhook is a suspected replay, and the source refuses those.
        UpstreamError: The event couldn't be saved.
    """
    with leaving(min(SAVE_LEAVES_S, seconds_left() / 2)):
        described = _event(source, webhook, settings, store)
        routing = routing_now(settings, described, webhook.body)
        event = expecting(settings, described, routing, paused)
        store.save_body(event.id, event.sha256, webhook.body, event.expires_at)
        old = store.add_event(event, due_at=store.now() + SWEEP_AFTER)
    if old is not None and old.generation != event.generation:  # else *old* is this put's own: its answer got lost
        return _again(source, event, old, store, publisher)
    try:
        with at_most(_publish_s(source)):
            publisher().publish_event(event, webhook.body, routing)
    except RelayError as failure:  # the event is durable: the sweep publishes it
        return Acceptance(event, duplicate=False, failure=failure)
    except Exception as error:  # noqa: BLE001  # as above: no defect may cost the acknowledgement
        return Acceptance(event, duplicate=False, failure=Defect(error))
    return Acceptance(event, duplicate=False)


def _again(source: Source, event: Event, old: Event, store: Store, publisher: Callable[[], Publisher]) -> Acceptance:
    """Handle a redelivery of *old*: reopen its dead deliveries, leave the others alone."""
    conflict = event.sha256 != old.sha256
    if conflict:
        kept = Conflict(old.id, event.sha256, event.size_bytes, event.received_at, event.content_type, event.headers)
        store.add_conflict(old, kept)
    # A webhook no later than the event is no redelivery: it was spooled or quarantined before.
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
        except RelayError as error:  # the deliveries are due: the sweep publishes them
            failure = error
        except Exception as error:  # noqa: BLE001
            failure = Defect(error)
    ids = tuple(it.id for it in reopened)
    return Acceptance(old, duplicate=True, conflict=conflict, reopened=ids, failure=failure)


def _reopened(event: Event, store: Store) -> list[Delivery]:
    """Give the dead deliveries of *event* a new generation; return the new ones."""
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
    """Accept one webhook, or spool it for the sweep if the table fails: many sources never send again.

    Raises:
        SignatureError: As `accept`.
        UpstreamError: The spool fails, too: the source must send the webhook again.
    """
    try:
        return accept(source, webhook, settings=settings, store=store, publisher=publisher, paused=paused)
    except SignatureError:
        raise
    except Exception as error:  # noqa: BLE001  # who sent it is proven: it mustn't get lost
        if not isinstance(error, UpstreamError):  # a defect: a person must hear of it
            count_defect(error)
        left_s = max(LAST_CALL_S, seconds_left())  # even if no time is left: a late answer is better than none
        with regardless(), at_most(left_s):
            store.spool.put(webhook.dump())
        return webhook


def _publish_s(source: Source) -> float:
    """Return how many seconds a publish may take before the answer to the source."""
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
    """Return a text that tells this event from an earlier one with the same key: the time the key first came.

    A source without ids may send equal webhooks of two events.  Only within the source's retries is it one event.
    """
    within = timedelta(seconds=source.row.retries_for_s)
    if not within:
        return iso(webhook.received_at)
    return iso(store.first_sent(source.name, webhook.info.idempotency_key, webhook.received_at, within))


def _with_suspicion(event: Event, signed_sha256: str, source: Source, store: Store) -> Event:
    """Return *event*, flagged if the same signed bytes came before under another id, which nothing signs."""
    first = store.first_key(event.source, signed_sha256, event.idempotency_key, event.expires_at)
    before = event_id(event.source, first)
    if before == event.id or store.event(before) is None:  # that event was never saved: this one is no replay
        return event
    if source.refuses_replays:
        raise SignatureError("the same signed request came before under another id", reason="replayed")
    return replace(event, suspected_replay_of=before)
