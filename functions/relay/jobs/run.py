"""One run of the sweep: its publisher, its leases, what it did, and whether it may still publish."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.errors import OutOfTime, UpstreamError
from relay.ledger.in_flight import FollowUp
from relay.runtime.deadline import seconds_left
from relay.runtime.parallel import supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from relay.publishing.publisher import Publisher
    from relay.storage.leases import Lease
    from relay.storage.store import Store

PAGE_S = 2.0  # a run begins no page with less time left


@dataclass
class Swept(FollowUp):
    """What a run did.

    Attributes:
        published: How many events and deliveries owe no publish any more.
        waiting: How many wait until QStash's log tells whether QStash has them.
        failed: How many failures left something owed.
        replayed: Deliveries that replays by query started.
        unspooled: Webhooks taken in from the spool.
        spooled: Webhooks in the spool at the run's end, up to `spool.COUNTED_MAX`.
        spooled_s: The age of the oldest of them, in seconds.
        oldest_s: How long the oldest due publish has waited, in seconds.
        skipped: Leases that another run held.
        held_until: When the hold on all publishing ends, where a quota is used up.
        cut_short: `publish` or `watch`, where time ran out in it -> the shard with which the next run begins it.
    """

    replayed: int = 0
    unspooled: int = 0
    spooled: int = 0
    spooled_s: float = 0.0
    published: int = 0
    waiting: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    skipped: int = 0
    held_until: datetime | None = None
    cut_short: dict[str, int] = field(default_factory=dict)


@dataclass
class Run:
    """One run.

    Attributes:
        owner: Tells this run from others.
        done: What the run did so far.
        publishes: Whether QStash takes anything now, as far as the run knows.
    """

    publisher: Publisher
    owner: str
    done: Swept = field(default_factory=Swept)
    publishes: bool = True

    @property
    def store(self) -> Store:
        """The publisher's store."""
        return self.publisher.store

    def does(self, part: Callable[[Run], None]) -> None:
        """Do a *part* of the run; if the part fails, count that, and let the others go on."""
        if (failure := supervised(part, self)) is not None:
            self.failed(failure)

    def failed(self, failure: UpstreamError) -> None:
        """Count a failure; a lack of time is none."""
        if isinstance(failure, OutOfTime):
            return
        self.done.failed += 1
        self.done.note(failure)

    @contextmanager
    def lease(self, lease: Lease) -> Iterator[bool]:
        """Hold *lease* within; yield whether the lease was free, and count a lease that wasn't."""
        with self.store.lease(lease, self.owner) as is_free:
            self.done.skipped += not is_free
            yield is_free


def has_time() -> bool:
    """Tell whether the time left suffices for another page."""
    return seconds_left() >= PAGE_S
