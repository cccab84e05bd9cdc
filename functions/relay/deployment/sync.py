"""The verb of sync: makes QStash's URL groups, schedules, queues and pinned flow controls match the deployed state.

A changed state has a new physical id.  So CloudFormation creates the new state first (new things exist before the
functions change), and deletes the old state in its clean-up phase, or the new one after a rollback.  The table keeps
every state that was created and not deleted yet.  A delete takes its state out and makes QStash match the newest one
that remains.  So a rollback is right, whether or not CloudFormation asks for the old state again.

Things in QStash with the relay's name are its own while the table says so; sync touches nothing else.  QStash can't
mark whose a thing is.  So a first deploy that finds its name used refuses, and the end of the last state removes only
things that are as that state said.

Before a URL changes, the table notes the time.  The sweep may publish again what was published before that time, and
QStash wouldn't know it for the same.

A state is as in `relay.deployment.changes`, and has `alone` (destination -> URL): the destinations in no URL group.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.deployment.changes import (
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
    refuse_others,
    removals,
    shortened,
)
from relay.deployment.steps import ALONE, Steps, at_first
from relay.errors import RelayError
from relay.model.ids import from_iso, iso
from relay.runtime.deadline import leaving, seconds_left
from relay.runtime.retrying import with_retries
from relay.urls import tick_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from relay.qstash.client import QStash
    from relay.storage.items import Item
    from relay.storage.store import Store

BELONGING = (GROUPS, SCHEDULES, QUEUES)  # what only a deploy makes; a flow control stays after all that used it
DEPLOY_LASTS = timedelta(hours=1)  # from sync on, until the functions of before have ended: far more than it takes
TAKE_BACK_S = 60.0  # of the time that a deploy has here, at most, to take back what it changed


def actual(qstash: QStash, relay: str, kinds: Collection[str] = KINDS) -> State:
    """Return what QStash holds of the relay called *relay*; of other kinds than *kinds*, nothing is asked.

    Raises:
        QStashError: It can't be read.
    """
    ask: dict[str, Callable[[str], Mapping[str, Any]]]
    read = qstash.resources
    ask = {GROUPS: read.groups, SCHEDULES: read.schedules, QUEUES: read.queues, PINS: read.flow_keys}
    return {kind: dict(ask[kind](f"{relay}.")) if kind in kinds else {} for kind in KINDS}


def physical_id(desired: str) -> str:
    """Return the physical id of the state that *desired*, JSON, describes."""
    canonical = json.dumps(json.loads(desired), sort_keys=True, separators=(",", ":"))
    return "qstash-" + hashlib.sha256(canonical.encode()).hexdigest()[:24]


def add(
    desired: str,
    relay: str,
    *,
    qstash: QStash,
    store: Store,
    take_over: bool = False,
    current: str | None = None,
) -> str:
    """Put into QStash what *desired* has, and remember it as the newest; return its physical id.

    Nothing is removed but what would be doubled: of a URL group that stays, a destination that stays and has another
    place.  Old functions and new ones publish to that group alike, and one of them to the other place, too: so until
    `remove`, when all functions know the new one, the group has it neither at its old place nor at its new one.  What
    goes to the group meanwhile is still owed to it, and published to it alone.  And where QStash takes no more URL
    groups, those that leave make room (`relay.deployment.steps`).

    Where it fails, what it changed is taken back at once: nobody asks for the removal of what failed to be made.  Where
    that fails, too, the error says what is left; and where CloudFormation's rollback then asks for the state of before,
    which no function left, all of QStash is made that.

    Args:
        take_over: What a first deploy finds of the relay's name is the relay's from now on.
        current: The physical id that CloudFormation knows now.

    Raises:
        OperatorError: A first deploy finds something of its name; nothing was changed.
        QStashError: QStash can't be read, or refused.
        UpstreamError: The table can't be read or written.
    """
    reserve_s = min(TAKE_BACK_S, seconds_left() / 4)
    with leaving(reserve_s):
        wanted = with_retries(lambda: _state(desired, store))
        state = physical_id(desired)
        known, tried = with_retries(store.deployment.desired), with_retries(store.deployment.tried)
        is_known = current == state and state in known  # then nothing else is, for CloudFormation
        states = {state: known[state]} if is_known else known
        first = not any(map(_uses, states.values()))
        asked = with_retries(lambda: _kinds(store, wanted)) | set(BELONGING if first else ())
        there = with_retries(lambda: actual(qstash, relay, asked))
        if first and not take_over:
            refuse_others({**there, PINS: {}}, relay)
        kinds = with_retries(lambda: _kinds(store, wanted, there))
        # Before anything is put, so that what a failure leaves is found again.
        with_retries(lambda: store.deployment.save_desired(states, kinds, tried=state))
        before = json.loads(_newest(states)["state"]) if states else {}
        never_left = states.keys() == {state} and (states != known or tried not in {None, state})
        if never_left:  # by any function, since what came after it failed
            changes = plan(with_retries(lambda: _sparing(wanted, there, states[state], store)), there)
        else:
            changes = list(at_first(plan(wanted, there), there, before, json.loads(desired)))
        moves = bool(states) and _urls(desired) != _urls(_newest(states)["state"])
        says = bool(states) and (moves or never_left or _changes_groups(changes))
        if says:
            with_retries(lambda: store.deployment.save_urls_changed(under_way=moves or never_left))
    steps = Steps(qstash, there, there[GROUPS].keys() - wanted.get(GROUPS, {}).keys() if states else ())
    try:
        with leaving(reserve_s):
            for change in changes:
                steps.do(change)
            newest = states | {state: {"state": desired, "at": iso(store.now())}}
            with_retries(lambda: store.deployment.save_desired(newest, kinds))
            if never_left:
                with_retries(store.deployment.save_urls_changed)
    except RelayError as error:
        left = steps.take_back(lambda: actual(qstash, relay, kinds))
        with suppress(RelayError):
            with_retries(lambda: store.deployment.save_desired(states, kinds, tried=state if left else None))
            if says:
                with_retries(lambda: store.deployment.save_urls_changed(under_way=bool(left) or len(states) > 1))
        if left:
            error.args = (f"{error}. {_still_to_do(left, first=first)}",)
        raise
    return state


def _still_to_do(left: Iterable[str], *, first: bool) -> str:
    """Return what a deploy that failed *left* in QStash otherwise than it was, for people."""
    who = "`make deploy TAKE_OVER=1` takes it over" if first else "the rollback does that, or else `relay sync`"
    return f"What it changed in QStash couldn't all be taken back ({who}): {shortened('; '.join(left))}"


def remove(state: str, relay: str, *, qstash: QStash, store: Store) -> list[str]:
    """End *state*: make QStash match the newest that remains; or, where none does, take back what is as it said.

    What never was added ends without a trace: a deploy that was refused put nothing there.

    Returns:
        What of the relay's name stays though none of it is wanted any more, for people.
    """
    known = store.deployment.desired()
    if not known:
        return []
    states = {name: it for name, it in known.items() if name != state}
    kinds = _kinds(store)
    there = actual(qstash, relay, kinds)
    if not states:
        left = _take_back(_state(known[state]["state"], store), there, qstash=qstash, store=store)
        store.deployment.save_desired({}, kinds)
        return left
    newest = _newest(states)
    if state in known and _urls(known[state]["state"]) != _urls(newest["state"]):
        store.deployment.save_urls_changed()  # once more: by now the functions are others, too
    wanted = _state(newest["state"], store)
    for change in plan(_sparing(wanted, there, newest, store), there):
        perform(change, qstash)
    store.deployment.save_desired(states, _of(there).union(*map(_uses, states.values())))
    return []


def forget(state: str, *, store: Store) -> None:
    """Take *state* out of what QStash should hold, though it couldn't be removed from there: what is left is a drift.

    Else the end of a later state would put it into QStash again.

    Raises:
        UpstreamError: The table can't be read or written.
    """
    known = store.deployment.desired()
    if state in known:
        store.deployment.save_desired(
            {name: it for name, it in known.items() if name != state}, store.deployment.used_kinds(KINDS)
        )
        store.deployment.save_urls_changed()  # whatever QStash holds, the functions are others now


def said_in(desired: str) -> list[str]:
    """Return what *desired*, JSON, has of QStash, for people; nothing where it isn't read."""
    try:
        state = json.loads(desired)
    except ValueError:
        return []
    return described({kind: state.get(kind) or {} for kind in KINDS})


def _take_back(said: State, there: State, *, qstash: QStash, store: Store) -> list[str]:
    """Remove what of *there* is as *said*; return what stays, for people."""
    others = of_others(said, there)
    if there[QUEUES] and store.listings.has_open(store.now()):
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
    states = store.deployment.desired()
    if not states:
        return []
    wanted = _state(_newest(states)["state"], store)
    there = actual(qstash, relay, _kinds(store, wanted))
    return plan(_with_queues(wanted, there), there, pinning=False)


def under_way(store: Store) -> bool:
    """Tell whether a deploy has put what is new beside what is old.

    One that failed may leave both for ever: after as long as a deploy takes at most, none is under way.
    """
    states = store.deployment.desired()
    return len(states) > 1 and store.now() < from_iso(_newest(states)["at"]) + DEPLOY_LASTS


def mend(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Make QStash what the last deploy said; return what was done."""
    states = store.deployment.desired()
    if not states:
        return []
    newest = _newest(states)
    wanted = _state(newest["state"], store)
    there = actual(qstash, relay, _kinds(store, wanted))
    changes = plan(_sparing(wanted, there, newest, store), there)
    if _changes_groups(changes):
        store.deployment.save_urls_changed()
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
    is_used = store.listings.has_open(min(store.now(), from_iso(newest["at"]) + DEPLOY_LASTS))
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
    return store.deployment.used_kinds(KINDS) | set().union(*map(_of, more))


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
        key = store.deployment.keys()["mac"]
        for schedule in state[SCHEDULES].values():
            schedule["destination"] = tick_url(schedule["destination"], key)
    return state


def refresh_keys(store: Store, qstash: QStash) -> bool:
    """Read QStash's signing keys into the table, and make the key of callback URLs where there is none.

    Returns:
        Whether anything changed.
    """
    current, following = qstash.resources.signing_keys()
    known = store.deployment.keys()
    if (known.get("current"), known.get("next")) == (current, following) and known.get("mac"):
        return False
    store.deployment.save_keys(current=current, following=following, mac=secrets.token_hex(32))
    return True
