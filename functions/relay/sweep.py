"""The verb of sweep: publishes what is due, looks after what never reported, takes in what was spooled.

A bounded run at a time.  Every shard of the index has a lease of its own, so that several runs share the work; a run
that is out of time leaves word where to go on.  A quota of QStash that is used up holds all publishing until it is
full again; one that doesn't answer ends the publishing of this run.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay import bulk
from relay.errors import QStashError, UpstreamError
from relay.items import OUTBOX, SHARDS, WATCH
from relay.model import Status
from relay.parallel import each
from relay.replay import Router
from relay.unspool import is_anything_spooled, take_in
from relay.watch import Looked, look_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from relay.model import Delivery, Event
    from relay.parcels import Parcel
    from relay.publish import Publisher
    from relay.qstash import QStash
    from relay.store import Due, Store

LEASE_LENGTH = timedelta(seconds=60)  # the function is ended before
BATCH = 25
SPOOL_S = 10  # of a run, at least, the spool has for itself
BACKOFF_MIN = timedelta(seconds=30)
BACKOFF_MAX = timedelta(minutes=15)
HOLD_MAX = timedelta(hours=1)  # of a quota: its owner may buy more of it any time


@dataclass
class Swept(Looked):
    """What a run did.

    Attributes:
        published: Things that aren't owed any more.
        failed: Things that stay owed.
        replayed: Deliveries that replays of many started.
        unspooled: Webhooks taken in from the spool.
        oldest_s: How long the oldest thing due to be published has waited, in seconds.
        skipped: Shards that another run was at.
        held_until: Until when a quota holds all publishing.
    """

    replayed: int = 0
    unspooled: int = 0
    published: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    skipped: int = 0
    held_until: datetime | None = None


@dataclass
class _Run:
    """One run: who it is, what it may still take, and what it did."""

    publisher: Publisher
    owner: str
    seconds_left: Callable[[], float]
    done: Swept = field(default_factory=Swept)
    publishes: bool = True

    @property
    def store(self) -> Store:
        return self.publisher.store

    @contextmanager
    def lease(self, name: str) -> Iterator[bool]:
        """Hold the lease *name* within; tell whether nobody else does."""
        taken = self.store.take_lease(name, self.owner, LEASE_LENGTH)
        self.done.skipped += not taken
        try:
            yield taken
        finally:
            if taken:
                self.store.give_back_lease(name, self.owner)


def sweep(publisher: Publisher, *, owner: str, seconds_left: Callable[[], float]) -> Swept:
    """Do what is due until nothing is, or time is short.

    Args:
        owner: Tells this run from others.
        seconds_left: How long this run may still take.
    """
    run = _Run(publisher, owner, lambda: seconds_left() - SPOOL_S)
    run.done.held_until = run.store.hold()
    run.publishes = run.done.held_until is None
    try:
        _advance_replays(run)
    except UpstreamError:  # what is due goes on all the same
        run.done.failed += 1
    begin = run.store.shard_to_begin_with()
    for number in range(SHARDS):
        shard = (begin + number) % SHARDS
        if run.seconds_left() <= 0:
            run.store.begin_with(shard)
            break
        try:
            _sweep_shard(run, shard)
        except UpstreamError:  # the table doesn't answer, for now
            run.done.failed += 1
    else:
        if begin:
            run.store.begin_with(0)
    run.seconds_left = seconds_left
    try:
        _take_in(run)
    except UpstreamError:
        run.done.failed += 1
    return run.done


def _advance_replays(run: _Run) -> None:
    """Start what replays of many start in a minute; it is published right after."""
    due = run.store.due_jobs() if run.publishes else []
    if not due:
        return
    router = Router(run.publisher.settings, run.store.paused)
    with run.lease("replays") as taken:
        for replay_id in due if taken else ():
            try:
                half = run.seconds_left() / 2  # the rest is for publishing
                left = partial(_left, run, half)
                run.done.replayed += bulk.advance(run.store, router, replay_id, left, workers=run.publisher.workers)
            except UpstreamError:
                run.done.failed += 1


def _left(run: _Run, reserved_s: float) -> float:
    return run.seconds_left() - reserved_s


def _sweep_shard(run: _Run, shard: int) -> None:
    """Publish and look after what is due in *shard*; where nothing is, that costs two reads."""
    outbox, _ = run.store.due(OUTBOX, shard, 1)
    watch, _ = run.store.due(WATCH, shard, 1)
    for it in outbox:
        run.done.oldest_s = max(run.done.oldest_s, (run.store.now() - it.at).total_seconds())
    if not (outbox and run.publishes) and not watch:
        return
    with run.lease(f"sweep#{shard}") as taken:
        if not taken:
            return
        for due in _pages(run, OUTBOX, shard) if run.publishes else ():
            if not _publish(run, due):
                break
        try:
            for due in _pages(run, WATCH, shard):
                look_after(run.publisher, due, run.done)
        except UpstreamError as error:
            run.done.failed += 1
            _heed(run, [error])


def _pages(run: _Run, queue: str, shard: int) -> Iterator[list[Due]]:
    """Yield what is due, page by page, until time is short."""
    last = None
    while run.seconds_left() > 0:
        due, last = run.store.due(queue, shard, BATCH, last)
        if due:
            yield due
        if last is None:
            return


# -- publishing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Owed:
    """One thing to publish, as it stands: an event's first publish, or one delivery; and its parcels."""

    event: Event
    delivery: Delivery | None
    parcels: Sequence[Parcel]

    @property
    def since(self) -> datetime:
        return self.event.owed_since if self.delivery is None else self.delivery.since


def _publish(run: _Run, due: Sequence[Due]) -> bool:
    """Publish what is *due* together; return whether it makes sense to go on."""
    found = each(lambda it: _owed(run, it), due, workers=run.publisher.workers)
    run.done.failed += sum(isinstance(it, UpstreamError) for it in found)  # the others have their turn
    owed = [it for it in found if isinstance(it, _Owed)]
    run.done.oldest_s = max([run.done.oldest_s, *((run.store.now() - it.since).total_seconds() for it in owed)])
    parcels = [(number, parcel) for number, it in enumerate(owed) for parcel in it.parcels]
    outcomes = run.publisher.publish([parcel for _, parcel in parcels]) if parcels else []
    failures: dict[int, UpstreamError] = {}
    for (number, _), outcome in zip(parcels, outcomes, strict=True):
        if outcome is not None:
            failures.setdefault(number, outcome)
    run.done.published += len(owed) - len(failures)
    run.done.failed += len(failures)
    if _heed(run, list(failures.values())):
        return False
    for number, failure in failures.items():
        _postpone(run, owed[number], failure)
    nobody_listens = all(getattr(it, "concerns_all", True) for it in failures.values())
    run.publishes = not (failures and len(failures) == len(owed) and nobody_listens)
    return run.publishes


def _owed(run: _Run, due: Due) -> _Owed | None:
    """Return what is *due*, packed; None where it isn't owed any more, for the index lags.

    Raises:
        UpstreamError: The table doesn't answer, or the body is gone; it is postponed, where that can be.
    """
    store = run.store
    event = store.event(due.event)
    if event is None:
        return None
    delivery = None if due.destination is None else store.delivery(event, due.destination)
    if delivery is None and not event.unpublished:
        store.forget_mark(event)  # what took the last group off may have ended before the mark itself went
        return None
    if delivery is not None and (delivery.status is not Status.PENDING or delivery.due_at is None):
        return None
    owed = _Owed(event, delivery, ())
    try:
        body = store.body(event)
    except UpstreamError as error:
        _postpone(run, owed, error)
        raise
    if delivery is None:
        return replace(owed, parcels=run.publisher.pack_event(event, body))
    return replace(owed, parcels=run.publisher.pack_delivery(event, delivery, body))


def _heed(run: _Run, failures: Sequence[UpstreamError]) -> bool:
    """Hold all publishing where one of *failures* says that a quota is used up; tell whether one does."""
    for it in failures:
        if isinstance(it, QStashError) and it.quota:
            wait = min(HOLD_MAX, timedelta(seconds=it.retry_after_s or 0))
            run.done.held_until = run.store.now() + wait
            run.store.save_hold(run.done.held_until, f"the {it.quota} quota of QStash is used up")
            run.publishes = False
            return True
    return False


def _postpone(run: _Run, owed: _Owed, error: UpstreamError) -> None:
    """Try again later, the longer it has waited, and not before QStash asks to."""
    store, now = run.store, run.store.now()
    asked = timedelta(seconds=error.retry_after_s or 0) if isinstance(error, QStashError) else BACKOFF_MIN
    due_at = now + max(asked, min(BACKOFF_MAX, max(BACKOFF_MIN, (now - owed.since) / 2)))
    event = owed.event
    if owed.delivery is not None:
        generation = owed.delivery.generation
        store.change_delivery(event, owed.delivery.destination, lambda it: it.due(generation, due_at))
        return
    store.postpone_event(event, due_at)
    for name, group in event.expected.items():
        if group in event.unpublished:  # a record, so that listings show what waits
            store.change_delivery(event, name, lambda it: it)


def _take_in(run: _Run) -> None:
    """Take in what is spooled, if nobody else does."""
    if not is_anything_spooled(run.store):
        return
    with run.lease("spool") as taken:
        if taken:
            unspooled, failed = take_in(run.publisher, run.seconds_left)
            run.done.unspooled += unspooled
            run.done.failed += failed


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
