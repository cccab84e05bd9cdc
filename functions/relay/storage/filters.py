"""The filters of the listings, and how a query says them: times, statuses, the limit and the cursor.

`FILTERS` is the table: a filter by an attribute of the index `feed` is one row of it, and an option of the command.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from relay.errors import BadRequest
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.storage.items import HIGHEST, LOWEST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


LIMIT_DEFAULT = 50
LIMIT_MAX = 200
SORT_KEY_MAX_BYTES = 1024  # DynamoDB's


@dataclass(frozen=True)
class Filter:
    """One filter that a listing's query may say.

    Attributes:
        attribute: Of the feed's entries, which must equal the filter's text; None: the filter is read by a function of
            its own, below.
        of_delivery: Whether only the entries of deliveries have the attribute.
        chooses: Whether it chooses entries; the others bound a page of them.
    """

    attribute: str | None = None
    of_delivery: bool = False
    chooses: bool = True


FILTERS = {
    "source": Filter("source"),
    "type": Filter("event_type"),
    "destination": Filter("destination", of_delivery=True),
    "status": Filter(),
    "since": Filter(),
    "until": Filter(),
    "limit": Filter(chooses=False),
    "cursor": Filter(chooses=False),
}
CHOOSING = tuple(name for name, row in FILTERS.items() if row.chooses)


@dataclass(frozen=True)
class Filters:
    """Which records to list, newest first.

    Attributes:
        equal: Attributes that the entries must have, and their values.
        of_event: Those of them that an event's entry has, too.
        statuses: The statuses of the deliveries.
        since, below: Sort keys: ISO times, or all there is.
    """

    equal: Mapping[str, str]
    of_event: Mapping[str, str]
    statuses: tuple[str, ...]
    since: str
    below: str
    limit: int
    digest: str

    @property
    def destination(self) -> str | None:
        """The destination of the deliveries; None: any."""
        return self.equal.get("destination")

    @classmethod
    def of(cls, query: Mapping[str, str], *, also: str = "") -> Filters:
        """Return the filters of a query string.

        Args:
            also: A status that the query may say, too, though no delivery has it.

        Raises:
            BadRequest: It names an unknown filter, or a value that the filter can't have.
        """
        check_names(query, FILTERS)
        asked = {name: value for name, value in query.items() if name in CHOOSING}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        since, until = time_of(query, "since"), time_of(query, "until")
        if since and until and since >= until:
            raise BadRequest("since must be before until", code="bad_filter")
        below = until or HIGHEST
        if query.get("cursor"):
            below = between(position(query["cursor"], digest), since or LOWEST, below)
        attributes = {name: row.attribute for name, row in FILTERS.items() if row.attribute and name in query}
        return cls(
            equal={attribute: query[name] for name, attribute in attributes.items()},
            of_event={
                attribute: query[name] for name, attribute in attributes.items() if not FILTERS[name].of_delivery
            },
            statuses=(_status(query["status"], also),) if "status" in query else tuple(Status),
            since=since or LOWEST,
            below=below,
            limit=_limit(query),
            digest=digest,
        )

    def cursor(self, at: str | None) -> str | None:
        """Return the cursor of the page that goes on below the sort key *at*."""
        return None if at is None else encoded(self.digest, at)


def check_names(query: Mapping[str, str], known: Collection[str]) -> None:
    """Raise `BadRequest` where *query* has a filter that isn't *known*."""
    for name in query:
        if name not in known:
            raise BadRequest(f"unknown filter {name!r} (allowed: {', '.join(known)})", code="unknown_filter")


def time_of(query: Mapping[str, str], name: str) -> str | None:
    """Return the time of the parameter *name*, in UTC as the table has times; None where it isn't given.

    Raises:
        BadRequest: It isn't a time, or has no zone.
    """
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
        if moment.tzinfo is not None:
            return iso(moment)
    except (ValueError, OverflowError):  # no time, or out of range in UTC
        pass
    raise BadRequest(f"{name} must be an ISO 8601 time with a zone, such as 2026-01-31T09:00:00Z", code="bad_filter")


def _status(text: str, also: str) -> str:
    if text == also:
        return also
    try:
        return Status(text)
    except ValueError:
        known = ", ".join(filter(None, (*Status, also)))
        raise BadRequest(f"status must be one of {known}", code="bad_filter") from None


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not (re.fullmatch(r"[0-9]{1,6}", text) and 1 <= int(text) <= LIMIT_MAX):
        raise BadRequest(f"limit must be a number from 1 to {LIMIT_MAX}", code="bad_filter")
    return int(text)


def encoded(digest: str, at: str) -> str:
    """Return the cursor of the query with *digest* that goes on at the sort key *at*."""
    return base64.urlsafe_b64encode(json.dumps([digest, at]).encode()).decode().rstrip("=")


def position(text: str, digest: str) -> str:
    """Return the sort key that a cursor says.

    Raises:
        BadRequest: It is no cursor, or that of another query.
    """
    try:
        given, at = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, RecursionError):
        given, at = None, None
    if given != digest or not isinstance(at, str) or not at:
        raise no_cursor()
    return at


def no_cursor() -> BadRequest:
    """Return the error of a cursor that isn't one of this query."""
    return BadRequest("the cursor is not one of this query: start without", code="bad_cursor")


def between(at: str, low: str, high: str) -> str:
    """Return the sort key *at* of a cursor.

    Raises:
        BadRequest: No entry of the query can have such a sort key.
    """
    if not (at.isascii() and low <= at <= high and len(at) <= SORT_KEY_MAX_BYTES):
        raise no_cursor()
    return at
