"""relay.toml: what one deployment is.  Hides the file's syntax; the functions get `flatten`'s resolved JSON.

Everything is checked at once, before anything is built: `load` names every mistake by its dotted path, with its line
and what to do.  No CDK here, so that `relay check` is fast.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationError,
)

from infra import hooks, lint, shape, sizes
from infra.capacity import Concurrency, Emails, Throttle
from infra.destinations import Destination, PublicUrl
from infra.grammar import Expression, Glob, Name, Seconds
from infra.limits import SCHEDULE_RETRIES, Plan
from infra.mistakes import ConfigError, Mistake, located, steps_of, told
from infra.publishing import Limits, PublishSettings, Queue, resolved
from infra.rows import Scheme, Table, built_in_schemes
from infra.schedule import CronText
from relay.internet.addresses import address_of, is_public
from relay.verification.scheme import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Config",
    "ConfigError",
    "Mistake",
    "built_in_schemes",
    "flatten",
    "load",
    "needs_public_keys",
]

RELAY_NAME_MAX_CHARS = 30
MAX_DEPTH = 50  # of tables in tables: no setting is as deep as ten
SCHEDULE = "qstash"  # the scheme by which a schedule's posts are proved


# -- single settings ----------------------------------------------------------------------------------------------


def _relay_name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", text):
        raise ValueError("must be lower-case letters, digits and '-', beginning with a letter (no dot)")
    if len(text) > RELAY_NAME_MAX_CHARS:
        raise ValueError(f"must have {RELAY_NAME_MAX_CHARS} characters at most")
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.path.strip("/") or "?" in text:
        raise ValueError(
            f"must be a domain alone, like https://{parts.hostname}: whether API Gateway hands a path of a domain's"
            " mapping on isn't to be relied on; map the domain without a path, as docs/domains.md says"
        )
    host = (parts.hostname or "").rstrip(".")
    if (address := address_of(host)) and is_public(address):
        raise ValueError(f"{host} is an address, for which nothing in AWS has a certificate: give your domain's name")
    port = f":{parts.port}" if parts.port not in (None, 443 if parts.scheme == "https" else 80) else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


# -- tables -------------------------------------------------------------------------------------------------------


class Relay(Table):
    """`[relay]`: the deployment itself."""

    name: Annotated[
        str,
        AfterValidator(_relay_name),
        Field(
            description="Names the stack, its secrets and everything in QStash; two names never collide.",
            examples=["relay"],
            json_schema_extra={"pattern": "^[a-z][a-z0-9-]{0,29}$"},
        ),
    ] = "relay"
    retention_days: Annotated[
        int, Field(ge=1, le=3650, description="How long events and deliveries are kept, in days.", examples=[30])
    ] = 30
    url: Annotated[
        Annotated[PublicUrl, AfterValidator(_base_url)] | None,
        Field(
            description="Your own domain in front of the relay, without a path; without it, API Gateway's URL.",
            examples=["https://hooks.example.com"],
        ),
    ] = None
    sweeps: Annotated[  # EventBridge: targets of a rule
        int, Field(ge=1, le=5, description="How many runs a minute share what is due.", examples=[1])
    ] = 1
    alarm_emails: Emails = Field(
        default_factory=list,
        description="Who hears the alarms: each gets a mail at the deploy, and nothing more until its link is clicked.",
        examples=[["ops@example.com"]],
    )
    throttle: Annotated[
        Throttle | None,
        Field(
            description="What the gateway lets through; a webhook beyond it is answered 429, and many sources never"
            " send again. Without it, the account's limits alone.",
            examples=[{"rate": 100, "burst": 200}],
        ),
    ] = None
    concurrency: Annotated[
        Concurrency | None,
        Field(
            description="How many of a function run at once. In a new account, which runs ten in all, any of it makes"
            " the deploy fail.",
            examples=[{"ingest": 50, "record": 50}],
        ),
    ] = None


class QStash(Table):
    """`[qstash]`: the account in QStash."""

    plan: Annotated[
        Plan, Field(description="The plan, whose limits `relay check` holds this file to.", examples=["free"])
    ] = "payg"


class Route(PublishSettings):
    """`[[sources.x.routes]]`: further URL groups for the events that it takes, and how they are published there."""

    to: list[str] = Field(
        default_factory=list, description="The URL groups that get what the route takes.", examples=[["ci"]]
    )
    event_types: Annotated[
        list[Glob] | None,
        Field(
            description="The event types that it takes, `*` standing for any characters; without it every type.",
            examples=[["push", "pull_request.*"]],
        ),
    ] = None
    when: Annotated[
        Expression | None,
        Field(
            description="JMESPath over `event_type`, `headers` (lower case, `_` for `-`), `query`, `body` and `source`:"
            " the route takes the events for which it gives something true; without it every event. `body` is what"
            " the JSON or the form holds, unpacked; of a form with the one field `payload` the JSON in it.",
            examples=["body.repository.private"],
        ),
    ] = None
    transform: Annotated[
        Expression | None,
        Field(
            description="JMESPath over the same: what it gives is the new body, as JSON.", examples=["{id: body.id}"]
        ),
    ] = None


class Source(PublishSettings):
    """`[sources.x]`: who sends webhooks, or a schedule, and the URL groups that get its events."""

    scheme: Annotated[
        str | None,
        Field(description="How it signs: `relay scheme list`, or one of `[schemes]`.", examples=["github"]),
    ] = None
    to: Annotated[
        list[str] | None,
        Field(
            description="The URL groups that get every event; may be left out where there are routes.",
            examples=[["audit"]],
        ),
    ] = None
    routes: list[Route] = Field(
        default_factory=list, description="Where the events go that meet conditions, and how: `[[sources.x.routes]]`."
    )
    replays: Annotated[
        Literal["flag", "refuse"],
        Field(
            description="What happens to signed bytes that come again under a new id: they are marked, or refused.",
            examples=["refuse"],
        ),
    ] = "flag"
    reopen: Annotated[
        Literal["dead", "never"],
        Field(
            description="What a redelivery of an event does where a delivery of it died: makes it again, or nothing.",
            examples=["never"],
        ),
    ] = "dead"
    reconcile: Annotated[
        hooks.Hooks | None,
        Field(
            description="The webhooks on GitHub whose lists of deliveries are held to the ledger.",
            examples=["repos/OWNER/REPO/hooks/123"],
        ),
    ] = None
    cron: Annotated[
        CronText | None,
        Field(description="When QStash posts an event: five fields, or @daily and the like.", examples=["0 3 * * *"]),
    ] = None
    timezone: Annotated[
        str | None, Field(description="Whose clock `cron` means; goes with it.", examples=["Europe/Berlin"])
    ] = None
    body: Annotated[
        str,
        Field(description="The body of a schedule's events.", examples=['{"kind":"nightly"}'], max_length=1_000_000),
    ] = ""
    canary: Annotated[
        bool,
        Field(
            description="Whether a schedule's way through the relay is measured, and its absence an alarm.",
            examples=[True],
        ),
    ] = False

    quarantine: Annotated[
        Seconds | None,
        Field(
            description="How long what was refused for its signature alone is kept, to be let in by `relay source"
            " quarantine` once the right secret is set; without it nothing is.",
            examples=["3d"],
        ),
    ] = None

    @property
    def signed_by(self) -> str:
        """The scheme that proves its requests: a schedule's are QStash's."""
        return self.scheme or SCHEDULE


class UrlGroup(PublishSettings):
    """`[url_groups.x]`: a fan-out: every event goes to each of its destinations, and each has retries of its own."""

    destinations: dict[Name, Destination] = Field(
        default_factory=dict, description="Where its events go, by name; a name is unique in the file."
    )


class Config(Table):
    """relay.toml: one file is one deployment."""

    relay: Annotated[Relay, Field(description="The deployment itself.")] = Relay()
    qstash: Annotated[QStash, Field(description="The account in QStash.")] = QStash()
    sources: dict[Name, Source] = Field(default_factory=dict, description="Who sends webhooks, and schedules, by name.")
    schemes: dict[Name, Scheme] = Field(default_factory=dict, description="Signature schemes of your own, by name.")
    url_groups: dict[Name, UrlGroup] = Field(default_factory=dict, description="Fan-outs, by name.")
    queues: dict[Name, Queue] = Field(default_factory=dict, description="Queues in QStash, by name.")
    flow_controls: dict[Name, Limits] = Field(
        default_factory=dict, description="Flow controls that are pinned, by name."
    )
    _warnings: tuple[Mistake, ...] = PrivateAttr(())

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        """What can be deployed and is likely to be meant otherwise, in the order of the file."""
        return self._warnings

    def warn(self, text: str) -> None:
        """Note the warnings there are, with their lines in the file's *text*."""
        found = located(lint.warnings(self), text)
        self._warnings = tuple(sorted(found, key=lambda it: (it.line or 0, it.path, it.message)))


# -- the file -----------------------------------------------------------------------------------------------------


def load(path: Path, *, allow_local: bool = False) -> Config:
    """Return the configuration that the file at *path* holds.

    Args:
        path: A relay.toml.
        allow_local: Also take destinations on this machine, over http.

    Raises:
        ConfigError: Holds every mistake there is.
    """
    text, raw = _read(path)
    context = {"allow_local": allow_local}
    config, wrong = _sound(raw, context)
    known = {at for at, _ in wrong}
    wrong += [it for it in lint.mistakes(config, raw) if not any(_within(at, it[0]) for at in known)]
    found = located(wrong, text)
    found |= {Mistake("", line, words) for line, words in lint.in_comments(text)}
    if not found:
        too_large = sizes.mistakes(flatten(config), url=config.relay.url, emails=len(config.relay.alarm_emails))
        found = located(too_large, text)
    if found:
        raise ConfigError(path, found)
    config.warn(text)
    return config


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with its mark
    except OSError as error:
        raise ConfigError(path, [Mistake("", None, f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(path, [Mistake("", None, "isn't UTF-8: save it as such")]) from None
    try:
        raw = tomllib.loads(text)
    except RecursionError:
        raw = None
    except ValueError as error:  # also of a number with too many digits
        line = re.search(r"at line (\d+)", str(error))
        at = int(line[1]) if line else len(text.splitlines())
        raise ConfigError(path, [Mistake("", at, f"isn't TOML: {error}")]) from None
    if raw is None or any(len(steps) > MAX_DEPTH for steps, _ in lint.walked(raw)):
        raise ConfigError(path, [Mistake("", None, f"has tables in tables, {MAX_DEPTH} deep: no setting is there")])
    return text, raw


def _sound(raw: dict[str, Any], context: dict[str, bool]) -> tuple[Config, list[tuple[str, str]]]:
    """Return what of *raw* the models take, and what is wrong with the rest."""
    left, wrong = copy.deepcopy(raw), None
    while True:
        try:
            return Config.model_validate(left, context=context), wrong or []
        except ValidationError as error:
            wrong = told(error, shape.settings_of) if wrong is None else wrong
            found = error.errors(include_url=False, include_context=False, include_input=False)
            for table, key in [
                _culprit(left, steps_of(it["loc"])[: -1 if it["type"] == "missing" else None]) for it in found
            ]:
                table.pop(key, None)


def _culprit(table: Any, steps: Sequence[str | int]) -> tuple[dict[str, Any], str]:
    """Return the table and the key in it to take out, so that what is wrong at *steps* is gone.

    A setting of a list goes with all of it, since the others are known by their numbers.
    """
    found: list[tuple[dict[str, Any], str]] = []
    for step in steps:
        if isinstance(table, dict) and step in table:
            found.append((table, str(step)))
        elif not (isinstance(table, list) and isinstance(step, int)):
            break  # a text that was read as a table
        table = table[step]
    return found[-1]


def _within(inner: str, outer: str) -> bool:
    """Tell whether the setting at *inner* is that at *outer*, or a part of it."""
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))


def flatten(config: Config) -> dict[str, Any]:
    """Return what the functions read: settings resolved, scheme rows inlined, nothing left to look up."""
    return {
        "name": config.relay.name,
        "retention_days": config.relay.retention_days,
        "sources": {name: _flat_source(config, it) for name, it in config.sources.items()},
        "url_groups": {
            name: {"destinations": list(it.destinations), "publishing": resolved(config.flow_controls, it)}
            for name, it in config.url_groups.items()
        },
        "destinations": {
            name: {"group": group, **it.flat()}
            for group, members in config.url_groups.items()
            for name, it in members.destinations.items()
        },
        "queues": {name: {"parallelism": it.parallelism} for name, it in config.queues.items()},
        "flow_controls": {name: it.flat() for name, it in config.flow_controls.items()},
    }


def _flat_source(config: Config, source: Source) -> dict[str, Any]:
    schemes = {**built_in_schemes(), **config.schemes}
    routes = [_flat_route(config, source, f"routes[{number}]", it) for number, it in enumerate(source.routes)]
    if source.to is not None:
        routes.append(_flat_route(config, source, "to", Route(to=source.to)))
    return {
        "scheme": source.signed_by,
        "row": schemes[source.signed_by].row(),
        "replays": source.replays,
        **({"reconcile": source.reconcile} if source.reconcile else {}),
        "reopen": source.reopen,
        "routes": routes,
        **({"schedule": _flat_schedule(source)} if source.cron else {}),
        **({"canary": True} if source.canary else {}),
        **({"quarantine_s": source.quarantine} if source.quarantine else {}),
    }


def _flat_route(config: Config, source: Source, name: str, route: Route) -> dict[str, Any]:
    return {
        "name": name,
        "event_types": route.event_types,
        "when": route.when,
        "transform": route.transform,
        "to": {it: resolved(config.flow_controls, route, source, config.url_groups[it]) for it in route.to},
    }


def _flat_schedule(source: Source) -> dict[str, Any]:
    try:
        json.loads(source.body)
    except (ValueError, RecursionError):
        content_type = "text/plain"
    else:
        content_type = "application/json"
    return {
        "cron": source.cron,
        "timezone": source.timezone,
        "body": source.body,
        "content_type": content_type,
        "retries": SCHEDULE_RETRIES,
    }


def needs_public_keys(flat: Mapping[str, Any]) -> bool:
    """Tell whether a source of the flat configuration signs with a public key or a certificate."""
    return any(Row.of(it["row"]).needs_public_keys for it in flat["sources"].values())
