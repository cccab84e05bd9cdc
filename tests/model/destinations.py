"""Destinations of the model: how each behaves now, and everything that any of them ever saw."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from infra.local.qstash.broker.messages import Answer

if TYPE_CHECKING:
    from infra.local.qstash.broker.clock import Clock
    from infra.local.qstash.broker.messages import Outgoing

FOR_EVER_S = 10_000_000.0


class Behaviour(StrEnum):
    """What a destination does with what comes."""

    UP = "up"
    DOWN = "down"  # refuses for now
    DEAD = "dead"  # refuses for good: it is not to be sent again
    FLAKY = "flaky"  # refuses the first attempt of every message
    HANGING = "hanging"  # never answers
    DEAF = "deaf"  # takes it, and its answer gets lost


@dataclass(frozen=True)
class Seen:
    """One attempt, as the destination saw it, and what QStash was told of it.

    Attributes:
        label: The message's: its event and generation.
    """

    destination: str
    event: str
    label: str
    message: str
    body: bytes
    succeeded: bool


@dataclass
class Bus:
    """EventBridge's client as far as deliver uses it, for one attempt at the destination *name*."""

    destinations: Destinations
    name: str
    label: str
    message: str

    def put_events(self, *, Entries: list[Any]) -> Any:  # noqa: N803  # AWS's name
        """Be the event bus."""
        if self.destinations.behaviour.get(self.name, Behaviour.UP) is not Behaviour.UP:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
        detail = json.loads(Entries[0]["Detail"])
        body = json.dumps(detail["body"], separators=(",", ":")).encode()
        seen = Seen(self.name, detail["event_id"], self.label, self.message, body, succeeded=False)
        self.destinations.seen.append(seen)
        return {"FailedEntryCount": 0}

    def succeeded(self) -> None:
        """Have QStash be told that it was taken."""
        self.destinations.seen[-1] = replace(self.destinations.seen[-1], succeeded=True)


@dataclass
class Destinations:
    """All destinations, by their URLs."""

    names: dict[str, str]
    clock: Clock
    behaviour: dict[str, Behaviour] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    async def answer(self, outgoing: Outgoing, label: str) -> Answer:
        """Be the destination that *outgoing* goes to."""
        name = self.names[outgoing.url]
        message = outgoing.header["Upstash-Message-Id"][0]
        first = outgoing.header["Upstash-Retried"][0] == "0"
        behaviour = self.behaviour.get(name, Behaviour.UP)
        takes = behaviour is Behaviour.UP or (behaviour is Behaviour.FLAKY and not first)
        self.seen.append(Seen(name, outgoing.header["Relay-Event-Id"][0], label, message, outgoing.body, takes))
        if takes:
            return Answer(200)
        if behaviour is Behaviour.DEAF:
            raise ConnectionResetError("the answer was lost")
        if behaviour is Behaviour.HANGING:
            await self.clock.sleep(FOR_EVER_S)
        if behaviour is Behaviour.DEAD:
            return Answer(489, {"Upstash-Nonretryable-Error": ["true"]})
        return Answer(503)
