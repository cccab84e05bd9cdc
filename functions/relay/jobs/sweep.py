"""The verb of sweep: publishes what is due, looks after what never reported, takes in what was spooled.

A bounded run at a time, of which each of these three has a share, so that none starves where another is slow.  Every
shard of the index has a lease of its own, so that several runs share the work; a share that is over leaves word where
to go on.  A quota of QStash that is used up holds all publishing until it is full again; one that doesn't answer ends
the publishing of this run.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import AnswerTooLong, Defect, LogTooLong, OutOfTime, QStashError, Unready, UpstreamError
from relay.ingest.spool import take_in
from relay.ingest.webhook import backlog
from relay.ledger.in_flight import FollowUp, follow_up
from relay.model.delivery import Status
from relay.publishing.answers import Done, Failed, NotYet
from relay.publishing.routing import routing_now
from relay.replay import bulk
from relay.replay.deliveries import Router
from relay.runtime.deadline import regardless, seconds_left, within
from relay.runtime.metrics import Metric, count
from relay.runtime.parallel import each, supervised
from relay.storage.items import OUTBOX, SHARDS, WATCH
from relay.storage.leases import REPLAYS, SPOOL, sweep_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from relay.model.delivery import Delivery
    from relay.model.event import Event
    from relay.publishing.answers import Outcome
    from relay.publishing.messages import Publication
    from relay.publishing.publisher import Publisher
    from relay.storage.leases import Lease
    from relay.storage.store import Due, Store

PUBLISH = "publish"
BATCH = 25
# Of a run, what each may take until the others have had their turn; what is left then is for who was cut short
PUBLISH_SHARE = 0.5
REPLAYS_SHARE = 0.2  # of it, replays of many, which make what is to be published
SPOOL_SHARE = 0.25  # at least; what is between is for looking after
PAGE_S = 2.0  # no page is begun with less left
BACKOFF_MIN = timedelta(seconds=30)
BACKOFF_MAX = timedelta(minutes=15)
DEFECT_MAX = timedelta(minutes=30)  # half a dozen tries: what fails by its own data does so each time
HOLD_MAX = timedelta(hours=1)  # of a quota: its owner may buy more of it any time


@dataclass
class Swept(FollowUp):
    """What a run did.

    Attributes:
        published: Things that aren't owed any more.
        waiting: Things whose deliveries are owed until QStash's log tells whether it has them.
        failed: Things that stay owed.
        replayed: Deliveries that replays of many started.
        unspooled: Webhooks taken in from the spool.
        spooled: Those that wait there at its end, up to `webhook.COUNTED_MAX`; *spooled_s*: the oldest for how long, in
            seconds.
        oldest_s: How long the oldest thing due to be published has waited, in seconds.
        skipped: Shards that another run was at.
        held_until: Until when a quota holds all publishing.
        cut_short: What had no time to be done to its end, `publish` or `watch`, and the shard that the next run begins
            it with.
    """

    replayed: int = 0
    unspooled: int = 0
    spooled: int = 0
    spooled_s: float = 0.0
    published: int = 0
    waiting: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    skipped: int = 0
    held_until: datetime | None = None
    cut_short: dict[str, int] = field(default_factory=dict)


@dataclass
class _Run:
    """One run: who it is, what it may still take, and what it did."""

    publisher: Publisher
    owner: str
    done: Swept = field(default_factory=Swept)
    publishes: bool = True

    @property
    def store(self) -> Store:
        return self.publisher.store

    def does(self, part: Callable[[_Run], None]) -> None:
        """Do a *part* of the run; where it fails the others are done all the same."""
        if (failure := supervised(part, self)) is not None:
            self.failed(failure)

    def failed(self, failure: UpstreamError) -> None:
        """Count a failure; what there was no time for is none."""
        if isinstance(failure, OutOfTime):
            return
        self.done.failed += 1
        self.done.note(failure)

    @contextmanager
    def lease(self, lease: Lease) -> Iterator[bool]:
        """Hold *lease* within; yield whether it was free, and count where it wasn't."""
        with self.store.lease(lease, self.owner) as is_free:
            self.done.skipped += not is_free
            yield is_free


def sweep(publisher: Publisher, *, owner: str, seconds_left: Callable[[], float]) -> Swept:
    """Do what is due until nothing is, or time is short.

    Args:
        owner: Tells this run from others.
        seconds_left: How long this run may still take.
    """
    run, whole_s = _Run(publisher, owner), seconds_left()

    def all_but(share: float) -> float:
        return seconds_left() - whole_s * share

    with within(seconds_left):
        run.done.held_until = run.store.state.hold()
        run.publishes = run.done.held_until is None
        words = run.store.state.sweep_words()
        with within(partial(all_but, 1 - REPLAYS_SHARE)):
            run.does(_advance_replays)  # where that fails, what is due goes on all the same
        with within(partial(all_but, 1 - PUBLISH_SHARE)):
            _each_shard(run, PUBLISH, words.get(PUBLISH, 0), _publish_shard)
        with within(partial(all_but, SPOOL_SHARE)):
            _each_shard(run, WATCH, words.get(WATCH, 0), _watch_shard)
        run.does(_take_in)
        for what, work in ((PUBLISH, _publish_shard), (WATCH, _watch_shard)):
            if what in run.done.cut_short:
                _each_shard(run, what, run.done.cut_short.pop(what), work)
    if words != run.done.cut_short:
        with regardless():
            run.store.state.save_sweep_words(run.done.cut_short)
    return run.done


def _each_shard(run: _Run, what: str, begin: int, work: Callable[..., None]) -> None:
    """Do *work* in each shard, from *begin* on; where time is over, leave word where to go on."""
    for number in range(SHARDS):
        shard = (begin + number) % SHARDS
        if not _has_time():
            run.done.cut_short[what] = shard
            return
        run.does(partial(work, shard=shard))  # the table may not answer, for now
    if not _has_time():
        run.done.cut_short[what] = begin


def _has_time() -> bool:
    return seconds_left() >= PAGE_S


def _advance_replays(run: _Run) -> None:
    """Start what replays of many start in a minute; it is published right after."""
    due = run.store.replays.due() if run.publishes else []
    if not due:
        return
    router = Router(run.publisher.settings, run.store.pauses.all)
    with run.lease(REPLAYS) as is_free:
        for replay_id in due if is_free else ():
            run.does(partial(_advance, router=router, replay_id=replay_id))


def _advance(run: _Run, router: Router, replay_id: str) -> None:
    run.done.replayed += bulk.advance(run.store, router, replay_id, seconds_left, workers=run.publisher.workers)


def _publish_shard(run: _Run, shard: int) -> None:
    """Publish what is due in *shard*; where nothing is, that costs a read."""
    outbox, _ = run.store.due(OUTBOX, shard, 1)
    for thing in outbox:
        run.done.oldest_s = max(run.done.oldest_s, (run.store.now() - thing.at).total_seconds())
    if outbox and run.publishes:
        _each_page(run, OUTBOX, shard, _publish)


def _watch_shard(run: _Run, shard: int) -> None:
    """Look after what is due in *shard*; where nothing is, that costs a read."""
    watch, _ = run.store.due(WATCH, shard, 1)
    if watch:
        _each_page(run, WATCH, shard, _look_after)


def _each_page(run: _Run, queue: str, shard: int, work: Callable[[_Run, Sequence[Due]], bool]) -> None:
    """Do *work* on what is due, page by page, while nobody else is at it, it says to go on, and there is time."""
    last = None
    with run.lease(sweep_of(shard)) as is_free:
        while is_free and _has_time():
            due, last = run.store.due(queue, shard, BATCH, last)
            if (due and not work(run, due)) or last is None:
                return


def _look_after(run: _Run, due: Sequence[Due]) -> bool:
    """Look after what is *due*, together; each alone where our own code fails at one.  Return whether to go on."""
    failure = supervised(lambda them: follow_up(run.publisher, them, run.done), due)
    of_one = isinstance(failure, Defect | LogTooLong | AnswerTooLong)
    if of_one and len(due) > 1:
        return all(_look_after(run, [it]) for it in due)
    if failure is not None:
        run.failed(failure)
        _heed(run, [failure])
    return failure is None or of_one


# -- publishing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Owed:
    """One thing to publish, as it stands: an event's first publish, or one delivery; and its publications."""

    event: Event
    delivery: Delivery | None
    publications: Sequence[Publication]

    @property
    def since(self) -> datetime:
        return self.event.owed_since if self.delivery is None else self.delivery.since


def _publish(run: _Run, due: Sequence[Due]) -> bool:
    """Publish what is *due* together; return whether it makes sense to go on."""
    found = each(lambda it: _owed(run, it), due, workers=run.publisher.workers)
    for failure in found:
        if isinstance(failure, UpstreamError):  # the others have their turn
            run.failed(failure)
    owed = [it for it in found if isinstance(it, _Owed)]
    run.done.oldest_s = max([run.done.oldest_s, *((run.store.now() - it.since).total_seconds() for it in owed)])
    publications = [(number, publication) for number, it in enumerate(owed) for publication in it.publications]
    outcomes = _published(run, [publication for _, publication in publications])
    failures: dict[int, UpstreamError] = {}
    waiting: set[int] = set()
    for (number, _), outcome in zip(publications, outcomes, strict=True):
        match outcome:
            case Failed(error):
                failures.setdefault(number, error)
            case NotYet():
                waiting.add(number)
            case Done():
                pass
    run.done.waiting += len(waiting - failures.keys())
    run.done.published += len(owed) - len(waiting | failures.keys())
    failures = {number: it for number, it in failures.items() if not isinstance(it, OutOfTime)}  # these stay as due
    for failure in failures.values():
        run.failed(failure)
    if _heed(run, list(failures.values())):
        return False
    for number, failure in failures.items():
        run.does(partial(_postpone, owed=owed[number], error=failure, ends_as=Status.UNACCOUNTED))
    nobody_listens = all(getattr(it, "concerns_all", True) for it in failures.values())
    all_failed = bool(failures) and len(failures) == len(owed) and nobody_listens
    run.publishes = not (all_failed and _has_time())  # else its last call was cut short, which says nothing of QStash
    return run.publishes


def _published(run: _Run, publications: Sequence[Publication]) -> list[Outcome]:
    """Publish *publications* together, or each alone where our own code fails at one: its id makes that the same."""
    if not publications:
        return []
    outcomes = supervised(run.publisher.publish, publications)
    if not isinstance(outcomes, UpstreamError):
        return outcomes
    if len(publications) == 1 or isinstance(outcomes, OutOfTime):
        return [Failed(outcomes)] * len(publications)
    return [outcome for it in publications for outcome in _published(run, [it])]


def _owed(run: _Run, due: Due) -> _Owed | None:
    """Return what is *due*, packed; None where it isn't owed any more, for the index lags.

    Raises:
        UpstreamError: The table doesn't answer, the body is gone, or our own code fails; it is postponed.
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
    if delivery is not None and delivery.generation == event.generation and delivery.group in event.unpublished:
        return None  # it has its turn once its group has had its own: never both
    owed = _Owed(event, delivery, ())
    publications = supervised(partial(_packed, run), owed)
    if isinstance(publications, UpstreamError):
        _postpone(run, owed, publications, ends_as=Status.UNPUBLISHABLE)
        raise publications
    return replace(owed, publications=publications)


def _packed(run: _Run, owed: _Owed) -> list[Publication]:
    body = run.store.body(owed.event)
    if owed.delivery is None:
        return run.publisher.pack_event(owed.event, body, routing_now(run.publisher.settings, owed.event, body))
    return run.publisher.pack_delivery(owed.event, owed.delivery, body)


def _heed(run: _Run, failures: Sequence[UpstreamError]) -> bool:
    """Hold all publishing where one of *failures* says that a quota is used up; tell whether one does."""
    for failure in failures:
        if isinstance(failure, QStashError) and failure.quota:
            wait = min(HOLD_MAX, timedelta(seconds=failure.retry_after_s or 0))
            run.done.held_until = run.store.now() + wait
            run.store.state.save_hold(run.done.held_until, f"the {failure.quota} quota of QStash is used up")
            run.publishes = False
            return True
    return False


def _postpone(run: _Run, owed: _Owed, error: UpstreamError, ends_as: Status) -> None:
    """Try again later, the longer it has waited, and not before QStash asks to.

    Args:
        ends_as: What becomes of it where our own code still fails at it after `DEFECT_MAX`.
    """
    store, now = run.store, run.store.now()
    if isinstance(error, OutOfTime):
        return
    if isinstance(error, Defect) and now - owed.since >= DEFECT_MAX:
        _give_up(run, owed, ends_as, str(error))
        return
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


def _give_up(run: _Run, owed: _Owed, status: Status, reason: str) -> None:
    """Leave to a person what our own code can't publish: nobody tries any more."""
    event, store = owed.event, run.store
    generation = event.generation if owed.delivery is None else owed.delivery.generation
    names = [name for name, group in event.expected.items() if group in event.unpublished]
    for name in names if owed.delivery is None else [owed.delivery.destination]:
        store.change_delivery(event, name, lambda it: it.ended(generation, status, reason))
        count(Metric.UNPUBLISHABLE)
    if owed.delivery is None:
        store.published(event, event.unpublished)


def _take_in(run: _Run) -> None:
    """Take in what is spooled, if nobody else does; it isn't published while QStash takes nothing."""
    run.done.spooled, oldest_at = backlog(run.store)
    run.done.spooled_s = _age_s(run, oldest_at)
    if not run.done.spooled:
        return

    def publisher() -> Publisher:
        if not run.publishes:
            raise Unready("QStash", "it takes nothing now")
        return run.publisher

    with run.lease(SPOOL) as is_free:
        if is_free:
            taken = take_in(run.publisher, publisher, run.store.spool.word().get("after", ""))
            run.done.unspooled += taken.unspooled
            run.done.failed += taken.failed
            with regardless():
                run.done.spooled, oldest_at = backlog(run.store)
                run.done.spooled_s = _age_s(run, oldest_at)
                run.store.spool.save_word({"reason": taken.reason, "after": taken.after})


def _age_s(run: _Run, moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (run.store.now() - moment).total_seconds())
