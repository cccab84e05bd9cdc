"""The verb of a replay: deliveries that have ended get a new generation, due at once.

The replay's record keeps who asked, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.errors import BadRequest, NotFound
from relay.model.delivery import OPEN, Delivery, Status
from relay.model.ids import EventId, split_delivery_id
from relay.model.replay import DELIVERIES_MAX, Replay, ReplayState
from relay.publishing.routing import expecting, routing_now
from relay.storage.generations import Cause, new_replay_id, start_again

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from relay.config.settings import Settings
    from relay.model.event import Event
    from relay.storage.store import Store

REPLAYABLE = frozenset(Status) - OPEN
DIED = REPLAYABLE - {Status.DELIVERED, Status.HELD}  # a replay that names no status means these
KEPT_FOR = timedelta(days=90)  # a replay's record


@dataclass(frozen=True)
class StartedReplay:
    """A started replay: its id, the started deliveries, and the skipped ones (id, reason)."""

    id: str
    deliveries: list[Delivery]
    skipped: list[tuple[str, str]]


def replay_deliveries(store: Store, ids: Iterable[str], *, by: str | None, reason: str | None) -> StartedReplay:
    """Replay the deliveries *ids*.

    Raises:
        BadRequest: One of *ids* names no destination, or *ids* are too many.
        NotFound: One of *ids* doesn't exist.
    """
    named = list(ids)
    _check_number(len(named))
    chosen = []
    for text in named:
        event_id, destination = split_delivery_id(text)
        if destination is None:
            raise BadRequest(f"{text} names no destination: write dlv_….<destination>")
        chosen.append(_one(store, event_id, destination))
    return _start(store, chosen, REPLAYABLE, by, reason)


def replay_event(
    store: Store,
    event_id: EventId,
    router: Router,
    *,
    destinations: Iterable[str] | None,
    include_delivered: bool,
    by: str | None,
    reason: str | None,
) -> StartedReplay:
    """Replay an event's dead deliveries to *destinations* (None: to all), or every ended one if *include_delivered*.

    An unrouted event, and one at which a route failed, goes through the current routes.

    Raises:
        NotFound: There is no such event, or it has no delivery to one of *destinations*.
    """
    history = store.history(event_id)
    if history is None:
        raise NotFound("there is no such event")
    event, deliveries = history
    wanted = None if destinations is None else set(destinations)
    if wanted is not None and (unknown := wanted - {it.destination for it in deliveries}):
        raise NotFound(f"the event has no delivery to {', '.join(sorted(unknown))}")
    chosen = [(event, it) for it in deliveries if wanted is None or it.destination in wanted]
    replayable = REPLAYABLE if include_delivered else DIED
    routed = router.reroute(store, event) if wanted is None else []
    return _start(store, chosen, replayable, by, reason, routed)


@dataclass(frozen=True)
class Router:
    """What routing an event again needs; *paused* returns the destinations that are paused now."""

    settings: Settings
    paused: Callable[[], Collection[str]]

    def reroute(self, store: Store, event: Event) -> list[Delivery]:
        """Route an unrouted event, or one at which a route failed, by the current routes.

        Returns:
            The new deliveries: pending, and due at once.
        """
        if event.unpublished or (event.expected and event.route_error is None):
            return []
        now = store.now()
        routing = routing_now(self.settings, event, store.body(event))
        after = replace(expecting(self.settings, event, routing, self.paused), routed_at=now)
        new = [name for name in after.expected if name not in event.expected]
        if not new or not store.reroute(event, after, now):
            return []
        return [Delivery.of(after, name) for name in new]


def _one(store: Store, event_id: EventId, destination: str) -> tuple[Event, Delivery]:
    event = store.event(event_id)
    if event is None or destination not in event.expected:
        raise NotFound(f"there is no delivery of {event_id} to {destination}")
    return event, store.delivery(event, destination)


def _check_number(number: int) -> None:
    if number > DELIVERIES_MAX:
        raise BadRequest(f"one replay takes up to {DELIVERIES_MAX} deliveries: split it, or replay by a query")


def _start(
    store: Store,
    chosen: list[tuple[Event, Delivery]],
    replayable: frozenset[Status],
    by: str | None,
    reason: str | None,
    routed: Iterable[Delivery] = (),
) -> StartedReplay:
    _check_number(len(chosen))
    replay_id = new_replay_id()
    started: list[Delivery] = list(routed)
    skipped: list[tuple[str, str]] = []
    for event, delivery in chosen:
        if delivery.status not in replayable:
            skipped.append((delivery.id, f"it is {delivery.status}"))
            continue
        again = start_again(store, event, delivery, Cause(replay_id, by, reason))
        if again is None:
            skipped.append((delivery.id, "it changed meanwhile: look at it again"))
        else:
            started.append(again)
    now = store.now()
    told = Replay(
        replay_id, ReplayState.DONE, by, reason, now, now + KEPT_FOR, replayed=len(started), skipped=len(skipped)
    )
    store.replays.save(told)
    return StartedReplay(replay_id, started, skipped)
