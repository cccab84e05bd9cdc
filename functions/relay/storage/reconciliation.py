"""What the reconciliation keeps of each source: an item a missing event, and an item a hook whose list it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.storage.items import ttl

if TYPE_CHECKING:
    from datetime import datetime

    from relay.storage.items import Item
    from relay.storage.table import Table


class Reconciliation:
    """The RECONCILE items of a store."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def of(self, source: str) -> tuple[dict[str, Item], dict[str, Item]]:
        """Return the missing events of *source* by guid, and what is known of its hooks, by hook: one query."""
        found: dict[str, dict[str, Item]] = {"GUID": {}, "HOOK": {}}
        for item in self._table.query("pk = :pk", {":pk": _pk(source)}):
            kind, _, name = item["sk"].partition("#")
            found[kind][name] = item
        return found["GUID"], found["HOOK"]

    def save_missing(self, source: str, guid: str, known: Item, expires_at: datetime) -> None:
        """Keep what is known of a missing event."""
        self._put(source, f"GUID#{guid}", known, expires_at)

    def save_hook(self, source: str, hook: str, known: Item, expires_at: datetime) -> None:
        """Keep what is known of a hook."""
        self._put(source, f"HOOK#{hook}", known, expires_at)

    def _put(self, source: str, sk: str, known: Item, expires_at: datetime) -> None:
        self._table.put({"pk": _pk(source), "sk": sk, "kind": "RECONCILE", **known, "expires_at": ttl(expires_at)})


def _pk(source: str) -> str:
    return f"RECONCILE#{source}"
