"""The verb of sweep: publishes due events and deliveries, follows up silent ones, takes in spooled webhooks.

Each of the three has a share of a run's time, so that none starves if another is slow.  Every shard of the index has a
lease of its own, so that several runs share the work.  If a share's time runs out, the run saves the shard to go on
with.  A used-up quota of QStash holds all publishing until the quota is full again.  If QStash doesn't answer, this
run publishes no more.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from relay.errors import AnswerTooLong, Defect, LogTooLong, Unready
from relay.ingest.spool import take_in
from relay.jobs.due import heed, publish
from relay.jobs.run import Run, has_time
from relay.ledger.in_flight import follow_up
from relay.replay import bulk
from relay.replay.deliveries import Router
from relay.runtime.deadline import regardless, seconds_left, within
from relay.runtime.parallel import supervised
from relay.storage.items import OUTBOX, WATCH
from relay.storage.leases import REPLAYS, SPOOL, sweep_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from relay.jobs.run import Swept
    from relay.publishing.publisher import Publisher
    from relay.storage.store import Due

PUBLISH = "publish"
BATCH = 25
# The parts of a run's time.  The time left after all parts goes to those that were cut short.
PUBLISH_SHARE = 0.5
REPLAYS_SHARE = 0.2  # of the run, and within the part for publishing: replays start the deliveries to publish
SPOOL_SHARE = 0.25  # at least; the follow-up has the part between


def sweep(publisher: Publisher, *, owner: str, seconds_left: Callable[[], float]) -> Swept:
    """Do all due work, as long as the time suffices.

    Args:
        owner: Tells this run from others.
        seconds_left: How long this run may still take.
    """
    run, whole_s = Run(publisher, owner), seconds_left()

    def all_but(share: float) -> float:
        return seconds_left() - whole_s * share

    with within(seconds_left):
        run.done.held_until = run.store.state.hold()
        run.publishes = run.done.held_until is None
        words = run.store.state.sweep_words()
        with within(partial(all_but, 1 - REPLAYS_SHARE)):
            run.does(_advance_replays)
        with within(partial(all_but, 1 - PUBLISH_SHARE)):
            _each_shard(run, PUBLISH, words.get(PUBLISH, 0), _publish_shard)
        with within(partial(all_but, SPOOL_SHARE)):
            _each_shard(run, WATCH, words.get(WATCH, 0), _watch_shard)
        run.does(_take_in)
        for what, work in ((PUBLISH, _publish_shard), (WATCH, _watch_shard)):
            if what in run.done.cut_short:
                _each_shard(run, what, run.done.cut_short.pop(what), work)
    if words != run.done.cut_short:
        with regardless():
            run.store.state.save_sweep_words(run.done.cut_short)
    return run.done


def _each_shard(run: Run, what: str, begin: int, work: Callable[..., None]) -> None:
    """Do *work* in each shard, from *begin* on; if time runs out, note the shard to go on with."""
    shards = run.store.shards()
    for shard in (*shards[begin:], *shards[:begin]):
        if not has_time():
            run.done.cut_short[what] = shard
            return
        run.does(partial(work, shard=shard))  # the table may not answer, for now
    if not has_time():
        run.done.cut_short[what] = begin


def _advance_replays(run: Run) -> None:
    """Start each replay's deliveries of this minute; the run publishes them right after."""
    due = run.store.replays.due() if run.publishes else []
    if not due:
        return
    router = Router(run.publisher.settings, run.store.pauses.all)
    with run.lease(REPLAYS) as is_free:
        for replay_id in due if is_free else ():
            run.does(partial(_advance, router=router, replay_id=replay_id))


def _advance(run: Run, router: Router, replay_id: str) -> None:
    run.done.replayed += bulk.advance(run.store, router, replay_id, seconds_left, workers=run.publisher.workers)


def _publish_shard(run: Run, shard: int) -> None:
    """Publish the due events and deliveries of *shard*; a shard without any costs one read."""
    outbox, _ = run.store.due(OUTBOX, shard, 1)
    for thing in outbox:
        run.done.oldest_s = max(run.done.oldest_s, (run.store.now() - thing.at).total_seconds())
    if outbox and run.publishes:
        _each_page(run, OUTBOX, shard, publish)


def _watch_shard(run: Run, shard: int) -> None:
    """Follow up the due deliveries of *shard*; a shard without any costs one read."""
    watch, _ = run.store.due(WATCH, shard, 1)
    if watch:
        _each_page(run, WATCH, shard, _look_after)


def _each_page(run: Run, queue: str, shard: int, work: Callable[[Run, Sequence[Due]], bool]) -> None:
    """Do *work* on the queue's entries page by page, if no other run does, until *work* or the time says to stop."""
    last = None
    with run.lease(sweep_of(shard)) as is_free:
        while is_free and has_time():
            due, last = run.store.due(queue, shard, BATCH, last)
            if (due and not work(run, due)) or last is None:
                return


def _look_after(run: Run, due: Sequence[Due]) -> bool:
    """Follow up the *due* deliveries together, or each alone if one can't be read; return whether to go on."""
    failure = supervised(lambda them: follow_up(run.publisher, them, run.done), due)
    of_one = isinstance(failure, Defect | LogTooLong | AnswerTooLong)
    if of_one and len(due) > 1:
        return all(_look_after(run, [it]) for it in due)
    if failure is not None:
        run.failed(failure)
        heed(run, [failure])
    return failure is None or of_one


def _take_in(run: Run) -> None:
    """Take in the spooled webhooks, if no other run does; they aren't published while QStash takes nothing."""
    run.done.spooled, oldest_at = run.store.spool.backlog()
    run.done.spooled_s = _age_s(run, oldest_at)
    if not run.done.spooled:
        return

    def publisher() -> Publisher:
        if not run.publishes:
            raise Unready("QStash", "it takes nothing now")
        return run.publisher

    with run.lease(SPOOL) as is_free:
        if is_free:
            taken = take_in(run.publisher, publisher, run.store.spool.word().get("after", ""))
            run.done.unspooled += taken.unspooled
            run.done.failed += taken.failed
            with regardless():
                run.done.spooled, oldest_at = run.store.spool.backlog()
                run.done.spooled_s = _age_s(run, oldest_at)
                run.store.spool.save_word({"reason": taken.reason, "after": taken.after})


def _age_s(run: Run, moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (run.store.now() - moment).total_seconds())
