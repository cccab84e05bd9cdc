"""Names the likely cause of a refusal, and the remedy.  Pure: no I/O, no clock, no environment.

A stranger may have written the whole request.  So a cause is likely, never certain, and names its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relay.model.refusal import Reason
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model.refusal import Refusal

_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Facts:
    """The relay's knowledge of a source whose request was refused.

    Attributes:
        scheme: The source's scheme; None if there is no such source.
        signs_url: Whether the scheme signs the URL.
        sources: The names of all sources.
        base_urls: The relay's own base URLs; sources get the first.
        accepted_at: When the source's newest event came; None: none is known.
        surely: Whether all kept events were read, so that *accepted_at* None means that there is none.
        signs_body: Whether the scheme signs the body, so that a change on the way breaks the signature.
        signature: The places and forms of the scheme's signature, any of which will do.
        is_schedule: Whether only QStash may post to the source.
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
    """Return a sentence with the likely cause of *refusal* and the remedy."""
    if facts.is_schedule:
        return _of_schedule(refusal)
    return _CAUSES[refusal.reason](refusal, facts)


def _of_schedule(refusal: Refusal) -> str:
    """Return the likely cause of a refused tick, whose secret and URL no person sets."""
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
    """Return the refusal's message, and the signature that the scheme expects."""
    wanted = " or ".join(f"`{it}`" for it in facts.signature)
    return f"{refusal.message}; {_scheme(facts)} expects {wanted}" if wanted else refusal.message


def _bad_signature(refusal: Refusal, facts: Facts) -> str:
    over = facts.accepted_at is not None and facts.accepted_at > refusal.at
    changed = facts.signs_body and bool(_marks(refusal))  # that is asked first: such a body fails each time it comes
    if over and changed:
        return (
            "webhooks of this source were accepted since, so the secret is right, and the body isn't the one that was"
            f" signed: {_changed_by(refusal)}; have it passed on byte for byte"
        )
    if over:
        return "webhooks of this source were accepted since: it is over, or somebody else sent this one; nothing to do"
    which = (
        f"{_set(refusal)} with the secret that {_scheme(facts)} shows for this very webhook (each endpoint and mode may"
        " have its own; not an API key)"
    )
    if changed:
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
    told = (
        f"wrong secret: {never}; {which}, copied whole: prefix and all, no quotes (of a scheme of your own its `key`"
        " may have to be hex or base64)"
    )
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
    """Return the evidence that something on the way changed the body."""
    marks = _marks(refusal)
    if refusal.passed_on_by:
        marks.append(f"a proxy passed it on ({', '.join(refusal.passed_on_by)})")
    if not marks:
        json = "json" in refusal.headers.get("content-type", "").lower()
        return "perhaps a proxy that writes the JSON anew" if json else "perhaps a proxy that encodes it anew"
    return " and ".join(marks)


def _marks(refusal: Refusal) -> list[str]:
    """Return the evidence in the body's first bytes and in the headers that describe the body."""
    marks, body = [], refusal.body
    content_type = refusal.headers.get("content-type", "").lower()
    if _length_differs(refusal):
        marks.append(f"{refusal.headers['content-length']} bytes were announced and {refusal.size_bytes} came")
    if encoding := refusal.headers.get("content-encoding"):
        marks.append(f"it is encoded ({encoding})")
    elif body.startswith(b"\x1f\x8b"):
        marks.append("it is gzip and doesn't say so")
    if b"\xef\xbf\xbd" in body:
        marks.append("what wasn't UTF-8 in it was replaced (U+FFFD), as AWS's gateway does with text")
    charset = content_type.partition("charset=")[2].partition(";")[0].strip(' "')
    if charset and charset not in _UTF_8:
        marks.append(f"its charset is {charset}, not UTF-8")
    if body.startswith(b"\xef\xbb\xbf"):
        marks.append("it begins with a byte order mark")
    is_object = body.lstrip()[:1] in {b"{", b"["}
    if ("json" in content_type and body and not is_object and b"=" in body.partition(b"&")[0]) or (
        "x-www-form-urlencoded" in content_type and is_object
    ):
        marks.append(
            f"it is {'JSON' if is_object else 'a form'} and says that it is {'a form' if is_object else 'JSON'}"
        )
    return marks


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
    """Return the request's age by its Date header, in seconds; None if there is no readable one."""
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
            return f"there is no source {asked!r}: did the sender mean {name}, at {webhook_url(base, name)}?"
    known = ", ".join(facts.sources) or "none"
    return (
        f"there is no source {asked!r} (there are: {known}): it was taken out of relay.toml, or a stranger is guessing"
    )


def _elsewhere(refusal: Refusal, facts: Facts) -> str:
    base = facts.base_urls[0] if facts.base_urls else ""
    steps = refusal.path.partition("?")[0].split("/")
    for name in facts.sources:
        if name in steps:
            return f"nothing is at {refusal.path}: the sender must have meant {webhook_url(base, name)}; register that"
    return (
        f"nothing is at {refusal.path}: webhooks go to {webhook_url(base, '')} and the name of their source, as"
        " `relay source list` shows it; or a stranger looks around"
    )


_CAUSES: dict[Reason, Callable[[Refusal, Facts], str]] = {
    Reason.MISSING_HEADER: _missing,
    Reason.MALFORMED_HEADER: _malformed,
    Reason.BAD_SIGNATURE: _bad_signature,
    Reason.WRONG_TOKEN: _wrong_token,
    Reason.EXPIRED_TIMESTAMP: _clock,
    Reason.FUTURE_TIMESTAMP: _clock,
    Reason.URL_MISMATCH: _url,
    Reason.BODY_MISMATCH: lambda refusal, _: (
        f"the body isn't the one that was signed: {_changed_by(refusal)}; have it passed on byte for byte"
    ),
    Reason.WRONG_ISSUER: lambda refusal, _: (
        "it was signed for another account or environment (sandbox, live): register the webhook in the one that"
        f" {refusal.source} stands for"
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
        " do, the first ones count; where the provider does so rightly, take"
        ' `suspected_replays = "refuse"` off the source'
    ),
    Reason.UNUSABLE_SECRET: lambda refusal, facts: (
        f"the secret kept here hasn't the form that {_scheme(facts)} needs: copy it whole and set it again with"
        f" {_set(refusal)}"
    ),
    Reason.NO_SECRET: lambda refusal, _: (
        f"the source has no signing secret that can be read yet: set it with {_set(refusal)}"
    ),
    Reason.UNKNOWN_SOURCE: _unknown,
    Reason.UNKNOWN_PATH: _elsewhere,
    Reason.BODY_TOO_LARGE: lambda refusal, _: (
        f"the body has {refusal.size_bytes:,} bytes, more than the relay takes: have the provider send less, or a link"
    ),
    Reason.UNREADABLE: lambda *_: (
        "the relay can't read the request: the sender isn't this provider, or something on the way broke it"
    ),
    Reason.HANDSHAKE_FAILED: lambda refusal, _: (
        f"the relay couldn't fetch the provider's confirmation URL: {refusal.message}; have it send the handshake again"
        " (SNS: request confirmation again)"
    ),
}
