"""The verb of reconcile: compares GitHub's list of sendings with the ledger, and requests the missing ones again.

GitHub never repeats a sending by itself, whatever the answer was.  A run reads the list of each hook from the newest
sending back to where the last run began.  The first run, and one after a long pause, reads back as far as GitHub can
redeliver.  A sending younger than `GRACE` may still be under way, so the next run compares it.  An interrupted reading
(time, a rate limit, an outage) goes on at its page in the next run.

Each sending costs one read unit once (see `Records.arrived`).  Each missing event costs one more a run, and a write
unit a change.  Each page of 100 sendings is one request to GitHub and one write unit; each redelivery takes two
requests at most.

The relay requests only sendings to its own URL of the source: a hook that posted elsewhere before lost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import Defect, GitHubError, OutOfTime
from relay.reconciliation.github import SENDS_AGAIN_FOR
from relay.reconciliation.missing import Missing, Progress, Records
from relay.runtime.deadline import regardless
from relay.runtime.parallel import supervised
from relay.storage.leases import RECONCILE
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.config.settings import Settings, Source
    from relay.reconciliation.github import GitHub, Sending
    from relay.storage.store import Store

GRACE = timedelta(minutes=5)
ASKED_A_RUN_MAX = 100
WINDOW_MARGIN = timedelta(hours=1)


@dataclass
class Reconciled:
    """What a run did.

    Attributes:
        looked_at: How many sendings it compared.
        asked: How many events it requested.
        arrived: How many events arrived that a run had requested.
        elsewhere: How many sendings had gone to another URL, so that nothing was lost.
        waiting: How many missing events can still arrive.
        missing: The events that no request brought: a person has to look.
        stopped: Why the run ended early, to go on next time; None: it didn't.
        refused: Why GitHub refused, by hook: the owner must act.
        skipped: Whether another run was under way.
        defects: Defects of the relay's own code, each with its source.
    """

    looked_at: int = 0
    asked: int = 0
    arrived: int = 0
    elsewhere: int = 0
    waiting: int = 0
    missing: list[Missing] = field(default_factory=list)
    stopped: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
    skipped: bool = False
    defects: list[str] = field(default_factory=list)


def reconcile(
    settings: Settings, *, store: Store, github: GitHub, owner: str, seconds_left: Callable[[], float]
) -> Reconciled:
    """Reconcile every source that names hooks; do nothing where another run holds the lease.

    Args:
        owner: The run's own name, for the lease.
        seconds_left: Returns how long this run may still take.
    """
    done = Reconciled()
    with store.lease(RECONCILE, owner) as is_free:
        done.skipped = not is_free
        for source in settings.sources.values() if is_free else ():
            if source.reconcile:
                run = _Run(source, settings, store, github, seconds_left, done)
                failure = supervised(_Run.reconcile, run)
                if isinstance(failure, Defect):  # the other sources have their turn
                    done.defects.append(f"{source.name}: {failure}")
                elif failure is not None:
                    raise failure
    return done


class _Run:
    """One run over one source."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        store: Store,
        github: GitHub,
        seconds_left: Callable[[], float],
        done: Reconciled,
    ) -> None:
        self.source = source
        self.urls = {webhook_url(base, source.name) for base in settings.base_urls}
        # An event whose record has expired isn't missing, and GitHub can't redeliver what it is about to forget.
        self.window = min(SENDS_AGAIN_FOR, timedelta(days=settings.retention_days)) - WINDOW_MARGIN
        self.now = store.now
        self.records = Records(store, source)
        self.github = github
        self.seconds_left = seconds_left
        self.done = done
        self.missing: dict[str, Missing] = {}
        self.progress: dict[str, Progress] = {}

    def reconcile(self) -> None:
        self.missing, self.progress = self.records.all()
        for hook in self.source.reconcile:
            self._speak(hook, partial(self._read_list, hook))
        self._welcome()
        for missing in sorted(self.missing.values(), key=lambda it: (it.sent_at, it.sending)):
            if self._is_to_be_asked(missing):
                self._speak(missing.hook, partial(self._ask, missing))
        now = self.now()
        lost = [it for it in self.missing.values() if it.needs_a_person(now)]
        self.done.missing += lost
        self.done.waiting += len(self.missing) - len(lost)

    def _speak(self, hook: str, call: Callable[[], None]) -> None:
        """Do *call*, which asks GitHub, unless an earlier call of this run failed for good."""
        if self.done.stopped or hook in self.done.refused:
            return
        if self.seconds_left() <= 0:
            self.done.stopped = "out of time"
            return
        try:
            call()
        except OutOfTime:
            self.done.stopped = "out of time"
        except GitHubError as error:
            if error.passing:
                self.done.stopped = str(error)
            else:
                self.done.refused[hook] = str(error)

    # -- comparing -------------------------------------------------------------------------------------------

    def _read_list(self, hook: str) -> None:
        """Find the missing events of *hook*, from the newest sending or the page of an interrupted reading back."""
        now = self.now()
        before = self.progress.get(hook, Progress())
        floor = max(filter(None, (before.since, now - self.window)))
        at = replace(before, until=before.until or now - GRACE)
        while True:
            try:
                page, cursor = self.github.sendings(hook, at.cursor)
            except GitHubError as error:
                if error.passing or at.cursor is None:
                    raise
                at = replace(at, until=now - GRACE, cursor=None)  # the page may be gone: begin at the newest again
                continue
            self._judge(hook, [it for it in page if floor <= it.at <= (at.until or now)])
            accepted = [it.at for it in page if 200 <= it.status < 300]
            at = replace(at, cursor=cursor, accepted_at=max(filter(None, (at.accepted_at, *accepted)), default=None))
            if cursor is None or (page and page[-1].at < floor):
                at = Progress(since=at.until, accepted_at=at.accepted_at)
            self.progress[hook] = at
            self.records.save_progress(hook, at)
            if at.cursor is None:
                return
            if self.seconds_left() <= 0:
                self.done.stopped = "out of time"
                return

    def _judge(self, hook: str, sendings: Iterable[Sending]) -> None:
        """Keep the events of *sendings* that the ledger lacks."""
        newest: dict[str, Sending] = {}
        for sending in sendings:
            self.done.looked_at += 1
            if sending.guid not in newest or newest[sending.guid].at < sending.at:
                newest[sending.guid] = sending
        arrived = self.records.arrived(newest)
        for guid, sending in newest.items():
            if guid in arrived:
                continue
            known = self.missing.get(guid)
            now_known = Missing.of(hook, sending, self.now()) if known is None else known.after(hook, sending)
            if now_known != known:
                self._note(now_known)

    def _welcome(self) -> None:
        """Close the events that arrived, and mark those as reconciled that arrived after a request."""
        for guid, received_at in self.records.arrived(self.missing).items():
            missing = self.missing.pop(guid)
            asked_at = missing.first_asked_at
            if asked_at is not None and received_at >= asked_at:  # else the webhook was under way, or spooled
                self.records.mark(guid)
                self.done.arrived += 1
            self.records.close(missing)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _is_to_be_asked(self, missing: Missing) -> bool:
        accepted_at = self.progress.get(missing.hook, Progress()).accepted_at
        return self.done.asked < ASKED_A_RUN_MAX and missing.may_be_asked(self.now(), accepted_at)

    def _ask(self, missing: Missing) -> None:
        """Request a redelivery of *missing*; count the request first, so that no failure repeats it for ever."""
        self._note(missing.asked_for(self.now()))
        self.done.asked += 1
        try:
            if missing.asked or self._was_ours(missing):
                self.github.send_again(missing.hook, missing.sending)
                return
        except OutOfTime:
            self.done.asked -= 1
            with regardless():
                self._note(missing)
            raise
        except GitHubError as error:
            if error.passing or error.answered in {401, 403}:  # GitHub didn't take the request
                self._note(missing)
                self.done.asked -= 1
                raise
            return  # GitHub has it no more, or can't: another request, or a person, sees to it
        self.done.asked -= 1
        self.done.elsewhere += 1
        self.records.close(self.missing.pop(missing.guid))

    def _note(self, missing: Missing) -> None:
        self.records.save(missing)
        self.missing[missing.guid] = missing

    def _was_ours(self, missing: Missing) -> bool:
        url = self.github.url_of(missing.hook, missing.sending)
        return url is None or url.rstrip("/") in self.urls
