"""The verb of a refusal: count it, keep a sample, and never change the answer.

What it costs.  The metric counts every refusal exactly: one line in the log.  The table is written in one update per
sample (2 write units as a rule and 4 at most, since `relay.model.refusal` cuts what strangers write; up to 4 read units
to find the oldest slot), which also adds what was counted since the last.  `Pace` decides how often:

* Refusals of one source and reason that come seconds apart are each kept: providers, and people trying things.
* In a flood each function instance writes a source and reason 1, 2, 4 … s apart, soon once a minute, and all of them
  together `WRITES_PER_MINUTE` times at most.  1,000 instances that are flooded for one reason end at 17 writes a
  second, 34 write units; for every source and reason that there is, at 500 writes, 1,000 units over the partitions of
  all those sources.  The bodies and events of real webhooks have partitions of their own.
* The first refusal of a source and reason after `QUIET` without any is written beyond that, so that noise on one hides
  no other that begins.  A flood has one, at its start.  Whoever keeps to one a minute, in each of 1,000 instances, gets
  17 more writes a second for each source and reason, 34 units: one write for each request.

So the table's counts are short of the metric's by what instances had counted and not written when they ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relay.errors import (
    BodyTooLarge,
    HandshakeFailed,
    NotFound,
    OperatorError,
    RelayError,
    SenderError,
    SignatureError,
    UnknownPath,
    UpstreamError,
)
from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason, Refusal
from relay.runtime.http_api import logger, note
from relay.runtime.metrics import count_refused

if TYPE_CHECKING:
    from relay.config.settings import Settings
    from relay.runtime.http_api import Request
    from relay.storage.store import Store
    from relay.verification.scheme import Row

GAP_MIN = timedelta(seconds=1)
GAP_MAX = timedelta(seconds=60)
WRITES_PER_MINUTE = 30
QUIET = timedelta(minutes=1)  # without a refusal of a source and reason: the next is its first
READS = frozenset({"GET", "HEAD", "OPTIONS"})
LONG_AGO = datetime.min.replace(tzinfo=UTC)

Key = tuple[str, Reason]


@dataclass
class _Paced:
    """One source and reason in one function instance: what isn't written yet, and when it may be."""

    waiting: int = 0
    gap: timedelta = GAP_MIN
    next_at: datetime = LONG_AGO
    last_at: datetime = LONG_AGO


class RefusalPace:
    """How often one function instance writes down refusals.  As many keys as there are sources and reasons, no more."""

    def __init__(self) -> None:
        self._keys: dict[Key, _Paced] = {}
        self._minute_began_at = LONG_AGO
        self._written = 0

    def take(self, key: Key, now: datetime) -> int:
        """Count one refusal of *key*; return how many to write down now, 0 for none."""
        paced = self._keys.setdefault(key, _Paced())
        paced.waiting += 1
        is_first, paced.last_at = now - paced.last_at >= QUIET, now
        if now < paced.next_at or not (is_first or self._has_room(now)):
            return 0
        # A second one within the gap is the beginning of a flood; a whole gap of silence is its end.
        over = paced.waiting == 1 or now - paced.next_at >= paced.gap
        paced.gap = GAP_MIN if over else min(GAP_MAX, paced.gap * 2)
        paced.next_at = now + paced.gap
        amount, paced.waiting = paced.waiting, 0
        return amount

    def give_back(self, key: Key, amount: int, now: datetime) -> None:
        """Take *amount* back, which couldn't be written, and let the table be for a while."""
        paced = self._keys[key]
        paced.waiting += amount
        paced.next_at = now + GAP_MAX

    def _has_room(self, now: datetime) -> bool:
        if now - self._minute_began_at >= timedelta(minutes=1):
            self._minute_began_at, self._written = now, 0
        self._written += 1
        return self._written <= WRITES_PER_MINUTE


_PACE = RefusalPace()  # a process is one function instance


def record_refusal(
    error: RelayError, request: Request, *, settings: Settings, store: Store, pace: RefusalPace = _PACE
) -> Reason | None:
    """Count and keep the refusal that *error* is, if it is one.  Raises nothing: what fails here is only logged.

    Args:
        error: What ended a request to `/webhooks/{source}`.

    Returns:
        Its reason; None where *error* refuses nothing, but tells that the relay couldn't do its part.
    """
    reason = reason_of(error)
    if reason is None:
        return None
    name = request.path_parameters.get("source", "")
    source = name if name in settings.sources else UNKNOWN_SOURCE_NAME
    note(source=source, refused=reason.value)
    count_refused(source, reason)
    if reason is Reason.UNKNOWN_PATH and request.method in READS and not _names_source(request, settings):
        return reason  # scanners ask this of every host: counted, but kept it would push out what tells something
    now = store.now()
    amount = pace.take((source, reason), now)
    if not amount:
        return reason
    refusal = Refusal.of(
        source,
        reason,
        str(error),
        at=now,
        method=request.method,
        path=request.path,
        query_string=request.query_string,
        headers=request.headers,
        source_ip=request.source_ip,
        body=request.body,
    )
    if _may_hold_secret(source, settings):
        refusal = replace(refusal, body=b"")
    try:
        store.refusals.record(refusal, amount)
    except RelayError as failure:
        pace.give_back((source, reason), amount, now)
        logger.warning("a refusal was not kept", extra={"failure": str(failure)})
    return reason


def _names_source(request: Request, settings: Settings) -> bool:
    return any(step in settings.sources for step in request.path.split("/"))


def _may_hold_secret(source: str, settings: Settings) -> bool:
    """Tell whether a secret may stand in the body of a request to *source*; if unknown, to any that it may mean."""
    meant = [settings.sources[source]] if source in settings.sources else settings.sources.values()
    return any(_sends_secret(it.row) for it in meant)


def _sends_secret(row: Row) -> bool:
    """Tell whether the proof of a scheme is the secret itself, and stands outside the headers."""
    places = [it.place for it in row.spots] if row.is_secret_itself else []
    places += [place for place, it in row.requires if any(field.startswith("secret") for field in it.fields)]
    steps = [it for place in places for it in place.split("|")]
    shown = row.special is not None and row.special.shows_secret
    return shown or any(it.startswith(("body:", "form:", "query:")) for it in steps)


def reason_of(error: RelayError) -> Reason | None:
    """Return why *error* refuses a request; None where it doesn't: the relay, or what it stands on, failed."""
    match error:
        case SignatureError():
            try:
                return Reason(error.reason)
            except ValueError:  # a word that isn't one of the fixed set would be a new dimension and a new key
                return Reason.BAD_SIGNATURE
        case UnknownPath():
            return Reason.UNKNOWN_PATH
        case NotFound():
            return Reason.UNKNOWN_SOURCE
        case BodyTooLarge():
            return Reason.BODY_TOO_LARGE
        case SenderError():
            return Reason.UNREADABLE
        case HandshakeFailed():
            return Reason.HANDSHAKE_FAILED
        case OperatorError() if not isinstance(error.__cause__, UpstreamError):
            return Reason.NO_SECRET
    return None
