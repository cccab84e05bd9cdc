"""Follows up deliveries in flight: QStash's log and dead letters tell what callbacks didn't.

A callback can get lost, be switched off, or die itself.  So every delivery in flight is due for a look; the longer the
delivery takes, the longer the gaps.  A message may be gone from QStash while the log has no end of it.  Then a second
look decides, after the log's longest lag.  If no attempt had begun, QStash lost the message, and the relay publishes a
new generation.  Otherwise the delivery becomes `unaccounted`, and a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import Defect, UpstreamError
from relay.ledger import canaries
from relay.model.delivery import OPEN, Delivery, Report, Status
from relay.model.ids import label
from relay.publishing.publisher import LOOK_AFTER
from relay.qstash.message_log import LOG_LAG, LOG_RETENTION, MessageHistory, read_histories
from relay.runtime.parallel import each, supervised
from relay.storage.generations import Cause, new_replay_id, start_again

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from relay.model.event import Event
    from relay.publishing.publisher import Publisher
    from relay.storage.store import Due

LOOK_MAX = timedelta(hours=6)
DEAD_LETTER_PAGES_MAX = 10
LOST = "QStash had no message of it any more, and had begun no attempt"
UNENDED = "QStash has no message of it any more, and its log tells no end"
FORGOTTEN = "QStash has no message of it any more, and its log doesn't reach back to it"
CANCELLED = "somebody cancelled its message in QStash"


@dataclass
class FollowUp:
    """What the looks at deliveries did.

    Attributes:
        settled: How many deliveries have a new status.
        dead_lettered: How many of these died.
        reopened: How many have a new generation, since QStash lost their message.
        unaccounted: How many are left to a person.
        defects: The failures of our own code, each at one delivery.
    """

    settled: int = 0
    dead_lettered: int = 0
    reopened: int = 0
    unaccounted: int = 0
    defects: list[str] = field(default_factory=list)

    def note(self, failure: object) -> None:
        """Note *failure* if it is a defect."""
        if isinstance(failure, Defect):
            self.defects.append(str(failure))

    def add(self, others: Iterable[FollowUp]) -> None:
        """Add the counts and defects of *others*."""
        for other in others:
            self.defects += other.defects
            self.settled += other.settled
            self.dead_lettered += other.dead_lettered
            self.reopened += other.reopened
            self.unaccounted += other.unaccounted


@dataclass(frozen=True)
class _InFlight:
    """A delivery in flight that is due, and the messages of its current generation in QStash's log."""

    event: Event
    delivery: Delivery
    histories: Sequence[MessageHistory]

    @property
    def message_ids(self) -> set[str]:
        """Return the messages that may still change the delivery."""
        open_ = {it.message_id for it in self.histories if not it.ended}
        return open_ or ({self.delivery.message_id} if self.delivery.message_id and not self.histories else set())


def follow_up(publisher: Publisher, due: Sequence[Due], looked: FollowUp) -> None:
    """Ask QStash about the *due* deliveries, and record the answers.

    Costs a query for each event, a write for each delivery, a call for the log lines of all, a call if there are dead
    letters, and a call for each message without an end in the log.

    Raises:
        UpstreamError: QStash or the table didn't answer; deliveries without a record stay due.
    """
    watched = _watched(publisher, due)
    if not watched:
        return
    dead = [it for it in watched if any(track.failed for track in it.histories)]
    dlq_ids = _dlq_ids(publisher, {label(it.event.id, it.delivery.generation) for it in dead})
    outcomes = each(lambda it: _record(publisher, it, dlq_ids), watched, workers=publisher.workers)
    looked.add([it for it in outcomes if isinstance(it, FollowUp)])
    _raise_first(publisher, watched, outcomes, looked)


def _raise_first(
    publisher: Publisher, watched: Sequence[_InFlight], outcomes: Sequence[FollowUp | UpstreamError], looked: FollowUp
) -> None:
    """Raise the first failure of *outcomes*; a defect is noted instead, and its delivery put off."""
    for flight, outcome in zip(watched, outcomes, strict=True):
        looked.note(outcome)
        if isinstance(outcome, Defect):
            at = publisher.store.now() + LOOK_AFTER
            later = partial(_put_off, publisher, at)
            supervised(later, flight)
        elif isinstance(outcome, UpstreamError):
            raise outcome


def _put_off(publisher: Publisher, at: datetime, flight: _InFlight) -> None:
    generation = flight.delivery.generation
    publisher.store.change_delivery(flight.event, flight.delivery.destination, lambda d: d.due(generation, at))


def _watched(publisher: Publisher, due: Sequence[Due]) -> list[_InFlight]:
    wanted = {(it.event, it.destination): it for it in due}
    histories = each(publisher.store.history, sorted({it.event for it in due}), workers=publisher.workers)
    found = [
        (history[0], delivery)
        for history in histories
        if isinstance(history, tuple)
        for delivery in history[1]
        if _is_due(delivery, wanted.get((delivery.event_id, delivery.destination)))
    ]
    labels = {label(event.id, delivery.generation) for event, delivery in found}
    by_label = read_histories(publisher.qstash.log_of(labels), labels) if labels else {}
    return [
        _InFlight(
            event,
            delivery,
            [
                history
                for history in by_label[label(event.id, delivery.generation)]
                if history.is_of(delivery.destination, publisher.settings.url_now(delivery.destination))
            ],
        )
        for event, delivery in found
    ]


def _is_due(delivery: Delivery, due: Due | None) -> bool:
    """Tell whether *delivery* is still *due* for a look: the index lags."""
    return due is not None and delivery.status is Status.IN_FLIGHT and delivery.due_at == due.at


def _dlq_ids(publisher: Publisher, labels: Collection[str]) -> dict[str, str]:
    """Return the dead letters under *labels*: message id -> DLQ id."""
    found: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(DEAD_LETTER_PAGES_MAX if labels else 0):
        page, cursor = publisher.qstash.dead_letters(labels=labels, cursor=cursor)
        found |= {it.message_id: it.id for it in page}
        if cursor is None:
            break
    return found


def _record(publisher: Publisher, flight: _InFlight, dlq_ids: dict[str, str]) -> FollowUp:
    """Record the reports of the log, or a cancellation; if the delivery is still open, look further."""
    generation = flight.delivery.generation
    reports = [
        Report(report.attempt, dead=report.dead, dlq_id=dlq_ids.get(track.message_id) if report.dead else None)
        for track in flight.histories
        for report in track.reports
    ]

    def told(delivery: Delivery) -> Delivery:
        for report in reports:
            delivery = delivery.after(report)
        return delivery

    if told(flight.delivery).status not in OPEN:
        return _change(publisher, flight, told)
    if flight.histories and all(track.cancelled for track in flight.histories):
        return _change(publisher, flight, lambda d: told(d).ended(generation, Status.CANCELLED, CANCELLED))
    return _look_again(publisher, flight, told)


def _look_again(publisher: Publisher, flight: _InFlight, told: Callable[[Delivery], Delivery]) -> FollowUp:
    """Make an open delivery due for another look; conclude if the message was missing at an earlier look, too."""
    now, generation, since = publisher.store.now(), flight.delivery.generation, flight.delivery.missing_since
    if any(publisher.qstash.has(message_id) for message_id in sorted(flight.message_ids)):
        at = _next_look(publisher, flight, now)
        return _change(publisher, flight, lambda d: told(d).there(generation).due(generation, at))
    if since is None or now - since < LOG_LAG:  # the log may lack the newest lines
        at = now + LOG_LAG
        return _change(publisher, flight, lambda d: told(d).missing(generation, now).due(generation, at))
    return _conclude(publisher, flight, told)


def _conclude(publisher: Publisher, flight: _InFlight, told: Callable[[Delivery], Delivery]) -> FollowUp:
    """Reopen a delivery whose message QStash lost before any attempt; any other becomes unaccounted."""
    store, delivery = publisher.store, flight.delivery
    generation, since = delivery.generation, delivery.published_at or delivery.since
    begun = any(track.begun for track in flight.histories) or delivery.attempts_of(generation)
    seen = bool(flight.histories) or (store.now() - since <= LOG_RETENTION and publisher.qstash.log_reaches(since))
    if seen and not begun:
        cause = Cause(new_replay_id(), "relay", LOST)
        return FollowUp(reopened=int(start_again(store, flight.event, flight.delivery, cause) is not None))
    reason = UNENDED if seen else FORGOTTEN
    return _change(publisher, flight, lambda d: told(d).ended(generation, Status.UNACCOUNTED, reason))


def _next_look(publisher: Publisher, flight: _InFlight, now: datetime) -> datetime:
    """Return the time of the next look: after the next attempt, else in gaps that grow."""
    patience = publisher.look_after(flight.delivery.destination)
    next_at = max((track.next_at for track in flight.histories if track.next_at), default=None)
    if next_at is not None and next_at > now:
        return next_at + patience
    return now + min(LOOK_MAX, max(LOOK_AFTER, now - flight.delivery.since))


def _change(publisher: Publisher, flight: _InFlight, change: Callable[[Delivery], Delivery]) -> FollowUp:
    before, after = publisher.store.change_delivery(
        flight.event, flight.delivery.destination, change, known=flight.delivery
    )
    canaries.tell(flight.event, before, after, publisher.settings)
    if before.status == after.status:
        return FollowUp()
    if after.status is Status.UNACCOUNTED:
        return FollowUp(unaccounted=1)
    return FollowUp(settled=1, dead_lettered=int(after.status is Status.DEAD_LETTERED))
