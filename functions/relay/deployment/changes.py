"""The differences between a deployed state and QStash's, and the changes that end them.

A state has `groups` (name -> endpoints, each with `name` and `url`), `schedules`, `queues` and `flow_controls` (name ->
settings).  Every name begins with the relay's own name and a dot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from relay.qstash.client import QStash

State = dict[str, dict[str, Any]]
GROUPS, SCHEDULES, QUEUES, PINS = KINDS = ("groups", "schedules", "queues", "flow_controls")
_WORDS = {GROUPS: "URL group", SCHEDULES: "schedule", QUEUES: "queue", PINS: "flow control"}
_OF_A_SCHEDULE = ("cron", "destination", "body", "content_type", "retries")
_LOGIN = re.compile("//[^/@]*@")
FOUND_MAX_CHARS = 1500  # CloudFormation takes 4 KB of answer


@dataclass(frozen=True)
class Change:
    """One change in QStash.

    Attributes:
        kind: One of `KINDS`.
        name: The name in QStash.
        removes: Whether the change removes something.
        what: The settings to put; of a URL group the endpoints to put or to remove; None: all of it is removed.
    """

    kind: str
    name: str
    removes: bool
    what: Any = None

    def __str__(self) -> str:
        """Return the change in words."""
        verb = "remove" if self.removes else "set"
        names = f" of {self.name}" if self.kind == GROUPS and self.what else f" {self.name}"
        if self.kind == GROUPS and self.what:
            return f"{verb} {', '.join(it.get('name') or _shown(it.get('url')) for it in self.what)}{names}"
        return f"{verb} {_WORDS[self.kind]}{names}"


def plan(desired: Mapping[str, Mapping[str, Any]], there: State, *, pinning: bool = True) -> list[Change]:
    """Return the changes that turn *there*, the relay's own things, into *desired*: puts first, then removals.

    A queue stays while messages wait in it, since QStash drops them with the queue.  QStash knows a flow control only
    once a message was published under its key, so it is pinned from then on; until then each publish carries it.

    Args:
        pinning: Whether to pin a flow control that has the desired limits from publishes alone.
    """
    wanted: State = {kind: dict(desired.get(kind, {})) for kind in KINDS}
    puts = [
        *_group_puts(wanted[GROUPS], there[GROUPS]),
        *_schedule_puts(wanted[SCHEDULES], there[SCHEDULES]),
        *_queue_puts(wanted[QUEUES], there[QUEUES]),
        *_pins(wanted[PINS], there[PINS], pinning=pinning),
    ]
    return [*puts, *removals(wanted, there)]


def _group_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, endpoints in wanted.items():
        have = {it.get("name"): it.get("url") for it in there.get(name, ())}
        if put := [it for it in endpoints if have.get(it["name"]) != it["url"]]:
            yield Change(GROUPS, name, removes=False, what=put)


def _schedule_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, schedule in wanted.items():
        if any(schedule[setting] != there.get(name, {}).get(setting) for setting in _OF_A_SCHEDULE):
            yield Change(SCHEDULES, name, removes=False, what=schedule)


def _queue_puts(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Change]:
    for name, queue in wanted.items():
        have = there.get(name, {})
        if queue["parallelism"] != have.get("parallelism"):
            paused = have.get("paused", False)  # a person paused it, and a put without this would resume it
            yield Change(QUEUES, name, removes=False, what={"parallelism": queue["parallelism"], "paused": paused})


def _pins(wanted: Mapping[str, Any], there: Mapping[str, Any], *, pinning: bool) -> Iterator[Change]:
    for name, limits in wanted.items():
        have = there.get(name)
        if have is None:
            continue
        if any(have[it] != value for it, value in limits.items()) or (pinning and not have["pinned"]):
            yield Change(PINS, name, removes=False, what=limits)


def removals(wanted: State, there: State) -> Iterator[Change]:
    """Yield the removals of all that is *there* and not *wanted*; endpoints of a URL group count by name."""
    for name, endpoints in there[GROUPS].items():
        if name not in wanted[GROUPS]:
            yield Change(GROUPS, name, removes=True)
            continue
        names = {it.get("name") for it in wanted[GROUPS][name]}
        if left_over := [it for it in endpoints if it.get("name") not in names]:
            yield Change(GROUPS, name, removes=True, what=left_over)
    for name in there[SCHEDULES].keys() - wanted[SCHEDULES].keys():
        yield Change(SCHEDULES, name, removes=True)
    for name, queue in there[QUEUES].items():
        if name not in wanted[QUEUES] and not queue["lag"]:
            yield Change(QUEUES, name, removes=True)
    for name, pin in there[PINS].items():
        if name not in wanted[PINS] and pin["pinned"]:
            yield Change(PINS, name, removes=True)


def of_others(said: State, there: State) -> State:
    """Return the part of *there* that differs from *said*: another hand made it so, or messages wait in it."""
    return {
        GROUPS: {name: kept for name, it in there[GROUPS].items() if (kept := _others_endpoints(said, name, it))},
        SCHEDULES: {
            name: schedule
            for name, schedule in there[SCHEDULES].items()
            if not _is_as(said.get(SCHEDULES, {}).get(name), schedule, _OF_A_SCHEDULE)
        },
        QUEUES: {
            name: queue
            for name, queue in there[QUEUES].items()
            if queue["lag"] or not _is_as(said.get(QUEUES, {}).get(name), queue, ("parallelism",))
        },
        PINS: {
            name: pin
            for name, pin in there[PINS].items()
            if pin["pinned"] and not _is_as(limits := said.get(PINS, {}).get(name), pin, limits or ())
        },
    }


def _others_endpoints(said: State, group: str, endpoints: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    ours = {(it["name"], it["url"]) for it in said.get(GROUPS, {}).get(group, ())}
    return [it for it in endpoints if (it.get("name"), it.get("url")) not in ours]


def _is_as(said: Mapping[str, Any] | None, found: Mapping[str, Any], settings: Iterable[str]) -> bool:
    return said is not None and all(found.get(setting) == said[setting] for setting in settings)


def described(there: State) -> list[str]:
    """Return *there* in words: each thing's name, and its URLs without the parts that may be secret."""
    groups = [
        f"URL group {name} ({', '.join(_shown(it.get('url'), it.get('name')) for it in endpoints)})"
        for name, endpoints in there[GROUPS].items()
    ]
    schedules = [f"schedule {name} ({_shown(it['destination'])})" for name, it in there[SCHEDULES].items()]
    return [*groups, *schedules, *(f"{_WORDS[kind]} {name}" for kind in (QUEUES, PINS) for name in there[kind])]


def _shown(url: str | None, name: str | None = None) -> str:
    """Return *url* without its query and login: either may be a secret, as a schedule's query is."""
    said = _LOGIN.sub("//", (url or "").partition("?")[0])
    return f"{name} {said}" if name else said


def perform(change: Change, qstash: QStash) -> None:
    """Make *change* in QStash.  It is idempotent."""
    name, what, resources = change.name, change.what, qstash.resources
    if change.kind == GROUPS and not change.removes:
        resources.put_endpoints(name, what)
    elif change.kind == GROUPS and what:
        resources.remove_endpoints(name, what)
    elif change.kind == GROUPS:
        resources.remove_group(name)
    elif change.kind == SCHEDULES:
        resources.remove_schedule(name) if change.removes else resources.put_schedule(name, what)
    elif change.kind == QUEUES:
        resources.remove_queue(name) if change.removes else resources.put_queue(name, what)
    elif change.removes:
        resources.unpin(name)
    else:
        resources.pin(name, what)


def refuse_others(there: State, relay: str) -> None:
    """Raise if QStash holds anything of the relay's name before its first deploy.

    Raises:
        OperatorError: QStash does; the message says what.
    """
    if found := "; ".join(described(there)):
        raise OperatorError(
            f"this is the first deploy here of a relay called {relay}, and QStash holds something of that name already:"
            f" {shortened(found)}. Nothing was changed. Where another deployment uses it, in another region or"
            " account, give this one another name ([relay] name). Where none does any more, or this one is to replace"
            " it, `make deploy TAKE_OVER=1` takes over what is there"
        )


def shortened(text: str) -> str:
    """Return *text*, cut to the length that CloudFormation shows."""
    return text if len(text) <= FOUND_MAX_CHARS else f"{text[:FOUND_MAX_CHARS]} …"
