"""The verb of sync: makes QStash's URL groups match what a deploy says.

A change of the desired state has a new physical id, so CloudFormation creates the new state first (groups and endpoints
are added before the functions change), and deletes the old one in its clean-up phase, or the new one after a rollback.
A delete of anything but the newest state therefore removes what the newest doesn't have; a delete of the newest is
the end of the relay.  What carries the relay's name is its own; nothing else is touched.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.qstash import QStash
    from relay.store import Store

Groups = dict[str, list[dict[str, str]]]


def physical_id(desired: str) -> str:
    """Return the physical id of the state that *desired*, JSON, describes."""
    canonical = json.dumps(json.loads(desired), sort_keys=True, separators=(",", ":"))
    return "qstash-" + hashlib.sha256(canonical.encode()).hexdigest()[:24]


def add(desired: str, *, qstash: QStash, store: Store) -> str:
    """Add to QStash what *desired* has, remove nothing, and remember it as the newest; return its physical id."""
    groups: Groups = json.loads(desired)["groups"]
    for group, endpoints in groups.items():
        qstash.put_endpoints(group, endpoints)
    state = physical_id(desired)
    store.save_desired(state, groups)
    return state


def remove(state: str, relay: str, *, qstash: QStash, store: Store) -> None:
    """Remove from QStash what is the relay's and the newest state doesn't have; all of it where *state* is the newest."""
    newest = store.desired()
    wanted: Mapping[str, Any] = {} if newest.get("id") == state else newest.get("groups", {})
    for group, endpoints in qstash.groups().items():
        if not group.startswith(f"{relay}."):
            continue
        if group not in wanted:
            qstash.remove_group(group)
            continue
        names = {it["name"] for it in wanted[group]}
        left_over = [it for it in endpoints if it.get("name") not in names]
        if left_over:
            qstash.remove_endpoints(group, left_over)
