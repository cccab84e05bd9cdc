"""The verb of sweep: publishes what is due, a bounded run at a time, under a lease; and keeps QStash's keys fresh."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.accept import accept
from relay.errors import NotFound, QStashError, SignatureError, UpstreamError
from relay.items import SHARDS
from relay.spool import Spooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model import Event, EventId
    from relay.publish import Publisher
    from relay.qstash import QStash
    from relay.store import Store

LEASE = "sweep"
LEASE_LENGTH = timedelta(seconds=60)
BATCH = 25
SPOOL_S = 10  # of a run, at least, the spool has for itself
BACKOFF_MIN = timedelta(seconds=30)
BACKOFF_MAX = timedelta(minutes=15)


@dataclass
class Swept:
    """What a run did: what it took in from the spool, published and failed to, and the oldest's age, in seconds."""

    unspooled: int = 0
    published: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    skipped: bool = False


def sweep(publisher: Publisher, *, owner: str, seconds_left: Callable[[], float]) -> Swept:
    """Publish what is due until nothing is, or time is short; do nothing where another run holds the lease.

    Args:
        owner: Tells this run from others.
        seconds_left: How long this run may still take.
    """
    store = publisher.store
    done = Swept()
    if not store.take_lease(LEASE, owner, LEASE_LENGTH):
        done.skipped = True
        return done
    try:
        for shard in range(SHARDS):
            _sweep_shard(publisher, shard, done, lambda: seconds_left() - SPOOL_S)
        try:
            _take_in(publisher, done, seconds_left)
        except UpstreamError:
            done.failed += 1
    finally:
        store.give_back_lease(LEASE, owner)
    return done


def _sweep_shard(publisher: Publisher, shard: int, done: Swept, seconds_left: Callable[[], float]) -> None:
    store = publisher.store
    seen: set[tuple[EventId, str | None]] = set()
    while seconds_left() > 0:
        due = [it for it in store.due(shard, BATCH) if it[:2] not in seen]
        if not due:
            return
        for event_id, destination, since in due:
            seen.add((event_id, destination))
            done.oldest_s = max(done.oldest_s, (store.now() - since).total_seconds())
            try:
                done.published += _publish(publisher, event_id, destination)
            except UpstreamError:
                done.failed += 1
            if seconds_left() <= 0:
                return


def _publish(publisher: Publisher, event_id: EventId, destination: str | None) -> bool:
    """Publish one due thing; where that fails, postpone it, the longer the older it is."""
    store = publisher.store
    event = store.event(event_id)
    if event is None:
        return False
    try:
        if destination is not None:
            delivery = store.delivery(event, destination)
            if delivery.due_at is None:
                return False
            publisher.publish_delivery(event, delivery, store.body(event))
        elif event.unpublished:
            publisher.publish_event(event, store.body(event))
        else:
            return False
    except UpstreamError as error:
        _postpone(store, event, destination, error)
        raise
    return True


def _postpone(store: Store, event: Event, destination: str | None, error: UpstreamError) -> None:
    now = store.now()
    asked = timedelta(seconds=error.retry_after_s or 0) if isinstance(error, QStashError) else BACKOFF_MIN
    since = event.received_at if destination is None else store.delivery(event, destination).since
    due_at = now + max(asked, min(BACKOFF_MAX, max(BACKOFF_MIN, (now - since) / 2)))
    if destination is None:
        store.postpone_event(event, due_at)
        for name, group in event.expected.items():
            if group in event.unpublished:  # a record, so that listings show what waits
                store.change_delivery(event, name, lambda it: it)
    else:
        store.change_delivery(event, destination, lambda it: it.postponed(due_at))


def _take_in(publisher: Publisher, done: Swept, seconds_left: Callable[[], float]) -> None:
    """Take in what ingest spooled while the table was down.

    A webhook goes from the spool once it is in the table: one that is taken in twice is a duplicate.
    """
    store = publisher.store
    after = ""
    while seconds_left() > 0:
        found = store.spooled(BATCH, after)
        for key, data in found:
            after = key
            if seconds_left() <= 0:
                return
            try:
                done.unspooled += _unspooled(publisher, data)
                store.unspool(key)
            except (UpstreamError, NotFound, ValueError, KeyError, TypeError):
                done.failed += (
                    1  # its source is gone, or somebody else wrote there: it stays, and the next has its turn
                )
        if len(found) < BATCH:
            return


def _unspooled(publisher: Publisher, data: bytes) -> bool:
    """Take one spooled webhook in; tell whether it made an event, or found one."""
    webhook = Spooled.load(data)
    settings = publisher.settings
    source = settings.source(webhook.source)
    try:
        accept(source, webhook, settings=settings, store=publisher.store, publisher=lambda: publisher)
    except SignatureError:  # a suspected replay, which this source refuses
        return False
    return True


def refresh_keys(store: Store, qstash: QStash) -> bool:
    """Read QStash's signing keys into the table, and make the key of callback URLs where there is none.

    Returns:
        Whether anything changed.
    """
    current, following = qstash.signing_keys()
    known = store.keys()
    if (known.get("current"), known.get("next")) == (current, following) and known.get("mac"):
        return False
    store.save_keys(current=current, following=following, mac=secrets.token_hex(32))
    return True
