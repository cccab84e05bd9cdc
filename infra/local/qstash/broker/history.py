"""Histories with a bound in number and in bytes: a server that runs for days doesn't grow for days."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Reversible

    from .messages import Stamp


class _Keepable(Protocol):
    @property
    def size_bytes(self) -> int: ...

    @property
    def stamp(self) -> Stamp: ...


Kept = TypeVar("Kept", bound=_Keepable)


class History(Generic[Kept]):
    """The newest of what was kept, within a number and a size; the oldest is forgotten first."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def keep(self, key: str, value: Kept) -> None:
        """Add an entry under a new key."""
        self._kept[key] = value
        self._bytes += value.size_bytes
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, key: str) -> None:
        """Take an entry out, if it is there."""
        if (value := self._kept.pop(key, None)) is not None:
            self._bytes -= value.size_bytes

    def forget(self, before_s: float) -> None:
        """Drop what is older than that, in Unix seconds."""
        while self._kept and next(iter(self._kept.values())).stamp[0] < before_s * 1000:
            self.drop(next(iter(self._kept)))

    def get(self, key: str) -> Kept | None:
        """Return the entry under *key*."""
        return self._kept.get(key)

    def values(self) -> Reversible[Kept]:
        """Return all entries, oldest first."""
        return self._kept.values()
