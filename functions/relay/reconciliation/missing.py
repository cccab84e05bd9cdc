"""Missing events: when the relay asks for one again, when it gives one up, and the records of both.

Once the event arrives, its item expires at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relay.model.ids import EventId, event_id, from_iso, iso
from relay.reconciliation.github import SENDS_AGAIN_FOR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.config.settings import Source
    from relay.reconciliation.github import Sending
    from relay.storage.items import Item
    from relay.storage.store import Store

ASKED_MAX = 5
GAP = timedelta(minutes=30)  # between two requests for an event, and after the last one
REFUSED_GAP_FACTOR = 4  # 30 min, 2 h, 8 h, 32 h: five requests for a refused event reach over a night and a day
KEPT_FOR = timedelta(days=7)
TOO_LARGE = 413
PASSING = frozenset({408, 429})  # of an overloaded gateway


@dataclass(frozen=True)
class Missing:
    """An event that GitHub sent and the ledger lacks, as its newest sending describes it.

    Attributes:
        sending: GitHub's id of the newest sending, which the next request is for.
        status: The HTTP status of the answer to GitHub; 0 without an answer.
        asked: How often the relay requested it.
    """

    guid: str
    hook: str
    sending: int
    sent_at: datetime
    status: int
    event_type: str
    expires_at: datetime
    asked: int = 0
    first_asked_at: datetime | None = None
    asked_at: datetime | None = None

    @classmethod
    def of(cls, hook: str, sending: Sending, now: datetime) -> Missing:
        """Return the missing event of a *sending*."""
        return cls(
            guid=sending.guid,
            hook=hook,
            sending=sending.id,
            sent_at=sending.at,
            status=sending.status,
            event_type=sending.event_type,
            expires_at=now + KEPT_FOR,
        )

    def after(self, hook: str, sending: Sending) -> Missing:
        """Return the event once another *sending* of it is known, whatever the order of the sendings."""
        if sending.at <= self.sent_at:
            return self
        return replace(self, hook=hook, sending=sending.id, sent_at=sending.at, status=sending.status)

    def asked_for(self, now: datetime) -> Missing:
        """Return the event after one more request for it."""
        return replace(self, asked=self.asked + 1, first_asked_at=self.first_asked_at or now, asked_at=now)

    @property
    def was_refused(self) -> bool:
        """Tell whether the relay refused the event: it will again, until a person mends the cause."""
        return 400 <= self.status < 500 and self.status not in PASSING

    def may_be_asked(self, now: datetime, accepted_at: datetime | None) -> bool:
        """Tell whether to request the event now.

        The gaps grow for an event that the relay refused, so that one night with a wrong secret doesn't spend all
        requests.  They are `GAP` again once a later sending of the hook was accepted.  A body that was too large is
        requested once, since the same bytes stay too large.

        Args:
            accepted_at: The time of the hook's newest sending that was answered 2xx; None: none is known.
        """
        if self.asked >= ASKED_MAX or now - self.sent_at >= SENDS_AGAIN_FOR:
            return False
        if self.asked_at is None:
            return True
        if self.status == TOO_LARGE:
            return False
        mended = accepted_at is not None and accepted_at > self.sent_at
        factor = REFUSED_GAP_FACTOR ** (self.asked - 1) if self.was_refused and not mended else 1
        return now - self.asked_at >= GAP * factor

    def needs_a_person(self, now: datetime) -> bool:
        """Tell whether requests can't help: all are spent, the relay refused it again, or GitHub has it no more."""
        if now - self.sent_at >= SENDS_AGAIN_FOR:
            return True
        if self.asked_at is None or self.first_asked_at is None:
            return False
        refused_again = self.was_refused and now - self.first_asked_at >= GAP
        return refused_again or (self.asked >= ASKED_MAX and now - self.asked_at >= GAP)


@dataclass(frozen=True)
class Progress:
    """The progress through a hook's list.

    Attributes:
        since: All earlier sendings have been compared; None: none yet.
        until, cursor: Of an interrupted reading: where it began, and its next page.
        accepted_at: The time of the newest sending that was answered 2xx.
    """

    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    accepted_at: datetime | None = None


class Records:
    """What is kept of one source's reconciliation, and its events in the ledger."""

    def __init__(self, store: Store, source: Source) -> None:
        self._store = store
        self._source = source

    def all(self) -> tuple[dict[str, Missing], dict[str, Progress]]:
        """Return the missing events by guid and the progress by hook, for the hooks of the source; one query."""
        missing, hooks = self._store.reconciliation.of(self._source.name)
        found = {guid: _missing_of(guid, item) for guid, item in missing.items()}
        named = self._source.reconcile
        return (
            {guid: event for guid, event in found.items() if event.hook in named},
            {hook: _progress_of(item) for hook, item in hooks.items()},
        )

    def save(self, event: Missing) -> None:
        """Save a missing event."""
        times = {name: iso(at) for name in ("sent_at", "first_asked_at", "asked_at") if (at := getattr(event, name))}
        plain = {name: getattr(event, name) for name in ("hook", "sending", "status", "event_type", "asked")}
        self._store.reconciliation.save_missing(
            self._source.name, event.guid, {**plain, **times}, expires_at=event.expires_at
        )

    def close(self, event: Missing) -> None:
        """Forget a missing event."""
        self.save(replace(event, expires_at=self._store.now()))

    def save_progress(self, hook: str, progress: Progress) -> None:
        """Save the progress through the list of *hook*."""
        times = {name: iso(at) for name in ("since", "until", "accepted_at") if (at := getattr(progress, name))}
        known = {**times, "cursor": progress.cursor}
        self._store.reconciliation.save_hook(self._source.name, hook, known, expires_at=self._store.now() + KEPT_FOR)

    def arrived(self, guids: Iterable[str]) -> dict[str, datetime]:
        """Return when the ledger received those of *guids* that it has, read consistently."""
        ids = {self._event(guid): guid for guid in guids}
        return {ids[event]: at for event, at in self._store.received_at(ids).items()}

    def mark(self, guid: str) -> None:
        """Mark the event's record as reconciled; the first mark counts."""
        self._store.mark_reconciled(self._event(guid))

    def _event(self, guid: str) -> EventId:
        return event_id(self._source.name, guid)


def _moment(item: Item, name: str) -> datetime | None:
    return from_iso(item[name]) if item.get(name) else None


def _progress_of(item: Item) -> Progress:
    return Progress(
        since=_moment(item, "since"),
        until=_moment(item, "until"),
        cursor=item.get("cursor"),
        accepted_at=_moment(item, "accepted_at"),
    )


def _missing_of(guid: str, item: Item) -> Missing:
    return Missing(
        guid=guid,
        hook=item["hook"],
        sending=int(item["sending"]),
        sent_at=from_iso(item["sent_at"]),
        status=int(item["status"]),
        event_type=item["event_type"],
        expires_at=datetime.fromtimestamp(int(item["expires_at"]), UTC),
        asked=int(item["asked"]),
        first_asked_at=_moment(item, "first_asked_at"),
        asked_at=_moment(item, "asked_at"),
    )
