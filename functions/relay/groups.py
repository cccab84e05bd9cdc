"""The verb of sync: makes QStash's URL groups match what a deploy says.

A change of the desired state has a new physical id, so CloudFormation creates the new state first (groups and endpoints
are added before the functions change), and deletes the old one in its clean-up phase, or the new one after a rollback.
The table keeps every state that was created and not deleted yet.  A delete takes its state out and makes QStash match
the newest that remains; none remaining is the end of the relay.  So a rollback is right, whether or not CloudFormation
asks for the old state again.  What carries the relay's name is its own; nothing else is touched.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from relay.model import iso

if TYPE_CHECKING:
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
    store.save_desired(store.desired() | {state: {"groups": groups, "at": iso(store.now())}})
    return state


def remove(state: str, relay: str, *, qstash: QStash, store: Store) -> None:
    """End *state*: make QStash match the newest state that remains, or remove all that is the relay's."""
    states = {name: it for name, it in store.desired().items() if name != state}
    wanted: Groups = max(states.values(), key=lambda it: it["at"])["groups"] if states else {}
    for group, endpoints in wanted.items():
        qstash.put_endpoints(group, endpoints)
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
    store.save_desired(states)
