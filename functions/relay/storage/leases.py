"""Leases: a run holds one while it does what another run must not do at the same time."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from relay.model.ids import iso
from relay.runtime.deadline import regardless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from relay.storage.table import Table


class Lease(NamedTuple):
    """A lease: its name, and after what length it ends by itself."""

    name: str
    length: timedelta


# Each is longer than the function may run that holds it.
AUDIT = Lease("audit", timedelta(seconds=180))  # the look for drift takes it, too: both write the AUDIT item
RECONCILE = Lease("reconcile", timedelta(minutes=6))
REPLAYS = Lease("replays", timedelta(seconds=60))
SPOOL = Lease("spool", timedelta(seconds=60))


def sweep_of(shard: int) -> Lease:
    """Return the lease on what is due in a shard."""
    return Lease(f"sweep#{shard}", timedelta(seconds=60))


class Leases:
    """The leases of a store."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    @contextmanager
    def held(self, lease: Lease, owner: str) -> Iterator[bool]:
        """Hold *lease* within; yield whether it was free.

        It is given back whatever fails within, and when the time of the run is over, too.
        """
        taken = self.take(lease, owner)
        try:
            yield taken
        finally:
            if taken:
                with regardless():
                    self.give_back(lease, owner)

    def take(self, lease: Lease, owner: str) -> bool:
        """Take *lease* for *owner*, unless somebody holds it."""
        now = self._now()
        item = {"pk": "LEASE", "sk": lease.name, "kind": "LEASE", "owner": owner, "until": iso(now + lease.length)}
        condition = "attribute_not_exists(pk) OR #until < :now OR #owner = :owner"
        values = {":now": iso(now), ":owner": owner}
        return self._table.put_if(item, condition, values, ["until", "owner"]) is None

    def give_back(self, lease: Lease, owner: str) -> None:
        """End *lease*, if *owner* still holds it."""
        self._table.update(
            ("LEASE", lease.name),
            "SET #until = :past",
            {":past": "", ":owner": owner},
            ["until", "owner"],
            condition="#owner = :owner",
        )
