"""A table in memory: its items, and its indexes, which may lag behind it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .expressions import Attribute, Invalid, WireItem, comparable

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

ITEM_MAX_BYTES = 400 * 1024
KEY_MAX_BYTES = (2048, 1024)  # of a partition key, and of a sort key
LAG_MAX_READS = 3

Primary = tuple[tuple[str, Any], ...]
"""The comparable values of an item's key."""


def copied(value: Any) -> Any:
    """Return a copy of what the wire has, so that nobody shares it."""
    if isinstance(value, dict):
        return {name: copied(it) for name, it in value.items()}
    if isinstance(value, (list, set, tuple)):
        return [copied(it) for it in value]
    return bytes(value) if isinstance(value, bytearray) else value


def size_bytes(value: Attribute) -> int:
    """Return about how many bytes DynamoDB counts for *value*."""
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content)
        case "N":
            return len(content) // 2 + 2
        case "SS" | "NS" | "BS":
            return sum(len(one.encode() if isinstance(one, str) else one) for one in content)
        case "L":
            return 3 + sum(1 + size_bytes(one) for one in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + size_bytes(one) for name, one in content.items())
    return 1


def has_no_name(value: Mapping[str, Any]) -> bool:
    """Tell whether anything in *value* has an empty name."""
    ((kind, held),) = value.items()
    if kind == "M":
        return "" in held or any(map(has_no_name, held.values()))
    return kind == "L" and any(map(has_no_name, held))


def item_bytes(item: WireItem) -> int:
    """Return about how many bytes DynamoDB counts for *item*."""
    return sum(len(name.encode()) + size_bytes(value) for name, value in item.items())


def check_key(name: str, most: int, value: Attribute) -> None:
    """Refuse *value* where it is no key: no text, an empty one, or one of more than *most* bytes."""
    if not isinstance(value.get("S"), str):
        raise Invalid(f"Type mismatch for key {name} expected: S actual: {next(iter(value))}")
    if not value["S"]:
        raise Invalid(f"The AttributeValue for a key attribute cannot contain an empty string value. Key: {name}")
    if len(value["S"].encode()) > most:
        raise Invalid(f"One or more parameter values were invalid: Size of {name} has exceeded {most} bytes")


@dataclass
class Index:
    """A table's view by other keys: an item that lacks one of them isn't in it.

    Attributes:
        keep: What it holds beside the keys; None: all there is.
    """

    keys: tuple[str, str]
    table_keys: tuple[str, str]
    keep: frozenset[str] | None
    items: dict[Primary, WireItem] = field(default_factory=dict)
    _behind: deque[tuple[Primary, WireItem | None, int]] = field(default_factory=deque)

    def note(self, primary: Primary, item: WireItem | None, reads: int) -> None:
        """Show *item*, or that it is gone, once so many reads more have seen what was before."""
        if item is not None:
            item = self._projected(item)
        self._behind.append((primary, item, reads))

    def _projected(self, item: WireItem) -> WireItem | None:
        if not all(it in item for it in self.keys):
            return None
        kept = {*self.keys, *self.table_keys} | (self.keep if self.keep is not None else item.keys())
        return {name: copied(value) for name, value in item.items() if name in kept}

    def read(self) -> dict[Primary, WireItem]:
        """Return what a read sees now.  Changes of one item show in their order."""
        waiting: deque[tuple[Primary, WireItem | None, int]] = deque()
        held = set[Primary]()
        for primary, item, reads in self._behind:
            if reads > 0 or primary in held:
                held.add(primary)
                waiting.append((primary, item, reads - 1))
            elif item is None:
                self.items.pop(primary, None)
            else:
                self.items[primary] = item
        self._behind = waiting
        return self.items

    def catch_up(self) -> None:
        """Show all there is."""
        self._behind = deque((primary, item, 0) for primary, item, _ in self._behind)
        self.read()


@dataclass
class MemoryTable:
    """Items by their two keys, both texts.

    Attributes:
        lag: Decides how many reads each index is behind a change; None: it never is.
    """

    keys: tuple[str, str]
    indexes: dict[str, Index]
    lag: random.Random | None = None
    items: dict[Primary, WireItem] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Mapping[str, Any], lag: random.Random | None) -> MemoryTable:
        """Return the table that a CreateTable *request* describes."""

        def keys(schema: Iterable[Mapping[str, str]]) -> tuple[str, str]:
            by_type = {it["KeyType"]: it["AttributeName"] for it in schema}
            return by_type["HASH"], by_type["RANGE"]

        own, indexes = keys(request["KeySchema"]), {}
        for said in request.get("GlobalSecondaryIndexes", ()):
            projection = said["Projection"]
            kept = None if projection["ProjectionType"] == "ALL" else frozenset(projection.get("NonKeyAttributes", ()))
            indexes[said["IndexName"]] = Index(keys(said["KeySchema"]), own, kept)
        return cls(own, indexes, lag)

    def primary(self, key: WireItem) -> Primary:
        """Return the identity of the item with *key*, or refuse the key."""
        for name, most in zip(self.keys, KEY_MAX_BYTES, strict=True):
            if name not in key:
                raise Invalid(f"One of the required keys was not given a value: {name}")
            check_key(name, most, key[name])
        return tuple(comparable(key[name]) for name in self.keys)

    def exactly(self, key: WireItem) -> Primary:
        """Return the identity that *key*, which holds the key and nothing else, says."""
        if key.keys() != set(self.keys):
            raise Invalid("The provided key element does not match the schema")
        return self.primary(key)

    def check(self, item: WireItem) -> Primary:
        """Return the identity of *item*, or refuse what a table can't hold."""
        primary = self.primary(item)
        for index in self.indexes.values():
            for name, most in zip(index.keys, KEY_MAX_BYTES, strict=True):
                if name in item:
                    check_key(name, most, item[name])
        if any(map(has_no_name, item.values())):
            raise Invalid("Empty attribute name")
        if any(next(iter(it)) in {"SS", "NS", "BS"} and not next(iter(it.values())) for it in item.values()):
            raise Invalid("One or more parameter values were invalid: An string set  may not be empty")
        if item_bytes(item) > ITEM_MAX_BYTES:
            raise Invalid("Item size has exceeded the maximum allowed size")
        return primary

    def save(self, primary: Primary, item: WireItem | None) -> None:
        """Have *item* there, or none."""
        if item is None:
            self.items.pop(primary, None)
        else:
            self.items[primary] = item
        for index in self.indexes.values():
            index.note(primary, item, self.lag.randint(0, LAG_MAX_READS) if self.lag else 0)

    def catch_up(self) -> None:
        """Bring all indexes up to date."""
        for index in self.indexes.values():
            index.catch_up()
