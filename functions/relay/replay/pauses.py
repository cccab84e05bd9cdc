"""The verbs of a pause: a destination's deliveries are held in the ledger, and let go at a bounded rate.

What lets them go is a replay of many, so that who, why, stop and resume of it are as with every replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.errors import Conflict
from relay.model.delivery import Status
from relay.model.ids import EventId
from relay.model.replay import RATE_DEFAULT, ReplayState
from relay.replay import bulk
from relay.storage.items import LOWEST

if TYPE_CHECKING:
    from relay.model.replay import Replay
    from relay.storage.items import Item
    from relay.storage.store import Store

RELAY = "relay"  # who lets go what nobody holds any more
HELD_A_SHARD = 500
JOBS_LOOKED_AT = 100


def resume(store: Store, destination: str, *, rate: int, by: str | None, reason: str | None) -> Replay:
    """End the pause of *destination*; return the replay that lets go what is held.

    Raises:
        BadRequest: The rate is out of bounds; nothing has changed.
        Conflict: It isn't paused.
    """
    bulk.check_rate(rate)
    if not store.pauses.remove(destination):
        raise Conflict(f"{destination} isn't paused")
    return _release(store, destination, rate, by, reason)


def release_strays(store: Store, positions: list[str] | None) -> tuple[list[Replay], list[str]]:
    """Let go what is held though its destination isn't paused: an older view of the pauses held it.

    A share a call, however much is held: so many of each shard.

    Args:
        positions: Where the call before ended; None: there was none.

    Returns:
        The replays that were started, and where to go on.
    """
    found: dict[str, Item] = {}
    left: list[str] = []
    for shard, above in enumerate(positions or [LOWEST] * len(store.shards())):
        entries, more = store.listings.oldest(Status.HELD, shard, above=above, limit=HELD_A_SHARD)
        left.append(entries[-1]["feed_sk"] if more else LOWEST)
        for it in entries:
            found.setdefault(it["destination"], it)
    paused = store.pauses.all() if found else {}
    names = [name for name, it in found.items() if name not in paused and _is_held(store, it)]
    released = [name for name in names if not _is_under_way(store, name)]
    reason = "it was held though its destination isn't paused"
    return [_release(store, name, RATE_DEFAULT, RELAY, reason) for name in released], left


def _release(store: Store, destination: str, rate: int, by: str | None, reason: str | None) -> Replay:
    query = {"status": Status.HELD.value, "destination": destination}
    return bulk.start(store, query, rate=rate, by=by, reason=reason)


def _is_held(store: Store, entry: Item) -> bool:
    """Tell whether the delivery of *entry* is held indeed: the index lags."""
    event = store.event(EventId(entry["pk"]))
    return event is not None and store.delivery(event, entry["destination"]).status is Status.HELD


def _is_under_way(store: Store, destination: str) -> bool:
    """Tell whether the newest replay that lets go of *destination* has more to do, or was stopped by a person."""
    wanted = {"status": Status.HELD.value, "destination": destination}
    newest = next((it for it in store.replays.newest(JOBS_LOOKED_AT) if wanted.items() <= it.query.items()), None)
    return newest is not None and newest.state is not ReplayState.DONE
