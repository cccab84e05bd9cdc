"""What a deploy changes in QStash while functions of before and of after run, and how it is taken back.

QStash's free plan has one URL group.  Where it takes no new one, one that leaves with this deploy goes first: what
functions of before publish to that meanwhile is refused, stays owed, and follows its destinations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relay.concern import Concern
from relay.deployment.changes import GROUPS, PINS, QUEUES, SCHEDULES, Change, State, perform
from relay.errors import QStashError, RelayError
from relay.runtime.again import again
from relay.urls import is_deliver_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from relay.qstash.client import QStash

ALONE = "alone"
_ROOM_IS_NO_MATTER = {Concern.MOMENT, Concern.ACCOUNT}


def at_first(changes: Iterable[Change], there: State, before: State, after: State) -> Iterator[Change]:
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
        endpoint["name"]: (group, is_deliver_url(endpoint["url"], endpoint["name"]))
        for group, endpoints in state.get(GROUPS, {}).items()
        for endpoint in endpoints
    }
    return grouped | dict.fromkeys(state.get(ALONE, {}), ALONE)


class Steps:
    """The changes of one deploy, one after the other; each may be taken back.

    Args:
        there: What QStash held before the first.
        leaving: The URL groups that go with this deploy: any of them may go at once, if QStash takes no other else.
    """

    def __init__(self, qstash: QStash, there: State, leaving: Collection[str]) -> None:
        self._qstash = qstash
        self._there = there
        self._leaving = set(leaving)
        self._begun: list[Change] = []

    def do(self, change: Change) -> None:
        """Do *change*, trying again what fails in passing.

        Raises:
            QStashError: It can't be done.
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
        again(lambda: perform(change, self._qstash))

    def _least_missed(self, change: Change) -> str:
        """Return a group that leaves, and no longer count it: the one most of whose destinations *change* has, too."""
        names = {it["name"] for it in change.what}
        shared = {it: len(names & _names(self._there[GROUPS][it])) for it in self._leaving}
        found = max(sorted(shared), key=shared.__getitem__)
        self._leaving.discard(found)
        return found

    def take_back(self, read: Callable[[], State]) -> list[str]:
        """Make QStash what it was before the first change, as far as that can be done; return what couldn't be.

        Args:
            read: Returns what QStash holds now.
        """
        if not self._begun:
            return []
        try:
            todo = undone(self._begun, self._there, again(read))
        except RelayError:
            return [f"undo: {it}" for it in self._begun]
        left = []
        for change in todo:
            try:
                again(lambda it=change: perform(it, self._qstash))  # type: ignore[misc]  # bound here
            except RelayError:
                left.append(str(change))
        return left


def undone(begun: Iterable[Change], before: State, now: State) -> list[Change]:
    """Return what makes *now* what was *before*, of all that *begun* was about: first what is removed.

    No function knows what a deploy brought that failed, and a plan may have no room for it and for what was before.
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
