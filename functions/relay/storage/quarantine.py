"""Where refused requests are kept whole: the bucket has them, and one item of each source says how much room is left.

The item counts what is kept in all (`held`, `held_bytes`) and by when it expires (`n{time}`, `b{time}`), in one update
with the condition that there is room.  So what has expired is taken off once, whoever does it and however often, and
what a crash left counted is too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.storage.items import ttl

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from relay.storage.bucket import Bucket
    from relay.storage.items import Item
    from relay.storage.table import Key, Table

QUARANTINE = "quarantine/"
NUMBER_MAX = 1000  # of each source
BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, order=True)
class Cell:
    """One kept request: when it was put there, to the second, and its id."""

    at: datetime
    id: str


class Quarantine:
    """The refused requests that a store keeps."""

    def __init__(self, table: Table, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._table = table
        self._bucket = bucket
        self._now = now

    def take_room(self, source: str, size: int, expires_at: datetime) -> bool:
        """Count a request of *size* bytes to what is kept of *source*, where there is room; return whether there was.

        Args:
            expires_at: Many share one: each is two attributes of the item.
        """
        return self._counted(source, size, expires_at) or (
            self._expired_taken_off(source) and self._counted(source, size, expires_at)
        )

    def _counted(self, source: str, size: int, expires_at: datetime) -> bool:
        at = ttl(expires_at)
        return self._table.update(
            _key(source),
            f"SET #kind = :kind ADD held :one, held_bytes :size, n{at} :one, b{at} :size",
            {":kind": "QUARANTINE", ":one": 1, ":size": size, ":most": NUMBER_MAX, ":room": BYTES_MAX - size},
            ["kind"],
            condition="attribute_not_exists(held) OR (held < :most AND held_bytes <= :room)",
        )

    def _expired_taken_off(self, source: str) -> bool:
        """Take off what has expired; return whether any had."""
        item = self._room(source)
        expired = [at for at in _times(item) if at <= ttl(self._now())]
        for at in expired:
            number, size = item[f"n{at}"], item[f"b{at}"]
            values = {":number": number, ":size": size, ":less": -number, ":smaller": -size}
            change = f"ADD held :less, held_bytes :smaller REMOVE n{at}, b{at}"
            self._table.update(_key(source), change, values, condition=f"n{at} = :number AND b{at} = :size")
        return bool(expired)

    def give_room_back(self, source: str, size: int, expires_at: datetime) -> None:
        """Take a request off that is kept no longer; one that has expired is, or will be, taken off with all others."""
        at = ttl(expires_at)
        self._table.update(
            _key(source),
            f"ADD held :less, held_bytes :smaller, n{at} :less, b{at} :smaller",
            {":less": -1, ":smaller": -size, ":none": 0},
            condition=f"n{at} > :none",
        )

    def count(self, source: str) -> tuple[int, int]:
        """Return how many requests of *source* are kept, and their bytes."""
        item, now = self._room(source), ttl(self._now())
        there = [at for at in _times(item) if at > now]
        return sum(int(item[f"n{at}"]) for at in there), sum(int(item[f"b{at}"]) for at in there)

    def _room(self, source: str) -> Item:
        return self._table.get(*_key(source)) or {}

    def put(self, source: str, id_: str, data: bytes) -> bool:
        """Keep *data*, unless it is there; return whether it wasn't."""
        return self._bucket.put_if_absent(_path(source, id_), data)

    def cells(self, source: str) -> list[Cell]:
        """Return what is kept of *source*, the oldest first; what has expired may be among it."""
        prefix = _path(source, "")
        return sorted(Cell(at, key.removeprefix(prefix)) for key, at in self._bucket.files(prefix))

    def get(self, source: str, id_: str) -> bytes | None:
        """Return what is kept of *source* under an id; None where it is gone."""
        return self._bucket.get_if_there(_path(source, id_))

    def delete(self, source: str, id_: str) -> None:
        """Keep a request no longer."""
        self._bucket.delete(_path(source, id_))


def _key(source: str) -> Key:
    return f"QUARANTINE#{source}", "ROOM"


def _times(item: Item) -> list[int]:
    return [int(name[1:]) for name in item if name[:1] == "n" and name[1:].isdigit()]


def _path(source: str, id_: str) -> str:
    return f"{QUARANTINE}{source}/{id_}"
