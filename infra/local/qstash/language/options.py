"""What a publish asks for, read from its headers: the one place that knows the ``Upstash-*`` settings.

Headers are a mapping from lower-case names to all values of that name, wherever they come from: a request,
its query, an item of a batch, the defaults of a URL group, or, with the prefix taken off, the settings of a
callback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, unquote_plus

from . import grammar
from .grammar import NAME, TOKEN, FlowControl, Redaction, Refused, canonical, destination_url, duration_s, whole, within

if TYPE_CHECKING:
    from .limits import Limits

Headers = Mapping[str, Sequence[str]]
Read = TypeVar("Read")

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# These belong to one connection or are made anew for a delivery, so they are never forwarded.
_NOT_FORWARDED = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
# They belong to a schedule; ignoring them in silence would be worse than saying no.
OF_SCHEDULES = ("upstash-cron", "upstash-schedule-id", "upstash-queue-name")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Every setting of one message, checked; *given* is what they were read from."""

    given: Headers
    method: str
    header: Mapping[str, list[str]]  # what is forwarded, by Go-canonical names
    delay_s: int
    not_before_s: int | None
    retries: int
    retry_delay: str | None
    timeout_s: int
    timeout_given: bool
    labels: tuple[str, ...]
    deduplication_id: str
    content_based: bool
    callback: Callback | None
    failure_callback: Callback | None
    flow_control: FlowControl | None
    redaction: Redaction


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


def read_options(headers: Headers, limits: Limits) -> Options:
    """Read every setting, or refuse with the name of the header that is wrong."""
    given = {key: [grammar.header_value(value, key) for value in values] for key, values in headers.items()}
    for key in OF_SCHEDULES:
        if key in given:
            raise Refused(400, f"{canonical(key)} belongs to a schedule: POST /v2/schedules/")

    def text(setting: str) -> str:
        return ",".join(given.get(f"upstash-{setting}", ()))

    def read(setting: str, reader: Callable[[str, str], Read], default: Read) -> Read:
        return reader(text(setting), canonical(f"upstash-{setting}")) if text(setting) else default

    retries = within(read("retries", whole, 3), limits.retries, "maxRetries")
    if retry_delay := text("retry-delay"):
        grammar.evaluate(retry_delay, 0)
    return Options(
        given=given,
        method=read("method", _method, "POST"),
        header=_forwarded(given, everything=read("header-forward", grammar.flag, False)),  # noqa: FBT003
        delay_s=within(read("delay", duration_s, 0), limits.delay_s, "maxDelay"),
        not_before_s=read("not-before", whole, None),
        retries=retries,
        retry_delay=retry_delay or None,
        timeout_s=within(read("timeout", duration_s, 0), limits.timeout_s, "maxTimeout") or limits.timeout_s,
        timeout_given=bool(text("timeout")),
        labels=tuple(filter(None, (label.strip() for label in text("label").split(",")))),
        deduplication_id=read("deduplication-id", _deduplication_id, ""),
        content_based=read("content-based-deduplication", grammar.flag, False),  # noqa: FBT003
        callback=_callback(given, "callback", retries, limits),
        failure_callback=_callback(given, "failure-callback", retries, limits),
        flow_control=grammar.flow_control(text("flow-control-key"), text("flow-control-value")),
        redaction=grammar.redaction(text("redact-fields")),
    )


def _method(text: str, field: str) -> str:
    if text.upper() not in METHODS:
        raise Refused(400, f"invalid {field}: {text!r} is none of {', '.join(METHODS)}")
    return text.upper()


def _deduplication_id(text: str, _: str) -> str:
    if ":" in text:
        raise Refused(400, "DeduplicationId cannot contain ':'")
    return text


def _forwarded(headers: Headers, *, everything: bool) -> dict[str, list[str]]:
    plain: dict[str, list[str]] = {}
    explicit: dict[str, list[str]] = {}
    for key, values in headers.items():
        wanted = key.removeprefix("upstash-forward-")
        if wanted != key:
            explicit[canonical(wanted)] = list(values)
        elif key == "content-type" or (everything and not key.startswith("upstash-") and key != "authorization"):
            plain[canonical(key)] = list(values)
    forwarded = {key: values for key, values in (plain | explicit).items() if key.lower() not in _NOT_FORWARDED}
    for key in forwarded:
        if not TOKEN.fullmatch(key):
            raise Refused(400, f"invalid Upstash-Forward: {key!r} is not a header name")
    return forwarded


def _callback(headers: Headers, kind: str, retries: int, limits: Limits) -> Callback | None:
    url = ",".join(headers.get(f"upstash-{kind}", ()))
    if not url:
        return None
    destination_url(url, f"Upstash-{canonical(kind)} url")
    prefix = f"upstash-{kind}-"
    own = {"upstash-" + key.removeprefix(prefix): v for key, v in headers.items() if key.startswith(prefix)}
    for key in [key for key in own if key.startswith(("upstash-callback", "upstash-failure-callback"))]:
        del own[key]  # a report is not itself reported
    if "upstash-delay" in own or "upstash-not-before" in own:
        raise Refused(400, f"Upstash-{canonical(kind)}-Delay is not allowed: a callback cannot be delayed")
    defaults = {"content-type": ["application/json"], "upstash-retries": [str(retries)]}
    return Callback(url, read_options(defaults | own, limits))
