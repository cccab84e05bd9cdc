"""Messages and what becomes of them: requests to destinations, their answers, dead letters and rows of the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .signing import message_id

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from ..language.options import Headers, Options

Stamp = tuple[int, int]  # Unix ms and a number: the order in which a user's things happened


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody asks to be published."""

    destination: str
    headers: Headers
    body: bytes
    caller_ip: str = ""
    queue_name: str | None = None
    schedule_id: str | None = None


@dataclass(kw_only=True, eq=False)
class Message:
    """One body on its way to one URL; a callback is a message like any other, and knows whose attempt it reports."""

    url: str
    options: Options
    body: bytes
    created_ms: int
    due_ms: int
    topic_name: str | None = None
    endpoint_name: str | None = None
    queue_name: str | None = None
    schedule_id: str | None = None
    caller_ip: str = ""
    comes_from: str = ""  # an address of this machine; empty: whatever it has
    reports: Message | None = None
    id: str = field(default_factory=message_id)
    retried: int = 0
    active: bool = False  # an attempt is under way
    cancel_requested: bool = False
    outcome: str = "IN_PROGRESS"  # then SUCCESS or FAIL
    readable_until_s: float = 0.0  # once it is delivered
    overtook: asyncio.Event | None = None  # a fault holds another message until this one was attempted
    not_before_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self.not_before_ms = self.due_ms

    @property
    def size_bytes(self) -> int:
        return len(self.body)

    @property
    def stamp(self) -> Stamp:
        return self.created_ms, 0


@dataclass(frozen=True)
class Outgoing:
    """One request to a destination; *url* is called as it stands, byte for byte."""

    method: str
    url: str
    header: Mapping[str, list[str]]
    body: bytes
    comes_from: str = ""  # an address of this machine; empty: whatever it has


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

    stamp: Stamp
    message: Message
    answer: Answer

    @property
    def id(self) -> str:
        return stamp_text(self.stamp)

    @property
    def size_bytes(self) -> int:
        return len(self.message.body) + len(self.answer.body)


@dataclass(frozen=True)
class LogRow:
    """One state that a message came into, with the answer that brought it there and when it is tried next, if so."""

    stamp: Stamp
    state: str
    message: Message
    answer: Answer | None = None
    next_ms: int | None = None

    @property
    def size_bytes(self) -> int:
        # A message's lines share its body: it counts once.
        body = self.message.body if self.state == "CREATED" else b""
        return len(body) + (len(self.answer.body) if self.answer else 0)


def stamp_text(stamp: Stamp) -> str:
    """Write a stamp as Redis writes the id of a stream's entry: ``<unix-ms>-<seq>``."""
    return f"{stamp[0]}-{stamp[1]}"
