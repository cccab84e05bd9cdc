"""The changes of one deploy in QStash, in an order that is right while old and new functions run; and their undoing.

QStash's free plan has one URL group.  When QStash takes no new group, a group that leaves with this deploy is removed
first.  QStash then refuses publishes of the old functions to that group; they stay owed and follow their destinations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relay.concern import Concern
from relay.deployment.changes import GROUPS, PINS, QUEUES, SCHEDULES, Change, State, perform
from relay.errors import QStashError, RelayError
from relay.runtime.retrying import with_retries
from relay.urls import is_deliver_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from relay.qstash.client import QStash

ALONE = "alone"
_ROOM_IS_NO_MATTER = {Concern.MOMENT, Concern.ACCOUNT}


def at_first(changes: Iterable[Change], there: State, before: State, after: State) -> Iterator[Change]:
    """Yield those of *changes* that are right while some functions publish as *before* and others as *after*."""
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
    """Return the place of each destination in *state*: its URL group and whether it is an AWS target; or `ALONE`."""
    grouped = {
        endpoint["name"]: (group, is_deliver_url(endpoint["url"], endpoint["name"]))
        for group, endpoints in state.get(GROUPS, {}).items()
        for endpoint in endpoints
    }
    return grouped | dict.fromkeys(state.get(ALONE, {}), ALONE)


class Steps:
    """The changes of one deploy, made one after another; all of them can be undone.

    Args:
        there: QStash's state before the first change.
        leaving: The URL groups that leave with this deploy; they may go at once where QStash has no room.
    """

    def __init__(self, qstash: QStash, there: State, leaving: Collection[str]) -> None:
        self._qstash = qstash
        self._there = there
        self._leaving = set(leaving)
        self._begun: list[Change] = []

    def do(self, change: Change) -> None:
        """Make *change*; repeat what may pass.

        Raises:
            QStashError: QStash refuses it for good, or time is over.
        """
        is_new = change.kind == GROUPS and not change.removes and change.name not in self._there[GROUPS]
        while True:
            try:
                self._do(change)
            except QStashError as error:
                if not (is_new and self._leaving) or error.concern in _ROOM_IS_NO_MATTER:
                    raise
            else:
                return
            self._do(Change(GROUPS, self._least_missed(change), removes=True))

    def _do(self, change: Change) -> None:
        self._begun.append(change)
        with_retries(lambda: perform(change, self._qstash))

    def _least_missed(self, change: Change) -> str:
        """Take the leaving group that shares most destinations with *change* off the list, and return it."""
        names = {it["name"] for it in change.what}
        shared = {it: len(names & _names(self._there[GROUPS][it])) for it in self._leaving}
        found = max(sorted(shared), key=shared.__getitem__)
        self._leaving.discard(found)
        return found

    def take_back(self, read: Callable[[], State]) -> list[str]:
        """Undo the changes as far as possible; return those that couldn't be undone, in words.

        Args:
            read: Returns QStash's state now.
        """
        if not self._begun:
            return []
        try:
            todo = undone(self._begun, self._there, with_retries(read))
        except RelayError:
            return [f"undo: {it}" for it in self._begun]
        left = []
        for change in todo:
            try:
                with_retries(lambda it=change: perform(it, self._qstash))  # type: ignore[misc]  # bound here
            except RelayError:
                left.append(str(change))
        return left


def undone(begun: Iterable[Change], before: State, now: State) -> list[Change]:
    """Return the changes that turn *now* back into *before*, for all that *begun* touched: removals first.

    No function knows the new things of a failed deploy, and a plan may have no room for old and new together.
    """
    groups: dict[str, set[str]] = {}
    others: set[tuple[str, str]] = set()
    for change in begun:
        if change.kind == GROUPS:
            groups.setdefault(change.name, set()).update(() if change.removes else _names(change.what))
        else:
            others.add((change.kind, change.name))
    found = [change for name, put in groups.items() for change in _group_undone(name, put, before, now)]
    found += [it for kind, name in sorted(others) for it in _UNDONE[kind](name, before[kind].get(name), now[kind])]
    return sorted(found, key=lambda it: not it.removes)


def _group_undone(name: str, put: set[str], before: State, now: State) -> Iterator[Change]:
    old, new = before[GROUPS].get(name, []), now[GROUPS].get(name, [])
    if added := [it for it in new if it.get("name") in put - _names(old)]:
        yield Change(GROUPS, name, removes=True, what=None if len(added) == len(new) else added)
    if missing := [it for it in old if it not in new]:
        yield Change(GROUPS, name, removes=False, what=missing)


def _schedule_undone(name: str, old: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[Change]:
    if old is None and name in now:
        yield Change(SCHEDULES, name, removes=True)
    elif old is not None and now.get(name) != old and None not in old.values():
        yield Change(SCHEDULES, name, removes=False, what=old)


def _queue_undone(name: str, old: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[Change]:
    if old is None and name in now and not now[name]["lag"]:
        yield Change(QUEUES, name, removes=True)
    elif old is not None and now.get(name, {}).get("parallelism") != old["parallelism"] is not None:
        what = {"parallelism": old["parallelism"], "paused": old["paused"]}
        yield Change(QUEUES, name, removes=False, what=what)


def _pin_undone(name: str, old: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[Change]:
    if name not in now or old is None or now[name] == old:
        return
    if old["pinned"]:
        limits = {it: value for it, value in old.items() if it != "pinned" and value is not None}
        yield Change(PINS, name, removes=False, what=limits)
    else:
        yield Change(PINS, name, removes=True)


_UNDONE = {SCHEDULES: _schedule_undone, QUEUES: _queue_undone, PINS: _pin_undone}


def _names(endpoints: Iterable[Mapping[str, Any]]) -> set[str]:
    return {it["name"] for it in endpoints if it.get("name")}
