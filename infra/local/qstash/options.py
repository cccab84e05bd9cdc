"""What a publish asks for, read from its headers: the one place that knows the ``Upstash-*`` settings.

Headers are a mapping from lower-case names to all values of that name, wherever they come from: a request,
its query, an item of a batch, the defaults of a URL group, or, with the prefix taken off, the settings of a
callback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

from .grammar import (
    NAME,
    TOKEN,
    Refused,
    canonical,
    destination_url,
    duration_s,
    evaluate,
    flag,
    header_value,
    whole,
)

Headers = Mapping[str, Sequence[str]]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# These belong to one connection or are made anew for a delivery, so they are never forwarded.
NOT_FORWARDED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
    }
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# Asked for, these would change what happens; ignoring them in silence would be worse than saying no.
UNSUPPORTED = (
    "upstash-cron",
    "upstash-schedule-id",
    "upstash-queue-name",
    "upstash-flow-control-key",
    "upstash-flow-control-value",
    "upstash-redact-fields",
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an account may ask for; more is answered with 412. The figures are the pay-as-you-go plan's.

    Source: https://upstash.com/docs/qstash/overall/pricing (retries: the Developer API's example user)
    """

    delay_s: int = 31_536_000
    timeout_s: int = 7_200
    retries: int = 999
    message_bytes: int = 10 * 1024 * 1024
    request_bytes: int = 100 * 1024 * 1024
    groups: int = 100
    endpoints: int = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a message is to be delivered; *given* is what it was read from, so that it can be read again."""

    given: Headers
    method: str
    header: dict[str, list[str]]  # sent to the destination: Content-Type and what is forwarded
    delay_s: int
    not_before_s: int | None
    retries: int
    retry_delay: str | None
    timeout_s: int
    timeout_given: bool
    labels: tuple[str, ...]
    deduplication_id: str | None
    content_based: bool
    callback: Callback | None
    failure_callback: Callback | None


@dataclass(frozen=True)
class Callback:
    """Where to report to, and how to deliver the report."""

    url: str
    options: Options


def split_target(tail: str, query: str) -> tuple[str, dict[str, list[str]]]:
    """Take a publish's raw request target apart.

    Args:
        tail: What follows ``/v2/publish/``, undecoded.
        query: The request's query, undecoded.

    Returns:
        The destination, with the part of the query that is its own put back byte for byte; and the settings
        given as ``upstash-*`` query parameters, as headers.
    """
    own, settings = [], dict[str, list[str]]()
    for part in query.split("&") if query else ():
        key, _, value = part.partition("=")
        key = unquote_plus(key).lower()
        if key.startswith("upstash-"):
            settings.setdefault(key, []).append(unquote_plus(value, errors="surrogateescape"))
        elif key != "qstash_token":
            own.append(part)
    if tail.lower().startswith(("http%3a%2f%2f", "https%3a%2f%2f")):
        tail = unquote(tail, errors="surrogateescape")
    if own and not NAME.fullmatch(tail):
        tail += "?" + "&".join(own)
    return tail, settings


def check_destination(destination: str) -> str | None:
    """Return the name of a URL group, or None for a URL; refuse everything else."""
    if not destination:
        raise Refused(400, "a non-empty destination must be provided")
    if NAME.fullmatch(destination):
        return destination
    destination_url(destination)
    return None


def read_options(headers: Headers, limits: Limits) -> Options:
    """Read every setting, or refuse with the name of the header that is wrong."""
    checked = {key: [header_value(value, key) for value in values] for key, values in headers.items()}
    for key in UNSUPPORTED:
        if key in checked:
            raise Refused(400, f"{canonical(key)} is not supported by this server")
    retries = _retries(checked, limits)
    timeout = _one(checked, "upstash-timeout")
    not_before = _one(checked, "upstash-not-before")
    retry_delay = _one(checked, "upstash-retry-delay")
    if retry_delay is not None:
        evaluate(retry_delay, 0)
    return Options(
        given=checked,
        method=_method(checked),
        header=_forwarded(checked),
        delay_s=_delay(checked, limits),
        not_before_s=None if not_before is None else whole(not_before, "Upstash-Not-Before"),
        retries=retries,
        retry_delay=retry_delay,
        timeout_s=limits.timeout_s if timeout is None else _timeout(timeout, limits),
        timeout_given=timeout is not None,
        labels=tuple(part.strip() for part in (_one(checked, "upstash-label") or "").split(",") if part.strip()),
        deduplication_id=_deduplication_id(checked),
        content_based=_flag(checked, "upstash-content-based-deduplication"),
        callback=_callback(checked, "callback", retries, limits),
        failure_callback=_callback(checked, "failure-callback", retries, limits),
    )


def _one(headers: Headers, key: str) -> str | None:
    return ",".join(headers[key]) if headers.get(key) else None


def _flag(headers: Headers, key: str) -> bool:
    return flag(_one(headers, key) or "", canonical(key))


def _method(headers: Headers) -> str:
    method = _one(headers, "upstash-method") or "POST"
    if method.upper() not in METHODS:
        raise Refused(400, f"invalid Upstash-Method: {method!r} is none of {', '.join(METHODS)}")
    return method.upper()


def _retries(headers: Headers, limits: Limits) -> int:
    retries = whole(_one(headers, "upstash-retries") or "3", "Upstash-Retries")
    if retries > limits.retries:
        raise Refused(412, f"quota maxRetries exceeded, current limit: {limits.retries}")
    return retries


def _delay(headers: Headers, limits: Limits) -> int:
    delay = duration_s(_one(headers, "upstash-delay") or "0s", "Upstash-Delay")
    if delay > limits.delay_s:
        raise Refused(412, f"quota maxDelay exceeded, current limit: {limits.delay_s}")
    return delay


def _timeout(text: str, limits: Limits) -> int:
    timeout = duration_s(text, "Upstash-Timeout")
    if timeout > limits.timeout_s:
        raise Refused(412, f"quota maxTimeout exceeded, current limit: {limits.timeout_s}")
    return timeout or limits.timeout_s


def _deduplication_id(headers: Headers) -> str | None:
    deduplication_id = _one(headers, "upstash-deduplication-id")
    if deduplication_id and ":" in deduplication_id:
        raise Refused(400, "DeduplicationId cannot contain ':'")
    return deduplication_id or None


def _forwarded(headers: Headers) -> dict[str, list[str]]:
    everything = _flag(headers, "upstash-header-forward")
    header: dict[str, list[str]] = {}
    explicit: dict[str, list[str]] = {}
    for key, values in headers.items():
        wanted = key.removeprefix("upstash-forward-")
        if wanted == key:
            if key == "content-type" or (everything and not key.startswith("upstash-") and key != "authorization"):
                header[canonical(key)] = list(values)
        elif not TOKEN.fullmatch(wanted):
            raise Refused(400, f"invalid Upstash-Forward: {wanted!r} is not a header name")
        else:
            explicit[canonical(wanted)] = list(values)
    return {key: values for key, values in (header | explicit).items() if key.lower() not in NOT_FORWARDED}


def _callback(headers: Headers, kind: str, retries: int, limits: Limits) -> Callback | None:
    url = _one(headers, f"upstash-{kind}")
    if not url:
        return None
    destination_url(url, f"Upstash-{canonical(kind)} url")
    prefix = f"upstash-{kind}-"
    own = {"upstash-" + key.removeprefix(prefix): v for key, v in headers.items() if key.startswith(prefix)}
    if "upstash-delay" in own or "upstash-not-before" in own:
        raise Refused(400, f"Upstash-{canonical(kind)}-Delay is not allowed: a callback cannot be delayed")
    defaults = {"content-type": ["application/json"], "upstash-retries": [str(retries)]}
    return Callback(url, read_options(defaults | own, limits))
