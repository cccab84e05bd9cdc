"""Which destinations are paused: one item, so that a publish reads them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.errors import UpstreamError
from relay.model.ids import iso

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from relay.storage.items import Item
    from relay.storage.table import Table

PAUSE_TRIES = 8


class Pauses:
    """The paused destinations of a store."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def all(self) -> dict[str, Item]:
        """Return the destinations that are paused, read consistently: name -> `by`, `at`, `reason`."""
        return dict((self._table.get("PAUSED", "PAUSED") or {}).get("destinations", {}))

    def add(self, destination: str, by: str | None, reason: str | None) -> tuple[Item, bool]:
        """Pause a destination, unless it is paused.

        Returns:
            `by`, `at` and `reason` of whoever paused it first, and whether that is this one.
        """
        said = {"by": by, "at": iso(self._now()), "reason": reason}
        before, after = self._change(lambda paused: {destination: said} | paused)
        return after[destination], destination not in before

    def remove(self, destination: str) -> bool:
        """Pause a destination no longer; return whether it was paused until now."""
        before, _ = self._change(lambda paused: {name: said for name, said in paused.items() if name != destination})
        return destination in before

    def _change(self, change: Callable[[dict[str, Item]], dict[str, Item]]) -> tuple[dict[str, Item], dict[str, Item]]:
        """Change which destinations are paused, on condition that nobody else does in between; return both states.

        Raises:
            UpstreamError: They changed under us `PAUSE_TRIES` times.
        """
        item = self._table.get("PAUSED", "PAUSED") or {}
        for _ in range(PAUSE_TRIES):
            before, version = dict(item.get("destinations", {})), int(item.get("version", 0))
            after = change(before)
            if after == before:
                return before, after
            changed = {"pk": "PAUSED", "sk": "PAUSED", "kind": "PAUSED", "destinations": after, "version": version + 1}
            if version:
                old = self._table.put_if(changed, "version = :version", {":version": version})
            else:
                old = self._table.put_if_absent(changed)
            if old is None:
                return before, after
            item = old
        raise UpstreamError("DynamoDB", "which destinations are paused is changing too fast")
