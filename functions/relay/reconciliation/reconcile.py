"""The verb of reconcile: holds what GitHub says it sent to the ledger, and asks GitHub to send again what is missing.

GitHub never sends again by itself what wasn't answered 2xx.  A run reads the list of each hook from the newest back to
where the last run began; the first, and one after a long pause, as far back as GitHub can send again.  What was sent
less than `GRACE` ago may be under way, and is the next run's.  A reading that is cut short (time, a rate limit, an
outage) goes on at its page in the next run, and what was found missing before is kept.

Each sending costs one read unit once (see `Records.arrived`), each missing event one more a run and a write unit
a change; each page of 100 sendings is one request to GitHub and one write unit, each asking two requests at most.

Only what went to this relay's URL of the source is asked for: where a hook posted elsewhere before, that isn't lost.
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
        looked_at: How many sendings were held to the ledger.
        asked: How many events were asked for.
        arrived: How many came that were asked for before.
        elsewhere: How many sendings had gone to another URL, and so were nobody's loss.
        waiting: How many are missing and can still come.
        missing: Those for which asking didn't help: a person has to look.
        stopped: Why the run ended early, to go on next time; None: it didn't.
        refused: What GitHub refused, by hook: the owner must act.
        skipped: Another run was under way.
        defects: At which source our own code failed, and where.
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
        owner: Tells this run from others.
        seconds_left: How long this run may still take.
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
        # An event whose record has expired isn't missing, and what GitHub is about to forget can't be asked for.
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
        for it in sorted(self.missing.values(), key=lambda it: (it.sent_at, it.sending)):
            if self._is_to_be_asked(it):
                self._speak(it.hook, partial(self._ask, it))
        now = self.now()
        lost = [it for it in self.missing.values() if it.needs_a_person(now)]
        self.done.missing += lost
        self.done.waiting += len(self.missing) - len(lost)

    def _speak(self, hook: str, call: Callable[[], None]) -> None:
        """Do *call*, which speaks to GitHub, unless that was in vain before in this run."""
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

    # -- what is missing ------------------------------------------------------------------------------------------

    def _read_list(self, hook: str) -> None:
        """Find what is missing of what *hook* sent, from where the reading was cut short, or from the newest, back."""
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
                at = replace(at, until=now - GRACE, cursor=None)  # the page may be gone: from the newest, once more
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
        """Keep those of *sendings* whose events the ledger lacks."""
        newest: dict[str, Sending] = {}
        for it in sendings:
            self.done.looked_at += 1
            if it.guid not in newest or newest[it.guid].at < it.at:
                newest[it.guid] = it
        arrived = self.records.arrived(newest)
        for guid, sending in newest.items():
            if guid in arrived:
                continue
            known = self.missing.get(guid)
            now_known = Missing.of(hook, sending, self.now()) if known is None else known.after(hook, sending)
            if now_known != known:
                self._note(now_known)

    def _welcome(self) -> None:
        """Close what came; what came after it was asked for is marked as reconciled."""
        for guid, received_at in self.records.arrived(self.missing).items():
            it = self.missing.pop(guid)
            if it.first_asked_at is not None and received_at >= it.first_asked_at:  # else it was under way, or spooled
                self.records.mark(guid)
                self.done.arrived += 1
            self.records.close(it)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _is_to_be_asked(self, it: Missing) -> bool:
        accepted_at = self.progress.get(it.hook, Progress()).accepted_at
        return self.done.asked < ASKED_A_RUN_MAX and it.may_be_asked(self.now(), accepted_at)

    def _ask(self, it: Missing) -> None:
        """Have GitHub send *it* again.  It counts as asked before GitHub is: no failure can make it ask for ever."""
        self._note(it.asked_for(self.now()))
        self.done.asked += 1
        try:
            if it.asked or self._was_ours(it):
                self.github.send_again(it.hook, it.sending)
                return
        except OutOfTime:
            self.done.asked -= 1
            with regardless():
                self._note(it)
            raise
        except GitHubError as error:
            if error.passing or error.answered in {401, 403}:  # it wasn't heard
                self._note(it)
                self.done.asked -= 1
                raise
            return  # GitHub has it no more, or can't: another asking, or a person, sees to it
        self.done.asked -= 1
        self.done.elsewhere += 1
        self.records.close(self.missing.pop(it.guid))

    def _note(self, it: Missing) -> None:
        self.records.save(it)
        self.missing[it.guid] = it

    def _was_ours(self, it: Missing) -> bool:
        url = self.github.url_of(it.hook, it.sending)
        return url is None or url.rstrip("/") in self.urls
