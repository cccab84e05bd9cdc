"""What the server remembers, in memory: users, and of each user messages, URL groups, dead letters, the log.

A user sees nothing of another.  Histories are bounded: a server that runs for days does not grow for days.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .options import Limits
from .signing import message_id, random_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .options import Options


class Clock(Protocol):
    """Where the server's time comes from; a test brings its own to make a day pass at once."""

    def now(self) -> float:
        """Return Unix seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return once *seconds* have passed."""


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may differ between two servers."""

    limits: Limits = field(default_factory=Limits)
    grace_s: float = 10.0  # how long a delivered message stays readable
    deduplication_window_s: float = 600.0
    history: int = 10_000  # dead letters, log rows and delivered messages kept, each, per user


@dataclass(kw_only=True)
class Message:
    """One body on its way to one URL; a callback is a message like any other."""

    url: str
    options: Options
    body: bytes
    created_ms: int
    due_ms: int
    topic_name: str | None = None
    endpoint_name: str | None = None
    caller_ip: str = ""
    id: str = field(default_factory=message_id)
    retried: int = 0
    active: bool = False  # an attempt is under way
    cancel_requested: bool = False
    not_before_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self.not_before_ms = self.due_ms


@dataclass(frozen=True)
class Answer:
    """What came of one attempt; status 0 where there was no response, and *error* says why."""

    status: int
    header: Mapping[str, list[str]] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retryable(self) -> bool:
        """Return False for the one answer by which a destination says: don't send this again."""
        refusal = self.header.get("Upstash-Nonretryable-Error", [""])[0].strip().lower()
        return not (self.status == 489 and refusal == "true")


@dataclass(frozen=True)
class DeadLetter:
    """A message whose attempts are spent."""

    stamp: tuple[int, int]
    message: Message
    answer: Answer

    @property
    def id(self) -> str:
        return stamp_text(self.stamp)


@dataclass(frozen=True)
class LogRow:
    """One state that a message came into, with what only this row knows, in wire names."""

    stamp: tuple[int, int]
    state: str
    message: Message
    extra: Mapping[str, Any]


@dataclass
class Group:
    """A URL group: endpoints (URL to name, in order of insertion) and default headers."""

    name: str
    created_ms: int
    updated_ms: int
    endpoints: list[tuple[str, str | None]] = field(default_factory=list)  # (url, name)
    headers: dict[str, list[str]] = field(default_factory=dict)

    def put(self, url: str, name: str | None) -> None:
        """Add an endpoint, or change the one of that name; one without a name is known by its URL."""
        same_name = [old for old in self.endpoints if name and old[1] == name]
        same_url = [old for old in self.endpoints if old[0] == url and not (name and old[1])]
        for old in (same_name or same_url)[:1]:
            self.endpoints[self.endpoints.index(old)] = (url, name or old[1])
            return
        self.endpoints.append((url, name))

    def remove(self, url: str | None, name: str | None) -> None:
        """Drop every endpoint of that name or, without a name, of that URL."""
        self.endpoints = [e for e in self.endpoints if not (e[1] == name if name else e[0] == url)]


def stamp_text(stamp: tuple[int, int]) -> str:
    """Write a stamp as Redis writes the id of a stream's entry: ``<unix-ms>-<seq>``."""
    return f"{stamp[0]}-{stamp[1]}"


class User:
    """One account: a token, two signing keys, and all that was made with the token."""

    def __init__(self, *, token: str, current_key: str, next_key: str) -> None:
        self.token = token
        self.current_key = current_key
        self.next_key = next_key
        self.messages: dict[str, Message] = {}  # pending, active or waiting for a retry
        self.groups: dict[str, Group] = {}
        self.dead_letters: dict[str, DeadLetter] = {}  # by stamp, oldest first
        self.log: deque[LogRow] = deque()
        self._delivered: OrderedDict[str, tuple[float, Message]] = OrderedDict()
        self._seen: OrderedDict[object, tuple[float, str]] = OrderedDict()
        self._stamp = (0, 0)

    def rotate(self) -> None:
        """Make the next signing key the current one."""
        self.current_key, self.next_key = self.next_key, f"sig_{random_id()}"

    def stamp(self, now_s: float) -> tuple[int, int]:
        """Return a new stamp, larger than every stamp before, even if the clock was put back."""
        now_ms = int(now_s * 1000)
        last_ms, sequence = self._stamp
        self._stamp = (now_ms, 0) if now_ms > last_ms else (last_ms, sequence + 1)
        return self._stamp

    def note(self, row: LogRow, settings: Settings) -> None:
        """Write a log row, forgetting the oldest."""
        self.log.append(row)
        if len(self.log) > settings.history:
            self.log.popleft()

    def bury(self, dead_letter: DeadLetter, settings: Settings) -> None:
        """Keep a dead letter, forgetting the oldest."""
        self.dead_letters[dead_letter.id] = dead_letter
        if len(self.dead_letters) > settings.history:
            del self.dead_letters[next(iter(self.dead_letters))]

    def keep_delivered(self, message: Message, now_s: float, settings: Settings) -> None:
        """Let a delivered message be read for some seconds more."""
        if settings.grace_s > 0:
            self._delivered[message.id] = (now_s + settings.grace_s, message)
        if len(self._delivered) > settings.history:
            self._delivered.popitem(last=False)
        self._forget_delivered(now_s)

    def find(self, wanted_id: str, now_s: float) -> Message | None:
        """Return a message that is in the system, or was delivered a moment ago."""
        self._forget_delivered(now_s)
        return self.messages.get(wanted_id) or self._delivered.get(wanted_id, (0, None))[1]

    def _forget_delivered(self, now_s: float) -> None:
        while self._delivered and next(iter(self._delivered.values()))[0] <= now_s:
            self._delivered.popitem(last=False)

    def seen(self, key: object, now_s: float) -> str | None:
        """Return the id of the message published under the deduplication *key* within the window."""
        while self._seen and next(iter(self._seen.values()))[0] <= now_s:
            self._seen.popitem(last=False)
        return self._seen[key][1] if key in self._seen else None

    def remember(self, key: object, wanted_id: str, now_s: float, settings: Settings) -> None:
        """Start the window of a deduplication *key*."""
        self._seen[key] = (now_s + settings.deduplication_window_s, wanted_id)


def documented_users(environment: Mapping[str, str]) -> list[User]:
    """Return the four users of Upstash's own development server; the environment may replace the first.

    Source: https://upstash.com/docs/qstash/howto/local-development
    """
    return [
        User(token=token, current_key=current, next_key=following)
        for token, current, following in (
            (
                environment.get("QSTASH_TOKEN") or _DOCUMENTED[0][0],
                environment.get("QSTASH_CURRENT_SIGNING_KEY") or _DOCUMENTED[0][1],
                environment.get("QSTASH_NEXT_SIGNING_KEY") or _DOCUMENTED[0][2],
            ),
            *_DOCUMENTED[1:],
        )
    ]


_DOCUMENTED = (
    (
        "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0=",
        "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r",
        "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs",
    ),
    (
        "eyJVc2VySUQiOiJ0ZXN0VXNlcjEiLCJQYXNzd29yZCI6InRlc3RQYXNzd29yZCJ9",
        "sig_7GVPjvuwsfqF65iC8fSrs1dfYruM",
        "sig_5NoELc3EFnZn4DVS5bDs2Nk4b7Ua",
    ),
    (
        "eyJVc2VySUQiOiJ0ZXN0VXNlcjIiLCJQYXNzd29yZCI6InRlc3RQYXNzd29yZCJ9",
        "sig_6jWGaWRxHsw4vMSPJprXadyvrybF",
        "sig_7qHbvhmahe5GwfePDiS5Lg3pi6Qx",
    ),
    (
        "eyJVc2VySUQiOiJ0ZXN0VXNlcjMiLCJQYXNzd29yZCI6InRlc3RQYXNzd29yZCJ9",
        "sig_5T8FcSsynBjn9mMLBsXhpacRovJf",
        "sig_7GFR4YaDshFcqsxWRZpRB161jguD",
    ),
)
