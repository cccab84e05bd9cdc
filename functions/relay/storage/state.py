"""What the relay remembers of itself, an item each: leases, signing keys, what QStash should hold, what is on hold."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.errors import UpstreamError
from relay.model.ids import EventId, from_iso, iso
from relay.storage.items import Item, ttl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relay.storage.table import Table

HANDSHAKE_KEPT_FOR = timedelta(days=1)
PAUSE_TRIES = 8
DEPLOY_MAX = timedelta(hours=2)  # one that never said that it is over isn't waited for


class Upkeep:
    """The single items of a store."""

    table: Table
    now: Callable[[], datetime]

    def add_orphan(self, event: EventId, key: str, details: Mapping[str, Any], expires_at: datetime) -> bool:
        """Keep a callback that fits nothing, and count it once.  Returns whether it was new."""
        item = {
            "pk": f"ORPHAN#{event}",
            "sk": key,
            "kind": "ORPHAN",
            **details,
            "expires_at": ttl(expires_at),
        }
        if self.table.put_if_absent(item) is not None:
            return False
        self.table.update(("COUNT", "orphans"), "ADD amount :one", {":one": 1})
        return True

    def count(self, name: str) -> int:
        """Return how many there were of *name* (`orphans`)."""
        item = self.table.get("COUNT", name)
        return int(item["amount"]) if item else 0

    def take_lease(self, name: str, owner: str, length: timedelta) -> bool:
        """Take the lease *name* for *owner*, unless somebody holds it."""
        now = self.now()
        item = {"pk": "LEASE", "sk": name, "kind": "LEASE", "owner": owner, "until": iso(now + length)}
        condition = "attribute_not_exists(pk) OR #until < :now OR #owner = :owner"
        values = {":now": iso(now), ":owner": owner}
        return self.table.put_if(item, condition, values, ["until", "owner"]) is None

    def give_back_lease(self, name: str, owner: str) -> None:
        """End the lease, if *owner* still holds it."""
        self.table.update(
            ("LEASE", name),
            "SET #until = :past",
            {":past": "", ":owner": owner},
            ["until", "owner"],
            condition="#owner = :owner",
        )

    def keys(self) -> Item:
        """Return QStash's signing keys `current` and `next`, and `mac`, that of callback URLs; {} before a deploy."""
        return self.table.get("KEYS", "KEYS") or {}

    def save_keys(self, *, current: str, following: str, mac: str) -> None:
        """Save QStash's signing keys; keep the MAC key that is there, else take *mac*."""
        self.table.update(
            ("KEYS", "KEYS"),
            "SET #current = :current, #next = :next, mac = if_not_exists(mac, :mac)",
            {":current": current, ":next": following, ":mac": mac},
            ["current", "next"],
        )

    def desired(self) -> dict[str, Item]:
        """Return the states that deploys want of QStash and haven't ended: physical id -> `state` (JSON), `at`."""
        return dict((self.table.get("DESIRED", "DESIRED") or {}).get("states", {}))

    def used_kinds(self, all_kinds: Iterable[str]) -> set[str]:
        """Return of which kinds QStash may hold anything that a deploy put there; none before the first.

        Args:
            all_kinds: What it is where deploys of before there was a record of it have said anything.
        """
        item = self.table.get("DESIRED", "DESIRED")
        return set(item.get("kinds", all_kinds)) if item else set()

    def tried(self) -> str | None:
        """Return the state that a deploy began to put into QStash, and hasn't said that it is there; None: none."""
        return (self.table.get("DESIRED", "DESIRED") or {}).get("tried")

    def save_desired(self, states: Mapping[str, Item], kinds: Iterable[str], *, tried: str | None = None) -> None:
        """Save the states that QStash should hold from now on, the newest of which counts, and the kinds it may.

        Args:
            tried: The state that is about to be put there, too.
        """
        item = {"pk": "DESIRED", "sk": "DESIRED", "kind": "DESIRED", "states": states, "kinds": sorted(kinds)}
        self.table.put({**item, "tried": tried})

    def urls_changed_at(self) -> datetime | None:
        """Return when a deploy last changed where anything is published to, read consistently; None: none has.

        While one is under way that is now, since some functions may be those of before; but not for ever.
        """
        item = self.table.get("URLS", "URLS")
        if item is None:
            return None
        at = from_iso(item["changed_at"])
        return min(self.now(), at + DEPLOY_MAX) if item.get("under_way") else at

    def save_urls_changed(self, *, under_way: bool = False) -> None:
        """Say that it changes now where something is published to; and whether a deploy goes on changing it."""
        said = {"changed_at": iso(self.now()), "under_way": under_way or None}
        self.table.put({"pk": "URLS", "sk": "URLS", "kind": "URLS", **said})

    def hold(self) -> datetime | None:
        """Return until when nothing is to be published, since a quota of QStash is used up; None: nothing holds."""
        item = self.table.get("HOLD", "HOLD")
        return from_iso(item["until"]) if item else None

    def save_hold(self, until: datetime, reason: str) -> None:
        """Have nothing published *until* a time."""
        item = {"pk": "HOLD", "sk": "HOLD", "kind": "HOLD", "until": iso(until), "reason": reason}
        self.table.put({**item, "expires_at": ttl(until)})

    def paused(self) -> dict[str, Item]:
        """Return the destinations that are paused, read consistently: name -> `by`, `at`, `reason`."""
        return dict((self.table.get("PAUSED", "PAUSED") or {}).get("destinations", {}))

    def pause(self, destination: str, by: str | None, reason: str | None) -> tuple[Item, bool]:
        """Pause a destination, unless it is paused.

        Returns:
            `by`, `at` and `reason` of whoever paused it first, and whether that is this one.
        """
        said = {"by": by, "at": iso(self.now()), "reason": reason}
        before, after = self._change_paused(lambda paused: {destination: said} | paused)
        return after[destination], destination not in before

    def unpause(self, destination: str) -> bool:
        """Pause a destination no longer; return whether it was paused until now."""
        before, _ = self._change_paused(lambda paused: {name: it for name, it in paused.items() if name != destination})
        return destination in before

    def _change_paused(
        self, change: Callable[[dict[str, Item]], dict[str, Item]]
    ) -> tuple[dict[str, Item], dict[str, Item]]:
        """Change which destinations are paused, on condition that nobody else does in between; return both states.

        Raises:
            UpstreamError: They changed under us `PAUSE_TRIES` times.
        """
        item = self.table.get("PAUSED", "PAUSED") or {}
        for _ in range(PAUSE_TRIES):
            before, version = dict(item.get("destinations", {})), int(item.get("version", 0))
            after = change(before)
            if after == before:
                return before, after
            changed = {"pk": "PAUSED", "sk": "PAUSED", "kind": "PAUSED", "destinations": after, "version": version + 1}
            if version:
                old = self.table.put_if(changed, "version = :version", {":version": version})
            else:
                old = self.table.put_if_absent(changed)
            if old is None:
                return before, after
            item = old
        raise UpstreamError("DynamoDB", "which destinations are paused is changing too fast")

    def last_audit(self) -> Item:
        """Return what the last audit left word of: `until`, `left`, `held_after` …; {} before the first."""
        return self.table.get("AUDIT", "AUDIT") or {}

    def save_audit(self, said: Mapping[str, Any]) -> None:
        """Leave word for the next audit."""
        self.table.put({"pk": "AUDIT", "sk": "AUDIT", "kind": "AUDIT", **said})

    def last_look(self) -> Item | None:
        """Return `at` and `differs`, a number, of the last look for drift; None where there was none yet."""
        said = self.last_audit().get("drift")
        return None if said is None else {"at": said["at"], "differs": int(said["differs"])}

    def save_look(self, differs: int) -> None:
        """Add to the audit's word how many things differed just now; only whoever holds its lease may."""
        self.save_audit({**self.last_audit(), "drift": {"at": iso(self.now()), "differs": differs}})

    def sweep_words(self) -> dict[str, int]:
        """Return what the last sweep had no time for, and the shard at which to go on with it: `publish`, `watch`."""
        item = self.table.get("SWEEP", "SWEEP")
        return {name: int(shard) for name, shard in item["words"].items()} if item and "words" in item else {}

    def save_sweep_words(self, words: Mapping[str, int]) -> None:
        """Leave word for the next sweep."""
        self.table.put({"pk": "SWEEP", "sk": "SWEEP", "kind": "SWEEP", "words": dict(words)})

    def spool_word(self) -> Item:
        """Return what the last sweep that found anything spooled left word of; {} where none ever did.

        `reason`, why one of them isn't taken in; `after`, where to go on.
        """
        item = self.table.get("SPOOL", "SPOOL") or {}
        return {name: it for name, it in item.items() if name in ("reason", "after")}

    def save_spool_word(self, said: Mapping[str, Any]) -> None:
        """Leave word of what is spooled."""
        self.table.put({"pk": "SPOOL", "sk": "SPOOL", "kind": "SPOOL", **said})

    def save_handshake(self, source: str, kept: Mapping[str, str]) -> None:
        """Keep what the owner must see of the last handshake of *source*, for a day."""
        now = self.now()
        item = {"pk": "HANDSHAKE", "sk": source, "kind": "HANDSHAKE", "at": iso(now), "kept": dict(kept)}
        self.table.put({**item, "expires_at": ttl(now + HANDSHAKE_KEPT_FOR)})

    def handshake(self, source: str) -> Item | None:
        """Return `at` and `kept` of the last handshake of *source* that told something; None where there was none."""
        item = self.table.get("HANDSHAKE", source)
        return None if item is None else {"at": item["at"], "kept": item["kept"]}
