"""Choosing among messages, dead letters and log rows: filters, count, order and cursor.

A filter may be repeated: any of its values will do.  Different filters must all be met.  An unknown one is
refused, because to ignore it would select everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ..broker.messages import DeadLetter, LogRow, Message, Stamp, stamp_text
from ..language.grammar import Refused, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Reversible, Sequence

Row = TypeVar("Row", DeadLetter, LogRow)

# What a message is chosen by.
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
    "scheduleId": lambda message: [message.schedule_id],
    "queueName": lambda message: [message.queue_name],
    "flowControlKey": lambda message: [flow.key] if (flow := message.options.flow_control) else [],
}
_PAGING = {"fromDate", "toDate", "count", "cursor", "order"}
_TOLERATED = {"api", "qstash_token"}
MESSAGE_FILTERS = _FACTS.keys() - {"messageId"} | _PAGING | _TOLERATED
DEAD_LETTER_FILTERS = (
    _FACTS.keys() - {"messageIds", "host", "path"} | _PAGING | _TOLERATED | {"dlqIds", "responseStatus"}
)
LOG_FILTERS = _FACTS.keys() | _PAGING | _TOLERATED | {"state"}
_STATES = {"CREATED", "ACTIVE", "RETRY", "ERROR", "DELIVERED", "FAILED", "CANCEL_REQUESTED", "CANCELED"}
_IN_PROGRESS = {"ACTIVE", "RETRY", "ERROR"}
_FOREVER_MS = "9" * 15


@dataclass(frozen=True)
class Selection:
    """What was asked for, checked."""

    wanted: Mapping[str, frozenset[str]]
    from_ms: int
    to_ms: int
    count: int
    cursor: Stamp | None
    latest_first: bool

    def messages(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages that are meant, at most `count`."""
        return list(islice((one for one in messages if self._takes(one, one.created_ms, {})), self.count))

    def page(self, rows: Reversible[Row]) -> tuple[list[Row], str | None]:
        """Return a page of *rows* (oldest first), and the cursor of the next, if there is one."""
        ordered = reversed(rows) if self.latest_first else iter(rows)
        meant = (
            row for row in ordered if self._is_behind(row.stamp) and self._takes(row.message, row.stamp[0], _of(row))
        )
        page = list(islice(meant, self.count + 1))
        shown = page[: self.count]
        return shown, stamp_text(shown[-1].stamp) if 0 < len(shown) < len(page) else None

    def _is_behind(self, stamp: Stamp) -> bool:
        return self.cursor is None or (stamp < self.cursor if self.latest_first else stamp > self.cursor)

    def _takes(self, message: Message, at_ms: int, own: Mapping[str, str]) -> bool:
        return self.from_ms <= at_ms <= self.to_ms and all(
            own[name] in values if name in own else not values.isdisjoint(_FACTS[name](message))
            for name, values in self.wanted.items()
        )


def read_selection(
    params: Mapping[str, Sequence[str]], allowed: set[str], *, most: int, latest_first: bool = False
) -> Selection:
    """Check the parameters of a selection, or refuse with the name of the wrong one."""
    for name in params:
        if name not in allowed:
            raise Refused(400, f"unknown parameter {name!r}")

    def last(name: str, default: str) -> str:
        return params.get(name, [""])[-1] or default

    order = last("order", "latestFirst" if latest_first else "earliestFirst")
    if order not in ("latestFirst", "earliestFirst"):
        raise Refused(400, f"invalid order: {order!r} is neither earliestFirst nor latestFirst")
    return Selection(
        {name: _values(name, params[name]) for name in params.keys() - _PAGING - _TOLERATED},
        from_ms=whole(last("fromDate", "0"), "fromDate"),
        to_ms=whole(last("toDate", _FOREVER_MS), "toDate"),
        count=min(most, whole(last("count", str(most)), "count")),
        cursor=_cursor(last("cursor", ""), latest_first=order == "latestFirst"),
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


def _values(name: str, values: Sequence[str]) -> frozenset[str]:
    if name in ("messageIds", "dlqIds"):
        return frozenset(part.strip() for value in values for part in value.split(","))
    if name != "state":
        return frozenset(values)
    states = {"CANCELED" if value == "CANCELLED" else value for value in values}
    if wrong := states - _STATES - {"IN_PROGRESS"}:
        raise Refused(400, f"invalid state: {min(wrong)!r}")
    return frozenset(states | _IN_PROGRESS if "IN_PROGRESS" in states else states)


def _of(row: DeadLetter | LogRow) -> dict[str, str]:
    """Return what a row itself is chosen by, beside its message."""
    if isinstance(row, LogRow):
        return {"state": row.state}
    return {"dlqIds": row.id, "responseStatus": str(row.answer.status)}


def _cursor(text: str, *, latest_first: bool) -> Stamp | None:
    """Read a cursor: a stamp or, as the JavaScript SDK's documentation has it, a time in milliseconds."""
    if not text:
        return None
    if not (found := re.fullmatch(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", text)):
        raise Refused(400, f"invalid cursor: {text!r}")
    return int(found[1]), int(found[2] or (_FOREVER_MS if latest_first else -1))
