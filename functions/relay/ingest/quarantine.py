"""Quarantine: keeps a request whole that was refused for its signature alone, so that the right secret may prove it.

A sender that never sends again loses what it sends from when its key was changed until the relay's was.  What is kept
is nobody's until a secret proves it: it is never published, never shown, and goes when its time is over.  The answer to
the sender stays what it is.  Where there is no room left what comes is only counted: a flood can fill the place, and
can't push out what was there before.
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

ASKED_AGAIN = timedelta(seconds=10)  # whether there is room, or the very request is kept; by each function instance
REMEMBERED_MAX = 1000
STEPS = 24  # of the time for which a request is kept: those of one step expire together, at its end
STEP_MAX_S = 6 * 3600
# No secret that there is made it; or there is none to be used: the same to a sender that never sends again.
_UNPROVEN = {"bad_signature", "no_secret", "unusable_secret"}
# What the gateway itself adds, another each time: the same request comes with others.
_OF_THE_GATEWAY = {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}


@dataclass(frozen=True)
class Quarantined:
    """One refused request, whole.

    Attributes:
        bases: The relay's own base URLs, as they were then.
        headers: Names in lower case.
        reason: Why it was refused.
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
        """What the same request always has: it is kept once."""
        headers = sorted(it for it in self.headers.items() if it[0] not in _OF_THE_GATEWAY)
        head = json.dumps([self.method, self.path, self.query_string, headers]).encode()
        return hashlib.sha256(head + b"\0" + self.body).hexdigest()[:32]

    def received(self, bases: Iterable[str]) -> InboundRequest:
        """Return the request as it came; *bases* are the relay's own URLs now: one may have been set too late."""
        query = f"?{self.query_string}" if self.query_string else ""
        urls = [f"{base}{self.path}{query}" for base in dict.fromkeys((*self.bases, *bases))]
        return InboundRequest(method=self.method, urls=urls, headers=self.headers, body=self.body)

    def dump(self) -> bytes:
        """Return it as it stands in the bucket: JSON, the body in base64."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        times = {name: iso(held[name]) for name in ("received_at", "expires_at")}
        return json.dumps({**held, **times, "body": base64.b64encode(self.body).decode()}).encode()

    @classmethod
    def load(cls, data: bytes, source: str) -> Quarantined:
        """Return the request of *source* that *data* holds.

        Raises:
            ValueError: It holds none, or another source's.
        """
        try:
            held = json.loads(data)
            times = {name: from_iso(held[name]) for name in ("received_at", "expires_at")}
            found = cls(**{**held, **times, "bases": tuple(held["bases"]), "body": base64.b64decode(held["body"])})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError("it can't be read") from error
        if found.source != source or not isinstance(found.headers, dict):
            raise ValueError("it is another's")
        texts = [found.method, found.path, found.query_string, found.reason, *found.bases, *found.headers.values()]
        if not all(isinstance(it, str) for it in texts):
            raise ValueError("it can't be read")
        return found


@dataclass
class Pace:
    """What one function instance needn't ask again for a moment: who has no room, which requests are kept."""

    until: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def knows(self, source: str, what: str, now: datetime) -> bool:
        """Tell whether *what* of *source* was found just now."""
        return now < self.until.get((source, what), now)

    def remember(self, source: str, what: str, now: datetime) -> None:
        """Remember for a moment *what* was found of *source*."""
        if len(self.until) >= REMEMBERED_MAX:
            self.until.clear()
        self.until[source, what] = now + ASKED_AGAIN


_PACE = Pace()  # a process is one function instance
FULL = ""  # no request has this for an id


def keep(error: RelayError, source: Source, request: Request, *, bases: tuple[str, ...], store: Store) -> None:
    """Keep *request* where *source* asks for that, and only who signed it is in doubt.  Raises nothing.

    Args:
        error: What it was refused with.
        bases: The relay's own base URLs.
    """
    outcome = supervised(lambda it: _kept(error, source, it, bases, store, _PACE), request)
    if isinstance(outcome, UpstreamError):  # the sender is answered all the same
        count(Metric.NOT_QUARANTINED)
        logger.warning("a refused request was not kept", extra={"failure": str(outcome)})


def _kept(
    error: RelayError, source: Source, request: Request, bases: tuple[str, ...], store: Store, pace: Pace
) -> None:
    now = store.now()
    if not source.quarantine_s or not _is_unproven(error):
        return  # it isn't asked for, or more is wrong, or something else
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
    except SignatureError:  # more than its signature is wrong
        return
    if pace.knows(source.name, held.id, now):
        return
    data = held.dump()
    if not _has_room(held, len(data), store, pace, now):
        count(Metric.NOT_QUARANTINED)
        note(quarantine="full")
        return
    _put(held, data, store)
    pace.remember(source.name, held.id, now)
    note(quarantine=held.id)


def _has_room(held: Quarantined, size: int, store: Store, pace: Pace, now: datetime) -> bool:
    if pace.knows(held.source, FULL, now):
        return False
    has_room = store.quarantine.take_room(held.source, size, held.expires_at)
    if not has_room:
        pace.remember(held.source, FULL, now)
    return has_room


def _put(held: Quarantined, data: bytes, store: Store) -> None:
    """Put it where room was taken for it; the room is given back where it is there already, or can't be put."""
    is_new = False
    try:
        is_new = store.quarantine.put(held.source, held.id, data)
    finally:
        if not is_new:
            with suppress(UpstreamError):  # then it is taken off when it would have expired
                store.quarantine.give_room_back(held.source, len(data), held.expires_at)


def _is_unproven(error: RelayError) -> bool:
    """Tell whether a request was refused for want of its secret: there was another, none, or none to be read."""
    return error.reason in _UNPROVEN if isinstance(error, SignatureError) else isinstance(error, OperatorError)


def expiry(received_at: datetime, kept_s: int) -> datetime:
    """Return when what came at a time expires: after *kept_s* seconds, at the end of a step that many share."""
    step = max(60, min(STEP_MAX_S, kept_s // STEPS))
    return datetime.fromtimestamp(math.ceil((received_at.timestamp() + kept_s) / step) * step, UTC)
