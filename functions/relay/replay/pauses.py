"""The verbs of a pause: the ledger holds a destination's deliveries, and releases them at a bounded rate.

A replay by query releases them, so that it has an owner and a reason, and can be stopped and resumed like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.errors import WrongState
from relay.model.delivery import Status
from relay.model.ids import EventId
from relay.model.replay import RATE_DEFAULT, ReplayState
from relay.replay import bulk
from relay.storage.items import LOWEST

if TYPE_CHECKING:
    from relay.model.replay import Replay
    from relay.storage.items import Item
    from relay.storage.store import Store

RELAY = "relay"  # the owner of a release that no person started
HELD_A_SHARD = 500
JOBS_LOOKED_AT = 100


def resume(store: Store, destination: str, *, rate: int, by: str | None, reason: str | None) -> Replay:
    """End the pause of *destination*; return the replay that releases its held deliveries.

    Raises:
        BadRequest: *rate* is out of range; nothing has changed.
        Conflict: The destination isn't paused.
    """
    bulk.check_rate(rate)
    if not store.pauses.remove(destination):
        raise WrongState(f"{destination} isn't paused")
    return _release(store, destination, rate, by, reason)


def release_strays(store: Store, positions: list[str] | None) -> tuple[list[Replay], list[str]]:
    """Release deliveries that are held though their destination isn't paused: a function with an older view held them.

    One call looks at `HELD_A_SHARD` held deliveries of each shard.

    Args:
        positions: The second value that the last call returned; None: begin.

    Returns:
        The replays that it started, and the positions for the next call.
    """
    found: dict[str, Item] = {}
    left: list[str] = []
    for shard, above in enumerate(positions or [LOWEST] * len(store.shards())):
        entries, more = store.listings.oldest(Status.HELD, shard, above=above, limit=HELD_A_SHARD)
        left.append(entries[-1]["feed_sk"] if more else LOWEST)
        for entry in entries:
            found.setdefault(entry["destination"], entry)
    paused = store.pauses.all() if found else {}
    names = [name for name, it in found.items() if name not in paused and _is_held(store, it)]
    released = [name for name in names if not _is_under_way(store, name)]
    reason = "it was held though its destination isn't paused"
    return [_release(store, name, RATE_DEFAULT, RELAY, reason) for name in released], left


def _release(store: Store, destination: str, rate: int, by: str | None, reason: str | None) -> Replay:
    query = {"status": Status.HELD.value, "destination": destination}
    return bulk.start(store, query, rate=rate, by=by, reason=reason)


def _is_held(store: Store, entry: Item) -> bool:
    """Tell whether the delivery of *entry* is held: the index lags."""
    event = store.event(EventId(entry["pk"]))
    return event is not None and store.delivery(event, entry["destination"]).status is Status.HELD


def _is_under_way(store: Store, destination: str) -> bool:
    """Tell whether the newest release of *destination* isn't done: it goes on, or a person stopped it."""
    wanted = {"status": Status.HELD.value, "destination": destination}
    newest = next((it for it in store.replays.newest(JOBS_LOOKED_AT) if wanted.items() <= it.query.items()), None)
    return newest is not None and newest.state is not ReplayState.DONE
