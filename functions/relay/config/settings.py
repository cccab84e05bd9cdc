"""The settings of one deployment, frozen: the flat configuration of its asset, and the variables of its environment.

`relay.json` is beside the functions in the asset, with settings merged and scheme rows inlined: no function parses
TOML.  The environment holds names of secrets, never a secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.config.expressions import Expression
from relay.errors import NotFound, OperatorError
from relay.urls import deliver_url
from relay.verification.scheme import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

LEEWAY_S = 5  # between QStash's clock and ours, as for its callbacks: the row alone is as strict as QStash's SDK
CONFIG_FILE = Path(__file__).parents[2] / "relay.json"


@dataclass(frozen=True)
class Publishing:
    """How an event is published to a URL group, resolved from the settings of the group, the source and the route.

    A field has the name of its setting in the flat configuration.  An expression or a template, which is computed from
    the event, is kept as its text.

    Attributes:
        retry_delay: QStash's expression, in milliseconds.
        delay: Seconds after the event came; or an expression that gives them, or a duration.
        not_before: An ISO 8601 time; or an expression that gives one, or epoch seconds.
        flow_control: `key` (a template), and `rate`, `period_s`, `parallelism`.
        labels: Templates.
        redact: The parts of a message that QStash shows to nobody, in its words.
        reports_all: Whether QStash reports every attempt; else only dead letters, and its log has the rest.
        forward_headers: Patterns of the event's headers that destinations get; None means all headers.
        queue: The queue in QStash that delivers the message, in order.
    """

    retries: int = 5
    retry_delay: str | None = None
    timeout_s: int = 30
    method: str = "POST"
    delay: int | Expression | None = None
    not_before: str | Expression | None = None
    flow_control: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    reports_all: bool = True
    forward_headers: tuple[str, ...] | None = None
    queue: str | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Publishing:
        """Return the settings in *said*, a part of the flat configuration; missing ones have their defaults."""
        told = {one.name: _frozen(said[one.name]) for one in fields(cls) if said.get(one.name) is not None}
        return cls(**told, reports_all=said.get("callbacks") != "failures")

    @property
    def computed(self) -> tuple[str, ...]:
        """The texts of the expressions and templates that are computed from the event."""
        own = (it.text for it in (self.delay, self.not_before) if isinstance(it, Expression))
        key = (self.flow_control["key"],) if self.flow_control else ()
        return (*own, *key, *self.labels)


def _frozen(value: Any) -> Any:
    """Return *value*, read from JSON, as a setting: `{"expression": text}` becomes an expression, a list a tuple."""
    if isinstance(value, dict) and value.keys() == {"expression"}:
        return Expression(value["expression"])
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Route:
    """A route: the events of a source that it takes, and the URL groups that get them.

    Attributes:
        name: Its place in the configuration, `routes[0]`; `to` is the source's own list.
        event_types: Patterns of the event types that it takes; None means any type.
        when: The condition on an event that it takes; None means no condition.
        transform: The expression of the published body; None publishes the source's own bytes.
        to: URL group -> how events are published to it.
    """

    name: str
    event_types: tuple[str, ...] | None
    when: Expression | None
    transform: Expression | None
    to: Mapping[str, Publishing]

    @cached_property
    def asks_body(self) -> bool:
        """Whether one of its expressions or templates may read the body."""
        own = (it.text for it in (self.when, self.transform) if it is not None)
        return any("body" in text for text in (*own, *(it for how in self.to.values() for it in how.computed)))

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Route:
        """Return the route in *said*, a part of the flat configuration."""
        types = said.get("event_types")
        return cls(
            name=said["name"],
            event_types=None if types is None else tuple(types),
            when=Expression(said["when"]) if said.get("when") else None,
            transform=Expression(said["transform"]) if said.get("transform") else None,
            to={group: Publishing.of(it) for group, it in said["to"].items()},
        )


@dataclass(frozen=True)
class Source:
    """A sender of webhooks: its name, its scheme, and the routes of its events in the order of the configuration.

    Attributes:
        said: The row of its scheme in the flat configuration.
        refuses_replays: Whether the same signed bytes under a new id are refused, not only flagged.
        reconcile: The hooks on GitHub whose deliveries are compared with the ledger, as paths in its API.
        reopens: Whether a redelivery of an event reopens its dead deliveries.
        schedule: When QStash posts to it; None where it is no schedule.  Nobody else may post to a schedule.
        canary: Whether its end-to-end time is a metric, and its absence an alarm.
        quarantine_s: How long a request that only its signature refused is kept whole, in seconds; 0 keeps none.
    """

    name: str
    scheme: str
    said: Mapping[str, Any]
    routes: tuple[Route, ...]
    refuses_replays: bool = False
    reconcile: tuple[str, ...] = ()
    reopens: bool = True
    schedule: Mapping[str, Any] | None = None
    canary: bool = False
    quarantine_s: int = 0

    @cached_property
    def row(self) -> Row:
        """The row of its scheme, parsed when first used: a function start needs few of the rows."""
        return Row.of(self.said if self.schedule is None else {**self.said, "leeway_s": LEEWAY_S})

    @classmethod
    def of(cls, name: str, said: Mapping[str, Any]) -> Source:
        """Return the source called *name* in *said*, a part of the flat configuration."""
        return cls(
            name,
            said["scheme"],
            said["row"],
            tuple(map(Route.of, said["routes"])),
            refuses_replays=said.get("replays") == "refuse",
            reconcile=tuple(said.get("reconcile", ())),
            reopens=said.get("reopen") != "never",
            schedule=said.get("schedule"),
            canary=said.get("canary", False),
            quarantine_s=said.get("quarantine_s", 0),
        )

    @classmethod
    def gone(cls, name: str) -> Source:
        """Return a stand-in for a source that has left the configuration: no route takes its events."""
        return cls(name, "gone", {}, ())


@dataclass(frozen=True)
class Group:
    """A URL group, and how events are published to it where no route says more."""

    name: str
    publishing: Publishing
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class Destination:
    """A destination of events: a URL, or a target in AWS that the relay itself hands them to.

    Attributes:
        headers: Its own headers, beside those that all destinations get: a text, or `{"secret": name}`.
        target: The target in AWS: its `kind`, `name`, and the settings of that kind; None where it is a URL.
    """

    name: str
    group: str
    url: str | None
    headers: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    target: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Settings:
    """One deployment.  *base_urls* are the relay's own, without a trailing slash; QStash gets the first."""

    name: str
    retention_days: int
    sources: Mapping[str, Source]
    groups: Mapping[str, Group]
    destinations: Mapping[str, Destination]
    base_urls: tuple[str, ...]
    environment: Mapping[str, str]
    flat: Mapping[str, Any]

    @classmethod
    def of(cls, environment: Mapping[str, str], flat: Mapping[str, Any]) -> Settings:
        """Return the settings in the variables *environment* and the flat configuration *flat*."""
        return cls(
            name=flat["name"],
            retention_days=flat["retention_days"],
            sources={name: Source.of(name, it) for name, it in flat["sources"].items()},
            groups={
                name: Group(name, Publishing.of(group["publishing"]), tuple(group["destinations"]))
                for name, group in flat["url_groups"].items()
            },
            destinations={
                name: Destination(
                    name,
                    destination["group"],
                    destination["url"],
                    destination.get("headers") or {},
                    destination.get("target"),
                )
                for name, destination in flat["destinations"].items()
            },
            base_urls=tuple(url.rstrip("/") for url in environment.get("RELAY_BASE_URLS", "").split(",") if url),
            environment=environment,
            flat=flat,
        )

    @classmethod
    def load(cls, environment: Mapping[str, str], needs: tuple[str, ...]) -> Settings:
        """Return the settings of this function, which needs the environment variables *needs*.

        Raises:
            OperatorError: Names every missing variable at once.
        """
        missing = [name for name in needs if not environment.get(name)]
        if missing:
            raise OperatorError(f"the function's environment lacks {', '.join(missing)}: deploy it again")
        path = Path(environment.get("RELAY_CONFIG", CONFIG_FILE))
        return cls.of(environment, json.loads(path.read_text(encoding="utf-8")))

    def source(self, name: str) -> Source:
        """Return the source called *name*, or raise `NotFound`."""
        if name not in self.sources:
            raise NotFound("there is no such source")
        return self.sources[name]

    def qstash_name(self, name: str) -> str:
        """Return the name in QStash of a group, queue, schedule or flow-control key: the deployment's is in front."""
        return f"{self.name}.{name}"

    def endpoints(self, group: str) -> tuple[str, ...]:
        """Return the destinations of *group* that its URL group in QStash has: a message to the group reaches all.

        A destination with headers of its own gets its own message.  So do AWS targets beside URLs: the proof that a
        target's delivery carries would let those URLs forge one.
        """
        known = self.groups[group].destinations if group in self.groups else ()
        plain = tuple(it for it in known if not self.destinations[it].headers)
        urls = tuple(it for it in plain if self.destinations[it].target is None)
        return urls or plain

    def destination_url(self, name: str) -> str:
        """Return the URL that QStash delivers to for the destination called *name*."""
        return self.destinations[name].url or deliver_url(self.base_urls[0], name)

    def destination_at(self, url: str | None) -> str | None:
        """Return the destination whose URL is *url*; the last one where several have it, None where none has."""
        return {self.destination_url(name): name for name in self.destinations}.get(url or "")

    def url_now(self, name: str) -> str | None:
        """Return `destination_url`, or None where the configuration has no such destination any more."""
        return self.destination_url(name) if name in self.destinations else None


def named_secrets(destinations: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the secrets that the headers of *destinations* name: name of the secret -> names of destinations."""
    named: dict[str, list[str]] = {}
    for destination, row in destinations.items():
        for value in (row.get("headers") or {}).values():
            if isinstance(value, dict) and destination not in named.setdefault(value["secret"], []):
                named[value["secret"]].append(destination)
    return named
