"""Quarantine: keeps a whole request that was refused for its signature alone, until the right secret proves it.

Some senders never send again.  When such a sender's key changes before the relay's does, every webhook in between
would be lost.  A quarantined request is never published and never shown, and it expires.  Its sender gets the same
refusal as without quarantine.  When the quarantine is full, further requests are only counted: a flood can fill it, but
can't push out older requests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relay.errors import OperatorError, RelayError, SignatureError, UpstreamError
from relay.model.ids import from_iso, iso
from relay.runtime.http_api import logger, note
from relay.runtime.metrics import Metric, count
from relay.runtime.parallel import supervised
from relay.verification.request import InboundRequest
from relay.verification.signatures import check_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.config.settings import Source
    from relay.runtime.http_api import Request
    from relay.storage.store import Store

ASKED_AGAIN = timedelta(seconds=10)  # how long an instance remembers that there is no room, or that a request is kept
REMEMBERED_MAX = 1000
STEPS = 24  # in the time that requests are kept: all requests of one step expire together
STEP_MAX_S = 6 * 3600
# The signature is of no current secret, or there is no usable secret.
_UNPROVEN = {"bad_signature", "no_secret", "unusable_secret"}
# The gateway adds these, with other values each time.
_OF_THE_GATEWAY = {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}


@dataclass(frozen=True)
class Quarantined:
    """One refused request, whole.

    Attributes:
        bases: The relay's own base URLs when the request arrived.
        headers: Names in lower case.
        reason: Why the request was refused.
    """

    source: str
    received_at: datetime
    expires_at: datetime
    method: str
    path: str
    query_string: str
    bases: tuple[str, ...]
    headers: dict[str, str]
    body: bytes
    reason: str

    @property
    def id(self) -> str:
        """An id made of the request itself: the same request always has it, so it is kept once."""
        headers = sorted(it for it in self.headers.items() if it[0] not in _OF_THE_GATEWAY)
        head = json.dumps([self.method, self.path, self.query_string, headers]).encode()
        return hashlib.sha256(head + b"\0" + self.body).hexdigest()[:32]

    def received(self, bases: Iterable[str]) -> InboundRequest:
        """Return the request for verification, with the base URLs of its arrival and of now (*bases*)."""
        query = f"?{self.query_string}" if self.query_string else ""
        urls = [f"{base}{self.path}{query}" for base in dict.fromkeys((*self.bases, *bases))]
        return InboundRequest(method=self.method, urls=urls, headers=self.headers, body=self.body)

    def dump(self) -> bytes:
        """Return the request as the bucket keeps it: JSON, the body in base64."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        times = {name: iso(held[name]) for name in ("received_at", "expires_at")}
        return json.dumps({**held, **times, "body": base64.b64encode(self.body).decode()}).encode()

    @classmethod
    def load(cls, data: bytes, source: str) -> Quarantined:
        """Return the request of *source* that *data* holds.

        Raises:
            ValueError: *data* holds no request, or one of another source.
        """
        try:
            held = json.loads(data)
            times = {name: from_iso(held[name]) for name in ("received_at", "expires_at")}
            found = cls(**{**held, **times, "bases": tuple(held["bases"]), "body": base64.b64decode(held["body"])})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError("the kept request can't be read: discard it") from error
        if found.source != source or not isinstance(found.headers, dict):
            raise ValueError("the kept request is of another source: discard it")
        texts = [found.method, found.path, found.query_string, found.reason, *found.bases, *found.headers.values()]
        if not all(isinstance(it, str) for it in texts):
            raise ValueError("the kept request can't be read: discard it")
        return found


@dataclass
class Remembered:
    """What one function instance remembers for a moment: which sources have no room, which requests are kept."""

    until: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def knows(self, source: str, what: str, now: datetime) -> bool:
        """Tell whether the instance remembers *what* of *source*."""
        return now < self.until.get((source, what), now)

    def remember(self, source: str, what: str, now: datetime) -> None:
        """Remember *what* of *source* for `ASKED_AGAIN`."""
        if len(self.until) >= REMEMBERED_MAX:
            self.until.clear()
        self.until[source, what] = now + ASKED_AGAIN


_REMEMBERED = Remembered()  # a process is one function instance
FULL = ""  # no request has this for an id


def keep(error: RelayError, source: Source, request: Request, *, bases: tuple[str, ...], store: Store) -> None:
    """Keep *request* if *source* has a quarantine and only its signature is wrong.  Raises nothing.

    Args:
        error: The refusal.
        bases: The relay's own base URLs.
    """
    outcome = supervised(lambda it: _kept(error, source, it, bases, store, _REMEMBERED), request)
    if isinstance(outcome, UpstreamError):  # the sender is answered all the same
        count(Metric.NOT_QUARANTINED)
        logger.warning("a refused request was not kept", extra={"failure": str(outcome)})


def _kept(
    error: RelayError, source: Source, request: Request, bases: tuple[str, ...], store: Store, remembered: Remembered
) -> None:
    now = store.now()
    if not source.quarantine_s or not _is_unproven(error):
        return
    held = Quarantined(
        source=source.name,
        received_at=now,
        expires_at=expiry(now, source.quarantine_s),
        method=request.method,
        path=request.path,
        query_string=request.query_string,
        bases=bases,
        headers=dict(request.headers),
        body=request.body,
        reason=error.reason if isinstance(error, SignatureError) else error.code,
    )
    try:
        check_form(source.row, held.received(()), at=now.timestamp())
    except SignatureError:  # the request has other mistakes, which no secret mends
        return
    if remembered.knows(source.name, held.id, now):
        return
    data = held.dump()
    if not _has_room(held, len(data), store, remembered, now):
        count(Metric.NOT_QUARANTINED)
        note(quarantine="full")
        return
    _put(held, data, store)
    remembered.remember(source.name, held.id, now)
    note(quarantine=held.id)


def _has_room(held: Quarantined, size: int, store: Store, remembered: Remembered, now: datetime) -> bool:
    if remembered.knows(held.source, FULL, now):
        return False
    has_room = store.quarantine.take_room(held.source, size, held.expires_at)
    if not has_room:
        remembered.remember(held.source, FULL, now)
    return has_room


def _put(held: Quarantined, data: bytes, store: Store) -> None:
    """Put the request into the bucket; give its room back if it was there already, or can't be put."""
    is_new = False
    try:
        is_new = store.quarantine.put(held.source, held.id, data)
    finally:
        if not is_new:
            with suppress(UpstreamError):  # the room comes back when the request would have expired
                store.quarantine.give_room_back(held.source, len(data), held.expires_at)


def _is_unproven(error: RelayError) -> bool:
    """Tell whether only a secret is missing: the relay has another, has none, or can't use the one it has."""
    return error.reason in _UNPROVEN if isinstance(error, SignatureError) else isinstance(error, OperatorError)


def expiry(received_at: datetime, kept_s: int) -> datetime:
    """Return when a request expires that arrived at *received_at*: after *kept_s* seconds, at the end of its step."""
    step = max(60, min(STEP_MAX_S, kept_s // STEPS))
    return datetime.fromtimestamp(math.ceil((received_at.timestamp() + kept_s) / step) * step, UTC)
