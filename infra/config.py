"""relay.toml: what one deployment is.  Hides the file's syntax; the functions get `flatten`'s resolved JSON.

Everything is checked at once, before anything is built: `load` names every mistake by its dotted path, with its line
and what to do.  No CDK here, so that `relay check` is fast.
"""

from __future__ import annotations

import ast
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from infra import hooks, urls
from infra.mistakes import ConfigError, Mistake, Wrong, located, nearest, told
from infra.rows import Answer, Scheme, Table, built_in_schemes, mistakes
from relay.scheme import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Config",
    "ConfigError",
    "Mistake",
    "built_in_schemes",
    "flatten",
    "load",
    "needs_public_keys",
    "output_name",
]

RELAY_NAME_MAX_CHARS = 30
NAME_MAX_CHARS = 64
GROUP_MAX_DESTINATIONS = 100  # QStash: endpoints of a URL group
_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_TOKENS = {"qstash": "QStash's own", "github-api": "GitHub's API"}
_DELAY_FUNCTIONS = {"pow", "sqrt", "abs", "exp", "floor", "ceil", "round", "min", "max"}


# -- single settings ----------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text) or not re.search(r"[A-Za-z0-9]", text):
        raise ValueError("a name is made of letters, digits, '-' and '_', and has a letter or a digit")
    if len(text) > NAME_MAX_CHARS:
        raise ValueError(f"a name has {NAME_MAX_CHARS} characters at most")
    return text


def _relay_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", text):
        raise ValueError("must be lower-case letters, digits and '-', beginning with a letter (no dot)")
    if len(text) > RELAY_NAME_MAX_CHARS:
        raise ValueError(f"must have {RELAY_NAME_MAX_CHARS} characters at most")
    return text


def _seconds(value: object) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([smh])", value) if isinstance(value, str) else None
    if found is None or int(found[1]) == 0:
        raise ValueError('must be a whole number and a unit, s, m or h, like "30s"')
    return int(found[1]) * _UNITS_S[found[2]]


def _retry_delay(text: str) -> str:
    try:
        plain = _is_arithmetic(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        plain = False
    if not plain:
        raise ValueError(
            "must be QStash's arithmetic in milliseconds over 'retried', like \"pow(2, retried) * 1000\""
            f" (functions: {', '.join(sorted(_DELAY_FUNCTIONS))})"
        )
    return text


def _is_arithmetic(node: ast.expr) -> bool:
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            return _is_arithmetic(left) and _is_arithmetic(right)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _is_arithmetic(operand)
        case ast.Call(func=ast.Name(id=called), args=[_, *_] as arguments, keywords=[]):
            return called in _DELAY_FUNCTIONS and all(map(_is_arithmetic, arguments))
        case ast.Constant(value=value):
            return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(node, ast.Name) and node.id == "retried"


def _public_url(text: str, info: ValidationInfo) -> str:
    wrong = urls.problem(text, allow_local=bool(info.context and info.context["allow_local"]))
    if wrong:
        raise ValueError(wrong)
    return text


def _base_url(text: str) -> str:
    if "?" in text:
        raise ValueError("must have no query: paths like /webhooks/github are appended")
    return text.rstrip("/")


def _bus(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._/-]{1,256}", text):
        raise ValueError('must be the name of an event bus of this account, like "default"')
    return text


Name = Annotated[str, AfterValidator(_name)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Seconds = Annotated[int, BeforeValidator(_seconds)]


# -- tables -------------------------------------------------------------------------------------------------------


class Relay(Table):
    """`[relay]`: the deployment itself.

    *url* is the owner's own domain in front of it; *sweeps* says how many runs a minute share what is due.
    """

    name: Annotated[str, AfterValidator(_relay_name)] = "relay"
    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    url: Annotated[PublicUrl, AfterValidator(_base_url)] | None = None
    sweeps: Annotated[int, Field(ge=1, le=5)] = 1  # EventBridge: targets of a rule


class Source(Table):
    """`[sources.x]`: how it signs, and the URL groups that get its events.

    *reopen* says what a redelivery of an event does where a delivery of it died: makes that delivery again, or nothing.
    *reconcile* names the hooks on GitHub whose lists are held to the ledger.
    """

    scheme: str
    to: list[str]
    replays: Literal["flag", "refuse"] = "flag"
    reconcile: hooks.Hooks | None = None
    reopen: Literal["dead", "never"] = "dead"


class Destination(Table):
    """`[url_groups.x.destinations]`: a public URL, or an EventBridge bus of this account."""

    url: PublicUrl | None = None
    eventbridge: Annotated[str, AfterValidator(_bus)] | None = None
    detail_type: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Destination:
        if (self.url is None) == (self.eventbridge is None):
            raise ValueError("must have either 'url' or 'eventbridge' (the name of a bus)")
        if (self.eventbridge is None) != (self.detail_type is None):
            raise ValueError("'eventbridge' and 'detail_type' go together: set both or neither")
        return self


class UrlGroup(Table):
    """`[url_groups.x]`: a fan-out and how QStash delivers to each of its destinations.

    *callbacks* says what QStash reports: every attempt, or only dead letters; then its log is asked for the others.
    """

    retries: Annotated[int, Field(ge=0)] = 5
    retry_delay: Annotated[str, AfterValidator(_retry_delay)] | None = None
    timeout: Seconds = 30
    callbacks: Literal["all", "failures"] = "all"
    destinations: dict[Name, Destination]


class Config(Table):
    """relay.toml, whole and without a mistake."""

    relay: Relay = Relay()
    sources: dict[Name, Source] = Field(default_factory=dict)
    schemes: dict[Name, Scheme] = Field(default_factory=dict)
    url_groups: dict[Name, UrlGroup] = Field(default_factory=dict)


_TABLES: tuple[tuple[tuple[str, ...], type[Table]], ...] = (
    ((), Config),
    (("relay",), Relay),
    (("sources", "*"), Source),
    (("schemes", "*"), Scheme),
    (("schemes", "*", "answer"), Answer),
    (("url_groups", "*"), UrlGroup),
    (("url_groups", "*", "destinations", "*"), Destination),
)


def _settings_of(steps: Sequence[str]) -> list[str]:
    for pattern, table in _TABLES:
        if len(pattern) == len(steps) and all(p in ("*", s) for p, s in zip(pattern, steps, strict=True)):
            return list(table.model_fields)
    return []


# -- the file -----------------------------------------------------------------------------------------------------


def load(path: Path, *, allow_local: bool = False) -> Config:
    """Return the configuration that the file at *path* holds.

    Args:
        path: A relay.toml.
        allow_local: Also take destinations on this machine, over http.

    Raises:
        ConfigError: Holds every mistake there is.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(path, [Mistake("", None, f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(path, [Mistake("", None, "isn't UTF-8: save it as such")]) from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        at = int(line[1]) if line else len(text.splitlines())
        raise ConfigError(path, [Mistake("", at, f"isn't TOML: {error}")]) from None
    config, wrong = None, list(_mistakes_between(raw))
    try:
        config = Config.model_validate(raw, context={"allow_local": allow_local})
    except ValidationError as error:
        wrong += told(error, _settings_of)
    if config is None or wrong:
        raise ConfigError(path, located(wrong, text))
    return config


def flatten(config: Config) -> dict[str, Any]:
    """Return what the functions read: settings resolved, scheme rows inlined, nothing left to look up."""
    schemes = {**built_in_schemes(), **config.schemes}
    return {
        "name": config.relay.name,
        "retention_days": config.relay.retention_days,
        "sources": {
            name: {
                "scheme": it.scheme,
                "row": schemes[it.scheme].row(),
                "to": it.to,
                "replays": it.replays,
                **({"reconcile": it.reconcile} if it.reconcile else {}),
                "reopen": it.reopen,
            }
            for name, it in config.sources.items()
        },
        "url_groups": {
            name: {
                "retries": it.retries,
                "retry_delay": it.retry_delay,
                "timeout_s": it.timeout,
                "callbacks": it.callbacks,
                "destinations": list(it.destinations),
            }
            for name, it in config.url_groups.items()
        },
        "destinations": {
            name: {"group": group, **it.model_dump()}
            for group, members in config.url_groups.items()
            for name, it in members.destinations.items()
        },
    }


def needs_public_keys(flat: Mapping[str, Any]) -> bool:
    """Tell whether a source of the flat configuration signs with a public key or a certificate."""
    return any(Row.of(it["row"]).needs_public_keys for it in flat["sources"].values())


def output_name(source: str) -> str:
    """Return the stack output that tells the URL of *source*: `my-shop` is `WebhookMyShop`."""
    return "Webhook" + "".join(part[:1].upper() + part[1:] for part in re.split(r"[-_]+", source))


# -- mistakes between tables --------------------------------------------------------------------------------------


def _mistakes_between(raw: dict[str, Any]) -> Iterator[Wrong]:
    """Yield the mistakes that no single table shows, however wrong the tables themselves are."""
    groups, schemes = _tables(raw, "url_groups"), _tables(raw, "schemes")
    known = [*built_in_schemes(), *schemes]
    outputs: dict[str, str] = {}
    named: set[str] = set()
    for name, source in _tables(raw, "sources").items():
        at = f"sources.{name}"
        scheme = source.get("scheme")
        if isinstance(scheme, str) and scheme not in known:
            yield f"{at}.scheme", f"there is no scheme '{scheme}'{nearest(scheme, known, 'relay scheme list')}"
        yield from _mistakes_of_to(f"{at}.to", source.get("to"), list(groups))
        for taken, whose in _TOKENS.items():
            if name == taken:
                yield at, f"'{taken}' is what `relay secret set` calls {whose} token: choose another name"
        yield from hooks.mistakes(f"{at}.reconcile", source, named)
        twin = outputs.setdefault(output_name(name), name)
        if twin != name:
            yield at, f"'{name}' and '{twin}' would share the stack output {output_name(name)}: rename one"
    for name in schemes.keys() & built_in_schemes().keys():
        yield f"schemes.{name}", f"'{name}' is built in: choose another name, and use it as the source's scheme"
    for name, table in schemes.items():
        yield from _mistakes_of_row(f"schemes.{name}", table)
    yield from _mistakes_of_destinations(groups)


def _mistakes_of_row(at: str, table: dict[str, Any]) -> Iterator[Wrong]:
    """Yield what the engine, which reads the row, says of it, where its settings are of the right types."""
    try:
        row = Scheme.model_validate(table).row()
    except ValidationError:
        return  # told by the model
    for key, words in mistakes(row):
        yield f"{at}.{key}", words


def _mistakes_of_to(at: str, to: object, groups: list[str]) -> Iterator[Wrong]:
    if to == []:
        yield at, "is empty: name the URL groups that get the source's events"
    named = [it for it in to if isinstance(it, str)] if isinstance(to, list) else []
    for group in dict.fromkeys(named):
        if group not in groups:
            yield at, f"there is no URL group '{group}'{nearest(group, groups)}"
        if named.count(group) > 1:
            yield at, f"'{group}' is named twice: take one out"


def _mistakes_of_destinations(groups: dict[str, dict[str, Any]]) -> Iterator[Wrong]:
    owners: dict[str, str] = {}
    for group, settings in groups.items():
        at = f"url_groups.{group}.destinations"
        members = settings.get("destinations")
        if members == {}:
            yield at, "is empty: a URL group needs a destination"
        if not isinstance(members, dict):
            continue
        if len(members) > GROUP_MAX_DESTINATIONS:
            yield at, f"has {len(members)} destinations: QStash takes {GROUP_MAX_DESTINATIONS} in a URL group"
        for name in members:
            owner = owners.setdefault(name, group)
            if owner != group:
                yield f"{at}.{name}", f"'{name}' is also in URL group '{owner}': a destination's name is unique"


def _tables(raw: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    table = raw.get(name)
    return {key: it for key, it in table.items() if isinstance(it, dict)} if isinstance(table, dict) else {}
