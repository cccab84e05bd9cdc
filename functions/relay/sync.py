"""The verb of sync: makes what QStash holds of the relay what a deploy says: URL groups, schedules, queues, pins.

A change of the desired state has a new physical id, so CloudFormation creates the new state first (what is new is there
before the functions change), and deletes the old one in its clean-up phase, or the new one after a rollback.  The table
keeps every state that was created and not deleted yet.  A delete takes its state out and makes QStash match the newest
that remains.  So a rollback is right, whether or not CloudFormation asks for the old state again.

What carries the relay's name is its own while the table says so; nothing else is touched.  QStash has no mark of whose
a thing is: so a first deploy that finds something of its name refuses, and the end of the last state removes what is as
that state said, and nothing else.

Before a URL changes, the table is told when: what was published by then may be published again by the sweep, and QStash
wouldn't know it for the same.

A state is as `relay.changes` has it; and `alone` (destination -> URL), what is in no URL group.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.changes import (
    GROUPS,
    KINDS,
    PINS,
    QUEUES,
    SCHEDULES,
    Change,
    State,
    described,
    of_others,
    perform,
    plan,
    removals,
)
from relay.errors import OperatorError, RelayError
from relay.model import from_iso, iso
from relay.schedules import tick_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from relay.items import Item
    from relay.qstash import QStash
    from relay.store import Store

ALONE = "alone"
BELONGING = (GROUPS, SCHEDULES, QUEUES)  # what only a deploy makes; a flow control stays after all that used it
DEPLOY_LASTS = timedelta(hours=1)  # from sync on, until the functions of before have ended: far more than it takes
FOUND_MAX_CHARS = 1500  # CloudFormation takes 4 KB of answer


def actual(qstash: QStash, relay: str, kinds: Collection[str] = KINDS) -> State:
    """Return what QStash holds of the relay called *relay*; of other kinds than *kinds*, nothing is asked.

    Raises:
        QStashError: It can't be read.
    """
    ask: dict[str, Callable[[str], Mapping[str, Any]]]
    ask = {GROUPS: qstash.groups, SCHEDULES: qstash.schedules, QUEUES: qstash.queues, PINS: qstash.flow_keys}
    return {kind: dict(ask[kind](f"{relay}.")) if kind in kinds else {} for kind in KINDS}


def physical_id(desired: str) -> str:
    """Return the physical id of the state that *desired*, JSON, describes."""
    canonical = json.dumps(json.loads(desired), sort_keys=True, separators=(",", ":"))
    return "qstash-" + hashlib.sha256(canonical.encode()).hexdigest()[:24]


def add(desired: str, relay: str, *, qstash: QStash, store: Store, take_over: bool = False) -> str:
    """Put into QStash what *desired* has, and remember it as the newest; return its physical id.

    Nothing is removed but what would be doubled: of a URL group that stays, a destination that stays and has another
    place.  Old functions and new ones publish to that group alike, and one of them to the other place, too: so until
    `remove`, when all functions know the new one, the group has it neither at its old place nor at its new one.  What
    goes to the group meanwhile is still owed to it, and published to it alone.

    Where it is the first that says anything and fails, what it put is taken back: nobody asks for its removal.

    Args:
        take_over: What a first deploy finds of the relay's name is the relay's from now on.

    Raises:
        OperatorError: A first deploy finds something of its name; nothing was changed.
        QStashError: QStash can't be read, or refused.
    """
    wanted = _state(desired, store)
    states = store.desired()
    first = not any(map(_uses, states.values()))
    there = actual(qstash, relay, _kinds(store, wanted) | set(BELONGING if first else ()))
    if first and not take_over:
        _refuse_others({**there, PINS: {}}, relay)
    kinds = _kinds(store, wanted, there)
    store.save_desired(states, kinds)  # before anything is put, so that what a failure leaves is found again
    changes, before = plan(wanted, there), json.loads(_newest(states)["state"]) if states else {}
    moves = bool(states) and _urls(desired) != _urls(_newest(states)["state"])
    if states and (moves or _changes_groups(changes)):
        store.save_urls_changed(under_way=moves)
    state = physical_id(desired)
    try:
        for change in _at_first(changes, there, before, json.loads(desired)):
            perform(change, qstash)
        store.save_desired(states | {state: {"state": desired, "at": iso(store.now())}}, kinds)
    except RelayError:
        if first and not take_over:
            with suppress(RelayError):
                _take_back(wanted, actual(qstash, relay, kinds), qstash=qstash, store=store)
        raise
    return state


def _refuse_others(there: State, relay: str) -> None:
    """Raise where there is anything."""
    if found := "; ".join(described(there)):
        shown = found if len(found) <= FOUND_MAX_CHARS else f"{found[:FOUND_MAX_CHARS]} …"
        raise OperatorError(
            f"this is the first deploy here of a relay called {relay}, and QStash holds something of that name already:"
            f" {shown}. Nothing was changed. Where another deployment uses it, in another region or account, give this"
            " one another name ([relay] name). Where none does any more, or this one is to replace it,"
            " `make deploy TAKE_OVER=1` takes over what is there"
        )


def _at_first(changes: Iterable[Change], there: State, before: State, after: State) -> Iterator[Change]:
    """Yield those of *changes* that are right while functions publish as *before*, or as *after*."""
    stay = before.get(GROUPS, {}).keys() & after.get(GROUPS, {}).keys()
    old, new = _places(before), _places(after)
    moving = {name for name, place in old.items() if new.get(name, place) != place}
    for group in stay & there[GROUPS].keys():
        if leaving := [it for it in there[GROUPS][group] if it.get("name") in moving]:
            yield Change(GROUPS, group, removes=True, what=leaving)
    for change in changes:
        if not change.removes and change.kind == GROUPS and change.name in stay:
            if joining := [it for it in change.what if it["name"] not in moving]:
                yield replace(change, what=joining)
        elif not change.removes:
            yield change


def _places(state: State) -> dict[str, object]:
    """Return where *state* has each destination: in which URL group, and whether as an AWS target; or alone."""
    grouped = {
        it["name"]: (group, it["url"].endswith(f"/qstash/deliver/{it['name']}"))
        for group, endpoints in state.get(GROUPS, {}).items()
        for it in endpoints
    }
    return grouped | dict.fromkeys(state.get(ALONE, {}), ALONE)


def remove(state: str, relay: str, *, qstash: QStash, store: Store) -> list[str]:
    """End *state*: make QStash match the newest that remains; or, where none does, take back what is as it said.

    What never was added ends without a trace: a deploy that was refused put nothing there.

    Returns:
        What of the relay's name stays though none of it is wanted any more, for people.
    """
    known = store.desired()
    if not known:
        return []
    states = {name: it for name, it in known.items() if name != state}
    kinds = _kinds(store)
    there = actual(qstash, relay, kinds)
    if not states:
        left = _take_back(_state(known[state]["state"], store), there, qstash=qstash, store=store)
        store.save_desired({}, kinds)
        return left
    newest = _newest(states)
    if state in known and _urls(known[state]["state"]) != _urls(newest["state"]):
        store.save_urls_changed()  # once more: by now the functions are others, too
    wanted = _state(newest["state"], store)
    for change in plan(_sparing(wanted, there, newest, store), there):
        perform(change, qstash)
    store.save_desired(states, _of(there).union(*map(_uses, states.values())))
    return []


def _take_back(said: State, there: State, *, qstash: QStash, store: Store) -> list[str]:
    """Remove what of *there* is as *said*; return what stays, for people."""
    others = of_others(said, there)
    if there[QUEUES] and store.has_open(store.now()):
        others[QUEUES] = there[QUEUES]
    for change in removals(others, there):
        perform(change, qstash)
    return described(others)


def drift(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Return what makes QStash again what the last deploy said; nothing where no deploy has said anything.

    A queue that left the configuration is no drift: it waits for its end.

    Raises:
        QStashError: QStash can't be read.
    """
    states = store.desired()
    if not states:
        return []
    wanted = _state(_newest(states)["state"], store)
    there = actual(qstash, relay, _kinds(store, wanted))
    return plan(_with_queues(wanted, there), there, pinning=False)


def under_way(store: Store) -> bool:
    """Tell whether a deploy has put what is new beside what is old.

    One that failed may leave both for ever: after as long as a deploy takes at most, none is under way.
    """
    states = store.desired()
    return len(states) > 1 and store.now() < from_iso(_newest(states)["at"]) + DEPLOY_LASTS


def mend(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Make QStash what the last deploy said; return what was done."""
    states = store.desired()
    if not states:
        return []
    newest = _newest(states)
    wanted = _state(newest["state"], store)
    there = actual(qstash, relay, _kinds(store, wanted))
    changes = plan(_sparing(wanted, there, newest, store), there)
    if _changes_groups(changes):
        store.save_urls_changed()
    for change in changes:
        perform(change, qstash)
    return changes


def _sparing(wanted: State, there: State, newest: Item, store: Store) -> State:
    """Return what is *wanted*, and every queue that is there as long as what it was used for may wait in it.

    QStash drops what waits in a queue with it, and the number that it tells may be 0 while something waits.  What came
    since the functions know the newest configuration is in none that this hasn't.
    """
    if there[QUEUES].keys() <= wanted.get(QUEUES, {}).keys():
        return wanted
    is_used = store.has_open(min(store.now(), from_iso(newest["at"]) + DEPLOY_LASTS))
    return _with_queues(wanted, there) if is_used else wanted


def _with_queues(wanted: State, there: State) -> State:
    return {**wanted, QUEUES: {**there[QUEUES], **wanted.get(QUEUES, {})}}


def _newest(states: Mapping[str, Item]) -> Item:
    return max(states.values(), key=lambda it: it["at"])


def _uses(state: Item) -> set[str]:
    """Return the kinds that *state*, as the table has it, has something of."""
    return _of(json.loads(state["state"]))


def _of(state: Mapping[str, Any]) -> set[str]:
    return {kind for kind in KINDS if state.get(kind)}


def _kinds(store: Store, *more: State) -> set[str]:
    """Return the kinds that the relay uses in QStash, or used: it has nothing of another; and those of *more*."""
    return store.used_kinds(KINDS) | set().union(*map(_of, more))


def _changes_groups(changes: Iterable[Change]) -> bool:
    return any(it.kind == GROUPS for it in changes)


def _urls(desired: str) -> list[object]:
    """Return where *desired*, JSON, has the relay publish to."""
    state = json.loads(desired)
    return [state.get(it) for it in (GROUPS, ALONE)]


def _state(desired: str, store: Store) -> State:
    """Return what *desired*, JSON, asks for; each schedule with the URL that proves to ingest whose tick it is."""
    state: State = json.loads(desired)
    if state.get(SCHEDULES):
        key = store.keys()["mac"]
        for it in state[SCHEDULES].values():
            it["destination"] = tick_url(it["destination"], key)
    return state
