"""Chooses the URL groups of an event, and computes the share of each.

A source's routes are tried in the order of the configuration; its own `to` list comes last.  A group of several routes
gets the event once, by the first of them.  All is computed from the kept event and the current configuration, so that a
replay follows a mended configuration.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from relay.config.expressions import Expression, ExpressionError, Template
from relay.errors import Unsendable
from relay.model import content
from relay.model.event import EVENT_TYPE_UNKNOWN
from relay.model.ids import from_iso, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from relay.config.settings import Publishing, Route, Settings, Source
    from relay.model.content import Content
    from relay.model.event import Event

LABEL_MAX_CHARS = 100
FLOW_KEY_MAX_CHARS = 200
TOLD_MAX_CHARS = 1000
ERRORS_MAX_CHARS = 5000  # of all routes together
_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")
_SECONDS_OF = (86_400, 3600, 60, 1)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC).timestamp()  # later times overflow
_LONGEST_S = 100 * 366 * 86_400


def facts(event: Event, body: bytes) -> dict[str, Any]:
    """Return the variables of expressions: `event_type`, `headers`, `query`, `body` and `source`.

    Headers are the kept ones, in lower case, with `_` for `-`.  The body is decoded by `relay.model.content`; null if
    it can't be.
    """
    headers = {"content-type": event.content_type or "", **event.headers}
    return {
        "event_type": event.event_type,
        "headers": {name.replace("-", "_"): value for name, value in headers.items()},
        "query": event.query,
        "body": _content(event, body).value,
        "source": event.source,
    }


def _content(event: Event, body: bytes) -> Content:
    return content.read(body, event.content_type, event.headers.get("content-encoding"))


@dataclass(frozen=True)
class Routing:
    """The URL groups of an event.

    Attributes:
        groups: URL group -> the route that takes the event there.
        skipped: Route -> why the route doesn't take the event.
        error: Why a route couldn't be computed or the body couldn't be read; None: nothing failed.
    """

    groups: Mapping[str, Route]
    skipped: Mapping[str, str]
    error: str | None = None


def route(source: Source, event: Event, body: bytes) -> Routing:
    """Return the routing of *event* by the routes of *source*.

    A route whose `when` can't be computed doesn't take the event; the other routes still may.
    """
    groups: dict[str, Route] = {}
    skipped: dict[str, str] = {}
    errors = []
    for rule in source.routes:
        try:
            wrong = _mismatch(rule, event, body)
        except Exception as error:  # noqa: BLE001  # of any event whatever: nothing may keep it from being saved
            wrong = f"when can't be computed: {_told(error)}"
            errors.append(f"{rule.name}: {wrong}")
        if wrong is not None:
            skipped[rule.name] = wrong
            continue
        for group in rule.to:
            groups.setdefault(group, rule)
    told = "; ".join([*_unreadable(source, event, body), *errors])
    return Routing(groups, skipped, told[:ERRORS_MAX_CHARS] or None)


def routing_now(settings: Settings, event: Event, body: bytes) -> Routing:
    """Return the routing of *event* by *settings*; it is empty if the source has left the configuration."""
    source = settings.sources.get(event.source)
    return route(source, event, body) if source is not None else Routing({}, {}, "its source is gone")


def _unreadable(source: Source, event: Event, body: bytes) -> list[str]:
    """Return why the body can't be read, if the event type or a route of *source* needs the body; else []."""
    typed = event.event_type != EVENT_TYPE_UNKNOWN or not content.is_told(event.content_type)
    needed = not typed or any(it.asks_body for it in source.routes)
    trouble = _content(event, body).trouble if needed else None
    return [f"the body can't be read: {trouble}"] if trouble else []


def expecting(settings: Settings, event: Event, routing: Routing, paused: Callable[[], Collection[str]]) -> Event:
    """Return *event* with the deliveries of *routing* added to those that it already expects.

    Args:
        paused: Returns the destinations that are paused now: new deliveries to them are held.
    """
    new = {
        name: group
        for group in routing.groups
        if group not in event.expected.values()
        for name in settings.groups[group].destinations
        if name not in event.expected
    }
    return replace(
        event,
        expected={**event.expected, **new},
        held=event.held | (new.keys() & set(paused()) if new else frozenset()),
        unpublished=event.unpublished | frozenset(new.values()),
        route_error=routing.error,
    )


def _mismatch(rule: Route, event: Event, body: bytes) -> str | None:
    """Return why the route *rule* doesn't take *event*; None if it does."""
    types, when = rule.event_types, rule.when
    if types is not None and not any(fnmatchcase(event.event_type, pattern) for pattern in types):
        return f"the event type {event.event_type} is none of {', '.join(types)}"
    if when is not None and not when.holds(facts(event, body)):
        return f"not so: {when.text}"
    return None


@dataclass(frozen=True)
class Share:
    """One URL group's share of an event: the body and the publish settings.

    Attributes:
        body: The transformed body; None: the source's own bytes.
        not_before: The earliest time of the delivery; None: at once.
        flow_key: The flow-control key, without the relay's name.
        labels: The labels beside the relay's own.
    """

    publishing: Publishing
    route: str | None
    body: bytes | None = None
    not_before: datetime | None = None
    flow_key: str | None = None
    labels: tuple[str, ...] = ()


def share(settings: Settings, event: Event, body: bytes, group: str, routing: Routing) -> Share:
    """Return the share of *group* in *event*, by the group's route in *routing*, else by the group's own settings.

    Raises:
        Unsendable: A setting can't be computed for this event; the message names it.
    """
    taken = routing.groups.get(group)
    how = settings.groups[group].publishing if taken is None else taken.to[group]
    where = f"route {taken.name} of {event.source}" if taken is not None else f"URL group {group}"
    try:
        return Share(
            publishing=how,
            route=taken.name if taken is not None else None,
            body=_transformed(taken, event, body),
            not_before=_within_retention(_not_before(how, event, body), event),
            flow_key=_filled(how.flow_control["key"], event, body, FLOW_KEY_MAX_CHARS) if how.flow_control else None,
            labels=tuple(filter(None, (_filled(it, event, body, LABEL_MAX_CHARS) for it in how.labels))),
        )
    except Exception as error:  # it is computed of the event alone: the same fails again
        raise Unsendable(f"{where}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """Return the text of *error*, cut and made encodable, since it may quote a stranger."""
    if not isinstance(error, ExpressionError):
        return f"it can't be computed ({type(error).__name__})"
    return str(error).encode(errors="replace").decode()[:TOLD_MAX_CHARS]


def _transformed(taken: Route | None, event: Event, body: bytes) -> bytes | None:
    if taken is None or taken.transform is None:
        return None
    value = taken.transform.search(facts(event, body))
    if value is None:
        trouble = _content(event, body).trouble
        why = f": the body can't be read: {trouble}" if trouble else ""
        raise ExpressionError(f"transform {taken.transform.text} gives nothing of this event{why}")
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # a lone surrogate, a number without end
        raise ExpressionError(f"transform {taken.transform.text} gives what JSON can't say") from error


def _filled(template: str, event: Event, body: bytes, most: int) -> str:
    """Return *template*, filled from the event, without commas and control characters, which QStash can't list."""
    given = Template.of(template).fill(facts(event, body)) if "{" in template or "}" in template else template
    return re.sub(r"[^!-+\--~]+", "_", given)[:most]


def _not_before(how: Publishing, event: Event, body: bytes) -> datetime | None:
    """Return the earliest time of the delivery; a delay counts from the event's arrival."""
    if how.not_before is not None:
        return _time(how.not_before, event, body)
    if how.delay is None:
        return None
    delay_s = how.delay if isinstance(how.delay, int) else _seconds(how.delay, event, body)
    try:
        return None if delay_s is None else event.received_at + timedelta(seconds=delay_s)
    except OverflowError:
        raise ExpressionError(f"delay is longer than there is time: {delay_s} s") from None


def _within_retention(moment: datetime | None, event: Event) -> datetime | None:
    if moment is not None and moment >= event.expires_at:
        raise ExpressionError(
            f"it is to be delivered at {iso(moment)[:16]} first, and is kept until {iso(event.expires_at)[:16]} only"
            " (relay.retention_days): nobody could tell what became of it"
        )
    return moment


def _seconds(delay: Expression, event: Event, body: bytes) -> float | None:
    value = delay.search(facts(event, body))
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        if value > _LONGEST_S:
            raise ExpressionError(f"delay {delay.text} gives more than a century")
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if found is None:
        raise ExpressionError(f"delay {delay.text} gives neither seconds nor a duration like 1h30m")
    return sum(int(part or 0) * seconds for part, seconds in zip(found.groups(), _SECONDS_OF, strict=True))


def _time(given: str | Expression, event: Event, body: bytes) -> datetime | None:
    value = given if isinstance(given, str) else given.search(facts(event, body))
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST:
        return datetime.fromtimestamp(value, UTC)
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None and moment.timestamp() < _LATEST:
            return from_iso(value)
    except (TypeError, ValueError, OverflowError):
        pass
    text = given if isinstance(given, str) else given.text
    raise ExpressionError(f"not_before {text} gives neither epoch seconds nor an ISO 8601 time with a zone")
