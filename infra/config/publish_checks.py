"""Checks of how events are published: queues, flow controls, retries, delays, and how long a delivery may be under way.

They look at the tables that say so together, a URL group's with those of the sources and routes that name the group.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.config import plan_limits
from infra.config.mistakes import names_in, nearest
from infra.config.publishing import DEFAULTS, FlowLimits, KeyedFlowControl, PublishSettings
from infra.local.qstash.language.grammar import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.config.mistakes import Wrong
    from infra.config.models import Config

HOUR_S, DAY_S = 3_600, 86_400


class Layers(NamedTuple):
    """The tables that say how a URL group gets its events from one route or `to`: by dotted path, the nearest first."""

    tables: tuple[tuple[str, PublishSettings], ...]
    group: str

    @property
    def said(self) -> dict[str, Any]:
        """The publish settings that the tables say together, by name; the nearest table that says one wins."""
        return dict(pair for _, table in reversed(self.tables) for pair in table.own())

    def own(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the name of each publish setting in the tables, the nearest first."""
        for at, table in self.tables:
            yield from ((f"{at}.{name}", name) for name, _ in table.own())


def mistakes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield the mistakes in how events are published.

    Args:
        config: The part of the file that its models take.
        raw: The whole file.
    """
    tables = list(_tables(config))
    yield from _settings(config, raw, tables)
    yield from _outlived(config)
    yield from plan_limits.mistakes(config, tables)


def warnings(config: Config) -> Iterator[Wrong]:
    """Yield the settings of publishing that can be deployed, and are likely to be meant otherwise."""
    yield from _unrouted(config)
    yield from _short_retries(config)
    yield from _two_starts(config)
    yield from plan_limits.warnings(config, list(_tables(config)))


def _settings(config: Config, raw: Mapping[str, Any], tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """Every queue and flow control that a setting names is in the file, and every flow control limits something."""
    queues, controls = names_in(raw, "queues"), names_in(raw, "flow_controls")
    for name, limits in config.flow_controls.items():
        yield from limits.mistakes(f"flow_controls.{name}")
    for at, table in tables:
        if table.queue is not None and table.queue not in queues:
            yield f"{at}.queue", f"there is no queue '{table.queue}'{nearest(table.queue, queues) or _made('queues')}"
        yield from _flow_control(f"{at}.flow_control", table.flow_control, controls)


def _flow_control(at: str, control: str | KeyedFlowControl | None, known: Sequence[str]) -> Iterator[Wrong]:
    if isinstance(control, str) and control not in known:
        yield at, f"there is no flow control '{control}'{nearest(control, known) or _made('flow_controls')}"
    if isinstance(control, FlowLimits):
        yield from control.mistakes(at)
    if isinstance(control, KeyedFlowControl) and control.key in known:
        yield f"{at}.key", f'is the key of [flow_controls.{control.key}]: say flow_control = "{control.key}"'


def _made(table: str) -> str:
    return f": make it, as [{table}.NAME]"


def _outlived(config: Config) -> Iterator[Wrong]:
    """A delivery ends before its record expires: else nobody could tell how it ended."""
    kept_s = config.relay.retention_days * DAY_S
    told, routed = set(), list(_layers(config))
    used = {it.group for it in routed}
    for layers in (*routed, *(it for it in _layers(config, alone=True) if it.group not in used)):
        said = layers.said
        waits_s, tries_s = _starts_after_s(said), _last_attempt_s(said, kept_s)
        if waits_s + tries_s <= kept_s:
            continue
        longest = ("not_before", "delay") if waits_s > tries_s else ("retries", "retry_delay")
        owns = (path for path, name in layers.own() if name in longest)
        where, lasts = next(owns, "relay.retention_days"), plan_limits.span(waits_s + tries_s)
        if where not in told:
            told.add(where)
            message = (
                f"lets deliveries to '{layers.group}' be under way for {lasts} or longer, and events are kept for"
                f" {config.relay.retention_days} d (relay.retention_days): shorten the one or raise the other"
            )
            yield where, message


def _starts_after_s(said: Mapping[str, Any]) -> float:
    """Return the seconds that an event waits for its first attempt; 0 where that is computed from each event."""
    moment, delay = said.get("not_before"), said.get("delay")
    if isinstance(moment, datetime):
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return float(delay) if isinstance(delay, int) and moment is None else 0.0


def _last_attempt_s(said: Mapping[str, Any], most_s: float) -> float:
    """Return how long after the first attempt the last one ends, in seconds, or of the first past *most_s*."""
    retries = said.get("retries", DEFAULTS["retries"])
    answers_s: float = (retries + 1) * said.get("timeout", DEFAULTS["timeout"])
    return answers_s + retries_last_s(retries, said.get("retry_delay"), most_s)


def retries_last_s(retries: int, retry_delay: str | None, most_s: float = DAY_S) -> float:
    """Return how long after the first attempt the last retry comes, in seconds, or of the first past *most_s*."""
    total = 0.0
    for number in range(retries):
        if total > most_s:
            break
        backoff_s = min(86_400.0, math.exp(2.5 * min(number + 1, 9)))
        total += evaluate(retry_delay, number) / 1000 if retry_delay else backoff_s
    return total


def _unrouted(config: Config) -> Iterator[Wrong]:
    """Every URL group is in the `to` of a source or a route."""
    named = {it.group for it in _layers(config)}
    for group in config.url_groups:
        if group not in named:
            yield f"url_groups.{group}", "gets no events: name it in the `to` of a source or a route, or take it out"


def _short_retries(config: Config) -> Iterator[Wrong]:
    """Retries last an hour at least: a destination may be down for as long."""
    for layers in _layers(config, alone=True):
        said = layers.said
        at = next((path for path, name in layers.own() if name.startswith("retr")), None)
        lasts = retries_last_s(said.get("retries", DEFAULTS["retries"]), said.get("retry_delay"))
        if at and lasts < HOUR_S:
            said_so = (
                f"lets retries end {plan_limits.span(lasts)} after the first attempt: a destination that is down for"
            )
            yield at, f"{said_so} an hour gets dead letters (5 retries without retry_delay last 31 h)"


def _two_starts(config: Config) -> Iterator[Wrong]:
    """A delivery has one setting for its earliest time, delay or not_before."""
    for layers in _layers(config, alone=True):
        said = layers.said
        at = layers.tables[0][0]
        if said.get("delay") and "not_before" in said:
            yield at, f"has delay and not_before for '{layers.group}': not_before decides, so take one out"
        if "queue" in said and (said.get("delay") or "not_before" in said):
            yield (
                at,
                f"delays deliveries to '{layers.group}' through a queue, where QStash promises no delay: take one out",
            )


def _tables(config: Config) -> Iterator[tuple[str, PublishSettings]]:
    """Yield every table of publish settings with its dotted path."""
    for name, group in config.url_groups.items():
        yield f"url_groups.{name}", group
    for name, source in config.sources.items():
        yield f"sources.{name}", source
        for number, route in enumerate(source.routes):
            yield f"sources.{name}.routes[{number}]", route


def _layers(config: Config, *, alone: bool = False) -> Iterator[Layers]:
    """Yield what goes to URL groups that there are, through routes and `to`; with *alone*, first each by itself."""
    groups = {name: (f"url_groups.{name}", it) for name, it in config.url_groups.items()}
    for name, group in groups.items() if alone else ():
        yield Layers((group,), name)
    for name, source in config.sources.items():
        mine = (f"sources.{name}", source)
        ways = [((f"sources.{name}.routes[{number}]", it), it.to) for number, it in enumerate(source.routes)]
        yield from (Layers((route, mine, groups[it]), it) for route, to in ways for it in to if it in groups)
        yield from (Layers((mine, groups[it]), it) for it in source.to or () if it in groups)
