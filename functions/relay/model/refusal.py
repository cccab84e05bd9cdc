"""Refused requests: the reasons, and the sample that is kept of one.  Pure: no I/O, no clock, no environment.

A stranger writes almost all of a refused request, so a sample is short and marked untrusted.  It has the names of all
headers, the values of a few that can't be secret, and the body's first bytes, unless the source's secret is in them
(`relay.ingest.refusals` knows).  It never has a signature, a token, a cookie or the query string.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_SOURCE_NAME = "(unknown)"  # of all requests to unknown sources; no source can have this name
SLOTS = 5  # samples kept of each source and reason
KEPT_FOR = timedelta(days=7)

BODY_EXCERPT_MAX_BYTES = 512
TEXT_MAX_CHARS = 200  # of a message and of a path
NAME_MAX_CHARS = 64
NAMES_MAX_CHARS = 1200  # of all header names together
VALUE_MAX_CHARS = 150
VALUES_MAX_CHARS = 1000  # of all kept header values together, with their names

# The headers whose values are kept: they describe the request or a proxy, and can't open anything.
_HARMLESS = (
    *("content-type", "user-agent", "content-length", "content-encoding", "transfer-encoding", "date", "host", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
)
_TIME_NAME = re.compile(r"[a-z0-9-]*(?:timestamp|-time|-date)")
_TIME_VALUE = re.compile(r"[0-9]{9,13}|20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,18}(?:Z|[+-][0-9]{2}:[0-9]{2})")
# Stripe-Signature: t=1700000000,v1=…
_TIME_PART = re.compile(r"(?:^|[,;&\s])(?:t|ts|time|timestamp)=([0-9]{9,13})(?![0-9A-Za-z])")
_PROXY_MARKS = (
    *("via", "cf-ray", "cdn-loop", "x-amz-cf-id", "fastly-client-ip", "true-client-ip", "x-real-ip", "forwarded"),
    *("x-forwarded-host", "x-forwarded-server", "x-envoy-external-address", "x-vercel-id"),
)


class Reason(StrEnum):
    """Why a request was refused: a fixed set, since it is a metric's dimension and a key."""

    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    BAD_SIGNATURE = "bad_signature"
    WRONG_TOKEN = "wrong_token"  # noqa: S105  # a word, no token
    EXPIRED_TIMESTAMP = "expired_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    URL_MISMATCH = "url_mismatch"
    BODY_MISMATCH = "body_mismatch"  # the signed digest of the body isn't this body's
    WRONG_ISSUER = "wrong_issuer"
    WRONG_ALGORITHM = "wrong_algorithm"
    UNTRUSTED_CERTIFICATE = "untrusted_certificate"
    REPLAYED = "replayed"
    UNUSABLE_SECRET = "unusable_secret"  # noqa: S105  # a word, no secret
    NO_SECRET = "no_secret"  # noqa: S105  # a word, no secret
    UNKNOWN_SOURCE = "unknown_source"
    UNKNOWN_PATH = "unknown_path"
    BODY_TOO_LARGE = "body_too_large"
    UNREADABLE = "unreadable"
    HANDSHAKE_FAILED = "handshake_failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The sample of one refused request.

    Attributes:
        source: A source's name, or `UNKNOWN_SOURCE_NAME`.
        message: The message of the answer to the sender.
        path: The path without the query, which may hold a token; `?...` stands for the query.
        source_ip: The caller's address, if known.
        header_names: In lower case; as many as fit.
        headers: The headers with harmless values.
        signed_at: The signing time in the request's headers, if one is readable.
        size_bytes, sha256: Of the whole body.
        body: The first bytes; empty if a secret is in the body.
    """

    source: str
    reason: Reason
    message: str
    at: datetime
    method: str
    path: str
    source_ip: str | None
    header_names: tuple[str, ...]
    headers: dict[str, str]
    signed_at: datetime | None
    size_bytes: int
    sha256: str
    body: bytes

    untrusted: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        source: str,
        reason: Reason,
        message: str,
        *,
        at: datetime,
        method: str,
        path: str,
        query_string: str,
        headers: Mapping[str, str],
        source_ip: str | None,
        body: bytes,
    ) -> Refusal:
        """Return the sample of a request; any input will do.

        Args:
            headers: Names in lower case.
        """
        return cls(
            source=source,
            reason=reason,
            message=plain(message, TEXT_MAX_CHARS),
            at=at,
            method=plain(method, NAME_MAX_CHARS),
            path=plain(path, TEXT_MAX_CHARS) + ("?..." if query_string else ""),
            source_ip=source_ip and plain(source_ip, NAME_MAX_CHARS),
            header_names=_names(headers),
            headers=_values(headers),
            signed_at=_signed_at(headers),
            size_bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            body=body[:BODY_EXCERPT_MAX_BYTES],
        )

    @property
    def asked_for(self) -> str:
        """The source's name in the path, known or not."""
        return self.path.removeprefix("/webhooks/").partition("?")[0]

    @property
    def passed_on_by(self) -> list[str]:
        """The headers that only a proxy in front of the relay adds."""
        marks = [name for name in _PROXY_MARKS if name in self.header_names]
        return [*marks, "x-forwarded-for"] if "," in self.headers.get("x-forwarded-for", "") else marks


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the `SLOTS` places of a source and reason: a sample, and the count of refusals *since* a time."""

    number: int
    refusal: Refusal
    count: int
    since: datetime


def plain(text: str, max_chars: int) -> str:
    """Return the start of *text* in printable ASCII, so that it has as many bytes as characters."""
    return "".join(it if " " <= it <= "~" else "?" for it in text[:max_chars])


def _names(headers: Mapping[str, str]) -> tuple[str, ...]:
    names, left = [], NAMES_MAX_CHARS
    for name in headers:
        kept = plain(name, NAME_MAX_CHARS)
        left -= len(kept)
        if left < 0:
            break
        names.append(kept)
    return tuple(names)


def _values(headers: Mapping[str, str]) -> dict[str, str]:
    times = [name for name, value in headers.items() if _is_time(name, value)]
    kept, left = {}, VALUES_MAX_CHARS
    for name in [*(it for it in _HARMLESS if it in headers), *times]:
        value = plain(headers[name], VALUE_MAX_CHARS)
        left -= len(name) + len(value)
        if left < 0:
            break
        kept[name] = value
    return kept


def _is_time(name: str, value: str) -> bool:
    return len(name) <= NAME_MAX_CHARS and bool(_TIME_NAME.fullmatch(name) and _TIME_VALUE.fullmatch(value))


def _signed_at(headers: Mapping[str, str]) -> datetime | None:
    for name, value in headers.items():
        if _is_time(name, value):
            return _moment(value)
    for name, value in headers.items():
        if "signature" in name and (part := _TIME_PART.search(value[:1000])):
            return _moment(part[1])
    return None


def _moment(text: str) -> datetime | None:
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)  # 12 digits: milliseconds
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
