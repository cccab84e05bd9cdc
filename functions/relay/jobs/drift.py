"""The look for drift: does QStash still hold what the last deploy said?  A deploy of the same relay.toml doesn't ask.

Hides when there is one: once an hour; and at each audit while anything differs, so that its alarm ends once that is
mended.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from relay.deployment import sync
from relay.model.ids import from_iso
from relay.storage.leases import AUDIT

if TYPE_CHECKING:
    from relay.deployment.changes import Change
    from relay.publishing.publisher import Publisher
    from relay.storage.store import Store

EVERY = timedelta(hours=1)


def look(publisher: Publisher, *, owner: str) -> list[Change] | None:
    """Return what differs in QStash from what the last deploy said; None where there was no look.

    There is none before its time, nor while a deploy is under way, when old and new are there side by side.

    Raises:
        UpstreamError: QStash or the table didn't answer; the next audit looks.
    """
    store = publisher.store
    if not _is_time(store) or sync.under_way(store):
        return None
    changes = sync.drift(publisher.settings.name, qstash=publisher.qstash, store=store)
    with store.lease(AUDIT, owner) as is_free:
        if is_free:  # else an audit is running, and its word would overwrite this one
            store.state.save_look(len(changes))
    return changes


def _is_time(store: Store) -> bool:
    last = store.state.last_look()
    return last is None or bool(last["differs"]) or store.now() - from_iso(last["at"]) >= EVERY
