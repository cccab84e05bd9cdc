"""What is wrong, or only likely to be, between the tables of a relay.toml: names, routes, secrets, limits.

The models say what is wrong within one.  The tables here are what is left once that is taken out, so that all is told
at once; which names there are is read from the file itself, however wrong the tables of those names are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.config import github_hooks, plan_limits, quarantine, schedule, schemes, urls
from infra.config.canaries import silence
from infra.config.mistakes import dotted, nearest
from infra.config.publishing import DEFAULTS, FlowControl, Limits, PublishSettings
from infra.config.schemes import built_in_schemes
from infra.local.qstash.language.grammar import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.config.mistakes import Wrong
    from infra.config.models import Config, Source

CANARY_GAP_S = 6 * 3_600
HOUR_S, DAY_S = 3_600, 86_400
_TOKENS = {"qstash": "QStash's own", "github-api": "GitHub's API"}
_OF_A_SCHEDULE = ("timezone", "body", "canary")


class Share(NamedTuple):
    """What a route, or a source's `to`, gives a URL group: the tables that say how by path, the nearest first."""

    tables: tuple[tuple[str, PublishSettings], ...]
    group: str


def mistakes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield what can't be deployed.

    Args:
        config: What of the file its models take.
        raw: The file, whole.
    """
    tables = list(_tables(config))
    yield from _sources(config, raw)
    yield from _routes(config, raw)
    yield from _settings(config, raw, tables)
    yield from _groups(config, raw)
    yield from _places(config)
    yield from _schemes(config)
    yield from _secrets(raw)
    yield from _outlived(config)
    yield from plan_limits.mistakes(config, tables)


def warnings(config: Config) -> Iterator[Wrong]:
    """Yield what can be deployed and is likely to be meant otherwise."""
    yield from _old_names(config)
    yield from _unrouted(config)
    yield from _named_again(config)
    yield from _short_retries(config)
    yield from _two_starts(config)
    yield from _seldom_canaries(config)
    yield from plan_limits.warnings(config, list(_tables(config)))


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _sources(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """A source has a scheme that there is or is a schedule, and a name that is no other secret's."""
    known = [*built_in_schemes(), *_names(raw, "schemes")]
    schemes = {**built_in_schemes(), **config.schemes}
    hooked: set[str] = set()
    for name, source in config.sources.items():
        at, said = f"sources.{name}", raw["sources"][name]
        yield from _schedule(at, source, said) if "cron" in said else _webhook(at, source, said, known)
        if "replays" in said and "suspected_replays" in said:
            yield f"{at}.replays", "is the old name of suspected_replays, which is set, too: take replays out"
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
            yield f"{at}.{setting}", "is a schedule's, and this source has no cron: set cron, or take it out"


def _schedule(at: str, source: Source, said: Mapping[str, Any]) -> Iterator[Wrong]:
    if "scheme" in said:
        yield f"{at}.scheme", "is for a source that sends webhooks: a schedule is signed by QStash, so take it out"
    wrong = list(schedule.mistakes(at, source.cron, source.timezone))
    yield from wrong
    if source.canary and source.cron and source.timezone and not wrong:
        try:
            silence(source.cron, source.timezone)
        except ValueError as error:
            yield f"{at}.canary", str(error)


def _routes(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """Every event of a source can go somewhere, and every URL group that it goes to is there."""
    groups = _names(raw, "url_groups")
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


def _settings(config: Config, raw: Mapping[str, Any], tables: Sequence[tuple[str, PublishSettings]]) -> Iterator[Wrong]:
    """A queue or a flow control that is named is there, limits something, and a delay ends while the event is kept."""
    queues, controls = _names(raw, "queues"), _names(raw, "flow_controls")
    for name, it in config.flow_controls.items():
        yield from it.mistakes(f"flow_controls.{name}")
    for at, table in tables:
        if table.queue is not None and table.queue not in queues:
            yield f"{at}.queue", f"there is no queue '{table.queue}'{nearest(table.queue, queues) or _made('queues')}"
        yield from _flow_control(f"{at}.flow_control", table.flow_control, controls)


def _flow_control(at: str, control: str | FlowControl | None, known: Sequence[str]) -> Iterator[Wrong]:
    if isinstance(control, str) and control not in known:
        yield at, f"there is no flow control '{control}'{nearest(control, known) or _made('flow_controls')}"
    if isinstance(control, Limits):
        yield from control.mistakes(at)
    if isinstance(control, FlowControl) and control.key in known:
        yield f"{at}.key", f'is the key of [flow_controls.{control.key}]: say flow_control = "{control.key}"'


def _made(table: str) -> str:
    return f": make it, as [{table}.NAME]"


def _groups(config: Config, raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """A URL group has a destination, and no other group has one of its name."""
    owners: dict[str, str] = {}
    for group in config.url_groups:
        at = f"url_groups.{group}.destinations"
        members = raw["url_groups"][group].get("destinations")
        if members is None:
            yield at, "is missing: a URL group needs a destination"
        elif members == {}:
            yield at, "is empty: a URL group needs a destination"
        for name in members if isinstance(members, dict) else ():
            owner = owners.setdefault(name, group)
            if owner != group:
                yield f"{at}.{name}", f"'{name}' is also in URL group '{owner}': a destination's name is unique"


def _places(config: Config) -> Iterator[Wrong]:
    """A destination is one place, of which its URL group has no other, and where nobody writes over what it wrote."""
    keys: dict[tuple[str, str], str] = {}  # whose keys begin so in which bucket
    for group, members in config.url_groups.items():
        urls_of: dict[str, str] = {}
        for name, destination in members.destinations.items():
            at = f"url_groups.{group}.destinations.{name}"
            yield from destination.mistakes(at)
            if destination.url and (twin := urls_of.setdefault(destination.url, name)) != name:
                yield f"{at}.url", f"is the URL of '{twin}', which would get each event twice: take one out"
            bucket, prefix = destination.setting("s3"), destination.setting("prefix") or ""
            if bucket and (twin := keys.setdefault((bucket, prefix), name)) != name:
                yield f"{at}.s3", f"would write over what '{twin}' writes there: set another prefix"


def _schemes(config: Config) -> Iterator[Wrong]:
    """A scheme of one's own has a name of its own, and proves something."""
    for name, scheme in config.schemes.items():
        if name in built_in_schemes():
            yield f"schemes.{name}", f"'{name}' is built in: choose another name, and use it as the source's scheme"
        for key, words in schemes.mistakes(scheme.row()):
            yield f"schemes.{name}.{key}", words


def _secrets(raw: Mapping[str, Any]) -> Iterator[Wrong]:
    """No setting holds a secret: the file, the stack and QStash keep it in the clear."""
    for steps, value in walked(raw):
        if not isinstance(value, str):
            continue
        if steps[0] == "url_groups" and steps[-2:-1] == ("headers",) and urls.secret_header(str(steps[-1])):
            yield dotted(steps), 'carries a secret, which would be stored in the clear: say { secret = "NAME" } instead'
        elif urls.secret_text(value):
            yield dotted(steps), "holds what looks like a secret, which would be stored in the clear: take it out"


def _outlived(config: Config) -> Iterator[Wrong]:
    """What is published ends before its record expires: else nobody could tell what became of it."""
    kept_s = config.relay.retention_days * DAY_S
    told, shares = set(), list(_shares(config))
    used = {it.group for it in shares}
    for share in (*shares, *(it for it in _shares(config, alone=True) if it.group not in used)):
        said = dict(pair for _, table in reversed(share.tables) for pair in table.own())
        waits_s, tries_s = _starts_after_s(said), _last_attempt_s(said, kept_s)
        if waits_s + tries_s <= kept_s:
            continue
        longest = ("not_before", "delay") if waits_s > tries_s else ("retries", "retry_delay")
        owns = (f"{at}.{name}" for at, table in share.tables for name, _ in table.own() if name in longest)
        where, lasts = next(owns, "relay.retention_days"), plan_limits.span(waits_s + tries_s)
        if where not in told:
            told.add(where)
            message = (
                f"lets what goes to '{share.group}' be under way for {lasts} or longer, and events are kept for"
                f" {config.relay.retention_days} d (relay.retention_days): shorten the one or raise the other"
            )
            yield where, message


def _starts_after_s(said: Mapping[str, Any]) -> float:
    """Return how long an event that comes now waits for its first attempt; 0 where each says that itself."""
    moment, delay = said.get("not_before"), said.get("delay")
    if isinstance(moment, datetime):
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return float(delay) if isinstance(delay, int) and moment is None else 0.0


def _last_attempt_s(said: Mapping[str, Any], most_s: float) -> float:
    """Return how long after the first attempt the last one ends, in seconds, or the first of them past *most_s*."""
    retries = said.get("retries", DEFAULTS["retries"])
    answers_s: float = (retries + 1) * said.get("timeout", DEFAULTS["timeout"])
    return answers_s + retries_last_s(retries, said.get("retry_delay"), most_s)


def in_comments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file's *text* whose comments hold a secret, and what to do."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.search(r"(^|\s)#.*", line)
        if comment and urls.secret_text(comment[0]):
            yield number, "has a comment that holds what looks like a secret: take it out, and have it replaced"


# -- warnings ----------------------------------------------------------------------------------------------------------


def _old_names(config: Config) -> Iterator[Wrong]:
    """No setting has a name that the next release no longer takes."""
    for name, source in config.sources.items():
        if source.replays is not None:
            told = "is the old name of suspected_replays, and the next release refuses it"
            yield f"sources.{name}.replays", f'{told}: say suspected_replays = "{source.replays}" instead'


def _unrouted(config: Config) -> Iterator[Wrong]:
    """A URL group is named by the `to` of a source or a route."""
    named = {it.group for it in _shares(config)}
    for group in config.url_groups:
        if group not in named:
            yield f"url_groups.{group}", "gets no events: name it in the `to` of a source or a route, or take it out"


def _named_again(config: Config) -> Iterator[Wrong]:
    """A URL group that several routes of a source name is published to once, as the first that takes the event says."""
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
        f"'{group}' is in routes[{number}].to, too: it gets an event once, and where that route takes it, that route's"
        f" settings and transform decide, not those of {other}"
    )


def _short_retries(config: Config) -> Iterator[Wrong]:
    """Retries last for an hour at least, so that a destination may be down for as long."""
    for share in _shares(config, alone=True):
        said = dict(pair for _, table in reversed(share.tables) for pair in table.own())
        at = next((f"{at}.{it}" for at, table in share.tables for it, _ in table.own() if it.startswith("retr")), None)
        lasts = retries_last_s(said.get("retries", DEFAULTS["retries"]), said.get("retry_delay"))
        if at and lasts < HOUR_S:
            said_so = (
                f"lets retries end {plan_limits.span(lasts)} after the first attempt: a destination that is down for"
            )
            yield at, f"{said_so} an hour gets dead letters (5 retries without retry_delay last 31 h)"


def retries_last_s(retries: int, retry_delay: str | None, most_s: float = DAY_S) -> float:
    """Return how long after the first attempt the last retry comes, in seconds, or the first of them past *most_s*."""
    total = 0.0
    for number in range(retries):
        if total > most_s:
            break
        backoff_s = min(86_400.0, math.exp(2.5 * min(number + 1, 9)))
        total += evaluate(retry_delay, number) / 1000 if retry_delay else backoff_s
    return total


def _two_starts(config: Config) -> Iterator[Wrong]:
    """What is published has one way to say when it is delivered at the earliest."""
    for share in _shares(config, alone=True):
        said = dict(pair for _, table in reversed(share.tables) for pair in table.own())
        at = share.tables[0][0]
        if said.get("delay") and "not_before" in said:
            yield at, f"has delay and not_before for '{share.group}': not_before decides, so take one out"
        if "queue" in said and (said.get("delay") or "not_before" in said):
            yield at, f"delays what goes to '{share.group}' through a queue: QStash promises no delay there"


def _seldom_canaries(config: Config) -> Iterator[Wrong]:
    """A canary runs every six hours at least, else its absence is noticed late."""
    for name, it in config.sources.items():
        if it.canary and it.cron and it.timezone:
            gap = schedule.gap_s(it.cron, it.timezone)
            if gap > CANARY_GAP_S:
                told = f"runs {plan_limits.span(gap)} apart, and only then its absence is noticed"
                yield f"sources.{name}.canary", f"{told}: let it run every 6 h at least"


# -- reading -----------------------------------------------------------------------------------------------------------


def _tables(config: Config) -> Iterator[tuple[str, PublishSettings]]:
    """Yield every table of publish settings by its dotted path."""
    for name, group in config.url_groups.items():
        yield f"url_groups.{name}", group
    for name, source in config.sources.items():
        yield f"sources.{name}", source
        for number, route in enumerate(source.routes):
            yield f"sources.{name}.routes[{number}]", route


def _shares(config: Config, *, alone: bool = False) -> Iterator[Share]:
    """Yield what goes to URL groups that there are, through routes and `to`; with *alone*, first each by itself."""
    groups = {name: (f"url_groups.{name}", it) for name, it in config.url_groups.items()}
    for name, group in groups.items() if alone else ():
        yield Share((group,), name)
    for name, source in config.sources.items():
        mine = (f"sources.{name}", source)
        ways = [((f"sources.{name}.routes[{number}]", it), it.to) for number, it in enumerate(source.routes)]
        yield from (Share((route, mine, groups[it]), it) for route, to in ways for it in to if it in groups)
        yield from (Share((mine, groups[it]), it) for it in source.to or () if it in groups)


def _names(raw: Mapping[str, Any], table: str) -> list[str]:
    found = raw.get(table)
    return list(found) if isinstance(found, dict) else []


def walked(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield everything in *raw* with the keys and indices that lead there, however deep it is."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), raw)]
    while left:
        steps, value = left.pop()
        yield steps, value
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        left.extend(((*steps, key), it) for key, it in inner)
