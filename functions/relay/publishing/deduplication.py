"""What QStash has already of what is to be published: its log tells, where a deduplication id doesn't.

QStash knows a publish by its id, and not for ever; in a URL group by the endpoint's URL as well, which a deploy may
change.  What went out with its group has another id than what goes to its URL alone.  The log lags, and is kept for a
while: where it doesn't reach back so far, nobody can tell, and a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from relay.errors import OutOfTime, QStashError, Unready, Untraceable, UpstreamError
from relay.model.delivery import SWEEP_AFTER
from relay.qstash.message_log import LOG_LAG, LOG_RETENTION, MessageHistory, read_histories

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from relay.config.settings import Settings
    from relay.publishing.messages import Publication
    from relay.qstash.client import QStash
    from relay.storage.store import Store

SAME_ID_WINDOW = timedelta(minutes=9)  # within QStash's shorter deduplication window the same id is safe again
DEPLOY_MARGIN = timedelta(minutes=1)  # functions that a deploy replaced end within less
UNTRACEABLE = "its log doesn't reach back so far: nobody can tell whether it was ever published"
UNTOLD = "it refuses it now, and its log may not tell yet whether it took it before"
UNTOLD_YET = "it waits until {} for QStash's log, which may not tell before whether QStash has it already"


@dataclass(frozen=True)
class Answer:
    """What QStash has of a publication.

    Attributes:
        ids: The message id of each delivery that it has.
        owed_at: When it is asked again for the others.
    """

    ids: Mapping[str, str]
    owed_at: datetime


class PriorPublishes:
    """What QStash has of *publications*, as of now."""

    def __init__(self, publications: Sequence[Publication], settings: Settings, store: Store, qstash: QStash) -> None:
        self._publications = publications
        self._settings = settings
        self._qstash = qstash
        self._now = store.now()
        self._changed_at = store.deployment.urls_changed_at() if any(map(self._is_again, publications)) else None

    def known(self) -> list[Answer | UpstreamError | None]:
        """Return what QStash has of each publication that it may not know by its id; None: it is to be sent.

        An answer has no ids where the log lacks it and may lag: while a deploy is under way, and right after it, and
        where its destination is gone, so that nobody will ask under its id again.
        """
        known: dict[int, Answer | UpstreamError | None] = {id(it): it.trouble for it in self._publications}
        asked = [it for it in self._publications if self._is_to_be_asked_for(it)]
        try:
            there = self._there(asked)
            known |= {name: answer for name, answer in there.items() if answer.ids}
            absent = [it for it in asked if not there[id(it)].ids]
            tells_at = {id(it): self._tells_at(it) for it in absent}
            known |= {name: Answer({}, min(at, self._now + LOG_LAG)) for name, at in tells_at.items() if at > self._now}
            absent = [it for it in absent if tells_at[id(it)] <= self._now]
            known |= {id(it): Untraceable(UNTRACEABLE) for it in self._out_of_reach(absent)}
        except (QStashError, OutOfTime) as error:
            known |= {id(it): error for it in asked}
        return [known[id(it)] for it in self._publications]

    def confirmed(self, answers: Sequence[Answer | UpstreamError]) -> list[Answer | UpstreamError]:
        """Return *answers*, but of what is refused now, and may have been published before, what QStash has.

        A deploy may have changed what is published, its account what it takes, or an endpoint's name where it leads.
        What is refused for good isn't believed before the log can't lag any more.
        """
        found = {id(it): answer for it, answer in zip(self._publications, answers, strict=True)}
        refused = [it for it in self._publications if not it.goes_nowhere and _is_refusal(found[id(it)])]
        doubted = [it for it in refused if self._is_again(it)]
        try:
            there = self._there(doubted)
        except (QStashError, OutOfTime) as error:
            found |= {id(it): error for it in doubted}
        else:
            untold, young = Unready("QStash", UNTOLD), [it for it in doubted if self._now - it.since < LOG_LAG]
            found |= {id(it): untold for it in young if getattr(found[id(it)], "permanent", False)}
            found |= {name: answer for name, answer in there.items() if answer.ids}
        return [found[id(it)] for it in self._publications]

    def _there(self, publications: Iterable[Publication]) -> Mapping[int, Answer]:
        """Return what QStash's log has of each of *publications*, by its identity.

        Raises:
            QStashError: It can't be read.
        """
        labels = {it.message.label for it in publications}
        found = read_histories(self._qstash.log_of(labels), labels) if labels else {}
        return {id(it): self._of(it, found[it.message.label]) for it in publications}

    def _of(self, publication: Publication, found: Sequence[MessageHistory]) -> Answer:
        url_now = self._settings.url_now
        ids = {name: it.message_id for name in publication.names for it in found if it.is_of(name, url_now(name))}
        return Answer(ids, self._now + LOG_LAG)

    def _out_of_reach(self, publications: Iterable[Publication]) -> list[Publication]:
        """Return those of *publications* that QStash's log doesn't reach back to: the oldest, until it does."""
        beyond: list[Publication] = []
        for it in sorted(publications, key=_unknown_since):
            since = _unknown_since(it)
            if self._now - since > LOG_RETENTION or not (self._qstash.log_has_before(since) or self._log_is_whole):
                beyond.append(it)
            else:
                break
        return beyond

    @cached_property
    def _log_is_whole(self) -> bool:
        return self._qstash.log_is_whole()

    def _is_to_be_asked_for(self, publication: Publication) -> bool:
        if publication.goes_nowhere:
            return self._is_again(publication)
        return publication.trouble is None and self._may_be_there(publication)

    def _tells_at(self, publication: Publication) -> datetime:
        """Return when the log, which lacks it, surely tells of it if it ever does; before, nothing else is to be done.

        A deploy's end is known only once it is over: while one is under way this is always to come.
        """
        gone_at = publication.since + LOG_LAG if publication.goes_nowhere else self._now
        deployed_at = self._now if self._changed_at is None else self._changed_at + DEPLOY_MARGIN + LOG_LAG
        return max(gone_at, deployed_at)

    def _may_be_there(self, publication: Publication) -> bool:
        is_old = self._now - publication.since > SAME_ID_WINDOW
        return publication.may_be_there_under_another_id or is_old or self._is_from_before(publication)

    def _is_again(self, publication: Publication) -> bool:
        """Tell whether it may have been published already: whoever saved it has had the time."""
        return self._now - publication.since >= SWEEP_AFTER

    def _is_from_before(self, publication: Publication) -> bool:
        """Tell whether it may have been published before a deploy last changed URLs."""
        changed_at = self._changed_at
        return (
            changed_at is not None and self._is_again(publication) and publication.since <= changed_at + DEPLOY_MARGIN
        )


def _is_refusal(answer: Answer | UpstreamError) -> bool:
    return isinstance(answer, UpstreamError) and (answer.permanent or getattr(answer, "refused", False))


def _unknown_since(publication: Publication) -> datetime:
    """Return since when it may have been published: what its log didn't have as it was refused last, QStash hadn't."""
    refused_at = publication.delivery.refused_at if publication.delivery else None
    return publication.since if refused_at is None else max(publication.since, refused_at - LOG_LAG)
