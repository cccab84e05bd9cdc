"""Desired states: what each says, which is the newest, and what QStash holds of the relay."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.deployment.changes import GROUPS, KINDS, PINS, QUEUES, SCHEDULES, Change, State
from relay.deployment.steps import ALONE
from relay.model.ids import from_iso
from relay.urls import tick_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from relay.qstash.client import QStash
    from relay.storage.items import Item
    from relay.storage.store import Store

BELONGING = (GROUPS, SCHEDULES, QUEUES)  # only a deploy makes these; a flow control outlives its last user
DEPLOY_LASTS = timedelta(hours=1)  # from sync until the old functions have ended: far more than it takes


def actual(qstash: QStash, relay: str, kinds: Collection[str] = KINDS) -> State:
    """Return what QStash holds of the relay called *relay*, asking for *kinds* alone.

    Raises:
        QStashError: QStash can't be read.
    """
    ask: dict[str, Callable[[str], Mapping[str, Any]]]
    read = qstash.resources
    ask = {GROUPS: read.groups, SCHEDULES: read.schedules, QUEUES: read.queues, PINS: read.flow_keys}
    return {kind: dict(ask[kind](f"{relay}.")) if kind in kinds else {} for kind in KINDS}


def physical_id(desired: str) -> str:
    """Return the physical id of the state *desired* (JSON)."""
    canonical = json.dumps(json.loads(desired), sort_keys=True, separators=(",", ":"))
    return "qstash-" + hashlib.sha256(canonical.encode()).hexdigest()[:24]


def sparing(wanted: State, there: State, newest: Item, store: Store) -> State:
    """Return *wanted* with every queue of *there* in which messages may still wait.

    QStash drops waiting messages with their queue, and it may report 0 while some wait.  Messages that were published
    since the functions know the newest configuration are in queues of that configuration.
    """
    if there[QUEUES].keys() <= wanted.get(QUEUES, {}).keys():
        return wanted
    is_used = store.listings.has_open(min(store.now(), from_iso(newest["at"]) + DEPLOY_LASTS))
    return with_queues(wanted, there) if is_used else wanted


def with_queues(wanted: State, there: State) -> State:
    """Return *wanted* with all queues of *there*."""
    return {**wanted, QUEUES: {**there[QUEUES], **wanted.get(QUEUES, {})}}


def newest_of(states: Mapping[str, Item]) -> Item:
    """Return the newest of the *states* in the table."""
    return max(states.values(), key=lambda it: it["at"])


def uses(state: Item) -> set[str]:
    """Return the kinds that a *state* of the table uses."""
    return kinds_in(json.loads(state["state"]))


def kinds_in(state: Mapping[str, Any]) -> set[str]:
    """Return the kinds that *state* uses."""
    return {kind for kind in KINDS if state.get(kind)}


def used_kinds(store: Store, *more: State) -> set[str]:
    """Return the kinds that the relay uses or ever used in QStash, and those of *more*."""
    return store.deployment.used_kinds(KINDS) | set().union(*map(kinds_in, more))


def changes_groups(changes: Iterable[Change]) -> bool:
    """Tell whether any of *changes* is of a URL group."""
    return any(it.kind == GROUPS for it in changes)


def urls_of(desired: str) -> list[object]:
    """Return the URL groups and URLs to which the relay publishes by the state *desired* (JSON)."""
    state = json.loads(desired)
    return [state.get(it) for it in (GROUPS, ALONE)]


def state_of(desired: str, store: Store) -> State:
    """Return the state *desired* (JSON), each schedule with the URL whose MAC proves a tick to ingest."""
    state: State = json.loads(desired)
    if state.get(SCHEDULES):
        key = store.deployment.keys()["mac"]
        for schedule in state[SCHEDULES].values():
            schedule["destination"] = tick_url(schedule["destination"], key)
    return state
