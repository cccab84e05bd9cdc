"""Publishes events and deliveries to QStash, and records the answers.

Ingest publishes at once, and the sweep publishes the rest.  Both use the same deduplication id, so that a publish whose
answer got lost and its repetition are one for QStash.  If the id can't settle it, QStash's log is asked first
(`relay.publishing.deduplication`).

QStash may refuse a URL group for a reason that may pass, such as an endpoint whose name doesn't resolve.  Then each of
the group's destinations is published to alone.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

from relay.concern import Concern
from relay.errors import QStashError, Removed, Untraceable, UpstreamError
from relay.model.delivery import SWEEP_AFTER, Delivery, Status
from relay.model.ids import EventId, Generation, from_iso, iso
from relay.publishing.answers import Done, Failed, NotYet, Taken, ToSend, taken_or_not_yet
from relay.publishing.deduplication import UNTOLD_YET, PriorPublishes
from relay.publishing.messages import Composer, Publication
from relay.publishing.sending import sent
from relay.qstash.message_log import LOG_LAG
from relay.runtime.deadline import leaving, seconds_left
from relay.runtime.metrics import Metric, count
from relay.runtime.parallel import WORKERS, each

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from relay.config.settings import Settings
    from relay.model.event import Event
    from relay.publishing.answers import Answer, Outcome
    from relay.publishing.routing import Routing
    from relay.publishing.sending import Answered
    from relay.qstash.client import QStash
    from relay.storage.items import Item
    from relay.storage.store import Store

LOOK_AFTER = timedelta(minutes=10)  # a delivery is followed up after so much silence
LOOK_SOON_AFTER = timedelta(minutes=2)  # the same, if QStash reports failures only
RETRIED_FOR = {Concern.ENDPOINT: timedelta(days=1), Concern.UNKNOWN: timedelta(hours=6)}  # refused deliveries
RECORD_S = 5.0  # of the time left, at most, for recording QStash's answers
ENDS: dict[type[UpstreamError], Status] = {Untraceable: Status.UNACCOUNTED, Removed: Status.REMOVED}
PAUSED = (Status.HELD, "its destination is paused")


class Publisher:
    """Publishes events and deliveries.

    Args:
        mac_key: The MAC key of callback URLs.
        paused: Returns the destinations that are paused now: name -> `by`, `at`, `reason`.
        secret: Returns a destination secret by its name, or raises `OperatorError`.
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
    def composer(self) -> Composer:
        """A composer with the current configuration."""
        return Composer(self.settings, self.store.bucket.name, self.mac_key, self.secret)

    def publish_event(self, event: Event, body: bytes, routing: Routing) -> None:
        """Publish the URL groups in the outbox mark of *event*; take those that QStash has off the mark.

        Args:
            routing: The event's routing by the current configuration.

        Raises:
            UpstreamError: The first failure of a group; the other groups were tried, too.
        """
        _raise_first(self.publish(self.pack_event(event, body, routing)))

    def pack_event(self, event: Event, body: bytes, routing: Routing) -> list[Publication]:
        """Return the publications that *event* still owes, URL group by URL group.

        Deliveries to paused destinations are recorded as held.
        """
        composer, publications, held = self.composer, [], set()
        for group in sorted(event.unpublished):
            names = [name for name, of in event.expected.items() if of == group]
            paused = [it for it in names if composer.is_there(it) and it in event.held]
            self._end(event, paused, event.generation, *PAUSED)
            found = composer.of_group(event, group, body, routing)
            publications += found
            if not found:
                held.add(group)
        if held:
            self.store.published(event, frozenset(held))
        return publications

    def pack_delivery(self, event: Event, delivery: Delivery, body: bytes) -> list[Publication]:
        """Return the publication of one delivery; [] if its destination is paused.

        A generation that began before the pause is published: QStash may have it already.
        """
        publication = self.composer.of_delivery(event, delivery, body)
        pause = None if publication.goes_nowhere else self.paused().get(delivery.destination)
        if pause is not None and from_iso(pause["at"]) <= delivery.since:
            self._end(event, [delivery.destination], delivery.generation, *PAUSED)
            return []
        return [publication]

    def _end(self, event: Event, names: Iterable[str], generation: Generation, status: Status, reason: str) -> None:
        for name in names:
            self.store.change_delivery(event, name, lambda it: it.ended(generation, status, reason))

    def publish(self, publications: Sequence[Publication]) -> list[Outcome]:
        """Publish *publications* in as few calls as possible, and record QStash's answers."""
        with leaving(min(RECORD_S, seconds_left() / 3)):
            answers = self._answers(publications)
        kept = [self._kept(it, answer) for it, answer in zip(publications, answers, strict=True)]
        handed = _handed_over(publications, kept)
        failures = self._recorded(publications, answers, kept, handed)
        whys = [failure or why for failure, why in zip(failures, kept, strict=True)]
        over = {it for it, failure in enumerate(failures) if failure is None and (kept[it] is None or it in handed)}
        self._forget_replaced(publications[it] for it in over if isinstance(answers[it], Taken))
        left = self._take_off_marks(publications, over)
        unheard = [it for it in handed & over if self._is_first(publications[it], kept[it])]
        split = [it for it in unheard if publications[it].event.id not in left]
        for number, why in self._published_alone(publications, split):
            whys[number] = why
        return [
            _outcome(publication, answer, why or left.get(publication.event.id))
            for publication, why, answer in zip(publications, whys, answers, strict=True)
        ]

    def _answers(self, publications: Sequence[Publication]) -> list[Answer]:
        """Return the answer to each of *publications*, from an earlier publish or from this one."""
        prior = PriorPublishes(publications, self.settings, self.store, self.qstash)
        known = prior.known()
        todo = [publication for publication, of in zip(publications, known, strict=True) if isinstance(of, ToSend)]
        tried = iter(zip(todo, sent(self.qstash, [it.message for it in todo]), strict=True))
        answers = [self._answer(*next(tried)) if isinstance(of, ToSend) else of for of in known]
        return prior.confirmed(answers)

    def _answer(self, publication: Publication, tried: Answered) -> Answer:
        """Return the answer to the call that sent *publication*, with destinations' names for QStash's URLs.

        A destination missing in QStash's answer isn't in the URL group, or has another URL there: the log tells which.
        """
        if isinstance(tried, UpstreamError):
            return Failed(tried)
        ask_again_at = self.store.now() + LOG_LAG
        if len(publication.names) == len(tried) == 1:
            return Taken({publication.names[0]: tried[0].message_id}, ask_again_at)
        ids = {it.url: it.message_id for it in tried}
        urls = {name: self.settings.destination_url(name) for name in publication.names}
        return taken_or_not_yet({name: ids[url] for name, url in urls.items() if url in ids}, ask_again_at)

    # -- the records ------------------------------------------------------------------------------------------------

    def _kept(self, publication: Publication, answer: Answer) -> UpstreamError | None:
        """Return the error that a later try may overcome; None if the answer to *publication* is final."""
        match answer:
            case Taken() | NotYet():
                return None
            case Failed(error) if error.permanent:
                return None
            case Failed(error):
                since = publication.delivery.refused_since if publication.delivery else None
                if not _is_refused(error) or since is None:
                    return error
                return None if self.store.now() - since >= RETRIED_FOR[error.concern] else error

    def _is_first(self, publication: Publication, why: UpstreamError | None) -> bool:
        """Tell whether QStash refused a group's share at its first publish, and so has nothing of the share.

        QStash may have taken an earlier publish whose answer got lost.
        """
        is_new = self.store.now() - publication.since < SWEEP_AFTER  # the sweep doesn't publish before
        return is_new and _is_refused(why) and not why.after_doubt and publication.alone is not None

    def _published_alone(
        self, publications: Sequence[Publication], split: Sequence[int]
    ) -> Iterator[tuple[int, UpstreamError | None]]:
        """Publish those of *publications* whose numbers are *split* to each of their destinations alone.

        Yields:
            Each number, and the first failure of its destinations.
        """
        parts = [(number, part) for number in split for part in (publications[number].alone or tuple)()]
        if not parts:
            return
        outcomes = self.publish([part for _, part in parts])
        for number in split:
            own = [outcome for (whose, _), outcome in zip(parts, outcomes, strict=True) if whose == number]
            yield number, next((it.error for it in own if isinstance(it, Failed)), None)

    def _recorded(
        self,
        publications: Sequence[Publication],
        answers: Sequence[Answer],
        kept: Sequence[UpstreamError | None],
        handed: Collection[int],
    ) -> list[UpstreamError | None]:
        """Write the *answers* to the deliveries; return each publication's first failed write."""
        failures: list[UpstreamError | None] = [None] * len(publications)
        writes = [
            (number, write)
            for number, (publication, answer) in enumerate(zip(publications, answers, strict=True))
            for write in self._writes(publication, answer, is_over=kept[number] is None, is_handed=number in handed)
        ]
        for (number, _), failure in zip(writes, self._written([write for _, write in writes]), strict=True):
            failures[number] = failures[number] or failure
        return failures

    def _writes(
        self, publication: Publication, answer: Answer, *, is_over: bool, is_handed: bool
    ) -> Iterator[Callable[[], object]]:
        """Yield the writes that record *answer* at each delivery of *publication*."""
        if is_over and isinstance(answer, Failed) and not isinstance(answer.error, Untraceable):
            count(Metric.REMOVED if isinstance(answer.error, Removed) else Metric.UNPUBLISHABLE, len(publication.names))
        for name in publication.names:
            match answer:
                case Failed(error) if not is_over:
                    if not is_handed and (publication.alone is not None or not _is_refused(error)):
                        return
                    change = self._owed_change(publication, error, is_handed=is_handed)
                case _:
                    change = self._change(publication, name, answer)
            known = publication.delivery or Delivery.of(publication.event, name)
            yield partial(self.store.change_delivery, publication.event, name, change, known=known)

    def _owed_change(
        self, publication: Publication, error: UpstreamError, *, is_handed: bool
    ) -> Callable[[Delivery], Delivery]:
        """Return the change by *error* to the deliveries of *publication*, which stay owed; due if *is_handed*.

        A delivery that QStash may have from an earlier publish is due once QStash's log can tell.
        """
        now, generation = self.store.now(), publication.generation
        is_known = publication.alone is None or self._is_first(publication, error)
        at = now + (SWEEP_AFTER if is_known else LOG_LAG)

        def change(delivery: Delivery) -> Delivery:
            if publication.alone is None and _is_refused(error):
                delivery = delivery.refused(generation, now, str(error))
            return delivery.owed(generation, at) if is_handed else delivery

        return change

    def _change(self, publication: Publication, name: str, answer: Answer) -> Callable[[Delivery], Delivery]:
        """Return the change by *answer* to the delivery to *name*."""
        now, generation = self.store.now(), publication.generation
        match answer:
            case Failed(error):
                status = ENDS.get(type(error), Status.UNPUBLISHABLE)
                return lambda it: it.ended(generation, status, str(error))
            case Taken(ids, _) if name in ids:
                message = publication.message
                patience = _patience(message.timeout_s, reports_all=message.callback is not None)
                look_at = max(now, message.not_before or now) + patience
                return lambda it: it.published(generation, ids[name], now, look_at)
            case Taken(_, at) | NotYet(at):
                # Unless a callback or QStash's log tells of the delivery by then, the sweep publishes to its URL alone.
                return lambda it: it.waiting(generation, at, UNTOLD_YET.format(iso(at)))

    def look_after(self, destination: str) -> timedelta:
        """Return the silence after which a delivery to *destination* is followed up."""
        there = self.settings.destinations.get(destination)
        if there is None:
            return LOOK_AFTER
        known = self.settings.groups[there.group]
        return _patience(known.publishing.timeout_s, reports_all=known.publishing.reports_all)

    def _take_off_marks(
        self, publications: Sequence[Publication], over: Collection[int]
    ) -> dict[EventId, UpstreamError]:
        """Take the groups of *over*, the numbers of the final publications, off the outbox marks; return the failures.

        This is the last step.  A group's mark stays while a part of its share is owed.
        """
        groups: dict[EventId, set[str]] = {}
        done = [it for number, it in enumerate(publications) if number in over]
        owed = [it for number, it in enumerate(publications) if number not in over]
        partly = {(it.event.id, it.group) for it in owed if it.delivery is None}
        for publication in done:
            if publication.delivery is None and (publication.event.id, publication.group) not in partly:
                groups.setdefault(publication.event.id, set()).add(publication.group)
        events = {it.event.id: it.event for it in done}
        writes = [partial(self.store.published, events[name], frozenset(of)) for name, of in groups.items()]
        failures = self._written(writes)
        return {name: failure for name, failure in zip(groups, failures, strict=True) if failure is not None}

    def _forget_replaced(self, taken: Iterable[Publication]) -> None:
        """Delete the dead letters that *taken* replace; if that fails, the audit deletes them."""
        for dlq_id in {it.delivery.replaced_dlq_id for it in taken if it.delivery}:
            if dlq_id is not None:
                with suppress(QStashError):
                    self.qstash.delete_dead_letter(dlq_id)

    def _written(self, writes: Sequence[Callable[[], object]]) -> list[UpstreamError | None]:
        """Do *writes*; return each one's failure, or None."""
        done = each(lambda write: write(), writes, workers=self.workers)
        return [it if isinstance(it, UpstreamError) else None for it in done]


def _is_refused(error: UpstreamError | None) -> TypeGuard[QStashError]:
    return isinstance(error, QStashError) and error.refused


def _handed_over(publications: Sequence[Publication], kept: Sequence[UpstreamError | None]) -> set[int]:
    """Return the numbers of *publications* whose deliveries are published alone from now on.

    They are the rest of a URL group's share of which QStash refused a part.  They stay together while nobody knows
    whether QStash has the message to the group itself.
    """
    firsts = [
        (number, publication, why)
        for number, (publication, why) in enumerate(zip(publications, kept, strict=True))
        if not publication.delivery
    ]
    doubtful = {(it.event.id, it.group) for _, it, why in firsts if why and it.alone and not _is_refused(why)}
    refused = {(it.event.id, it.group) for _, it, why in firsts if _is_refused(why)} - doubtful
    return {number for number, it, why in firsts if why is not None and (it.event.id, it.group) in refused}


def _patience(timeout_s: int, *, reports_all: bool) -> timedelta:
    return timedelta(seconds=timeout_s) + (LOOK_AFTER if reports_all else LOOK_SOON_AFTER)


def _outcome(publication: Publication, answer: Answer, why: UpstreamError | None) -> Outcome:
    """Return the outcome of *publication*; *why*: the failure of the publish or of its record."""
    if why is not None:
        return Failed(why)
    match answer:
        case NotYet():
            return answer
        case Taken(ids, at) if not set(publication.names) <= ids.keys():
            return NotYet(at)
        case Taken() | Failed():  # a failure that is for good, or each destination's own affair from now on
            return Done()


def _raise_first(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            raise outcome.error
