"""Publishes the events and deliveries that are due, and decides when a failed one is due again.

A page of them goes to QStash together.  If QStash says that a quota is used up, all publishing is held until the quota
is full again.  If QStash refuses every one of a page, this run publishes no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import Defect, OutOfTime, QStashError, UpstreamError
from relay.jobs.run import has_time
from relay.model.delivery import Status
from relay.publishing.answers import Done, Failed, NotYet
from relay.publishing.routing import routing_now
from relay.runtime.metrics import Metric, count
from relay.runtime.parallel import each, supervised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from relay.jobs.run import Run
    from relay.model.delivery import Delivery
    from relay.model.event import Event
    from relay.publishing.answers import Outcome
    from relay.publishing.messages import Publication
    from relay.storage.store import Due

BACKOFF_MIN = timedelta(seconds=30)
BACKOFF_MAX = timedelta(minutes=15)
DEFECT_MAX = timedelta(minutes=30)  # half a dozen tries: a defect of one event's data fails each time
HOLD_MAX = timedelta(hours=1)  # of a quota: its owner may buy more of it any time


@dataclass(frozen=True)
class _Owed:
    """An event that owes its first publish, or one *delivery* of it; and the publications."""

    event: Event
    delivery: Delivery | None
    publications: Sequence[Publication]

    @property
    def since(self) -> datetime:
        return self.event.owed_since if self.delivery is None else self.delivery.since


def publish(run: Run, due: Sequence[Due]) -> bool:
    """Publish the *due* events and deliveries together; return whether the run may go on publishing."""
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
    failures = {number: it for number, it in failures.items() if not isinstance(it, OutOfTime)}  # they stay due
    for failure in failures.values():
        run.failed(failure)
    if heed(run, list(failures.values())):
        return False
    for number, failure in failures.items():
        run.does(partial(_postpone, owed=owed[number], error=failure, ends_as=Status.UNACCOUNTED))
    nobody_listens = all(getattr(it, "concerns_all", True) for it in failures.values())
    all_failed = bool(failures) and len(failures) == len(owed) and nobody_listens
    run.publishes = not (all_failed and has_time())  # else its last call was cut short, which says nothing of QStash
    return run.publishes


def _published(run: Run, publications: Sequence[Publication]) -> list[Outcome]:
    """Publish *publications* together, or each alone if our own code fails at one; their ids prevent doubles."""
    if not publications:
        return []
    outcomes = supervised(run.publisher.publish, publications)
    if not isinstance(outcomes, UpstreamError):
        return outcomes
    if len(publications) == 1 or isinstance(outcomes, OutOfTime):
        return [Failed(outcomes)] * len(publications)
    return [outcome for it in publications for outcome in _published(run, [it])]


def _owed(run: Run, due: Due) -> _Owed | None:
    """Return the *due* event or delivery with its publications; None if nothing is owed any more: the index lags.

    Raises:
        UpstreamError: The table doesn't answer, the body is gone, or our own code fails.  The publish is postponed.
    """
    store = run.store
    event = store.event(due.event)
    if event is None:
        return None
    delivery = None if due.destination is None else store.delivery(event, due.destination)
    if delivery is None and not event.unpublished:
        store.forget_mark(event)  # the function that took the last group off may have died before it removed the mark
        return None
    if delivery is not None and (delivery.status is not Status.PENDING or delivery.due_at is None):
        return None
    if delivery is not None and delivery.generation == event.generation and delivery.group in event.unpublished:
        return None  # its group is published first: never both
    owed = _Owed(event, delivery, ())
    publications = supervised(partial(_packed, run), owed)
    if isinstance(publications, UpstreamError):
        _postpone(run, owed, publications, ends_as=Status.UNPUBLISHABLE)
        raise publications
    return replace(owed, publications=publications)


def _packed(run: Run, owed: _Owed) -> list[Publication]:
    body = run.store.body(owed.event)
    if owed.delivery is None:
        return run.publisher.pack_event(owed.event, body, routing_now(run.publisher.settings, owed.event, body))
    return run.publisher.pack_delivery(owed.event, owed.delivery, body)


def heed(run: Run, failures: Sequence[UpstreamError]) -> bool:
    """Hold all publishing if one of *failures* says that a quota is used up; tell whether one does."""
    for failure in failures:
        if isinstance(failure, QStashError) and failure.quota:
            wait = min(HOLD_MAX, timedelta(seconds=failure.retry_after_s or 0))
            run.done.held_until = run.store.now() + wait
            run.store.state.save_hold(run.done.held_until, f"the {failure.quota} quota of QStash is used up")
            run.publishes = False
            return True
    return False


def _postpone(run: Run, owed: _Owed, error: UpstreamError, ends_as: Status) -> None:
    """Put the publish off: longer, the longer it has waited, and at least as long as QStash asks.

    Args:
        ends_as: The status of its deliveries if our own code still fails after `DEFECT_MAX`.
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
        if group in event.unpublished:  # a record, so that listings show the delivery
            store.change_delivery(event, name, lambda it: it)


def _give_up(run: Run, owed: _Owed, status: Status, reason: str) -> None:
    """End the deliveries that our own code can't publish, in *status*: a person must look."""
    event, store = owed.event, run.store
    generation = event.generation if owed.delivery is None else owed.delivery.generation
    names = [name for name, group in event.expected.items() if group in event.unpublished]
    for name in names if owed.delivery is None else [owed.delivery.destination]:
        store.change_delivery(event, name, lambda it: it.ended(generation, status, reason))
        count(Metric.UNPUBLISHABLE)
    if owed.delivery is None:
        store.published(event, event.unpublished)
