"""Reads a message's history from QStash's log: its attempts and its end.  Hides the states that the log has."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.model.delivery import RESPONSE_EXCERPT_MAX_CHARS, Attempt, Report
from relay.model.ids import Generation
from relay.urls import is_callback

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from relay.qstash.client import LogRow

_CANCELLED = frozenset({"CANCELED", "CANCELLED"})  # QStash's documentation has both
_OUTCOMES = {"ERROR": False, "DELIVERED": True}  # of an attempt


@dataclass
class MessageHistory:
    """The history of one message in the log.

    Attributes:
        label: The relay's label, which names event and generation.
        destination: The destination's name: a group's endpoint, or the name in a label; None: the log has neither.
        state: The state of the last line.
        reports: The reports of the message's callbacks, whether they came or not.
        next_at: When the next attempt is due.
    """

    message_id: str
    label: str
    url: str | None
    destination: str | None
    state: str
    at: datetime
    reports: list[Report] = field(default_factory=list)
    next_at: datetime | None = None

    @property
    def cancelled(self) -> bool:
        """Tell whether somebody cancelled the message in QStash."""
        return self.state in _CANCELLED

    @property
    def failed(self) -> bool:
        """Tell whether the attempts are spent."""
        return self.state == "FAILED"

    @property
    def ended(self) -> bool:
        """Tell whether the message has ended."""
        return self.state in {"DELIVERED", "FAILED"} | _CANCELLED

    @property
    def begun(self) -> bool:
        """Tell whether an attempt was made, or may have been."""
        return self.state != "CREATED"

    def add(self, row: LogRow) -> None:
        """Add the next line."""
        self.state, self.at, self.next_at = row.state, row.at, row.next_at
        if row.state in _OUTCOMES:
            self._add_attempt(row, succeeded=_OUTCOMES[row.state])
        elif row.state == "FAILED":
            if not self.reports:  # the line of the attempt itself is gone
                self._add_attempt(row, succeeded=False)
            self.reports.append(Report(self.reports[-1].attempt, dead=True))

    def _add_attempt(self, row: LogRow, *, succeeded: bool) -> None:
        attempt = Attempt(
            at=row.at,
            number=len(self.reports) + 1,
            message_id=row.message_id,
            generation=Generation(self.label.rpartition(".")[2]),
            succeeded=succeeded,
            status_code=row.status,
            response=row.response.decode(errors="replace")[:RESPONSE_EXCERPT_MAX_CHARS] or None,
        )
        self.reports.append(Report(attempt))

    def is_of(self, destination: str, url: str | None) -> bool:
        """Tell whether the message is for *destination*, whose URL is *url*; None: it has left the configuration.

        A deploy may change the URL, so the URL counts only if the log names no destination.
        """
        if self.destination is not None:
            return self.destination == destination
        return url is not None and self.url == url


def _labelled(labels: Iterable[str], of: str) -> str | None:
    """Return the destination that one of *labels* names, beside the label *of* event and generation."""
    return next((it.removeprefix(f"{of}.") for it in labels if it.startswith(f"{of}.")), None)


def read_histories(rows: Iterable[LogRow], labels: Iterable[str]) -> dict[str, list[MessageHistory]]:
    """Return the histories of the messages under each of *labels*, from *rows*, the oldest first.

    A callback is a message, too, and is left out: its history isn't that of the delivery.
    """
    wanted = set(labels)
    by_message: dict[str, MessageHistory] = {}
    for row in rows:
        label = next((it for it in row.labels if it in wanted), None)
        if label is None or is_callback(row.url):
            continue
        known = by_message.get(row.message_id)
        if known is None:
            destination = row.endpoint or _labelled(row.labels, label)
            known = MessageHistory(row.message_id, label, row.url, destination, row.state, row.at)
            by_message[row.message_id] = known
        known.add(row)
    found: dict[str, list[MessageHistory]] = {it: [] for it in wanted}
    for track in by_message.values():
        found[track.label].append(track)
    return found


LOG_LAG = timedelta(minutes=5)  # a line that QStash's log doesn't show by then never comes
LOG_RETENTION = timedelta(days=3)  # of the free plan
