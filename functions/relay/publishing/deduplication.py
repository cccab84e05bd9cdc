"""Decides whether a publish may already have reached QStash.

For 9 minutes the deduplication id settles it.  Later, or after a deploy changed a URL, QStash's log does.  The log also
settles a delivery that may have gone out with its URL group, under another id.  The log lags up to 5 minutes and is
kept for 3 days; beyond that the delivery becomes `unaccounted`.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from relay.errors import OutOfTime, QStashError, Unready, Untraceable
from relay.model.delivery import SWEEP_AFTER
from relay.publishing.answers import Failed, NotYet, Taken, ToSend
from relay.qstash.message_log import LOG_LAG, LOG_RETENTION, MessageHistory, read_histories

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from relay.config.settings import Settings
    from relay.publishing.answers import Answer, Prior
    from relay.publishing.messages import Publication
    from relay.qstash.client import QStash
    from relay.storage.store import Store

SAME_ID_WINDOW = timedelta(minutes=9)  # within QStash's shorter deduplication window the same id is safe again
DEPLOY_MARGIN = timedelta(minutes=1)  # functions that a deploy replaced end within less
UNTRACEABLE = "its log doesn't reach back so far: nobody can tell whether it was ever published"
UNTOLD = "it refuses it now, and its log may not tell yet whether it took it before"
UNTOLD_YET = "it waits until {} for QStash's log, which may not tell before whether QStash has it already"


class PriorPublishes:
    """Tells which of *publications* QStash has now."""

    def __init__(self, publications: Sequence[Publication], settings: Settings, store: Store, qstash: QStash) -> None:
        self._publications = publications
        self._settings = settings
        self._qstash = qstash
        self._now = store.now()
        self._changed_at = store.deployment.urls_changed_at() if any(map(self._is_again, publications)) else None

    def known(self) -> list[Prior]:
        """Return for each publication, before it is sent, whether QStash has it.

        It is `NotYet` if the log lacks the publication and may lag: during a deploy, right after one, and for a
        destination that is gone, whose publish is never repeated under its id.
        """
        known: dict[int, Prior] = {
            id(publication): ToSend() if publication.trouble is None else Failed(publication.trouble)
            for publication in self._publications
        }
        asked = [it for it in self._publications if self._is_to_be_asked_for(it)]
        try:
            there = self._there(asked)
            known |= there
            absent = [it for it in asked if id(it) not in there]
            tells_at = {id(it): self._tells_at(it) for it in absent}
            known |= {name: NotYet(min(at, self._now + LOG_LAG)) for name, at in tells_at.items() if at > self._now}
            absent = [it for it in absent if tells_at[id(it)] <= self._now]
            known |= {id(it): Failed(Untraceable(UNTRACEABLE)) for it in self._out_of_reach(absent)}
        except (QStashError, OutOfTime) as error:
            known |= {id(it): Failed(error) for it in asked}
        return [known[id(it)] for it in self._publications]

    def confirmed(self, answers: Sequence[Answer]) -> list[Answer]:
        """Return *answers*, corrected by the log if a refused publication may have been published before.

        Meanwhile a deploy may have changed the message, the account its limits, or a name its address.  A refusal for
        good isn't believed until the log can't lag any more.
        """
        found = {id(it): answer for it, answer in zip(self._publications, answers, strict=True)}
        refused = [it for it in self._publications if not it.goes_nowhere and _is_refusal(found[id(it)])]
        doubted = [it for it in refused if self._is_again(it)]
        try:
            there = self._there(doubted)
        except (QStashError, OutOfTime) as error:
            found |= {id(it): Failed(error) for it in doubted}
        else:
            young = [it for it in doubted if self._now - it.since < LOG_LAG]
            untold = Failed(Unready("QStash", UNTOLD))
            found |= {id(it): untold for it in young if _is_permanent(found[id(it)])}
            found |= there
        return [found[id(it)] for it in self._publications]

    def _there(self, publications: Iterable[Publication]) -> Mapping[int, Taken]:
        """Return those of *publications* with a message in QStash's log, by identity.

        Raises:
            QStashError: The log can't be read.
        """
        labels = {it.message.label for it in publications}
        found = read_histories(self._qstash.log_of(labels), labels) if labels else {}
        ids = {id(it): self._ids(it, found[it.message.label]) for it in publications}
        return {name: Taken(of, self._now + LOG_LAG) for name, of in ids.items() if of}

    def _ids(self, publication: Publication, found: Sequence[MessageHistory]) -> Mapping[str, str]:
        """Return the message ids in *found* of the publication's deliveries: destination -> id."""
        url_now = self._settings.url_now
        return {name: it.message_id for name in publication.names for it in found if it.is_of(name, url_now(name))}

    def _out_of_reach(self, publications: Iterable[Publication]) -> list[Publication]:
        """Return those of *publications* that are older than QStash's log reaches back."""
        beyond: list[Publication] = []
        for publication in sorted(publications, key=_unknown_since):
            since = _unknown_since(publication)
            if self._now - since > LOG_RETENTION or not (self._qstash.log_has_before(since) or self._log_is_whole):
                beyond.append(publication)
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
        """Return when the log's silence about *publication* becomes certain.

        Until then the publication is neither sent nor given up.  During a deploy this time is always in the future.
        """
        gone_at = publication.since + LOG_LAG if publication.goes_nowhere else self._now
        deployed_at = self._now if self._changed_at is None else self._changed_at + DEPLOY_MARGIN + LOG_LAG
        return max(gone_at, deployed_at)

    def _may_be_there(self, publication: Publication) -> bool:
        is_old = self._now - publication.since > SAME_ID_WINDOW
        return publication.may_be_there_under_another_id or is_old or self._is_from_before(publication)

    def _is_again(self, publication: Publication) -> bool:
        """Tell whether *publication* may have been published before: ingest has had the time."""
        return self._now - publication.since >= SWEEP_AFTER

    def _is_from_before(self, publication: Publication) -> bool:
        """Tell whether *publication* may have been published before a deploy last changed URLs."""
        changed_at = self._changed_at
        return (
            changed_at is not None and self._is_again(publication) and publication.since <= changed_at + DEPLOY_MARGIN
        )


def _is_refusal(answer: Answer) -> bool:
    match answer:
        case Failed(error):
            return error.permanent or (isinstance(error, QStashError) and error.refused)
        case Taken() | NotYet():
            return False


def _is_permanent(answer: Answer) -> bool:
    return isinstance(answer, Failed) and answer.error.permanent


def _unknown_since(publication: Publication) -> datetime:
    """Return since when *publication* may have been published.

    A publication that QStash refused, and that the log lacked then, wasn't published before the refusal.
    """
    refused_at = publication.delivery.refused_at if publication.delivery else None
    return publication.since if refused_at is None else max(publication.since, refused_at - LOG_LAG)
