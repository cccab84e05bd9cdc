"""Leases: one run at a time of what must not run twice at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from relay.model.ids import iso
from relay.runtime.deadline import regardless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from relay.storage.table import Table


class Leases:
    """The leases of a store."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    @contextmanager
    def held(self, name: str, owner: str, length: timedelta) -> Iterator[bool]:
        """Hold the lease *name* within; yield whether it was free.

        It is given back whatever fails within, and when the time of the run is over, too.
        """
        taken = self.take(name, owner, length)
        try:
            yield taken
        finally:
            if taken:
                with regardless():
                    self.give_back(name, owner)

    def take(self, name: str, owner: str, length: timedelta) -> bool:
        """Take the lease *name* for *owner*, unless somebody holds it."""
        now = self._now()
        item = {"pk": "LEASE", "sk": name, "kind": "LEASE", "owner": owner, "until": iso(now + length)}
        condition = "attribute_not_exists(pk) OR #until < :now OR #owner = :owner"
        values = {":now": iso(now), ":owner": owner}
        return self._table.put_if(item, condition, values, ["until", "owner"]) is None

    def give_back(self, name: str, owner: str) -> None:
        """End the lease, if *owner* still holds it."""
        self._table.update(
            ("LEASE", name),
            "SET #until = :past",
            {":past": "", ":owner": owner},
            ["until", "owner"],
            condition="#owner = :owner",
        )
