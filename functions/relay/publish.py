"""From the outbox to QStash: what its answer to a publish, or the lack of one, changes.

Ingest publishes at once; what it couldn't, the sweep does.  Both go through here, under the same deduplication id, so
that a publish whose answer was lost and the one that repeats it are one for QStash.  Where the id may not tell, its log
is asked first: `relay.already`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.already import LOG_LAG, Already, Answer
from relay.errors import QStashError, Removed, Untraceable, UpstreamError
from relay.metrics import Metric, count
from relay.model import Delivery, Event, EventId, Generation, Status, from_iso
from relay.parallel import WORKERS, each
from relay.parcels import Packer, Parcel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from relay.items import Item
    from relay.qstash import Accepted, Message, QStash
    from relay.settings import Settings
    from relay.store import Store

LOOK_AFTER = timedelta(minutes=10)  # a delivery is looked after if nothing was heard of it for so long
LOOK_SOON_AFTER = timedelta(minutes=2)  # and where QStash is not to report what it delivered
TOGETHER_MAX_BYTES = 8 * 1024 * 1024  # in a batch; QStash takes 100 MB
ENDS: dict[type[UpstreamError], Status] = {Untraceable: Status.UNACCOUNTED, Removed: Status.REMOVED}
PAUSED = (Status.HELD, "its destination is paused")


class Publisher:
    """Publishes what events and deliveries owe.

    Args:
        mac_key: That of callback URLs.
        paused: Returns the destinations that are paused now: name -> `by`, `at`, `reason`.
        secret: Returns a secret of destinations by its name, or raises `OperatorError`.
        workers: How many records are written at a time.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        qstash: QStash,
        mac_key: str,
        *,
        paused: Callable[[], Mapping[str, Item]],
        secret: Callable[[str], str],
        workers: int = WORKERS,
    ) -> None:
        self.settings = settings
        self.store = store
        self.qstash = qstash
        self.mac_key = mac_key
        self.paused = paused
        self.secret = secret
        self.workers = workers

    @property
    def packer(self) -> Packer:
        """What makes parcels as the configuration stands."""
        return Packer(self.settings, self.store.bucket, self.mac_key, self.secret)

    def publish_event(self, event: Event, body: bytes, *, timeout_s: float | None = None) -> None:
        """Publish the URL groups that *event* still owes, and take off its outbox mark those that QStash has.

        Raises:
            UpstreamError: The first that kept a group from QStash, for now; the others were tried, too.
        """
        _raise_first(self.publish(self.pack_event(event, body), timeout_s=timeout_s))

    def publish_delivery(self, event: Event, delivery: Delivery, body: bytes) -> None:
        """Publish one delivery's current generation to its destination's URL alone.

        Raises:
            UpstreamError: QStash didn't take it, for now.
        """
        _raise_first(self.publish(self.pack_delivery(event, delivery, body)))

    def pack_event(self, event: Event, body: bytes) -> list[Parcel]:
        """Return what *event* still owes, URL group by URL group.

        What its destination's pause holds is recorded as held.
        """
        packer, parcels, held = self.packer, [], set()
        for group in sorted(event.unpublished):
            names = [name for name, of in event.expected.items() if of == group]
            paused = [it for it in names if packer.is_there(it) and it in event.held]
            self._end(event, paused, event.generation, *PAUSED)
            found = packer.of_group(event, group, body)
            parcels += found
            if not found:
                held.add(group)
        if held:
            self.store.published(event, frozenset(held))
        return parcels

    def pack_delivery(self, event: Event, delivery: Delivery, body: bytes) -> list[Parcel]:
        """Return the parcel of one delivery; none where its destination is paused.

        What began before the pause goes on: QStash may have it already.
        """
        parcel = self.packer.of_delivery(event, delivery, body)
        pause = None if parcel.goes_nowhere else self.paused().get(delivery.destination)
        if pause is not None and from_iso(pause["at"]) <= delivery.since:
            self._end(event, [delivery.destination], delivery.generation, *PAUSED)
            return []
        return [parcel]

    def _end(self, event: Event, names: Iterable[str], generation: Generation, status: Status, reason: str) -> None:
        for name in names:
            self.store.change_delivery(event, name, lambda it: it.ended(generation, status, reason))

    def publish(self, parcels: Sequence[Parcel], *, timeout_s: float | None = None) -> list[UpstreamError | None]:
        """Have QStash take *parcels*, in as few calls as can be, and record what it answered.

        Returns:
            Of each parcel None once nothing is owed any more: QStash has it, or never will; else what kept it.
        """
        already = Already(parcels, self.settings, self.store, self.qstash)
        answers = already.known()
        todo = [number for number, answer in enumerate(answers) if answer is None]
        sent = self._sent([parcels[number].message for number in todo], timeout_s)
        for number, taken in zip(todo, sent, strict=True):
            answers[number] = taken if isinstance(taken, QStashError) else self._by_name(parcels[number], taken)
        answers = already.confirmed(answers)
        outcomes = self._recorded([(it, answer or {}) for it, answer in zip(parcels, answers, strict=True)])
        ended = list(zip(parcels, answers, outcomes, strict=True))
        done = [it for it, _, outcome in ended if outcome is None]
        self._forget_replaced(it for it, answer, outcome in ended if outcome is None and _has_some(answer))
        left = self._take_off_marks(done, [it for it, _, outcome in ended if outcome is not None])
        return [outcome or left.get(it.event.id) for it, outcome in zip(parcels, outcomes, strict=True)]

    # -- what it takes now ------------------------------------------------------------------------------------------

    def _sent(self, messages: Sequence[Message], timeout_s: float | None) -> list[list[Accepted] | QStashError]:
        """Send *messages*, texts together; return what QStash took of each, or why it didn't."""
        answers: dict[int, list[Accepted] | QStashError] = {}
        for numbers in _batches(messages):
            tried = self._tried([messages[number] for number in numbers], timeout_s)
            answers.update(zip(numbers, tried, strict=True))
        return [answers[number] for number in range(len(messages))]

    def _tried(self, messages: Sequence[Message], timeout_s: float | None) -> list[list[Accepted] | QStashError]:
        try:
            answers = self.qstash.publish(messages, timeout_s=timeout_s)
        except QStashError as error:
            if len(messages) > 1 and error.concerns_the_message:  # one of them spoils the others
                return [it for message in messages for it in self._tried([message], timeout_s)]
            return [error] * len(messages)
        if len(messages) == 1:
            return answers
        alone = [  # why QStash didn't take one of several, it says alone
            self._tried([message], timeout_s) if isinstance(answer, QStashError) else [answer]
            for message, answer in zip(messages, answers, strict=True)
        ]
        return [it for them in alone for it in them]

    def _by_name(self, parcel: Parcel, taken: Sequence[Accepted]) -> Answer:
        """Return *taken* by the names of destinations: an answer names endpoints by URL."""
        if len(parcel.names) == len(taken) == 1:
            return {parcel.names[0]: taken[0].message_id}
        ids = {it.url: it.message_id for it in taken}
        urls = {name: self.settings.destination_url(name) for name in parcel.names}
        return {name: ids[url] for name, url in urls.items() if url in ids}

    # -- what that changes ------------------------------------------------------------------------------------------

    def _recorded(self, answered: Sequence[tuple[Parcel, Answer | UpstreamError]]) -> list[UpstreamError | None]:
        """Write the answers to the deliveries; return of each parcel what is still owed."""
        outcomes: list[UpstreamError | None] = [
            answer if isinstance(answer, UpstreamError) and not answer.permanent else None for _, answer in answered
        ]
        writes = [
            (number, write)
            for number, (parcel, answer) in enumerate(answered)
            if outcomes[number] is None
            for write in self._writes(parcel, answer)
        ]
        failures = self._written([write for _, write in writes])
        for (number, _), failure in zip(writes, failures, strict=True):
            outcomes[number] = outcomes[number] or failure
        return outcomes

    def _writes(self, parcel: Parcel, answer: Answer | UpstreamError) -> Iterator[Callable[[], object]]:
        """Yield the writes that record *answer* at each delivery of *parcel*."""
        if isinstance(answer, UpstreamError) and not isinstance(answer, Untraceable):
            count(Metric.REMOVED if isinstance(answer, Removed) else Metric.UNPUBLISHABLE, len(parcel.names))
        for name in parcel.names:
            change = self._change(parcel, name, answer)
            known = parcel.delivery or Delivery.of(parcel.event, name)
            yield partial(self.store.change_delivery, parcel.event, name, change, known=known)

    def _change(self, parcel: Parcel, name: str, answer: Answer | UpstreamError) -> Callable[[Delivery], Delivery]:
        """Return what *answer* changes at the delivery to *name*."""
        now, generation = self.store.now(), parcel.generation
        if isinstance(answer, UpstreamError):
            status = ENDS.get(type(answer), Status.UNPUBLISHABLE)
            return lambda it: it.ended(generation, status, str(answer))
        if name in answer:
            patience = _patience(parcel.message.timeout_s, reports_all=parcel.message.callback is not None)
            look_at = max(now, parcel.message.not_before or now) + patience
            return lambda it: it.published(generation, answer[name], now, look_at)
        # QStash's group has changed: unless a callback or its log tells of it, the sweep publishes to the URL alone.
        owed_at = now + LOG_LAG
        return lambda it: it.owed(generation, owed_at)

    def look_after(self, destination: str) -> timedelta:
        """Return after how much silence a delivery to *destination* is looked after."""
        there = self.settings.destinations.get(destination)
        if there is None:
            return LOOK_AFTER
        known = self.settings.groups[there.group]
        return _patience(known.publishing.timeout_s, reports_all=known.publishing.reports_all)

    def _take_off_marks(self, done: Sequence[Parcel], owed: Sequence[Parcel]) -> dict[EventId, UpstreamError]:
        """Take off the outbox marks of what is recorded: the last step; return the events where that failed.

        A group's mark stays while a part of its share is *owed*.
        """
        groups: dict[EventId, set[str]] = {}
        partly = {(it.event.id, it.group) for it in owed if it.delivery is None}
        for it in done:
            if it.delivery is None and (it.event.id, it.group) not in partly:
                groups.setdefault(it.event.id, set()).add(it.group)
        events = {it.event.id: it.event for it in done}
        writes = [partial(self.store.published, events[name], frozenset(of)) for name, of in groups.items()]
        failures = self._written(writes)
        return {name: failure for name, failure in zip(groups, failures, strict=True) if failure is not None}

    def _forget_replaced(self, taken: Iterable[Parcel]) -> None:
        """Delete from QStash the dead letters that these replace; those left behind are the audit's."""
        for dlq_id in {it.delivery.replaced_dlq_id for it in taken if it.delivery}:
            if dlq_id is not None:
                with suppress(QStashError):
                    self.qstash.delete_dead_letter(dlq_id)

    def _written(self, writes: Sequence[Callable[[], object]]) -> list[UpstreamError | None]:
        """Do *writes*; return of each why it failed."""
        done = each(lambda write: write(), writes, workers=self.workers)
        return [it if isinstance(it, UpstreamError) else None for it in done]


def _batches(messages: Sequence[Message]) -> list[list[int]]:
    """Return the numbers of *messages* in the batches that they go in: what is no text goes alone."""
    batches: list[list[int]] = []
    size = 0
    for number, message in enumerate(messages):
        if message.text is None:
            batches.append([number])
            size = TOGETHER_MAX_BYTES
        elif size + len(message.body) > TOGETHER_MAX_BYTES or not batches:
            batches.append([number])
            size = len(message.body)
        else:
            batches[-1].append(number)
            size += len(message.body)
    return batches


def _patience(timeout_s: int, *, reports_all: bool) -> timedelta:
    return timedelta(seconds=timeout_s) + (LOOK_AFTER if reports_all else LOOK_SOON_AFTER)


def _has_some(answer: Answer | UpstreamError | None) -> bool:
    return bool(answer) and not isinstance(answer, UpstreamError)


def _raise_first(outcomes: Iterable[UpstreamError | None]) -> None:
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
