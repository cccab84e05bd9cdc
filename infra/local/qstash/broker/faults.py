"""Faults on command: rules that say what goes wrong, for whom, and how often.

A rule is about calls of the API, items of a batch, deliveries, callbacks, turns of a flow-control key or a schedule's
times.  It strikes in the order in which they come, so that the same seed and the same calls meet the same faults.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .clock import Clock
    from .messages import Message
    from .state import Schedule, User

SHAPES = ("sparse", "null", "lagless")  # of an answer: `views.shaped`
_OF_MESSAGES = ("lose", "delay", "duplicate", "reorder", "rotate", "elsewhere")
_POSSIBLE = {
    "call": ("answer", "hang", "drop", "void", "down", "rotate", *SHAPES, "bodiless", "revert"),
    "item": ("answer",),
    "delivery": _OF_MESSAGES,
    "callback": (*_OF_MESSAGES, "sparse", "null"),
    "turn": ("delay",),
    "tick": ("lose",),
}
_ADDRESSES = 8  # of this machine that `elsewhere` goes round: 127.0.0.2 and those after it
_LAST = 100  # of what a rule struck: so many are told


class Fault(BaseModel):
    """One rule.

    What may happen to a call: ``answer`` with *status*, or with 429 and the headers of a *quota*; ``hang`` for
    *seconds*, then drop the connection; ``drop`` it at once; ``void``: do what was asked, then drop it after *seconds*;
    ``down``: drop this and every other call, and hold all deliveries, for *seconds*; ``rotate`` the signing keys and
    go on.  Or it is done, and answered in another of the `SHAPES`; ``bodiless``: as if it had no body; ``revert``: what
    it changed of a schedule is as before after *seconds*.

    To an item of a batch: ``answer``: it is refused with *status*.

    To a delivery or callback: ``lose`` it without a trace; ``delay`` it by *seconds*; ``duplicate`` its first attempt,
    *seconds* later; ``reorder``: hold it until the next one struck was attempted, for *seconds* at most; ``rotate``;
    ``elsewhere``: have it come from another address.  To a callback: ``sparse``, ``null``: its body has that shape.

    To a turn of a flow-control key: ``delay``: the next comes after *seconds* at the earliest.  To a schedule's time:
    ``lose``: it passes.

    *match* has globs: of a call its method and path; of the others the destination's URL, the URL group, the labels,
    the flow-control key and the schedule's id (of a callback: those of what it reports).  The first *after* that match
    are let pass; of the others each is struck with *probability*, until *count* were.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    on: Literal["call", "item", "delivery", "callback", "turn", "tick"]
    do: Literal[
        "answer",
        "hang",
        "drop",
        "void",
        "down",
        "sparse",
        "null",
        "lagless",
        "bodiless",
        "revert",
        "lose",
        "delay",
        "duplicate",
        "reorder",
        "rotate",
        "elsewhere",
    ]
    match: dict[Literal["method", "path", "destination", "group", "label", "flow", "schedule"], str] = {}
    count: int | None = Field(None, ge=1)
    after: int = Field(0, ge=0)
    probability: float = Field(1.0, ge=0, le=1)
    seed: int = 0
    status: int = Field(500, ge=400, le=599)
    quota: Literal["daily", "burst"] | None = None
    seconds: float = Field(10.0, ge=0, le=31_536_000)

    _random: random.Random = PrivateAttr()
    _seen: int = PrivateAttr(0)
    _hits: int = PrivateAttr(0)
    _moved: int = PrivateAttr(0)
    _last: deque[str] = PrivateAttr()
    _held: asyncio.Event | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        if self.do not in _POSSIBLE[self.on]:
            raise ValueError(f"{self.do!r} is nothing that happens to a {self.on}")
        if "seconds" not in self.model_fields_set and self.do in ("void", "duplicate"):
            self.seconds = 0.0
        self._random, self._last = random.Random(self.seed), deque(maxlen=_LAST)  # noqa: S311 - a seeded one is meant
        return self

    def strikes(self, on: str, facts: Mapping[str, Sequence[str | None]], what: str) -> bool:
        """Return whether this happens to *what*, and remember it."""
        if on != self.on or not all(_meets(facts.get(name, ()), glob) for name, glob in self.match.items()):
            return False
        self._seen += 1
        drawn = self._random.random()
        spent = self.count is not None and self._hits >= self.count
        if self._seen <= self.after or spent or drawn >= self.probability:
            return False
        self._hits += 1
        self._last.append(what)
        return True

    async def befall(self, user: User, message: Message, clock: Clock) -> str:
        """Let what happens to a message before its first attempt happen, and return what it was."""
        if self.do == "delay":
            message.due_ms += int(self.seconds * 1000)
        elif self.do == "rotate":
            user.rotate()
        elif self.do == "elsewhere":
            self._moved += 1
            message.comes_from = f"127.0.0.{2 + (self._moved - 1) % _ADDRESSES}"
        elif self.do == "reorder" and self._held:
            message.overtook, self._held = self._held, None
        elif self.do == "reorder":
            self._held = overtaken = asyncio.Event()
            with suppress(TimeoutError):
                async with clock.timeout(self.seconds):
                    await overtaken.wait()
            self._held = None if self._held is overtaken else self._held
        return self.do

    def view(self) -> dict[str, Any]:
        """Return the rule, how many it was about, how many it struck, and the last of them."""
        return self.model_dump(exclude_defaults=True) | {"seen": self._seen, "hits": self._hits, "last": [*self._last]}


class Faults:
    """The rules, by their ids, in the order in which they were given; the first that strikes is the one."""

    def __init__(self) -> None:
        self.rules: dict[str, Fault] = {}
        self._number = 0

    def add(self, fault: Fault) -> str:
        """Add a rule, and return its id."""
        self._number += 1
        self.rules[f"rule_{self._number}"] = fault
        return f"rule_{self._number}"

    def of_call(self, method: str, path: str) -> Fault | None:
        """Return what happens to a call of the API."""
        return self._first("call", {"method": [method], "path": [path]}, f"{method} {path}")

    def of_item(self, messages: Sequence[Message]) -> Fault | None:
        """Return what happens to an item of a batch, which comes to *messages*."""
        facts = _facts(messages[0]) | {"destination": [it.url for it in messages]} if messages else {}
        return self._first("item", facts, messages[0].id if messages else "")

    def of_message(self, message: Message) -> Fault | None:
        """Return what happens to a delivery or a callback."""
        if not self.rules:
            return None
        source, on = message.reports or message, "callback" if message.reports else "delivery"
        return self._first(on, _facts(source) | {"destination": [message.url]}, message.id)

    def of_turn(self, key: str) -> float:
        """Return after how many seconds a flow-control key that gives a turn now may give the next."""
        fault = self._first("turn", {"flow": [key]}, key)
        return fault.seconds if fault else 0.0

    def of_tick(self, schedule: Schedule) -> Fault | None:
        """Return what happens to a time of a schedule."""
        return self._first("tick", {"schedule": [schedule.id], "label": schedule.options.labels}, schedule.id)

    def _first(self, on: str, facts: Mapping[str, Sequence[str | None]], what: str) -> Fault | None:
        return next((it for it in self.rules.values() if it.strikes(on, facts, what)), None)


def _facts(message: Message) -> dict[str, Sequence[str | None]]:
    flow = message.options.flow_control
    return {
        "destination": [message.url],
        "group": [message.topic_name],
        "label": message.options.labels,
        "flow": [flow.key if flow else None],
        "schedule": [message.schedule_id],
    }


def _meets(facts: Sequence[str | None], glob: str) -> bool:
    return any(fact is not None and fnmatchcase(fact, glob) for fact in facts)
