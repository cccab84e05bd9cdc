"""Refused requests: why, what is kept of one, and what probably caused it.  Pure: no I/O, no clock, no environment.

A stranger writes almost all of a refused request, so that little of it is kept, all of it cut to size and marked
untrusted: the names of its headers but the values of a few that can't be secret, and the body's first bytes, unless
the source's secret stands in it (`relay.refuse` knows).  Never a signature, a token, a cookie or the query string.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNKNOWN_SOURCE_NAME = "(unknown)"  # of all requests to sources that there aren't; no source can be called so
SLOTS = 5  # of each source and reason so many samples are kept
KEPT_FOR = timedelta(days=7)

BODY_EXCERPT_MAX_BYTES = 512
TEXT_MAX_CHARS = 200  # of a message and of a path
NAME_MAX_CHARS = 64
NAMES_MAX_CHARS = 1200  # of all header names together
VALUE_MAX_CHARS = 150
VALUES_MAX_CHARS = 1000  # of all kept header values together, with their names

# Whose values are kept: they describe the request, or whoever passed it on, and can't open anything.
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
_READS = frozenset({"GET", "HEAD"})


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
    BODY_TOO_LARGE = "body_too_large"
    UNREADABLE = "unreadable"
    HANDSHAKE_FAILED = "handshake_failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is kept of one refused request.

    Attributes:
        source: A source's name, or `UNKNOWN_SOURCE_NAME`.
        message: What the sender was told.
        path: Without the query, which may hold a token; `?...` where there was one.
        source_ip: The address that called, as far as is known.
        header_names: In lower case; as many as fit.
        headers: Those whose values are harmless.
        signed_at: The time that the request says it was signed at, where it says so plainly.
        size_bytes, sha256: Of the whole body.
        body: Its first bytes; none where a secret stands in it.
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
        """Return what is kept of a request; for any input there is.

        Args:
            headers: Names in lower case.
        """
        return cls(
            source=source,
            reason=reason,
            message=_plain(message, TEXT_MAX_CHARS),
            at=at,
            method=_plain(method, NAME_MAX_CHARS),
            path=_plain(path, TEXT_MAX_CHARS) + ("?..." if query_string else ""),
            source_ip=source_ip and _plain(source_ip, NAME_MAX_CHARS),
            header_names=_names(headers),
            headers=_values(headers),
            signed_at=_signed_at(headers),
            size_bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            body=body[:BODY_EXCERPT_MAX_BYTES],
        )

    @property
    def asked_for(self) -> str:
        """The name that stands where a source's name belongs, in the path."""
        return self.path.removeprefix("/webhooks/").partition("?")[0]

    @property
    def passed_on_by(self) -> list[str]:
        """The headers that only a proxy in front of the relay adds."""
        marks = [name for name in _PROXY_MARKS if name in self.header_names]
        return [*marks, "x-forwarded-for"] if "," in self.headers.get("x-forwarded-for", "") else marks


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the fixed places of a source and reason: the sample in it, and how many refusals it counted since when."""

    number: int
    refusal: Refusal
    count: int
    since: datetime


def _plain(text: str, max_chars: int) -> str:
    """Return the start of *text* in printable ASCII: as many bytes as characters, whatever a stranger wrote."""
    return "".join(it if " " <= it <= "~" else "?" for it in text[:max_chars])


def _names(headers: Mapping[str, str]) -> tuple[str, ...]:
    names, left = [], NAMES_MAX_CHARS
    for name in headers:
        kept = _plain(name, NAME_MAX_CHARS)
        left -= len(kept)
        if left < 0:
            break
        names.append(kept)
    return tuple(names)


def _values(headers: Mapping[str, str]) -> dict[str, str]:
    times = [name for name, value in headers.items() if _is_time(name, value)]
    kept, left = {}, VALUES_MAX_CHARS
    for name in [*(it for it in _HARMLESS if it in headers), *times]:
        value = _plain(headers[name], VALUE_MAX_CHARS)
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


# -- the likely cause -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What the relay knows of a source when somebody asks why it was refused.

    Attributes:
        scheme: The source's; None where there is no such source.
        signs_url: Whether that scheme signs the URL.
        sources: All there are.
        base_urls: The relay's own; sources are given the first.
        accepted_at: When the source's newest event came; None where none is known.
        surely: Whether None there means that it never had one, in all that is kept.
        signs_body: Whether that scheme signs the body, so that a change of it on the way is seen.
        signature: Where that scheme's signature stands and how it is written: any of these.
        is_schedule: Whether QStash alone may post to it.
    """

    scheme: str | None
    signs_url: bool
    sources: tuple[str, ...]
    base_urls: tuple[str, ...]
    accepted_at: datetime | None
    surely: bool
    signs_body: bool = True
    signature: tuple[str, ...] = ()
    is_schedule: bool = False


def likely_cause(refusal: Refusal, facts: Facts) -> str:
    """Return, in a sentence, what probably caused *refusal* and what to do about it."""
    if facts.is_schedule:
        return _of_schedule(refusal)
    return _CAUSES[refusal.reason](refusal, facts)


def _of_schedule(refusal: Refusal) -> str:
    """Return what keeps a tick out: nobody can set a secret for it, nor choose its URL."""
    if refusal.reason is Reason.NO_SECRET:
        return "the table has no signing keys of QStash yet: run `make deploy`, whose sync reads them"
    if refusal.reason in {Reason.EXPIRED_TIMESTAMP, Reason.FUTURE_TIMESTAMP, Reason.REPLAYED}:
        return f"{refusal.message}; QStash signs each attempt anew, so somebody sent an old tick again"
    return (
        f"{refusal.message}; only QStash may post to a schedule, at its times: somebody else did, or the token is of"
        " another QStash account than the schedule, or the schedule was changed there (`relay doctor` asks)"
    )


def _missing(refusal: Refusal, facts: Facts) -> str:
    found = _found(refusal, facts)
    if refusal.method in _READS:
        return (
            f"{found}; it is a {refusal.method} without a signature: a browser or a monitor opened the URL, or a"
            " redirect made a GET of the provider's POST; register the URL exactly as `relay source list` shows it"
        )
    return (
        f"{found}; the sender doesn't sign: no secret is set over there, or it isn't {_scheme(facts)}; set one at the"
        " provider, or give the source the scheme of who sends"
    )


def _malformed(refusal: Refusal, facts: Facts) -> str:
    return (
        f"{_found(refusal, facts)}; the signature isn't written as {_scheme(facts)} writes it: the source has the wrong"
        " scheme in relay.toml, or the sender isn't this provider"
    )


def _found(refusal: Refusal, facts: Facts) -> str:
    """Say what is wrong with which header, and what the scheme expects instead."""
    wanted = " or ".join(f"`{it}`" for it in facts.signature)
    return f"{refusal.message}; {_scheme(facts)} expects {wanted}" if wanted else refusal.message


def _bad_signature(refusal: Refusal, facts: Facts) -> str:
    if facts.accepted_at is not None and facts.accepted_at > refusal.at:
        return "webhooks of this source were accepted since: it is over, or somebody else sent this one; nothing to do"
    which = (
        f"{_set(refusal)} with the secret that {_scheme(facts)} shows for this very webhook (each endpoint and mode may"
        " have its own; not an API key)"
    )
    if facts.signs_body and ("content-encoding" in refusal.headers or _length_differs(refusal)):
        return (
            f"the body isn't the one that was signed: {_changed_by(refusal)}; have it passed on byte for byte; failing"
            f" that, {which}"
        )
    if facts.signs_url:
        return f"{_url(refusal, facts)}; if that is right, {which}"
    if facts.accepted_at is not None:
        proxy = f", or a proxy changes the body now ({_changed_by(refusal)})" if facts.signs_body else ""
        return (
            f"the secret was changed over there{proxy}: earlier webhooks were accepted, the last"
            f" {facts.accepted_at:%Y-%m-%d %H:%M}Z; {which}"
        )
    never = "no webhook of this source was ever accepted" if facts.surely else "none of the latest accepted is its"
    told = f"wrong secret: {never}; {which}"
    if facts.signs_body and refusal.passed_on_by:
        return f"{told}; if it is the right one, {_changed_by(refusal)}, and may change the body"
    return told


def _wrong_token(refusal: Refusal, facts: Facts) -> str:
    return (
        f"the token isn't the one that was set: it was changed over there or mistyped, or somebody else sent this;"
        f" {_set(refusal)} with the very one that {_scheme(facts)} sends"
    )


def _scheme(facts: Facts) -> str:
    return facts.scheme or "the provider"


def _set(refusal: Refusal) -> str:
    return f"`relay secret set {refusal.source}`"


def _length_differs(refusal: Refusal) -> bool:
    length = refusal.headers.get("content-length", "")
    return length.isdigit() and int(length) != refusal.size_bytes


def _changed_by(refusal: Refusal) -> str:
    """Say what speaks for a body that something on the way changed."""
    marks = []
    if _length_differs(refusal):
        marks.append(f"{refusal.headers['content-length']} bytes were announced and {refusal.size_bytes} came")
    if encoding := refusal.headers.get("content-encoding"):
        marks.append(f"it is encoded ({encoding})")
    if refusal.passed_on_by:
        marks.append(f"a proxy passed it on ({', '.join(refusal.passed_on_by)})")
    if not marks:
        json = "json" in refusal.headers.get("content-type", "").lower()
        return "perhaps a proxy that writes the JSON anew" if json else "perhaps a proxy that encodes it anew"
    return " and ".join(marks)


def _clock(refusal: Refusal, _: Facts) -> str:
    if refusal.signed_at is None:
        return (
            "the sender's clock is wrong, or the request was held up or sent again: set that clock by NTP; a provider"
            " signs anew when it sends anew"
        )
    off_s = round((refusal.at - refusal.signed_at).total_seconds())
    if off_s < 0:
        return f"the sender's clock is {-off_s:,} s ahead of the relay's, which AWS keeps right: set it by NTP"
    sent_s = _sent_s_ago(refusal)
    if sent_s is not None and abs(sent_s) < off_s / 2:
        return (
            f"it was signed {off_s:,} s before it came, by a clock that is right (its Date says so): a queue or a proxy"
            " held it up, or somebody sent an old one again"
        )
    return (
        f"it was signed {off_s:,} s before it came: the sender's clock is behind the relay's, which AWS keeps right"
        " (set it by NTP), or the request was held up or sent again"
    )


def _sent_s_ago(refusal: Refusal) -> float | None:
    """Return how old the request is by its Date header; None where that says nothing."""
    from email.utils import parsedate_to_datetime

    try:
        sent = parsedate_to_datetime(refusal.headers["date"])
        return (refusal.at - (sent if sent.tzinfo else sent.replace(tzinfo=UTC))).total_seconds()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None


def _url(refusal: Refusal, facts: Facts) -> str:
    bases = " or ".join(facts.base_urls) or "none"
    return (
        f"the registered URL isn't the relay's: {_scheme(facts)} signs the URL it calls, and the relay"
        f" checks it under {bases}; register one of these with {refusal.path}, or set `[relay] url` to the one that is"
        " registered and deploy"
    )


def _unknown(refusal: Refusal, facts: Facts) -> str:
    from difflib import get_close_matches

    asked = refusal.asked_for
    near = get_close_matches(asked.lower(), [it.lower() for it in facts.sources], n=1, cutoff=0.5)
    for name in facts.sources:
        if near and name.lower() == near[0]:
            base = facts.base_urls[0] if facts.base_urls else ""
            return f"there is no source {asked!r}: did the sender mean {name}, at {base}/webhooks/{name}?"
    known = ", ".join(facts.sources) or "none"
    return (
        f"there is no source {asked!r} (there are: {known}): it was taken out of relay.toml, or a stranger is guessing"
    )


_CAUSES: dict[Reason, Callable[[Refusal, Facts], str]] = {
    Reason.MISSING_HEADER: _missing,
    Reason.MALFORMED_HEADER: _malformed,
    Reason.BAD_SIGNATURE: _bad_signature,
    Reason.WRONG_TOKEN: _wrong_token,
    Reason.EXPIRED_TIMESTAMP: _clock,
    Reason.FUTURE_TIMESTAMP: _clock,
    Reason.URL_MISMATCH: _url,
    Reason.BODY_MISMATCH: lambda it, _: (
        f"the body isn't the one that was signed: {_changed_by(it)}; have it passed on byte for byte"
    ),
    Reason.WRONG_ISSUER: lambda it, _: (
        "it was signed for another account or environment (sandbox, live): register the webhook in the one that"
        f" {it.source} stands for"
    ),
    Reason.WRONG_ALGORITHM: lambda _, facts: (
        f"the sender signs with another algorithm than the scheme {_scheme(facts)} has: choose that one over there, or"
        " give the scheme the sender's `algorithm`"
    ),
    Reason.UNTRUSTED_CERTIFICATE: lambda *_: (
        "the certificate that it is signed with isn't the provider's: somebody else sent it; nothing to do"
    ),
    Reason.REPLAYED: lambda *_: (
        "the same signed bytes had come before: whoever overheard them sent them again, or the provider did; nothing to"
        ' do, the first ones count; where the provider does so rightly, take `replays = "refuse"` off the source'
    ),
    Reason.UNUSABLE_SECRET: lambda it, facts: (
        f"the secret kept here hasn't the form that {_scheme(facts)} needs: copy it whole and set it again with"
        f" {_set(it)}"
    ),
    Reason.NO_SECRET: lambda it, _: f"the source has no signing secret that can be read yet: set it with {_set(it)}",
    Reason.UNKNOWN_SOURCE: _unknown,
    Reason.BODY_TOO_LARGE: lambda it, _: (
        f"the body has {it.size_bytes:,} bytes, more than the relay takes: have the provider send less, or a link"
    ),
    Reason.UNREADABLE: lambda *_: (
        "the relay can't read the request: the sender isn't this provider, or something on the way broke it"
    ),
    Reason.HANDSHAKE_FAILED: lambda it, _: (
        f"the relay couldn't fetch the provider's confirmation URL: {it.message}; have it send the handshake again"
        " (SNS: request confirmation again)"
    ),
}
