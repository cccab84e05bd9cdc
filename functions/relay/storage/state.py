"""What the relay remembers of itself, an item each: counts, a quota's hold, the words that runs leave, handshakes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.model.ids import EventId, from_iso, iso
from relay.storage.items import Item, ttl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from relay.storage.table import Table

HANDSHAKE_KEPT_FOR = timedelta(days=1)


class State:
    """What the relay's functions tell one another, an item each."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def add_orphan(self, event: EventId, key: str, details: Mapping[str, Any], expires_at: datetime) -> bool:
        """Keep a callback that fits nothing, and count it once.  Returns whether it was new."""
        item = {
            "pk": f"ORPHAN#{event}",
            "sk": key,
            "kind": "ORPHAN",
            **details,
            "expires_at": ttl(expires_at),
        }
        if self._table.put_if_absent(item) is not None:
            return False
        self._table.update(("COUNT", "orphans"), "ADD amount :one", {":one": 1})
        return True

    def count(self, name: str) -> int:
        """Return how many there were of *name* (`orphans`)."""
        item = self._table.get("COUNT", name)
        return int(item["amount"]) if item else 0

    def hold(self) -> datetime | None:
        """Return until when nothing is to be published, since a quota of QStash is used up; None: nothing holds."""
        item = self._table.get("HOLD", "HOLD")
        return from_iso(item["until"]) if item else None

    def save_hold(self, until: datetime, reason: str) -> None:
        """Have nothing published *until* a time."""
        item = {"pk": "HOLD", "sk": "HOLD", "kind": "HOLD", "until": iso(until), "reason": reason}
        self._table.put({**item, "expires_at": ttl(until)})

    def last_audit(self) -> Item:
        """Return what the last audit left word of: `until`, `left`, `held_after` …; {} before the first."""
        return self._table.get("AUDIT", "AUDIT") or {}

    def save_audit(self, said: Mapping[str, Any]) -> None:
        """Leave word for the next audit."""
        self._table.put({"pk": "AUDIT", "sk": "AUDIT", "kind": "AUDIT", **said})

    def last_look(self) -> Item | None:
        """Return `at` and `differs`, a number, of the last look for drift; None where there was none yet."""
        said = self.last_audit().get("drift")
        return None if said is None else {"at": said["at"], "differs": int(said["differs"])}

    def save_look(self, differs: int) -> None:
        """Add to the audit's word how many things differed just now; only whoever holds its lease may."""
        self.save_audit({**self.last_audit(), "drift": {"at": iso(self._now()), "differs": differs}})

    def sweep_words(self) -> dict[str, int]:
        """Return what the last sweep had no time for, and the shard at which to go on with it: `publish`, `watch`."""
        item = self._table.get("SWEEP", "SWEEP")
        return {name: int(shard) for name, shard in item["words"].items()} if item and "words" in item else {}

    def save_sweep_words(self, words: Mapping[str, int]) -> None:
        """Leave word for the next sweep."""
        self._table.put({"pk": "SWEEP", "sk": "SWEEP", "kind": "SWEEP", "words": dict(words)})

    def save_handshake(self, source: str, kept: Mapping[str, str]) -> None:
        """Keep what the owner must see of the last handshake of *source*, for a day."""
        now = self._now()
        item = {"pk": "HANDSHAKE", "sk": source, "kind": "HANDSHAKE", "at": iso(now), "kept": dict(kept)}
        self._table.put({**item, "expires_at": ttl(now + HANDSHAKE_KEPT_FOR)})

    def handshake(self, source: str) -> Item | None:
        """Return `at` and `kept` of the last handshake of *source* that told something; None where there was none."""
        item = self._table.get("HANDSHAKE", source)
        return None if item is None else {"at": item["at"], "kept": item["kept"]}
