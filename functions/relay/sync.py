"""The verb of sync: makes what QStash holds of the relay what a deploy says: URL groups, schedules, queues, pins.

A change of the desired state has a new physical id, so CloudFormation creates the new state first (what is new is there
before the functions change), and deletes the old one in its clean-up phase, or the new one after a rollback.  The table
keeps every state that was created and not deleted yet.  A delete takes its state out and makes QStash match the newest
that remains; none remaining is the end of the relay.  So a rollback is right, whether or not CloudFormation asks for
the old state again.  What carries the relay's name is its own; nothing else is touched.

Before a URL changes, the table is told when: what was published by then may be published again by the sweep, and QStash
wouldn't know it for the same.

A state is `groups` (name -> endpoints, each with `name` and `url`), `schedules`, `queues` and `flow_controls` (name ->
settings), every name with the relay's before it; and `alone` (destination -> URL), what is in no URL group.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relay.model import iso
from relay.schedules import tick_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from relay.qstash import QStash
    from relay.store import Store

State = dict[str, dict[str, Any]]
GROUPS, SCHEDULES, QUEUES, PINS = KINDS = ("groups", "schedules", "queues", "flow_controls")
ALONE = "alone"
_WORDS = {GROUPS: "URL group", SCHEDULES: "schedule", QUEUES: "queue", PINS: "flow control"}
_OF_A_SCHEDULE = ("cron", "destination", "body", "content_type", "retries")


@dataclass(frozen=True)
class Change:
    """One thing to do in QStash.

    Attributes:
        kind: One of `KINDS`.
        name: With the relay's name before it.
        removes: Whether it takes something away.
        what: What to put there: of a URL group the endpoints to put, or to remove; None: it goes as a whole.
    """

    kind: str
    name: str
    removes: bool
    what: Any = None

    def __str__(self) -> str:
        """Return it for people."""
        verb = "remove" if self.removes else "set"
        names = f" of {self.name}" if self.kind == GROUPS and self.what else f" {self.name}"
        if self.kind == GROUPS and self.what:
            return f"{verb} {', '.join(it.get('name') or it['url'] for it in self.what)}{names}"
        return f"{verb} {_WORDS[self.kind]}{names}"


def actual(qstash: QStash, relay: str) -> State:
    """Return what QStash holds of the relay called *relay*.

    Raises:
        QStashError: It can't be read.
    """
    found: State = {
        GROUPS: {**qstash.groups()},
        SCHEDULES: {**qstash.schedules()},
        QUEUES: {**qstash.queues()},
        PINS: {**qstash.flow_keys()},
    }
    return {
        kind: {name: it for name, it in them.items() if name.startswith(f"{relay}.")} for kind, them in found.items()
    }


def plan(desired: Mapping[str, Mapping[str, Any]], there: State, *, pinning: bool = True) -> list[Change]:
    """Return what makes *there*, of the relay's own, what is *desired*: first what is put, then what is removed.

    A queue in which messages wait stays until they are delivered: QStash drops them with it.  A flow control is pinned
    once something was published under its key, for QStash doesn't know it before; until then each publish carries it.

    Args:
        pinning: Also pin what has the desired limits from publishes alone.
    """
    wanted: State = {kind: dict(desired.get(kind, {})) for kind in KINDS}
    puts = [
        *_group_puts(wanted[GROUPS], there[GROUPS]),
        *_schedule_puts(wanted[SCHEDULES], there[SCHEDULES]),
        *_queue_puts(wanted[QUEUES], there[QUEUES]),
        *_pins(wanted[PINS], there[PINS], pinning=pinning),
    ]
    return [*puts, *_removals(wanted, there)]


def _group_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, endpoints in wanted.items():
        have = {it.get("name"): it["url"] for it in there.get(name, ())}
        if put := [it for it in endpoints if have.get(it["name"]) != it["url"]]:
            yield Change(GROUPS, name, removes=False, what=put)


def _schedule_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, it in wanted.items():
        if any(it[setting] != there.get(name, {}).get(setting) for setting in _OF_A_SCHEDULE):
            yield Change(SCHEDULES, name, removes=False, what=it)


def _queue_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, it in wanted.items():
        have = there.get(name, {})
        if it["parallelism"] != have.get("parallelism"):
            paused = have.get("paused", False)  # somebody's, which putting it again would end
            yield Change(QUEUES, name, removes=False, what={"parallelism": it["parallelism"], "paused": paused})


def _pins(wanted: Mapping[str, Any], there: Mapping[str, Any], *, pinning: bool) -> Iterator[Change]:
    for name, limits in wanted.items():
        have = there.get(name)
        if have is None:
            continue
        if any(have[it] != value for it, value in limits.items()) or (pinning and not have["pinned"]):
            yield Change(PINS, name, removes=False, what=limits)


def _removals(wanted: State, there: State) -> Iterator[Change]:
    for name, endpoints in there[GROUPS].items():
        if name not in wanted[GROUPS]:
            yield Change(GROUPS, name, removes=True)
            continue
        names = {it["name"] for it in wanted[GROUPS][name]}
        if left_over := [it for it in endpoints if it.get("name") not in names]:
            yield Change(GROUPS, name, removes=True, what=left_over)
    for name in there[SCHEDULES].keys() - wanted[SCHEDULES].keys():
        yield Change(SCHEDULES, name, removes=True)
    for name, it in there[QUEUES].items():
        if name not in wanted[QUEUES] and not it["lag"]:
            yield Change(QUEUES, name, removes=True)
    for name, it in there[PINS].items():
        if name not in wanted[PINS] and it["pinned"]:
            yield Change(PINS, name, removes=True)


def perform(change: Change, qstash: QStash) -> None:
    """Do *change*; doing it again changes nothing more."""
    name, what = change.name, change.what
    if change.kind == GROUPS and not change.removes:
        qstash.put_endpoints(name, what)
    elif change.kind == GROUPS and what:
        qstash.remove_endpoints(name, what)
    elif change.kind == GROUPS:
        qstash.remove_group(name)
    elif change.kind == SCHEDULES:
        qstash.remove_schedule(name) if change.removes else qstash.put_schedule(name, what)
    elif change.kind == QUEUES:
        qstash.remove_queue(name) if change.removes else qstash.put_queue(name, what)
    elif change.removes:
        qstash.unpin(name)
    else:
        qstash.pin(name, what)


def physical_id(desired: str) -> str:
    """Return the physical id of the state that *desired*, JSON, describes."""
    canonical = json.dumps(json.loads(desired), sort_keys=True, separators=(",", ":"))
    return "qstash-" + hashlib.sha256(canonical.encode()).hexdigest()[:24]


def add(desired: str, relay: str, *, qstash: QStash, store: Store) -> str:
    """Put into QStash what *desired* has, and remember it as the newest; return its physical id.

    Nothing is removed but what would be doubled: of a URL group that stays, a destination that stays and has another
    place.  Old functions and new ones publish to that group alike, and one of them to the other place, too: so until
    `remove`, when all functions know the new one, the group has it neither at its old place nor at its new one.  What
    goes to the group meanwhile is still owed to it, and published to it alone.
    """
    states, there = store.desired(), actual(qstash, relay)
    changes, before = plan(_state(desired, store), there), json.loads(_newest(states))
    moves = _urls(desired) != _urls(_newest(states))
    if states and (moves or _changes_groups(changes)):
        store.save_urls_changed(under_way=moves)
    for change in _at_first(changes, there, before, json.loads(desired)):
        perform(change, qstash)
    state = physical_id(desired)
    store.save_desired(states | {state: {"state": desired, "at": iso(store.now())}})
    return state


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


def remove(state: str, relay: str, *, qstash: QStash, store: Store) -> None:
    """End *state*: make QStash match the newest state that remains, or remove all that is the relay's."""
    known = store.desired()
    states = {name: it for name, it in known.items() if name != state}
    newest = _newest(states)
    if states and state in known and _urls(known[state]["state"]) != _urls(newest):
        store.save_urls_changed()  # once more: by now the functions are others, too
    for change in plan(_state(newest, store), actual(qstash, relay)):
        perform(change, qstash)
    store.save_desired(states)


def drift(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Return what makes QStash again what the last deploy said; nothing where no deploy has said anything.

    Raises:
        QStashError: QStash can't be read.
    """
    states = store.desired()
    return plan(_state(_newest(states), store), actual(qstash, relay), pinning=False) if states else []


def mend(relay: str, *, qstash: QStash, store: Store) -> list[Change]:
    """Make QStash what the last deploy said; return what was done."""
    states = store.desired()
    changes = plan(_state(_newest(states), store), actual(qstash, relay)) if states else []
    if _changes_groups(changes):
        store.save_urls_changed()
    for change in changes:
        perform(change, qstash)
    return changes


def _newest(states: Mapping[str, Mapping[str, str]]) -> str:
    """Return the newest of *states*, JSON; where there is none, one that wants nothing."""
    return max(states.values(), key=lambda it: it["at"])["state"] if states else "{}"


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
