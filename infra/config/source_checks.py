"""Checks of the sources of a relay.toml: what signs their webhooks, when a schedule runs, and where their events go."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from infra.config import github_hooks, plan_limits, quarantine, schedule
from infra.config.canaries import silence
from infra.config.mistakes import names_in, nearest
from infra.config.schemes import built_in_schemes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.config.mistakes import Wrong
    from infra.config.models import Config, Source

CANARY_GAP_S = 6 * 3_600
_TOKENS = {"qstash": "QStash's own", "github-api": "GitHub's API"}
_OF_A_SCHEDULE = ("timezone", "body", "canary")


def mistakes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield the mistakes in sources and their routes.

    Args:
        config: The part of the file that its models take.
        raw: The whole file.
    """
    yield from _sources(config, raw)
    yield from _routes(config, raw)


def warnings(config: Config) -> Iterator[Wrong]:
    """Yield the settings of sources that can be deployed, and are likely to be meant otherwise."""
    yield from _old_names(config)
    yield from _named_again(config)
    yield from _seldom_canaries(config)


def _sources(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """A source has a known scheme or is a schedule, and no other secret has its name."""
    known = [*built_in_schemes(), *names_in(raw, "schemes")]
    schemes = {**built_in_schemes(), **config.schemes}
    hooked: set[str] = set()
    for name, source in config.sources.items():
        at, said = f"sources.{name}", raw["sources"][name]
        yield from _schedule(at, source, said) if "cron" in said else _webhook(at, source, said, known)
        if "replays" in said and "suspected_replays" in said:
            yield f"{at}.replays", "is the old name of suspected_replays, and both are set: take replays out"
        if name in _TOKENS:
            yield at, f"'{name}' is what `relay secret set` calls {_TOKENS[name]} token: choose another name"
        yield from github_hooks.mistakes(f"{at}.reconcile", said, hooked)
        yield from quarantine.mistakes(f"{at}.quarantine", source, schemes, config.relay.retention_days)


def _webhook(at: str, source: Source, said: Mapping[str, Any], known: Sequence[str]) -> Iterator[Wrong]:
    if "scheme" not in said:
        yield f"{at}.scheme", 'is missing: say how the source signs, like scheme = "github", or set cron'
    elif source.scheme is not None and source.scheme not in known:
        hint = nearest(source.scheme, known, "relay scheme list")
        yield f"{at}.scheme", f"there is no scheme '{source.scheme}'{hint}"
    for setting in _OF_A_SCHEDULE:
        if setting in said:
            yield f"{at}.{setting}", "goes with a schedule, and this source has no cron: set cron, or take this out"


def _schedule(at: str, source: Source, said: Mapping[str, Any]) -> Iterator[Wrong]:
    if "scheme" in said:
        yield f"{at}.scheme", "goes with webhooks, and QStash signs a schedule: take it out"
    wrong = list(schedule.mistakes(at, source.cron, source.timezone))
    yield from wrong
    if source.canary and source.cron and source.timezone and not wrong:
        try:
            silence(source.cron, source.timezone)
        except ValueError as error:
            yield f"{at}.canary", str(error)


def _routes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Every event of a source can go somewhere, and every URL group that it goes to is there."""
    groups = names_in(raw, "url_groups")
    for name, source in config.sources.items():
        at, said = f"sources.{name}", raw["sources"][name]
        if "to" not in said and "routes" not in said:
            yield f"{at}.to", "is missing: name the URL groups that get the source's events, or set routes"
        if said.get("routes") == []:
            yield f"{at}.routes", "is empty: take it out"
        yield from _to(f"{at}.to", source.to, groups)
        for number, route in enumerate(source.routes):
            here = f"{at}.routes[{number}]"
            if "to" not in said["routes"][number]:
                yield f"{here}.to", "is missing: name the URL groups that get what the route takes"
            else:
                yield from _to(f"{here}.to", route.to, groups)
            if route.event_types == []:
                yield f"{here}.event_types", "is empty: leave it out to take every type"


def _to(at: str, to: list[str] | None, groups: Sequence[str]) -> Iterator[Wrong]:
    if to == []:
        yield at, "is empty: name the URL groups that get the events"
    for group, times in Counter(to).items():
        if group not in groups:
            made = nearest(group, groups) or ": make it, as [url_groups.NAME.destinations]"
            yield at, f"there is no URL group '{group}'{made}"
        if times > 1:
            yield at, f"'{group}' is named twice: take one out"


def _old_names(config: Config) -> Iterator[Wrong]:
    """No setting has a name that the next release refuses."""
    for name, source in config.sources.items():
        if source.replays is not None:
            told = "is the old name of suspected_replays, and the next release refuses it"
            yield f"sources.{name}.replays", f'{told}: say suspected_replays = "{source.replays}" instead'


def _named_again(config: Config) -> Iterator[Wrong]:
    """A URL group gets an event once: of several routes that name the group, the first that takes the event decides."""
    for name, source in config.sources.items():
        first: dict[str, int] = {}
        for number, route in enumerate(source.routes):
            for group in route.to:
                if first.setdefault(group, number) != number:
                    yield f"sources.{name}.routes[{number}].to", _decides(group, first[group], "this route")
        for group in source.to or ():
            if group in first:
                yield f"sources.{name}.to", _decides(group, first[group], "`to`")


def _decides(group: str, number: int, other: str) -> str:
    return (
        f"'{group}' is in routes[{number}].to, too: it gets an event once, and of an event that routes[{number}] takes,"
        f" the settings and the transform of routes[{number}] decide, not those of {other}"
    )


def _seldom_canaries(config: Config) -> Iterator[Wrong]:
    """A canary runs every six hours at least, else its absence is noticed late."""
    for name, source in config.sources.items():
        if source.canary and source.cron and source.timezone:
            gap = schedule.gap_s(source.cron, source.timezone)
            if gap > CANARY_GAP_S:
                told = f"lets {plan_limits.span(gap)} pass between two runs, so that a failure is noticed late"
                yield f"sources.{name}.canary", f"{told}: let cron run it every 6 h at least"
