"""Where refusals are kept: fixed places of each source and reason, so that strangers make no keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.model.refusal import SLOTS, Refusal, Slot
from relay.storage.items import refusal_item, refusal_key, slot_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.storage.table import Table


class Refusals:
    """The refusals of a store."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def record(self, refusal: Refusal, amount: int) -> None:
        """Keep *refusal* in the place of the oldest of its source and reason, and count *amount* with it: one update.

        Two at once may take the same place: the later stays, both are counted.
        """
        slots = {slot.number: slot for slot in self._slots(refusal.source, f"{refusal.reason.value}#")}
        free = next((number for number in range(SLOTS) if number not in slots), None)
        number = min(slots, key=lambda taken: slots[taken].refusal.at) if free is None else free
        item = refusal_item(Slot(number, refusal, amount, since=refusal.at))
        if free is not None and self._table.put_if_absent(item) is None:
            return
        changed = ("kind", "sample", "expires_at")
        self._table.update(
            (item["pk"], item["sk"]),
            f"SET {', '.join(f'#{name} = :{name}' for name in changed)},"
            " since = if_not_exists(since, :since) ADD amount :amount",
            {f":{name}": item[name] for name in (*changed, "since", "amount")},
            changed,
        )

    def of(self, source: str) -> list[Slot]:
        """Return all that is kept of the refusals of *source*."""
        return list(self._slots(source, ""))

    def _slots(self, source: str, prefix: str) -> Iterator[Slot]:
        condition = "pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk"
        values = {":pk": refusal_key(source), ":prefix": prefix or None}
        return map(slot_of, self._table.query(condition, values))
