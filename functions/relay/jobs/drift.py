"""Drift: compares QStash's resources with those of the last deploy, since a deploy of the same relay.toml doesn't.

The look is once an hour.  While anything differs, the look is at each audit, so that the alarm ends soon after the
repair.
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
    """Return the differences between QStash and the last deploy; None if there was no look.

    There is no look before its time, nor during a deploy, when old and new resources stand side by side.

    Raises:
        UpstreamError: QStash or the table didn't answer; the next audit looks.
    """
    store = publisher.store
    if not _is_time(store) or sync.under_way(store):
        return None
    changes = sync.drift(publisher.settings.name, qstash=publisher.qstash, store=store)
    with store.lease(AUDIT, owner) as is_free:
        if is_free:  # else an audit is running, and would overwrite the result
            store.state.save_look(len(changes))
    return changes


def _is_time(store: Store) -> bool:
    last = store.state.last_look()
    return last is None or bool(last["differs"]) or store.now() - from_iso(last["at"]) >= EVERY
