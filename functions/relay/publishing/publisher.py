"""From the outbox to QStash: what its answer to a publish, or the lack of one, changes.

Ingest publishes at once; what it couldn't, the sweep does.  Both go through here, under the same deduplication id, so
that a publish whose answer was lost and the one that repeats it are one for QStash.  Where the id may not tell, its log
is asked first: `relay.publishing.deduplication`.

What QStash refuses for a reason that may pass is each destination's own affair from then on: a URL group that it
refuses, since one endpoint's name doesn't resolve, is published to each of its destinations alone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

from relay.concern import Concern
from relay.errors import QStashError, Removed, Untraceable, UpstreamError
from relay.model.delivery import SWEEP_AFTER, Delivery, Status
from relay.model.ids import EventId, Generation, from_iso, iso
from relay.publishing.deduplication import UNTOLD_YET, Answer, PriorPublishes
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
    from relay.qstash.client import Accepted, QStash
    from relay.storage.items import Item
    from relay.storage.store import Store

LOOK_AFTER = timedelta(minutes=10)  # a delivery is looked after if nothing was heard of it for so long
LOOK_SOON_AFTER = timedelta(minutes=2)  # and where QStash is not to report what it delivered
RETRIED_FOR = {Concern.ENDPOINT: timedelta(days=1), Concern.UNKNOWN: timedelta(hours=6)}  # what QStash refuses
RECORD_S = 5.0  # of the time left, at most, is for recording what QStash answered
ENDS: dict[type[UpstreamError], Status] = {Untraceable: Status.UNACCOUNTED, Removed: Status.REMOVED}
PAUSED = (Status.HELD, "its destination is paused")


@dataclass(frozen=True)
class Waiting:
    """Nothing failed, and QStash may lack some of it: its log is to tell first, and the deliveries are due then."""


Outcome = UpstreamError | Waiting | None
"""What became of a publication: None once nothing is owed any more (QStash has it, or never will); else why not."""


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
    def composer(self) -> Composer:
        """What makes publications as the configuration stands."""
        return Composer(self.settings, self.store.bucket.name, self.mac_key, self.secret)

    def publish_event(self, event: Event, body: bytes) -> None:
        """Publish the URL groups that *event* still owes, and take off its outbox mark those that QStash has.

        Raises:
            UpstreamError: The first that kept a group from QStash, for now; the others were tried, too.
        """
        _raise_first(self.publish(self.pack_event(event, body)))

    def publish_delivery(self, event: Event, delivery: Delivery, body: bytes) -> None:
        """Publish one delivery's current generation to its destination's URL alone.

        Raises:
            UpstreamError: QStash didn't take it, for now.
        """
        _raise_first(self.publish(self.pack_delivery(event, delivery, body)))

    def pack_event(self, event: Event, body: bytes) -> list[Publication]:
        """Return what *event* still owes, URL group by URL group.

        What its destination's pause holds is recorded as held.
        """
        composer, publications, held = self.composer, [], set()
        for group in sorted(event.unpublished):
            names = [name for name, of in event.expected.items() if of == group]
            paused = [it for it in names if composer.is_there(it) and it in event.held]
            self._end(event, paused, event.generation, *PAUSED)
            found = composer.of_group(event, group, body)
            publications += found
            if not found:
                held.add(group)
        if held:
            self.store.published(event, frozenset(held))
        return publications

    def pack_delivery(self, event: Event, delivery: Delivery, body: bytes) -> list[Publication]:
        """Return the publication of one delivery; none where its destination is paused.

        What began before the pause goes on: QStash may have it already.
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
        """Have QStash take *publications*, in as few calls as can be, and record what it answered of each."""
        with leaving(min(RECORD_S, seconds_left() / 3)):
            answers = self._answers(publications)
        kept = [self._kept(it, answer) for it, answer in zip(publications, answers, strict=True)]
        handed = _handed_over(publications, kept)
        failures = self._recorded(publications, answers, kept, handed)
        whys = [failure or why for failure, why in zip(failures, kept, strict=True)]
        over = {it for it, failure in enumerate(failures) if failure is None and (kept[it] is None or it in handed)}
        self._forget_replaced(publications[it] for it in over if _has_some(answers[it]))
        left = self._take_off_marks(publications, over)
        unheard = [it for it in handed & over if self._is_first(publications[it], kept[it])]
        split = [it for it in unheard if publications[it].event.id not in left]
        for number, why in self._published_alone(publications, split):
            whys[number] = why
        return [
            why or left.get(it.event.id) or _waiting(it, answer)
            for it, why, answer in zip(publications, whys, answers, strict=True)
        ]

    def _answers(self, publications: Sequence[Publication]) -> list[Answer | UpstreamError]:
        """Return what QStash has of each of *publications*, already or now, or why it hasn't."""
        already = PriorPublishes(publications, self.settings, self.store, self.qstash)
        answers = already.known()
        todo = [number for number, answer in enumerate(answers) if answer is None]
        taken = sent(self.qstash, [publications[number].message for number in todo])
        for number, it in zip(todo, taken, strict=True):
            answers[number] = it if isinstance(it, UpstreamError) else self._by_name(publications[number], it)
        return already.confirmed([answer for answer in answers if answer is not None])

    def _by_name(self, publication: Publication, taken: Sequence[Accepted]) -> Answer:
        """Return *taken* by the names of destinations: an answer names endpoints by URL.

        A destination that it doesn't name isn't in QStash's group, or has another URL there: that the log tells.
        """
        owed_at = self.store.now() + LOG_LAG
        if len(publication.names) == len(taken) == 1:
            return Answer({publication.names[0]: taken[0].message_id}, owed_at)
        ids = {it.url: it.message_id for it in taken}
        urls = {name: self.settings.destination_url(name) for name in publication.names}
        return Answer({name: ids[url] for name, url in urls.items() if url in ids}, owed_at)

    # -- what that changes ------------------------------------------------------------------------------------------

    def _kept(self, publication: Publication, answer: Answer | UpstreamError) -> UpstreamError | None:
        """Return what keeps *publication* from QStash for now; None where that has it, or never will."""
        if not isinstance(answer, UpstreamError) or answer.permanent:
            return None
        since = publication.delivery.refused_since if publication.delivery else None
        if not _is_refused(answer) or since is None:
            return answer
        return None if self.store.now() - since >= RETRIED_FOR[answer.concern] else answer

    def _is_first(self, publication: Publication, why: UpstreamError | None) -> bool:
        """Tell whether QStash surely has nothing of a group's share that it refused: it was never asked before.

        Else it may have taken it then, and what answered that got lost.
        """
        is_new = self.store.now() - publication.since < SWEEP_AFTER  # nobody else turns to it before
        return is_new and _is_refused(why) and not why.after_doubt and publication.alone is not None

    def _published_alone(
        self, publications: Sequence[Publication], split: Sequence[int]
    ) -> Iterator[tuple[int, UpstreamError | None]]:
        """Publish those of *publications* whose numbers are *split* to each of their destinations alone.

        Yields:
            Of each number the first that kept one of its destinations from QStash.
        """
        parts = [(number, part) for number in split for part in (publications[number].alone or tuple)()]
        if not parts:
            return
        whys = self.publish([part for _, part in parts])
        for number in split:
            of_it = [why for (whose, _), why in zip(parts, whys, strict=True) if whose == number]
            yield number, next((why for why in of_it if isinstance(why, UpstreamError)), None)

    def _recorded(
        self,
        publications: Sequence[Publication],
        answers: Sequence[Answer | UpstreamError],
        kept: Sequence[UpstreamError | None],
        handed: Collection[int],
    ) -> list[UpstreamError | None]:
        """Write the *answers* to the deliveries; return of each publication why that failed."""
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
        self, publication: Publication, answer: Answer | UpstreamError, *, is_over: bool, is_handed: bool
    ) -> Iterator[Callable[[], object]]:
        """Yield the writes that record *answer* at each delivery of *publication*."""
        if is_over and isinstance(answer, UpstreamError) and not isinstance(answer, Untraceable):
            count(Metric.REMOVED if isinstance(answer, Removed) else Metric.UNPUBLISHABLE, len(publication.names))
        for name in publication.names:
            if is_over:
                change = self._change(publication, name, answer)
            elif is_handed or (publication.alone is None and _is_refused(answer)):
                change = self._owed_change(publication, answer, is_handed=is_handed)
            else:
                return
            known = publication.delivery or Delivery.of(publication.event, name)
            yield partial(self.store.change_delivery, publication.event, name, change, known=known)

    def _owed_change(
        self, publication: Publication, answer: Answer | UpstreamError, *, is_handed: bool
    ) -> Callable[[Delivery], Delivery]:
        """Return what an *answer* changes that leaves deliveries of *publication* owed: as the sweep's, if *is_handed*.

        What may be with QStash in another way is the sweep's once QStash's log tells.
        """
        now, generation = self.store.now(), publication.generation
        why = answer if isinstance(answer, UpstreamError) else None
        is_known = publication.alone is None or self._is_first(publication, why)
        at = now + (SWEEP_AFTER if is_known else LOG_LAG)

        def change(it: Delivery) -> Delivery:
            if publication.alone is None and _is_refused(answer):
                it = it.refused(generation, now, str(answer))
            return it.owed(generation, at) if is_handed else it

        return change

    def _change(
        self, publication: Publication, name: str, answer: Answer | UpstreamError
    ) -> Callable[[Delivery], Delivery]:
        """Return what *answer* changes at the delivery to *name*."""
        now, generation = self.store.now(), publication.generation
        if isinstance(answer, UpstreamError):
            status = ENDS.get(type(answer), Status.UNPUBLISHABLE)
            return lambda it: it.ended(generation, status, str(answer))
        if name in answer.ids:
            patience = _patience(publication.message.timeout_s, reports_all=publication.message.callback is not None)
            look_at = max(now, publication.message.not_before or now) + patience
            return lambda it: it.published(generation, answer.ids[name], now, look_at)
        # Unless a callback or QStash's log tells of it by then, the sweep publishes to the URL alone.
        reason = UNTOLD_YET.format(iso(answer.owed_at))
        return lambda it: it.waiting(generation, answer.owed_at, reason)

    def look_after(self, destination: str) -> timedelta:
        """Return after how much silence a delivery to *destination* is looked after."""
        there = self.settings.destinations.get(destination)
        if there is None:
            return LOOK_AFTER
        known = self.settings.groups[there.group]
        return _patience(known.publishing.timeout_s, reports_all=known.publishing.reports_all)

    def _take_off_marks(
        self, publications: Sequence[Publication], over: Collection[int]
    ) -> dict[EventId, UpstreamError]:
        """Take off the outbox marks of those of *publications* that are *over*; return the events where that failed.

        It is the last step.  A group's mark stays while a part of its share is owed.
        """
        groups: dict[EventId, set[str]] = {}
        done = [it for number, it in enumerate(publications) if number in over]
        owed = [it for number, it in enumerate(publications) if number not in over]
        partly = {(it.event.id, it.group) for it in owed if it.delivery is None}
        for it in done:
            if it.delivery is None and (it.event.id, it.group) not in partly:
                groups.setdefault(it.event.id, set()).add(it.group)
        events = {it.event.id: it.event for it in done}
        writes = [partial(self.store.published, events[name], frozenset(of)) for name, of in groups.items()]
        failures = self._written(writes)
        return {name: failure for name, failure in zip(groups, failures, strict=True) if failure is not None}

    def _forget_replaced(self, taken: Iterable[Publication]) -> None:
        """Delete from QStash the dead letters that these replace; those left behind are the audit's."""
        for dlq_id in {it.delivery.replaced_dlq_id for it in taken if it.delivery}:
            if dlq_id is not None:
                with suppress(QStashError):
                    self.qstash.delete_dead_letter(dlq_id)

    def _written(self, writes: Sequence[Callable[[], object]]) -> list[UpstreamError | None]:
        """Do *writes*; return of each why it failed."""
        done = each(lambda write: write(), writes, workers=self.workers)
        return [it if isinstance(it, UpstreamError) else None for it in done]


def _is_refused(answer: object) -> TypeGuard[QStashError]:
    return isinstance(answer, QStashError) and answer.refused


def _handed_over(publications: Sequence[Publication], kept: Sequence[UpstreamError | None]) -> set[int]:
    """Return which of *publications* are each destination's own affair from now on.

    It is what is left of a URL group's share of which QStash refuses a part; but not while nobody knows whether it has
    what goes to the group itself.
    """
    firsts = [
        (number, it, why) for number, (it, why) in enumerate(zip(publications, kept, strict=True)) if not it.delivery
    ]
    doubtful = {(it.event.id, it.group) for _, it, why in firsts if why and it.alone and not _is_refused(why)}
    refused = {(it.event.id, it.group) for _, it, why in firsts if _is_refused(why)} - doubtful
    return {number for number, it, why in firsts if why is not None and (it.event.id, it.group) in refused}


def _patience(timeout_s: int, *, reports_all: bool) -> timedelta:
    return timedelta(seconds=timeout_s) + (LOOK_AFTER if reports_all else LOOK_SOON_AFTER)


def _has_some(answer: Answer | UpstreamError) -> bool:
    return not isinstance(answer, UpstreamError) and bool(answer.ids)


def _waiting(publication: Publication, answer: Answer | UpstreamError) -> Waiting | None:
    """Return whether a part of *publication* is owed again, of which QStash's log is to tell first."""
    is_all = isinstance(answer, UpstreamError) or set(publication.names) <= answer.ids.keys()
    return None if is_all else Waiting()


def _raise_first(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, UpstreamError):
            raise outcome
