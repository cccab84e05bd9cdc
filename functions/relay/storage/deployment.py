"""What deploys leave in the table: signing keys, what QStash should hold, when a URL changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from relay.model.ids import from_iso, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relay.storage.items import Item
    from relay.storage.table import Table

DEPLOY_MAX = timedelta(hours=2)  # one that never said that it is over isn't waited for


class Deployment:
    """What a store knows of the deploys."""

    def __init__(self, table: Table, now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def keys(self) -> Item:
        """Return QStash's signing keys `current` and `next`, and `mac`, that of callback URLs; {} before a deploy."""
        return self._table.get("KEYS", "KEYS") or {}

    def save_keys(self, *, current: str, following: str, mac: str) -> None:
        """Save QStash's signing keys; keep the MAC key that is there, else take *mac*."""
        self._table.update(
            ("KEYS", "KEYS"),
            "SET #current = :current, #next = :next, mac = if_not_exists(mac, :mac)",
            {":current": current, ":next": following, ":mac": mac},
            ["current", "next"],
        )

    def desired(self) -> dict[str, Item]:
        """Return the states that deploys want of QStash and haven't ended: physical id -> `state` (JSON), `at`."""
        return dict((self._table.get("DESIRED", "DESIRED") or {}).get("states", {}))

    def used_kinds(self, all_kinds: Iterable[str]) -> set[str]:
        """Return of which kinds QStash may hold anything that a deploy put there; none before the first.

        Args:
            all_kinds: What it is where deploys of before there was a record of it have said anything.
        """
        item = self._table.get("DESIRED", "DESIRED")
        return set(item.get("kinds", all_kinds)) if item else set()

    def tried(self) -> str | None:
        """Return the state that a deploy began to put into QStash, and hasn't said that it is there; None: none."""
        return (self._table.get("DESIRED", "DESIRED") or {}).get("tried")

    def save_desired(self, states: Mapping[str, Item], kinds: Iterable[str], *, tried: str | None = None) -> None:
        """Save the states that QStash should hold from now on, the newest of which counts, and the kinds it may.

        Args:
            tried: The state that is about to be put there, too.
        """
        item = {"pk": "DESIRED", "sk": "DESIRED", "kind": "DESIRED", "states": states, "kinds": sorted(kinds)}
        self._table.put({**item, "tried": tried})

    def urls_changed_at(self) -> datetime | None:
        """Return when a deploy last changed where anything is published to, read consistently; None: none has.

        While one is under way that is now, since some functions may be those of before; but not for ever.
        """
        item = self._table.get("URLS", "URLS")
        if item is None:
            return None
        at = from_iso(item["changed_at"])
        return min(self._now(), at + DEPLOY_MAX) if item.get("under_way") else at

    def save_urls_changed(self, *, under_way: bool = False) -> None:
        """Say that it changes now where something is published to; and whether a deploy goes on changing it."""
        said = {"changed_at": iso(self._now()), "under_way": under_way or None}
        self._table.put({"pk": "URLS", "sk": "URLS", "kind": "URLS", **said})
