"""The spool: webhooks that wait in the bucket until the table takes them, and the sweep's word about them."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from relay.model.ids import from_iso, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from relay.storage.bucket import Bucket
    from relay.storage.items import Item
    from relay.storage.table import Table

SPOOL = "spool/"
COUNTED_MAX = 1000  # one page of the bucket's list


class Spool:
    """The spooled webhooks of a store."""

    def __init__(self, table: Table, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._table = table
        self._bucket = bucket
        self._now = now

    def put(self, data: bytes) -> None:
        """Keep *data* in the bucket, under a key that sorts by time."""
        self._bucket.put(f"{SPOOL}{iso(self._now())}-{secrets.token_hex(8)}", data)

    def oldest(self, limit: int, after: str = "") -> list[str]:
        """Return the keys of the oldest *limit* webhooks that wait after the key *after*."""
        return self._bucket.keys(SPOOL, after=after, limit=limit)

    def backlog(self) -> tuple[int, datetime | None]:
        """Return how many webhooks wait, up to `COUNTED_MAX`, and when the oldest was received."""
        keys = self.oldest(COUNTED_MAX)
        for key in keys:
            with suppress(ValueError):  # another program wrote it
                return len(keys), from_iso(key.removeprefix(SPOOL).rpartition("-")[0])
        return len(keys), None

    def get(self, key: str) -> bytes:
        """Return what is spooled under *key*."""
        return self._bucket.get(key)

    def delete(self, key: str) -> None:
        """Forget what is spooled under *key*."""
        self._bucket.delete(key)

    def word(self) -> Item:
        """Return the word of the last sweep that found a webhook here; {} where none ever did.

        `reason`, why one of them isn't taken in; `after`, where to go on.
        """
        item = self._table.get("SPOOL", "SPOOL") or {}
        return {name: value for name, value in item.items() if name in ("reason", "after")}

    def save_word(self, word: Mapping[str, Any]) -> None:
        """Leave word of what is spooled."""
        self._table.put({"pk": "SPOOL", "sk": "SPOOL", "kind": "SPOOL", **word})
