"""QStash's HTTP API: messages, logs and dead letters, by their wire names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from relay.errors import AnswerTooLong, LogTooLong, QStashError
from relay.qstash.http import ANSWER_MAX_BYTES, decoded, reading
from relay.qstash.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from relay.qstash.http import QStashHttp

CALLBACK_RETRIES = 5  # set explicitly: else a callback has as many as its message, perhaps none
CALLBACK_TIMEOUT_S = 20
LOG_PAGE = 100  # the most by QStash's documentation
LOG_PAGES_MAX = 50
LOG_LITTLE_PAGES = 50
CLOCK_MARGIN = timedelta(minutes=1)  # the largest difference between QStash's clock and the relay's
LOG_LITTLE_BYTES = 8 * 1024 * 1024
DEAD_LETTER_PAGE = 10  # each has a body; a dead callback's body holds another one, in base64
ONE_MAX_BYTES = 128 * 1024 * 1024  # of an answer with one entry: QStash's largest message is 50 MB


@dataclass(frozen=True)
class Message:
    """One message to publish.

    Attributes:
        destination: A URL group's name, or a URL.
        headers: The destinations' headers beside the content type; any text, made safe here.
        retry_delay: QStash's expression, in milliseconds.
        callback: The callback URL; None: QStash reports only a dead letter.
        not_before: The earliest time of the delivery; None: at once.
        label: The label of all messages of the event's generation; *delivery_label*: that of this delivery alone.
        labels: Further labels.
        flow_control: The key and its limits, in QStash's words.
        redact: The fields that QStash hides in its log, in its words.
        queue: The queue in which the message waits.
    """

    destination: str
    body: bytes
    content_type: str | None
    headers: Mapping[str, str]
    deduplication_id: str
    label: str
    callback: str | None
    failure_callback: str
    retries: int
    retry_delay: str | None
    timeout_s: int
    method: str = "POST"
    not_before: datetime | None = None
    delivery_label: str | None = None
    labels: tuple[str, ...] = ()
    flow_control: tuple[str, str] | None = None
    redact: tuple[str, ...] = ()
    queue: str | None = None

    def wire_headers(self) -> dict[str, str]:
        """Return the message's settings as headers of the request to QStash."""
        settings = {
            "Content-Type": self.content_type,
            "Upstash-Method": self.method,
            "Upstash-Deduplication-Id": self.deduplication_id,
            "Upstash-Label": ",".join(filter(None, (self.label, self.delivery_label, *self.labels))),
            "Upstash-Not-Before": None if self.not_before is None else str(math.ceil(self.not_before.timestamp())),
            "Upstash-Flow-Control-Key": self.flow_control and self.flow_control[0],
            "Upstash-Flow-Control-Value": self.flow_control and self.flow_control[1],
            "Upstash-Redact-Fields": ",".join(self.redact) or None,
            "Upstash-Retries": str(self.retries),
            "Upstash-Retry-Delay": self.retry_delay,
            "Upstash-Timeout": f"{self.timeout_s}s",
            "Upstash-Callback": self.callback,
            "Upstash-Callback-Retries": self.callback and str(CALLBACK_RETRIES),
            "Upstash-Callback-Timeout": self.callback and f"{CALLBACK_TIMEOUT_S}s",
            "Upstash-Failure-Callback": self.failure_callback,
            "Upstash-Failure-Callback-Retries": str(CALLBACK_RETRIES),
            "Upstash-Failure-Callback-Timeout": f"{CALLBACK_TIMEOUT_S}s",
        }
        forwarded = {f"Upstash-Forward-{name}": value for name, value in self.headers.items()}
        return {name: _safe(value) for name, value in (settings | forwarded).items() if value is not None}

    @property
    def text(self) -> str | None:
        """The body as text, which a batch can carry; None if it isn't text."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return None


@dataclass(frozen=True)
class Accepted:
    """One message that QStash has taken: its id, and its URL if it belongs to a group."""

    message_id: str
    url: str | None


@dataclass(frozen=True)
class LogRow:
    """One line of QStash's log: a message's new state, and when.

    Attributes:
        state: `CREATED`, `ACTIVE`, `RETRY`, `ERROR`, `DELIVERED`, `FAILED`, `CANCEL_REQUESTED`, `CANCELED`.
        endpoint: The endpoint's name, if the message belongs to a group.
        status: The destination's HTTP status; None: no answer came, or the line is about none.
        next_at: When the next attempt is due.
    """

    at: datetime
    state: str
    message_id: str
    labels: tuple[str, ...]
    url: str | None
    endpoint: str | None
    status: int | None
    response: bytes
    next_at: datetime | None


@dataclass(frozen=True)
class DeadLetter:
    """One message that spent its attempts, as QStash keeps it.

    Attributes:
        attempts: The number of attempts, unless an answer ended them early.
        status: The destination's last HTTP status; None: no answer came.
        body: The message's body.
    """

    id: str
    message_id: str
    labels: tuple[str, ...]
    url: str
    endpoint: str | None
    attempts: int
    status: int | None
    failure_callback: str | None
    body: bytes


class QStash:
    """A client of one QStash account: publishes messages, and reads the log and the dead letters.

    Attributes:
        http: Makes the calls.
        resources: The account's URL groups, schedules, queues, flow controls and signing keys.
    """

    def __init__(self, http: QStashHttp) -> None:
        self.http = http
        self.resources = Resources(http)
        self._letters_count = DEAD_LETTER_PAGE  # of the list's last page: the next ones are probably as large

    def publish(self, messages: Sequence[Message]) -> list[list[Accepted] | QStashError]:
        """Publish *messages* in one call; if there are several, each must be text.

        Returns:
            For each message an `Accepted` an endpoint, or one for a URL.  If there are several, the entry of one may be
            an error without a status: published alone, the message gets an answer with one.

        Raises:
            QStashError: QStash took none, or nobody knows: the same ids may be published again.

        Source: https://upstash.com/docs/qstash/features/batch ; accounts were seen to refuse a batch whole, too.
        """
        if len(messages) == 1:
            (message,) = messages
            headers = message.wire_headers()
            path = f"/v2/enqueue/{quote(message.queue)}" if message.queue else "/v2/publish"
            path = f"{path}/{message.destination}"
            return [_accepted(self.http.call("POST", path, content=message.body, headers=headers))]
        items = [
            {"destination": message.destination, "headers": message.wire_headers(), "body": message.text}
            | ({"queue": message.queue} if message.queue else {})
            for message in messages
        ]
        answer = self.http.call("POST", "/v2/batch", json=items)
        if not isinstance(answer, list) or len(answer) != len(messages):
            raise QStashError("the answer to a batch doesn't have one entry a message")
        return [_accepted_or_not(it) for it in answer]

    def log_of(self, labels: Collection[str]) -> list[LogRow]:
        """Return all lines of QStash's log under any of *labels*, the oldest first.

        If there are more than `LOG_PAGES_MAX` pages, the labels are halved and each half is asked for.

        Raises:
            LogTooLong: One label alone has more pages.
            QStashError: The log can't be read.
        """
        asked = sorted(labels)
        rows, more = self._pages({"label": asked}, LOG_PAGES_MAX)
        if not more:
            with reading():
                return sorted(map(_log_row, reversed(rows)), key=lambda it: it.at)  # within 1 ms, as they came
        if len(asked) == 1:
            raise LogTooLong(f"its log has more than {LOG_PAGES_MAX * LOG_PAGE} lines under one label")
        half = len(asked) // 2
        both = [*self.log_of(asked[:half]), *self.log_of(asked[half:])]
        return sorted(dict.fromkeys(both), key=lambda it: it.at)

    def log_reaches(self, moment: datetime) -> bool:
        """Tell whether QStash's log surely still has the lines of *moment*: it forgets by age and by size.

        It has them if it has an older line, or if it is so short that it forgot nothing for its size.
        """
        return self.log_has_before(moment) or self.log_is_whole()

    def log_has_before(self, moment: datetime) -> bool:
        """Tell whether QStash's log has a line from before *moment*."""
        older, _, _ = self._log({"toDate": int((moment - CLOCK_MARGIN).timestamp() * 1000)}, 1)
        return bool(older)

    def log_is_whole(self) -> bool:
        """Tell whether QStash's log is so short that it forgot nothing for its size."""
        rows, more = self._pages({}, LOG_LITTLE_PAGES)
        with reading():
            size = sum(row["body"] + len(row.get("responseBody") or "") for row in rows)
        return not more and size < LOG_LITTLE_BYTES

    def _pages(self, params: Mapping[str, Any], most: int) -> tuple[list[Any], bool]:
        """Return the lines of the first *most* pages, the newest first, and whether there are more."""
        rows: list[Any] = []
        cursor, count, read = None, LOG_PAGE, 0
        while read < most * LOG_PAGE:
            page, cursor, count = self._log({**params, "cursor": cursor}, count)
            rows += page
            read += count
            if not cursor:
                return rows, False
        return rows, True

    def _log(self, params: Mapping[str, Any], count: int) -> tuple[list[Any], str | None, int]:
        """Return a page of the log of *count* lines, its cursor, and the number of lines that was asked for in the end.

        Only the length of a line's body is kept, since many pages are read at once.
        """
        answer, count = self._page("/v2/logs", params, count)
        with reading():
            rows = answer.get("logs") or answer.get("events") or []
            return [{**it, "body": len(it.get("body") or "")} for it in rows], answer.get("cursor") or None, count

    def _page(self, path: str, params: Mapping[str, Any], count: int) -> tuple[Any, int]:
        """Return a page of *count* entries, or of fewer if these are too large together; and the number asked for."""
        asked = {name: it for name, it in params.items() if it is not None}
        while True:
            most = ANSWER_MAX_BYTES if count > 1 else ONE_MAX_BYTES
            try:
                return self.http.call("GET", path, params={**asked, "count": count}, most_bytes=most), count
            except AnswerTooLong:
                if count == 1:
                    raise
                count = max(1, count // 3)

    def has(self, message_id: str) -> bool:
        """Tell whether QStash still has the message: it waits, is being delivered, or will be tried again."""
        return self.http.call("GET", f"/v2/messages/{quote(message_id)}", absent_is_fine=True) is not None

    def dead_letters(
        self, *, labels: Collection[str] = (), since: datetime | None = None, cursor: str | None = None
    ) -> tuple[list[DeadLetter], str | None]:
        """Return one page of dead letters under any of *labels*, *since* a time, and its cursor; the oldest first."""
        count = DEAD_LETTER_PAGE if cursor is None else self._letters_count
        params = {
            "label": sorted(labels) or None,
            "fromDate": since and int(since.timestamp() * 1000),
            "cursor": cursor,
        }
        answer, self._letters_count = self._page("/v2/dlq", params, count)
        with reading():
            found = map(_dead_letter, answer.get("messages") or [])
            return [it for it in found if it is not None], answer.get("cursor") or None

    def delete_dead_letter(self, id_: str) -> None:
        """Delete one dead letter; one that isn't there is fine.

        Never delete several in one call: if QStash doesn't read their ids, that call deletes all dead letters.
        """
        self.http.call("DELETE", f"/v2/dlq/{quote(id_, safe='')}", absent_is_fine=True)


def _accepted(answer: Any) -> list[Accepted]:
    with reading():
        if isinstance(answer, dict) and "messages" in answer:
            answer = answer["messages"]
        return [Accepted(_message_id(it), it.get("url")) for it in (answer if isinstance(answer, list) else [answer])]


def _accepted_or_not(entry: Any) -> list[Accepted] | QStashError:
    """Return the accepted messages of one entry of a batch's answer, or the entry's error."""
    try:
        return _accepted(entry)
    except QStashError as error:
        return error


def _message_id(one: Mapping[str, Any]) -> str:
    message_id = one["messageId"]
    if not isinstance(message_id, str) or not message_id:
        raise ValueError("a messageId is text")
    return message_id


def _log_row(row: Mapping[str, Any]) -> LogRow:
    return LogRow(
        at=_time(row["time"]),
        state=row["state"],
        message_id=row["messageId"],
        labels=_labels(row),
        url=row.get("url"),
        endpoint=row.get("endpointName"),
        status=row.get("responseStatus") or None,
        response=decoded(row.get("responseBody")),
        next_at=_time(row["nextDeliveryTime"]) if row.get("nextDeliveryTime") else None,
    )


def _dead_letter(letter: Mapping[str, Any]) -> DeadLetter | None:
    """Return a dead letter; None if it has no id.  All other fields may be missing."""
    id_, message_id, body = (letter.get(name) for name in ("dlqId", "messageId", "body"))
    if not isinstance(id_, str) or not isinstance(message_id, str):
        return None
    retries, status = letter.get("maxRetries"), letter.get("responseStatus")
    return DeadLetter(
        id=id_,
        message_id=message_id,
        labels=_labels(letter),
        url=letter.get("url") or "",
        endpoint=letter.get("endpointName") or None,
        attempts=(retries if isinstance(retries, int) else 0) + 1,
        status=status if isinstance(status, int) and status else None,
        failure_callback=letter.get("failureCallback") or None,
        body=body.encode() if isinstance(body, str) else decoded(letter.get("bodyBase64")),
    )


def _labels(wire: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(filter(None, wire.get("labels") or [wire.get("label")]))


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _safe(value: str) -> str:
    """Return *value* as a header can carry it: printable ASCII with no blank at its ends; else percent-encoded."""
    if value.isascii() and value.isprintable() and value == value.strip():
        return value
    quoted = quote(value, safe=" /:;,.-_=+()'\"", errors="replace")
    return re.sub("^ +| +$", lambda it: "%20" * len(it[0]), quoted)
