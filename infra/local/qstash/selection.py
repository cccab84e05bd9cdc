"""Choosing among messages, dead letters and log rows: filters, count, order and cursor.

A filter may be repeated: any of its values will do.  Different filters must all be met.  An unknown one is
refused, because to ignore it would select everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from .grammar import Refused, whole
from .state import DeadLetter, LogRow, Message, stamp_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Stamped = TypeVar("Stamped", DeadLetter, LogRow)

_COMMON = {"url", "topicName", "scheduleId", "queueName", "label", "flowControlKey", "callerIp", "callerIP"}
_PAGING = {"fromDate", "toDate", "count", "cursor", "order"}
_TOLERATED = {"api", "qstash_token"}
MESSAGE_FILTERS = _COMMON | _PAGING | _TOLERATED | {"messageIds", "host", "path"}
DEAD_LETTER_FILTERS = _COMMON | _PAGING | _TOLERATED | {"messageId", "dlqIds", "responseStatus"}
LOG_FILTERS = _COMMON | _PAGING | _TOLERATED | {"messageId", "messageIds", "state", "host", "path"}
STATES = {"CREATED", "ACTIVE", "RETRY", "ERROR", "DELIVERED", "FAILED", "CANCEL_REQUESTED", "CANCELED"}
_IN_PROGRESS = {"ACTIVE", "RETRY", "ERROR"}
_ID_LISTS = {"messageIds", "dlqIds"}
_FOREVER_MS = "9" * 15

# A message has these to be chosen by.  No message has a queue, a schedule or a flow-control key yet, so asking
# for one selects nothing.
_FACTS: dict[str, Callable[[Message], Sequence[str | None]]] = {
    "url": lambda message: [message.url],
    "host": lambda message: [urlsplit(message.url).hostname, urlsplit(message.url).netloc],
    "path": lambda message: [urlsplit(message.url).path],
    "topicName": lambda message: [message.topic_name],
    "label": lambda message: message.options.labels,
    "callerIp": lambda message: [message.caller_ip],
    "callerIP": lambda message: [message.caller_ip],
    "messageId": lambda message: [message.id],
    "messageIds": lambda message: [message.id],
    "scheduleId": lambda _: [],
    "queueName": lambda _: [],
    "flowControlKey": lambda _: [],
}


@dataclass(frozen=True)
class Selection:
    """What was asked for, checked."""

    wanted: Mapping[str, frozenset[str]]
    from_ms: int
    to_ms: int
    count: int
    cursor: tuple[int, int] | None
    latest_first: bool

    def takes(self, message: Message, at_ms: int, extra: Mapping[str, str] | None = None) -> bool:
        """Return whether *message*, whose time is *at_ms*, is meant; *extra* are facts beside its own."""
        if not self.from_ms <= at_ms <= self.to_ms:
            return False
        facts = extra or {}
        return all(
            facts[name] in values if name in facts else not values.isdisjoint(_FACTS[name](message))
            for name, values in self.wanted.items()
        )

    def messages(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages that are meant, at most `count`."""
        return [message for message in messages if self.takes(message, message.created_ms)][: self.count]

    def dead_letters(self, dead_letters: Iterable[DeadLetter]) -> tuple[list[DeadLetter], dict[str, str]]:
        """Return a page of dead letters, and the cursor of the next as a field, if there is one."""
        return self._page(row for row in dead_letters if self.takes(row.message, row.stamp[0], _of_dead_letter(row)))

    def log(self, rows: Iterable[LogRow]) -> tuple[list[LogRow], dict[str, str]]:
        """Return a page of the log, and the cursor of the next as a field, if there is one."""
        return self._page(row for row in rows if self.takes(row.message, row.stamp[0], {"state": row.state}))

    def _page(self, rows: Iterable[Stamped]) -> tuple[list[Stamped], dict[str, str]]:
        """Return the first `count` of *rows* (oldest first, all that are meant) behind the cursor."""
        ordered = list(rows)
        if self.latest_first:
            ordered.reverse()
        if self.cursor is not None:
            cursor, latest = self.cursor, self.latest_first
            ordered = [row for row in ordered if (row.stamp < cursor if latest else row.stamp > cursor)]
        page = ordered[: self.count]
        return page, {"cursor": stamp_text(page[-1].stamp)} if len(ordered) > len(page) else {}


def read_selection(
    params: Mapping[str, Sequence[str]], allowed: set[str], *, most: int, latest_first: bool = False
) -> Selection:
    """Check the parameters of a selection, or refuse with the name of the wrong one."""
    for name in params:
        if name not in allowed:
            raise Refused(400, f"unknown parameter {name!r}")
    wanted = {}
    for name in params.keys() - _PAGING - _TOLERATED:
        values = params[name]
        if name in _ID_LISTS:
            values = [part.strip() for value in values for part in value.split(",")]
        wanted[name] = frozenset(_states(values) if name == "state" else values)
    order = _last(params, "order") or ("latestFirst" if latest_first else "earliestFirst")
    if order not in ("latestFirst", "earliestFirst"):
        raise Refused(400, f"invalid order: {order!r} is neither earliestFirst nor latestFirst")
    count = _last(params, "count")
    return Selection(
        wanted,
        from_ms=whole(_last(params, "fromDate") or "0", "fromDate"),
        to_ms=whole(_last(params, "toDate") or _FOREVER_MS, "toDate"),
        count=most if count is None else max(1, min(most, whole(count, "count"))),
        cursor=_cursor(_last(params, "cursor")),
        latest_first=order == "latestFirst",
    )


def from_json(value: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return filters that came as a JSON object in the form of query parameters."""
    params: dict[str, list[str]] = {}
    for name, given in value.items():
        values = given if isinstance(given, list) else [given]
        if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in values):
            raise Refused(400, f"invalid {name}: must be a string, a number or an array of them")
        if values:  # `"messageIds": []` means all
            params[name] = [str(one) for one in values]
    return params


def _last(params: Mapping[str, Sequence[str]], name: str) -> str | None:
    return params[name][-1] if params.get(name) else None


def _states(values: Sequence[str]) -> set[str]:
    states: set[str] = set()
    for value in values:
        state = "CANCELED" if value == "CANCELLED" else value
        if state not in STATES | {"IN_PROGRESS"}:
            raise Refused(400, f"invalid state: {value!r}")
        states |= _IN_PROGRESS if state == "IN_PROGRESS" else {state}
    return states


def _of_dead_letter(row: DeadLetter) -> dict[str, str]:
    return {"dlqIds": row.id, "responseStatus": str(row.answer.status)}


def _cursor(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,15}-[0-9]{1,15}", text):
        raise Refused(400, f"invalid cursor: {text!r}")
    at_ms, _, sequence = text.partition("-")
    return int(at_ms), int(sequence)
