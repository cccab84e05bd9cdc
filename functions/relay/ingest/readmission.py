"""Readmits quarantined requests: proves each against the current secrets, and accepts those that pass.

A readmitted request keeps its time of arrival, its id and the age of its signed time.  Its routes and the paused
destinations are the current ones.  A redelivery that arrived meanwhile is the same event.  A request leaves quarantine
once its event is durable, so a second readmission finds a duplicate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest, Defect, SignatureError, UpstreamError
from relay.ingest.accept import accept
from relay.ingest.quarantine import Quarantined
from relay.ingest.webhook import Webhook
from relay.model.ids import iso
from relay.model.refusal import NAME_MAX_CHARS, VALUE_MAX_CHARS, plain
from relay.runtime.http_api import note
from relay.runtime.metrics import Metric, count, count_routing
from relay.runtime.parallel import WORKERS, each
from relay.storage.quarantine import BYTES_MAX, NUMBER_MAX
from relay.verification.verify import WebhookInfo, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from relay.config.settings import Settings, Source
    from relay.publishing.publisher import Publisher
    from relay.storage.quarantine import Cell
    from relay.storage.store import Store
    from relay.verification.secret import Secret

ANSWER_MAX = 100  # requests in one answer
LEFT_MIN = timedelta(hours=1)  # of the life of an event, which begins when its request came
ID = re.compile("[0-9a-f]{32}")
ACTIONS = ("check", "release", "discard")


@dataclass(frozen=True)
class Readmission:
    """What readmitting the requests of one source needs; *secrets* are its current signing secrets."""

    source: Source
    settings: Settings
    store: Store
    secrets: Sequence[Secret]
    publisher: Callable[[], Publisher]
    paused: Callable[[], Collection[str]]

    def checked(self, id_: str) -> dict[str, Any] | None:
        """Return the quarantined request with this id, and whether it would pass; None where there is none.

        Raises:
            UpstreamError: The bucket doesn't answer now.
        """
        held = self._held(id_)
        if held is None:
            return None
        _, record = self._judged(id_, held)
        return record

    def released(self, id_: str) -> dict[str, Any] | None:
        """Accept the quarantined request with this id if it passes; return as `checked` does, with the outcome.

        Raises:
            UpstreamError: The bucket or the table doesn't answer now.
        """
        held = self._held(id_)
        if held is None:
            return None
        said, record = self._judged(id_, held)
        if said is None or not isinstance(held, Quarantined):
            return record
        webhook = Webhook(held.source, held.received_at, said, held.headers.get("content-type"), held.body)
        try:
            accepted = accept(
                self.source,
                webhook,
                settings=self.settings,
                store=self.store,
                publisher=self.publisher,
                paused=self.paused,
            )
        except SignatureError as error:  # a suspected replay, which this source refuses
            return record | _refused(error)
        self._forget(id_, held)
        if accepted.failure is not None:  # the sweep publishes it
            count(Metric.DEFECTS if isinstance(accepted.failure, Defect) else Metric.PUBLISH_FAILED)
        if not accepted.duplicate:
            count(Metric.ACCEPTED)
            count_routing(accepted.event)
        if accepted.conflict:
            count(Metric.CONFLICTS)
        outcome = "duplicate" if accepted.duplicate else "released"
        return record | {"outcome": outcome, "event_id": accepted.event.id}

    def discarded(self, id_: str) -> dict[str, Any] | None:
        """Delete the quarantined request with this id, readable or not."""
        held = self._held(id_)
        if held is None:
            return None
        self._forget(id_, held)
        told = _told(id_, held) if isinstance(held, Quarantined) else _unknown(id_, held)
        return told | {"outcome": "discarded"}

    def _held(self, id_: str) -> Quarantined | str | None:
        """Return the quarantined request with this id, or why it can't be read; None where there is none."""
        data = self.store.quarantine.get(self.source.name, id_)
        if data is None:
            return None
        try:
            held = Quarantined.load(data, self.source.name)
        except ValueError as error:  # a damaged request must not keep the others waiting
            return str(error)
        if held.expires_at <= self.store.now():
            self.store.quarantine.delete(self.source.name, id_)
            return None
        return held

    def _judged(self, id_: str, held: Quarantined | str) -> tuple[WebhookInfo | None, dict[str, Any]]:
        """Return the webhook's info if the request passes, else None; and the record that an operator is shown."""
        if not isinstance(held, Quarantined):
            return None, _unknown(id_, held)
        told = _told(id_, held)
        kept_until = held.received_at + timedelta(days=self.settings.retention_days)
        if kept_until - self.store.now() < LEFT_MIN:
            return None, told | {
                "outcome": "refused",
                "why": "too_old",
                "message": "the event would expire within the hour: raise retention_days, or discard it",
            }
        received = held.received(self.settings.base_urls)
        try:
            info = verify(self.source.row, received, self.secrets, at=held.received_at.timestamp())
        except SignatureError as error:
            return None, told | _refused(error)
        if not isinstance(info, WebhookInfo):
            return None, told | {
                "outcome": "refused",
                "why": "handshake",
                "message": "the request is a handshake, not an event: discard it",
            }
        key = info.idempotency_key if info.has_id else None
        return info, told | {"outcome": "passes", "event_type": info.event_type, "idempotency_key": key}

    def _forget(self, id_: str, held: Quarantined | str) -> None:
        self.store.quarantine.delete(self.source.name, id_)
        if isinstance(held, Quarantined):
            self.store.quarantine.give_room_back(self.source.name, len(held.dump()), held.expires_at)


def listed(readmission: Readmission, query: Mapping[str, str], seconds_left: Callable[[], float]) -> dict[str, Any]:
    """Return a page of the quarantined requests of a source, the oldest first, and which of them would pass.

    Raises:
        BadRequest: The query has an unknown parameter, or the cursor is of another listing.
        UpstreamError: The bucket or the table doesn't answer.
    """
    if unknown := set(query) - {"cursor"}:
        raise BadRequest(f"unknown parameters: {', '.join(sorted(unknown))} (allowed: cursor)", code="unknown_filter")
    return _went_through(readmission, readmission.checked, query.get("cursor"), None, seconds_left, workers=WORKERS)


def turned(readmission: Readmission, asked: Mapping[str, Any], seconds_left: Callable[[], float]) -> dict[str, Any]:
    """Check, release or discard quarantined requests of a source: those in `ids`, or a page of all, the oldest first.

    Raises:
        BadRequest: The action, the ids or the cursor can't be used.
        UpstreamError: The bucket or the table doesn't answer.
    """
    action, cursor, ids = asked.get("action"), asked.get("cursor"), asked.get("ids")
    if action not in ACTIONS or set(asked) - {"action", "cursor", "ids"}:
        raise BadRequest(
            'body must be {"action": "check" | "release" | "discard"} with "ids", or with the "cursor" of the last page'
        )
    if ids is not None and (cursor is not None or not _are_ids(ids)):
        raise BadRequest(f"ids must be a list of the ids of up to {ANSWER_MAX} kept requests, without a cursor")
    if action == "discard" and ids is None:
        raise BadRequest("discard needs ids: it deletes requests for good")
    if cursor is not None and not isinstance(cursor, str):
        raise _no_cursor()
    note(action=action)
    work = {"check": readmission.checked, "release": readmission.released, "discard": readmission.discarded}[
        str(action)
    ]
    # Releases run one after another, so that the oldest is published first.
    return _went_through(readmission, work, cursor, ids, seconds_left, workers=WORKERS if action == "check" else 1)


def _are_ids(ids: object) -> bool:
    if not isinstance(ids, list) or not 0 < len(ids) <= ANSWER_MAX:
        return False
    return all(isinstance(it, str) and ID.fullmatch(it) for it in ids)


def _went_through(
    readmission: Readmission,
    work: Callable[[str], dict[str, Any] | None],
    cursor: str | None,
    ids: list[str] | None,
    seconds_left: Callable[[], float],
    *,
    workers: int,
) -> dict[str, Any]:
    """Do *work* on quarantined requests until all are done, the answer is full or time is short; tell each outcome."""
    after = _cell_before(cursor)
    cells = readmission.store.quarantine.cells(readmission.source.name) if ids is None else []
    todo: list[tuple[str, str | None]] = [(id_, None) for id_ in dict.fromkeys(ids or ())]
    todo += [(cell.id, _cursor(cell)) for cell in cells if after is None or (cell.at, cell.id) > after]
    records: list[dict[str, Any]] = []
    done = 0
    while done < len(todo) and len(records) < ANSWER_MAX and (seconds_left() > 0 or not done):
        some = [id_ for id_, _ in todo[done : done + min(workers, ANSWER_MAX - len(records))]]
        for id_, found in zip(some, each(work, some, workers=workers), strict=True):
            if (told := _outcome(id_, found, named=ids is not None)) is not None:
                records.append(told)
        done += len(some)
    left = todo[done:]
    number, size = readmission.store.quarantine.count(readmission.source.name)
    note(went_through=done, events=[told["event_id"] for told in records if told.get("event_id")])
    return {
        "source": readmission.source.name,
        "kept_s": readmission.source.quarantine_s or None,
        "number": number,
        "number_max": NUMBER_MAX,
        "bytes": size,
        "bytes_max": BYTES_MAX,
        "requests": records,
        "left": [id_ for id_, at in left if at is None],
        "cursor": todo[done - 1][1] if left and done else None,
    }


def _outcome(id_: str, found: dict[str, Any] | UpstreamError | None, *, named: bool) -> dict[str, Any] | None:
    if isinstance(found, UpstreamError):
        if isinstance(found, Defect):
            count(Metric.DEFECTS)
            note(defect=str(found))
        return {"id": id_, "outcome": "failed", "why": found.code, "message": str(found)}
    return {"id": id_, "outcome": "gone"} if found is None and named else found


def _told(id_: str, held: Quarantined) -> dict[str, Any]:
    """Return the record of a quarantined request for operators: strangers' texts cut short, no secret, no body."""
    headers = {name: plain(held.headers.get(name, ""), VALUE_MAX_CHARS) for name in ("content-type", "user-agent")}
    return {
        "id": id_,
        "received_at": iso(held.received_at),
        "expires_at": iso(held.expires_at),
        "refused_for": held.reason,
        "method": plain(held.method, NAME_MAX_CHARS),
        "content_type": headers["content-type"] or None,
        "user_agent": headers["user-agent"] or None,
        "size_bytes": len(held.body),
    }


def _unknown(id_: str, why: str) -> dict[str, Any]:
    return {"id": id_, "outcome": "unreadable", "why": "unreadable", "message": why}


def _refused(error: SignatureError) -> dict[str, Any]:
    return {"outcome": "refused", "why": error.reason, "message": str(error)}


def _cursor(cell: Cell) -> str:
    return f"{iso(cell.at)}.{cell.id}"


def _cell_before(cursor: str | None) -> tuple[datetime, str] | None:
    """Return the last request of the page before, which *cursor* names.

    Raises:
        BadRequest: *cursor* is of another listing.
    """
    if cursor is None:
        return None
    text, _, id_ = cursor.rpartition(".")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _no_cursor() from None
    if at.tzinfo is None or not ID.fullmatch(id_):
        raise _no_cursor()
    return at, id_


def _no_cursor() -> BadRequest:
    return BadRequest("the cursor is of another listing: ask again without one", code="bad_cursor")
