"""The server's memory: its settings, and what each user has: messages, groups, queues, schedules, dead letters, a log.

A user sees nothing of another user.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ..language.limits import Limits
from .history import History
from .line import FlowKey, Line
from .messages import DeadLetter, LogRow, Message
from .signing import random_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Reversible

    from ..language.cron import Cron
    from ..language.grammar import FlowControl
    from ..language.options import Headers, Options
    from .clock import Clock
    from .messages import Stamp, Wanted

_MAX_REMEMBERED = 1_000_000  # deduplication keys, each user


@dataclass(kw_only=True)
class Settings:
    """What may differ between two servers, and may be changed while one runs."""

    limits: Limits = field(default_factory=Limits)
    url_groups: int | None = None  # how many an account may have; None: as many as its plan says
    grace_s: float = 10.0  # how long a delivered message stays readable
    deduplication_window_s: float = 600.0
    deduplication_scope: Literal["account", "destination"] = "account"  # of an explicit id
    cancel_count_ignored: bool = False  # by a bulk cancel, which then takes all that match
    batch_refused: Literal["whole", "by_item"] = "whole"  # where an item of it can't be sent
    unresolvable_hosts: list[str] = field(default_factory=list)  # globs
    log_lag_s: float = 0.0  # how old a log row must be to be shown
    log_rows: int | None = None  # how many of the newest log rows are shown
    history: int = 100_000  # log rows, dead letters, delivered messages and flow-control keys kept, each, per user
    history_bytes: int = 128 * 1024 * 1024  # of bodies, in each of them
    region: str = ""  # sent as Upstash-Region

    def resolves(self, url: str) -> bool:
        """Return whether the host of *url* has an address, as far as this was asked for."""
        host = (urlsplit(url).hostname or "") if self.unresolvable_hosts else ""
        return not any(fnmatchcase(host, glob) for glob in self.unresolvable_hosts)


@dataclass
class Group:
    """A URL group: endpoints (URL and name, in order of insertion) and default headers."""

    name: str
    created_ms: int
    updated_ms: int
    endpoints: list[tuple[str, str | None]] = field(default_factory=list)
    headers: Headers = field(default_factory=dict)

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


@dataclass
class Queue:
    """A queue: whoever has a place in its line is being delivered, and keeps it over retries and callbacks."""

    name: str
    created_ms: int
    updated_ms: int
    line: Line = field(default_factory=lambda: Line(1))


@dataclass
class Schedule:
    """What to publish and when; *options* are what its headers say."""

    id: str
    cron: Cron
    wanted: Wanted
    options: Options
    created_ms: int
    paused: bool = False
    last_ms: int = 0
    last: list[Message] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True)
class Credentials:
    """What an account calls with, and what its deliveries are signed with."""

    token: str
    current_key: str
    next_key: str
    read_only_token: str


class User:
    """One account, and all that was made with its token."""

    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self.token, self.read_only_token = credentials.token, credentials.read_only_token
        self.current_key, self.next_key = credentials.current_key, credentials.next_key
        self.messages: dict[str, Message] = {}  # pending, active or waiting for a retry
        self.groups: dict[str, Group] = {}
        self.queues: dict[str, Queue] = {}
        self.schedules: dict[str, Schedule] = {}
        self.flow_keys: dict[str, FlowKey] = {}
        self.line = Line(settings.limits.global_parallelism)
        self.dead_letters = History[DeadLetter](settings.history, settings.history_bytes)
        self.log = History[LogRow](settings.history, settings.history_bytes)
        self.delivered = History[Message](settings.history, settings.history_bytes)
        self.spent: dict[str, tuple[int, int]] = {}  # of a quota: the period, and how much of it
        self._settings = settings
        self._seen: OrderedDict[object, tuple[float, str]] = OrderedDict()
        self._stamp = (0, 0)

    def rotate(self) -> None:
        """Make the next signing key the current one."""
        self.current_key, self.next_key = self.next_key, f"sig_{random_id()}"

    def stamp(self, now_s: float) -> Stamp:
        """Return a new stamp, larger than every stamp before, even if the clock was put back."""
        now_ms = int(now_s * 1000)
        last_ms, sequence = self._stamp
        self._stamp = (now_ms, 0) if now_ms > last_ms else (last_ms, sequence + 1)
        return self._stamp

    def spend(self, quota: str, number: int, limit: int | None, period: int) -> bool:
        """Take *number* out of a *quota*'s *limit* for this *period*; return False if that is more than is left."""
        last, spent = self.spent.get(quota, (period, 0))
        spent = number + (spent if last == period else 0)
        if limit is not None and spent > limit:
            return False
        self.spent[quota] = (period, spent)
        return True

    def forget(self, now_s: float) -> None:
        """Drop what the plan keeps no longer."""
        self.log.forget(now_s - self._settings.limits.log_retention_s)
        self.dead_letters.forget(now_s - self._settings.limits.dlq_retention_s)

    def shown_log(self, now_s: float) -> Reversible[LogRow]:
        """Return the rows of the log that may be seen: late and few of them, if that was asked for."""
        lag_s, most = self._settings.log_lag_s, self._settings.log_rows
        if not lag_s and most is None:
            return self.log.values()
        rows = [row for row in self.log.values() if row.stamp[0] <= (now_s - lag_s) * 1000]
        return rows if most is None else rows[max(0, len(rows) - most) :]

    def queue(self, name: str, now_ms: int) -> Queue:
        """Return the queue of that name, made if need be."""
        return self.queues.setdefault(name, Queue(name, now_ms, now_ms))

    def flow_key(self, wanted: FlowControl, clock: Clock, rest_s: Callable[[], float]) -> FlowKey:
        """Return the key that a message names; made, if need be, in the place of one that nobody needs."""
        if wanted.key not in self.flow_keys:
            if len(self.flow_keys) >= self._settings.history:
                for unused in [name for name, key in self.flow_keys.items() if key.is_unused][:1]:
                    del self.flow_keys[unused]
            self.flow_keys[wanted.key] = FlowKey(clock, self.line, rest_s)
            self.flow_keys[wanted.key].limit(wanted)
        return self.flow_keys[wanted.key]

    def find(self, wanted_id: str, now_s: float) -> Message | None:
        """Return a message that is in the system, or was delivered a moment ago."""
        delivered = self.delivered.get(wanted_id)
        return self.messages.get(wanted_id) or (delivered if delivered and now_s < delivered.readable_until_s else None)

    def seen(self, key: object, now_s: float) -> str | None:
        """Return the id of the message published under the deduplication *key* within the window."""
        at_s, message_id = self._seen.get(key, (-1e18, None))
        return message_id if now_s < at_s + self._settings.deduplication_window_s else None

    def remember(self, key: object, wanted_id: str, now_s: float) -> None:
        """Start the window of a deduplication *key*."""
        self._seen[key] = (now_s, wanted_id)
        self._seen.move_to_end(key)
        window_s = self._settings.deduplication_window_s
        while self._seen and (
            len(self._seen) > _MAX_REMEMBERED or next(iter(self._seen.values()))[0] + window_s <= now_s
        ):
            self._seen.popitem(last=False)


def documented_users(environment: Mapping[str, str]) -> list[Credentials]:
    """Return the four users of Upstash's own development server; the environment may replace the first's.

    Source: https://upstash.com/docs/qstash/howto/local-development; their read-only tokens are of our own making.
    """
    default, *others = (
        Credentials(_token(name, password), current_key, next_key, _token(name, "readOnly"))
        for name, password, current_key, next_key in _DOCUMENTED
    )
    given = {
        "token": environment.get("QSTASH_TOKEN"),
        "current_key": environment.get("QSTASH_CURRENT_SIGNING_KEY"),
        "next_key": environment.get("QSTASH_NEXT_SIGNING_KEY"),
        "read_only_token": environment.get("QSTASH_READ_ONLY_TOKEN"),
    }
    return [replace(default, **{name: value for name, value in given.items() if value}), *others]


def _token(name: str, password: str) -> str:
    return base64.b64encode(json.dumps({"UserID": name, "Password": password}, separators=(",", ":")).encode()).decode()


_DOCUMENTED = (  # name, password, current and next signing key
    ("defaultUser", "defaultPassword", "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r", "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs"),
    ("testUser1", "testPassword", "sig_7GVPjvuwsfqF65iC8fSrs1dfYruM", "sig_5NoELc3EFnZn4DVS5bDs2Nk4b7Ua"),
    ("testUser2", "testPassword", "sig_6jWGaWRxHsw4vMSPJprXadyvrybF", "sig_7qHbvhmahe5GwfePDiS5Lg3pi6Qx"),
    ("testUser3", "testPassword", "sig_5T8FcSsynBjn9mMLBsXhpacRovJf", "sig_7GFR4YaDshFcqsxWRZpRB161jguD"),
)
