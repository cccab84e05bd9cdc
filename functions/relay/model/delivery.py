"""Deliveries and their attempts, and the algebra of their changes.  Pure: no I/O, no clock, no environment.

A **delivery** is one event to one destination; the event names its expected deliveries.  QStash reports attempts at
least once and in any order.  So a delivery changes only through operations that are commutative, idempotent and
monotonic within a generation; `Delivery.after` is the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relay.model.ids import DeliveryId, EventId, Generation, delivery_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.model.event import Event


RESPONSE_EXCERPT_MAX_CHARS = 500
# The bounds on a delivery's kept attempts, so that its record always fits an item (400 KB); the others are only counted
ATTEMPTS_FIRST = 5  # of a message
ATTEMPTS_LAST = 10
MESSAGES_MAX = 4  # of the current generation, and of all others together
SWEEP_AFTER = timedelta(seconds=30)  # ingest publishes within less; an event not published by then is the sweep's


class Status(StrEnum):
    """The status of a delivery."""

    PENDING = "pending"
    HELD = "held"
    IN_FLIGHT = "in_flight"
    UNACCOUNTED = "unaccounted"
    CANCELLED = "cancelled"
    REMOVED = "removed"
    UNPUBLISHABLE = "unpublishable"
    DEAD_LETTERED = "dead_lettered"
    DELIVERED = "delivered"


# The meaning of each status, in the order of a delivery's life: a delivery has the status when …
MEANINGS = {
    Status.PENDING: "it is saved, and QStash doesn't have it yet",
    Status.IN_FLIGHT: "QStash has it",
    Status.HELD: "its destination is paused; `relay destination resume` lets it go",
    Status.DELIVERED: "its destination answered 2xx",
    Status.DEAD_LETTERED: "its attempts are spent",
    Status.UNPUBLISHABLE: "QStash will never take it; `reason` says why, in QStash's words",
    Status.REMOVED: "its destination left relay.toml before it was published; an alarm sounds",
    Status.CANCELLED: "somebody cancelled it in QStash",
    Status.UNACCOUNTED: (
        "nobody can tell any more what became of it; `reason` says why, an alarm sounds, and a person decides"
    ),
}
RANK = {status: rank for rank, status in enumerate(Status)}  # a higher rank is never replaced by a lower one
OPEN = frozenset({Status.PENDING, Status.IN_FLIGHT})  # the relay still owes a publish or a look
DEAD = frozenset({Status.UNPUBLISHABLE, Status.DEAD_LETTERED})  # a redelivery by the source reopens these


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """One HTTP request of a delivery, as QStash reports it.

    Attributes:
        at: When the relay first heard of the attempt.
        number: From 1 within the message.
        status_code: The destination's HTTP status; None: no answer came.
        response: The first characters of the answer's body, if it is text.
    """

    at: datetime
    number: int
    message_id: str
    generation: Generation
    succeeded: bool
    status_code: int | None = field(default=None, compare=False)
    response: str | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """Return the attempt's key in the delivery.  A retry in QStash's console makes a new message."""
        return f"{self.message_id}.{self.number}"


@dataclass(frozen=True, slots=True)
class Report:
    """A callback's report of one delivery: an attempt, and whether the attempts are spent."""

    attempt: Attempt
    dead: bool = False
    dlq_id: str | None = None

    @property
    def status(self) -> Status:
        """Return the status that this report alone gives a delivery."""
        if self.attempt.succeeded:
            return Status.DELIVERED
        return Status.DEAD_LETTERED if self.dead else Status.IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to one destination.

    Attributes:
        message_id: QStash's id of the message that carries the current generation.
        dlq_id: Where QStash keeps the current generation's dead letter.
        handed_over_at: When the relay itself took the signed delivery for an AWS target.
        since: When the current generation began.
        due_at: When the sweep turns to the delivery next: to publish it if it is pending, to ask QStash about it if it
            is in flight; None: nothing is owed.
        missing_since: When QStash first had neither the message nor an end of it.
        reason: For people: why the delivery ended, why QStash refuses it for now, or why it waits.
        refused_since, refused_at: When QStash first and last refused the current generation.
        replaced_dlq_id: The dead letter of the previous generation; deleted once QStash has the current one.
        attempts: The first and the last of each message; of older generations only those of the newest messages.
        attempts_gone: How many attempts of older generations were dropped from *attempts*.
        version: The number of changes in the table; only the store uses it.
    """

    event_id: EventId
    destination: str
    group: str
    source: str
    event_type: str
    event_received_at: datetime
    generation: Generation
    since: datetime
    expires_at: datetime
    status: Status = Status.PENDING
    attempts: dict[str, Attempt] = field(default_factory=dict)
    message_id: str | None = None
    dlq_id: str | None = None
    published_at: datetime | None = None
    handed_over_at: datetime | None = None
    due_at: datetime | None = None
    missing_since: datetime | None = None
    refused_since: datetime | None = None
    refused_at: datetime | None = None
    reason: str | None = None
    replaced_dlq_id: str | None = None
    attempts_gone: int = 0
    version: int = 0

    @classmethod
    def of(cls, event: Event, destination: str) -> Delivery:
        """Return the delivery that the event's record alone implies: pending, in the first generation."""
        return cls(
            event_id=event.id,
            destination=destination,
            group=event.expected[destination],
            source=event.source,
            event_type=event.event_type,
            event_received_at=event.received_at,
            generation=event.generation,
            since=event.owed_since,
            expires_at=event.expires_at,
        )

    @property
    def id(self) -> DeliveryId:
        """Return the delivery's id."""
        return delivery_id(self.event_id, self.destination)

    @property
    def updated_at(self) -> datetime:
        """Return the time of the delivery's newest known change or attempt."""
        known = [self.since, self.published_at, self.handed_over_at, *(a.at for a in self.attempts.values())]
        return max(moment for moment in known if moment is not None)

    @property
    def attempts_count(self) -> int:
        """Return the number of all attempts, with those that aren't kept."""
        return self.attempts_gone + sum(map(_counted, _by_message(self.attempts).values()))

    def attempts_of(self, generation: Generation) -> list[Attempt]:
        """Return the kept attempts of *generation*."""
        return [it for it in self.attempts.values() if it.generation == generation]

    def after(self, report: Report) -> Delivery:
        """Return the delivery after *report*; the order of reports makes no difference.

        A report of an older generation only adds its attempt to the history.
        """
        attempt = report.attempt
        known = self.attempts.get(attempt.key)
        attempts = {**self.attempts, attempt.key: attempt if known is None else min(known, attempt)}
        return _raised(
            replace(self, attempts=_kept(attempts, self.generation)),
            attempt.generation,
            report.status,
            dlq_id=max(filter(None, (self.dlq_id, report.dlq_id)), default=None),
            missing_since=None,
        )

    def published(self, generation: Generation, message_id: str, at: datetime, look_at: datetime) -> Delivery:
        """Return the delivery after QStash took *generation* as *message_id*; it is due for a look at *look_at*."""
        return _raised(
            self,
            generation,
            Status.IN_FLIGHT,
            message_id=min(filter(None, (self.message_id, message_id))),
            published_at=min(filter(None, (self.published_at, at))),
            due_at=look_at if self.status is Status.PENDING else self.due_at or look_at,
            replaced_dlq_id=None,
        )

    def ended(self, generation: Generation, status: Status, reason: str) -> Delivery:
        """Return the delivery after *generation* ended in *status*, for *reason*."""
        return _raised(self, generation, status, reason=reason)

    def due(self, generation: Generation, at: datetime) -> Delivery:
        """Return the delivery, due *at* a time if *generation* is still open."""
        if generation != self.generation or self.status not in OPEN:
            return self
        return replace(self, due_at=at)

    def owed(self, generation: Generation, at: datetime) -> Delivery:
        """Return the delivery, due *at* the latest if *generation* is still open."""
        return self if self.due_at is not None and self.due_at <= at else self.due(generation, at)

    def waiting(self, generation: Generation, at: datetime, reason: str) -> Delivery:
        """Return the delivery with the publish of *generation* put off until *at*, for a *reason*.

        A delivery that is in flight meanwhile is due for a look *at* the latest.
        """
        if generation != self.generation or self.status is not Status.PENDING:
            return self.owed(generation, at)
        return replace(self.due(generation, at), reason=reason)

    def refused(self, generation: Generation, at: datetime, reason: str) -> Delivery:
        """Return the delivery after QStash refused *generation* *at* a time, for a *reason* that may pass."""
        if generation != self.generation or self.status is not Status.PENDING:
            return self
        times = [it for it in (self.refused_since, self.refused_at, at) if it is not None]
        return replace(self, refused_since=min(times), refused_at=max(times), reason=reason)

    def missing(self, generation: Generation, at: datetime) -> Delivery:
        """Return the delivery after a look *at* a time found no message of *generation* in QStash."""
        if generation != self.generation or self.status not in OPEN:
            return self
        return replace(self, missing_since=self.missing_since or at)

    def there(self, generation: Generation) -> Delivery:
        """Return the delivery after a look found a message of *generation* in QStash."""
        return replace(self, missing_since=None) if generation == self.generation else self

    def handed_over(self, at: datetime) -> Delivery:
        """Return the delivery after the relay handed it to its AWS target."""
        return replace(self, handed_over_at=min(filter(None, (self.handed_over_at, at))))

    def replayed(self, generation: Generation, at: datetime) -> Delivery:
        """Return the delivery as a new generation, due at once; its newest messages' attempts stay as history."""
        messages = _by_message(self.attempts)
        newest = sorted(messages, key=lambda it: (max(one.at for one in messages[it]), it))[-MESSAGES_MAX:]
        return replace(
            self,
            attempts={it.key: it for message in newest for it in messages[message]},
            attempts_gone=self.attempts_gone + sum(_counted(messages[it]) for it in messages.keys() - set(newest)),
            generation=generation,
            since=at,
            status=Status.PENDING,
            message_id=None,
            dlq_id=None,
            published_at=None,
            handed_over_at=None,
            due_at=at,
            missing_since=None,
            refused_since=None,
            refused_at=None,
            reason=None,
            replaced_dlq_id=self.dlq_id or self.replaced_dlq_id,
        )


def _raised(delivery: Delivery, generation: Generation, status: Status, **changes: Any) -> Delivery:
    """Return the delivery with *changes*, and *status* if its rank is higher; another *generation*'s is unchanged."""
    if generation != delivery.generation:
        return delivery
    raised = max(delivery.status, status, key=RANK.__getitem__)
    if raised == delivery.status:
        changes["reason"] = delivery.reason
    if raised not in OPEN:
        changes["due_at"] = None
    return replace(delivery, **({"reason": None} | changes), status=raised)


def _by_message(attempts: Mapping[str, Attempt]) -> dict[str, list[Attempt]]:
    """Return *attempts* by message, those of each message in order of number."""
    found: dict[str, list[Attempt]] = {}
    for attempt in sorted(attempts.values(), key=lambda it: it.number):
        found.setdefault(attempt.message_id, []).append(attempt)
    return found


def _kept(attempts: Mapping[str, Attempt], current: Generation) -> dict[str, Attempt]:
    """Return the kept part of *attempts*, which doesn't depend on the order in which they became known.

    Of a message, the lowest and the highest numbers and all successes are kept; of the messages, the highest ids.
    """
    kept: dict[str, Attempt] = {}
    left = {True: MESSAGES_MAX, False: MESSAGES_MAX}
    for _, them in sorted(_by_message(attempts).items(), reverse=True):
        is_current = any(it.generation == current for it in them)
        left[is_current] -= 1
        if left[is_current] >= 0:
            few = len(them) <= ATTEMPTS_FIRST + ATTEMPTS_LAST
            some = them if few else [*them[:ATTEMPTS_FIRST], *them[-ATTEMPTS_LAST:]]
            kept |= {it.key: it for it in [*some, *(it for it in them if it.succeeded)]}
    return kept


def _counted(them: Sequence[Attempt]) -> int:
    """Return how many attempts a message had; *them*: its kept attempts, in order of number."""
    if len(them) < ATTEMPTS_FIRST + ATTEMPTS_LAST:
        return len(them)
    between = them[-ATTEMPTS_LAST].number - them[ATTEMPTS_FIRST - 1].number - 1
    return ATTEMPTS_FIRST + ATTEMPTS_LAST + max(0, between)
