"""Reads what a listing is asked for: filters, times, limit and cursor."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from relay.errors import BadRequest
from relay.model.delivery import Status
from relay.model.ids import iso

if TYPE_CHECKING:
    from collections.abc import Mapping


LIMIT_DEFAULT = 50
LIMIT_MAX = 200
FILTERS = ("source", "type", "destination", "status", "since", "until", "limit", "cursor")
LOWEST = "0"
HIGHEST = "~"


@dataclass(frozen=True)
class Filters:
    """Which records to list, newest first.  *since* and *below* are sort keys: ISO times, or all there is."""

    equal: Mapping[str, str]
    destination: str | None
    statuses: tuple[str, ...]
    since: str
    below: str
    limit: int
    digest: str

    @classmethod
    def of(cls, query: Mapping[str, str], *, also: str = "") -> Filters:
        """Return the filters that the query string says.

        Args:
            also: What it may say as a status that is none of a delivery's.

        Raises:
            BadRequest: Names the filter, or the value, that there isn't.
        """
        for name in query:
            if name not in FILTERS:
                raise BadRequest(f"unknown filter {name!r}: there are {', '.join(FILTERS)}", code="unknown_filter")
        asked = {name: value for name, value in query.items() if name not in {"limit", "cursor"}}
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        since, until = time_of(query, "since"), time_of(query, "until")
        if since and until and since >= until:
            raise BadRequest("since must be before until", code="bad_filter")
        below = until or HIGHEST
        if query.get("cursor"):
            below = between(position(query["cursor"], digest), since or LOWEST, below)
        names = {"source": "source", "type": "event_type"}
        return cls(
            equal={names[name]: query[name] for name in names if name in query},
            destination=query.get("destination"),
            statuses=(_status(query["status"], also),) if "status" in query else tuple(Status),
            since=since or LOWEST,
            below=below,
            limit=_limit(query),
            digest=digest,
        )

    def cursor(self, at: str | None) -> str | None:
        """Return the cursor of the page that goes on below the sort key *at*."""
        return None if at is None else encoded(self.digest, at)


def time_of(query: Mapping[str, str], name: str) -> str | None:
    """Return the time that the parameter *name* says, as it stands at rest; None where it isn't given.

    Raises:
        BadRequest: It is no time, or one without a zone.
    """
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
        if moment.tzinfo is not None:
            return iso(moment)
    except (ValueError, OverflowError):  # no time, or in UTC none that there is
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
    return base64.urlsafe_b64encode(json.dumps([digest, at]).encode()).decode().rstrip("=")


def position(text: str, digest: str) -> str:
    try:
        given, at = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        given, at = None, None
    if given != digest or not isinstance(at, str) or not at:
        raise no_cursor()
    return at


def no_cursor() -> BadRequest:
    return BadRequest("the cursor is not one of this query: start without", code="bad_cursor")


SORT_KEY_MAX_BYTES = 1024  # DynamoDB's


def between(at: str, low: str, high: str) -> str:
    """Return the sort key *at*, which a cursor says, if one of its query can be so."""
    if not (at.isascii() and low <= at <= high and len(at) <= SORT_KEY_MAX_BYTES):
        raise no_cursor()
    return at
