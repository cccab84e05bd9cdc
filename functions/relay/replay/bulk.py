"""The verb of a replay by query: it counts the deliveries first, and starts them at a bounded rate.

The sweep advances it, a share a run.  A person can stop and resume it, and it goes on after a crash.  One replay starts
each delivery once, whatever happens: the replay's record of the delivery decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from relay.errors import BadRequest, Defect, NotFound, UpstreamError, WrongState
from relay.model.delivery import Status
from relay.model.ids import EventId, iso
from relay.model.replay import RATE_MAX, Replay, ReplayState
from relay.replay.deliveries import DIED, KEPT_FOR, REPLAYABLE
from relay.runtime.parallel import each
from relay.storage.filters import CHOOSING, Filters, check_names
from relay.storage.generations import Cause, new_replay_id, start_again
from relay.storage.items import UNROUTED
from relay.storage.listings import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from relay.replay.deliveries import Router
    from relay.storage.items import Item
    from relay.storage.store import Store

PAGE = 100
EVERY = timedelta(seconds=50)  # the sweep runs every minute


@dataclass(frozen=True)
class Counted:
    """How many deliveries a query finds, by status; *complete*: whether the time sufficed to count all."""

    by_status: Mapping[str, int]
    complete: bool


def filters_of(query: Mapping[str, str]) -> Filters:
    """Return the filters of *query*; without a status, it means all that ended without a delivery.

    Raises:
        BadRequest: *query* has an unknown filter, no filter at all, or chooses deliveries that are under way.
    """
    check_names(query, CHOOSING)
    if not query:
        raise BadRequest("say which deliveries: a source, a destination, a status, a time …")
    found = Filters.of(query, also=UNROUTED)
    if "status" not in query:
        return replace(found, statuses=tuple(it for it in Status if it in DIED))
    if found.statuses == (UNROUTED,):
        if found.destination is not None:
            raise BadRequest("an unrouted event has no destination yet: leave destination out")
        return found
    if found.statuses[0] not in REPLAYABLE:
        raise BadRequest(f"a delivery that is {found.statuses[0]} is under way: wait until it has ended")
    return found


def count(store: Store, query: Mapping[str, str], seconds_left: Callable[[], float]) -> Counted:
    """Return how many deliveries, or unrouted events, a replay of *query* would start now; change nothing.

    Raises:
        BadRequest: As `filters_of`.
    """
    filters = filters_of(query)
    by_status = {str(it): 0 for it in filters.statuses}
    below: str | None = filters.below
    while below is not None and seconds_left() > 0:
        page, below = _page(store, filters, below, PAGE)
        for entry in page:
            by_status[kind_of(entry)] += 1
    return Counted(by_status, complete=below is None)


def start(store: Store, query: Mapping[str, str], *, rate: int, by: str | None, reason: str | None) -> Replay:
    """Start a replay of all deliveries that *query* finds now; the sweep carries it out.

    Raises:
        BadRequest: As `filters_of`; or *rate* is out of range.
    """
    check_rate(rate)
    found, now = filters_of(query), store.now()
    bounded = {**query, "until": min(found.below, iso(now))}  # later events were not counted
    filters_of(bounded)
    job = Replay(new_replay_id(), ReplayState.RUNNING, by, reason, now, now + KEPT_FOR, bounded, rate)
    store.replays.save(job)
    return job


def check_rate(rate: int) -> None:
    """Raise `BadRequest` unless *rate*, in deliveries a minute, is in range."""
    if not 1 <= rate <= RATE_MAX:
        raise BadRequest(f"rate must be a number from 1 to {RATE_MAX}, deliveries a minute")


def turn(store: Store, replay_id: str, state: ReplayState) -> Replay:
    """Stop or resume a replay; return its new state.

    Raises:
        NotFound: There is no such replay.
        Conflict: The replay is done.
    """
    job = store.replays.get(replay_id)
    if job is None:
        raise NotFound("there is no such replay")
    if job.state is ReplayState.DONE:
        raise WrongState("the replay is done: nothing is left to stop or to resume")
    if job.state is not state and not store.replays.turn(job, state):
        return turn(store, replay_id, state)  # it advanced meanwhile
    return replace(job, state=state)


def advance(store: Store, router: Router, replay_id: str, seconds_left: Callable[[], float], *, workers: int) -> int:
    """Start one run's share of a replay; return how many deliveries, or unrouted events, it started."""
    job = store.replays.get(replay_id)
    if job is None or job.state is not ReplayState.RUNNING:
        return 0
    filters = filters_of(job.query)
    paused = router.paused() if Status.HELD in filters.statuses else {}
    began = job
    while job.replayed - began.replayed < job.rate and seconds_left() > 0:
        share = min(PAGE, job.rate - (job.replayed - began.replayed))
        page, below = _page(store, filters, job.at or filters.below, share)
        started = each(partial(_start, store, job, router, paused), page, workers=workers)
        failures = [it for it in started if isinstance(it, UpstreamError) and not isinstance(it, Defect)]
        if failures:
            raise failures[0]  # the next run repeats the page: records tell what was started
        done = sum(it is True for it in started)
        after = replace(
            job,
            at=below,
            replayed=job.replayed + done,
            skipped=job.skipped + len(page) - done,
            state=ReplayState.DONE if below is None else ReplayState.RUNNING,
        )
        if not store.replays.advance(job, after, None if below is None else store.now() + EVERY):
            break
        job = after
        if below is None:
            break
    return job.replayed - began.replayed


def _page(store: Store, filters: Filters, below: str, limit: int) -> tuple[list[Item], str | None]:
    """Return the newest deliveries of *filters* below a sort key, and the next sort key; None at the end."""
    return store.listings.page(
        map(str, filters.statuses), since=filters.since, below=below, equal=filters.equal, limit=limit
    )


def _start(store: Store, job: Replay, router: Router, paused: Collection[str], entry: Item) -> bool:
    """Start one delivery of *job*, or route an event; tell whether this replay did, now or before a crash."""
    event = store.event(EventId(entry["pk"]))
    if event is None:
        return False
    if entry["sk"] == "EVENT":
        return bool(router.reroute(store, event))
    if entry["status"] == Status.HELD and entry["destination"] in paused:
        return False  # it would be held again until the pause ends
    delivery = store.delivery(event, entry["destination"])
    cause = Cause(job.id, job.by, job.reason)
    if delivery.status in filters_of(job.query).statuses and start_again(store, event, delivery, cause):
        return True
    return store.replays.has_started(job.id, delivery.id)
