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

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.deployment.changes import (
    GROUPS,
    KINDS,
    PINS,
    QUEUES,
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
from relay.deployment.states import (
    BELONGING,
    DEPLOY_LASTS,
    actual,
    changes_groups,
    kinds_in,
    newest_of,
    physical_id,
    sparing,
    state_of,
    urls_of,
    used_kinds,
    uses,
    with_queues,
)
from relay.deployment.steps import Steps, at_first
from relay.errors import RelayError
from relay.model.ids import from_iso, iso
from relay.runtime.deadline import leaving, seconds_left
from relay.runtime.retrying import with_retries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from relay.qstash.client import QStash
    from relay.storage.items import Item
    from relay.storage.store import Store

TAKE_BACK_S = 60.0  # of the time that a deploy has here, at most, to take back what it changed


@dataclass(frozen=True)
class _Deploy:
    """One deploy, as read before its first change.

    Attributes:
        state: The physical id of *desired*.
        states: The states in the table that this deploy follows, by physical id.
        wanted, there: What QStash should hold, and what it holds.
        kinds: The kinds that the relay uses in QStash.
        returns: Whether it brings back the only state that functions ever published by, after a later one failed.
    """

    desired: str
    state: str
    states: Mapping[str, Item]
    wanted: State
    there: State
    kinds: set[str]
    returns: bool

    @property
    def is_first(self) -> bool:
        """Tell whether no earlier deploy put anything into QStash."""
        return not any(map(uses, self.states.values()))

    @property
    def moves(self) -> bool:
        """Tell whether the functions will publish to other URLs than before."""
        return bool(self.states) and urls_of(self.desired) != urls_of(newest_of(self.states)["state"])

    @property
    def leaving_groups(self) -> Collection[str]:
        """The URL groups in QStash that leave with this deploy."""
        return self.there[GROUPS].keys() - self.wanted.get(GROUPS, {}).keys() if self.states else ()


def add(
    desired: str,
    relay: str,
    *,
    qstash: QStash,
    store: Store,
    take_over: bool = False,
    current: str | None = None,
) -> str:
    """Put the state *desired* into QStash, and save it as the newest; return its physical id.

    Nothing is removed, save for a destination that moves out of a URL group that stays.  Old and new functions both
    publish to that group, and one of them publishes to the destination's other place, too.  So the group has the
    destination at neither place until `remove`, when all functions know the new one.  A delivery through that group
    stays owed meanwhile, and is published to the destination alone.  Where QStash takes no more URL groups, those that
    leave make room (`relay.deployment.steps`).

    When it fails, it undoes its changes at once, since CloudFormation never asks to delete what failed to be created.
    When the undoing fails, too, the error says what is left.  When CloudFormation's rollback then asks for the old
    state, which the functions never left, sync makes all of QStash match it.

    Args:
        take_over: Whether a first deploy takes over what QStash holds of the relay's name.
        current: The physical id that CloudFormation knows now.

    Raises:
        OperatorError: A first deploy finds something of its name; nothing was changed.
        QStashError: QStash can't be read, or refused.
        UpstreamError: The table can't be read or written.
    """
    reserve_s = min(TAKE_BACK_S, seconds_left() / 4)
    with leaving(reserve_s):
        deploy = _read(desired, relay, current, qstash=qstash, store=store, take_over=take_over)
        # Before the first change, so that the next run finds what a failure leaves.
        with_retries(lambda: store.deployment.save_desired(deploy.states, deploy.kinds, tried=deploy.state))
        changes = _decide(deploy, store)
        announces = bool(deploy.states) and (deploy.moves or deploy.returns or changes_groups(changes))
        if announces:
            with_retries(lambda: store.deployment.save_urls_changed(under_way=deploy.moves or deploy.returns))
    steps = Steps(qstash, deploy.there, deploy.leaving_groups)
    try:
        with leaving(reserve_s):
            _perform(deploy, changes, steps, store)
    except RelayError as error:
        left = steps.take_back(lambda: actual(qstash, relay, deploy.kinds))
        with suppress(RelayError):
            with_retries(
                lambda: store.deployment.save_desired(deploy.states, deploy.kinds, tried=deploy.state if left else None)
            )
            if announces:
                under_way = bool(left) or len(deploy.states) > 1
                with_retries(lambda: store.deployment.save_urls_changed(under_way=under_way))
        if left:
            error.args = (f"{error}. {_still_to_do(left, first=deploy.is_first)}",)
        raise
    return deploy.state


def _read(desired: str, relay: str, current: str | None, *, qstash: QStash, store: Store, take_over: bool) -> _Deploy:
    """Read QStash and the table before the first change.

    Raises:
        OperatorError: A first deploy finds something of its name, and may not take it over.
    """
    wanted = with_retries(lambda: state_of(desired, store))
    state = physical_id(desired)
    known, tried = with_retries(store.deployment.desired), with_retries(store.deployment.tried)
    is_known = current == state and state in known  # then CloudFormation knows no other state
    states = {state: known[state]} if is_known else known
    first = not any(map(uses, states.values()))
    asked = with_retries(lambda: used_kinds(store, wanted)) | set(BELONGING if first else ())
    there = with_retries(lambda: actual(qstash, relay, asked))
    if first and not take_over:
        refuse_others({**there, PINS: {}}, relay)
    kinds = with_retries(lambda: used_kinds(store, wanted, there))
    returns = states.keys() == {state} and (states != known or tried not in {None, state})
    return _Deploy(desired, state, states, wanted, there, kinds, returns)


def _decide(deploy: _Deploy, store: Store) -> list[Change]:
    """Return the changes that are right while old functions and new ones publish."""
    if deploy.returns:  # no function publishes by another state
        spared = with_retries(lambda: sparing(deploy.wanted, deploy.there, deploy.states[deploy.state], store))
        return plan(spared, deploy.there)
    before = json.loads(newest_of(deploy.states)["state"]) if deploy.states else {}
    return list(at_first(plan(deploy.wanted, deploy.there), deploy.there, before, json.loads(deploy.desired)))


def _perform(deploy: _Deploy, changes: Iterable[Change], steps: Steps, store: Store) -> None:
    """Make the *changes*, and save the state as the newest."""
    for change in changes:
        steps.do(change)
    newest = {**deploy.states, deploy.state: {"state": deploy.desired, "at": iso(store.now())}}
    with_retries(lambda: store.deployment.save_desired(newest, deploy.kinds))
    if deploy.returns:
        with_retries(store.deployment.save_urls_changed)


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
    kinds = used_kinds(store)
    there = actual(qstash, relay, kinds)
    if not states:
        left = _take_back(state_of(known[state]["state"], store), there, qstash=qstash, store=store)
        store.deployment.save_desired({}, kinds)
        return left
    newest = newest_of(states)
    if state in known and urls_of(known[state]["state"]) != urls_of(newest["state"]):
        store.deployment.save_urls_changed()  # once more: by now the functions are others, too
    wanted = state_of(newest["state"], store)
    for change in plan(sparing(wanted, there, newest, store), there):
        perform(change, qstash)
    store.deployment.save_desired(states, kinds_in(there).union(*map(uses, states.values())))
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
    wanted = state_of(newest_of(states)["state"], store)
    there = actual(qstash, relay, used_kinds(store, wanted))
    return plan(with_queues(wanted, there), there, pinning=False)


def under_way(store: Store) -> bool:
    """Tell whether a deploy has put what is new beside what is old.

    One that failed may leave both for ever: after as long as a deploy takes at most, none is under way.
    """
    states = store.deployment.desired()
    return len(states) > 1 and store.now() < from_iso(newest_of(states)["at"]) + DEPLOY_LASTS


def mend(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Make QStash what the last deploy said; return what was done."""
    states = store.deployment.desired()
    if not states:
        return []
    newest = newest_of(states)
    wanted = state_of(newest["state"], store)
    there = actual(qstash, relay, used_kinds(store, wanted))
    changes = plan(sparing(wanted, there, newest, store), there)
    if changes_groups(changes):
        store.deployment.save_urls_changed()
    for change in changes:
        perform(change, qstash)
    return changes


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
