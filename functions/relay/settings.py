"""What one deployment is: the flat configuration of its asset and the variables of its environment, frozen.

`relay.json` stands beside the functions in the asset: settings merged, scheme rows inlined, so that no function parses
TOML.  The environment holds names of secrets, never a secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.errors import NotFound, OperatorError
from relay.schedules import LEEWAY_S
from relay.scheme import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_FILE = Path(__file__).parent.parent / "relay.json"


@dataclass(frozen=True)
class Source:
    """Who sends webhooks: a name, how it signs, and the URL groups that get its events.

    Attributes:
        said: Its scheme's row as it stands in the flat configuration.
        refuses_replays: Whether the same signed bytes under a new id are refused, not only flagged.
        reconcile: The hooks on GitHub whose lists are held to the ledger, as paths in its API.
        reopens: Whether a redelivery of an event opens again those of its deliveries that died.
        schedule: When QStash posts to it, where it is a schedule; nobody else may then.
        canary: Whether its end-to-end time is a metric, and its absence an alarm.
    """

    name: str
    scheme: str
    said: Mapping[str, Any]
    to: tuple[str, ...]
    refuses_replays: bool = False
    reconcile: tuple[str, ...] = ()
    reopens: bool = True
    schedule: Mapping[str, Any] | None = None
    canary: bool = False

    @cached_property
    def row(self) -> Row:
        """Its scheme's row, ready to be used: made once it is, since a function start has no use for most."""
        return Row.of(self.said if self.schedule is None else {**self.said, "leeway_s": LEEWAY_S})


@dataclass(frozen=True)
class Group:
    """A URL group and how QStash delivers to it.

    Attributes:
        retry_delay: QStash's expression, in milliseconds.
        reports_all: Whether QStash is to report every attempt; else only dead letters, and its log tells the rest.
    """

    name: str
    retries: int
    retry_delay: str | None
    timeout_s: int
    destinations: tuple[str, ...]
    reports_all: bool = True


@dataclass(frozen=True)
class Destination:
    """Where events are relayed to: a URL, or an EventBridge bus that the relay itself hands them to."""

    name: str
    group: str
    url: str | None
    eventbridge: str | None
    detail_type: str | None


@dataclass(frozen=True)
class Settings:
    """One deployment.  *base_urls* are the relay's own, without a trailing slash; QStash is given the first."""

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
        """Return the settings that *environment* and the flat configuration *flat* say."""
        return cls(
            name=flat["name"],
            retention_days=flat["retention_days"],
            sources={
                name: Source(
                    name,
                    it["scheme"],
                    it["row"],
                    tuple(it["to"]),
                    refuses_replays=it.get("replays") == "refuse",
                    reopens=it.get("reopen") != "never",
                    reconcile=tuple(it.get("reconcile", ())),
                    schedule=it.get("schedule"),
                    canary=bool(it.get("canary")),
                )
                for name, it in flat["sources"].items()
            },
            groups={
                name: Group(
                    name,
                    it["retries"],
                    it["retry_delay"],
                    it["timeout_s"],
                    tuple(it["destinations"]),
                    reports_all=it.get("callbacks") != "failures",
                )
                for name, it in flat["url_groups"].items()
            },
            destinations={
                name: Destination(name, it["group"], it["url"], it["eventbridge"], it["detail_type"])
                for name, it in flat["destinations"].items()
            },
            base_urls=tuple(url.rstrip("/") for url in environment.get("RELAY_BASE_URLS", "").split(",") if url),
            environment=environment,
            flat=flat,
        )

    @classmethod
    def load(cls, environment: Mapping[str, str], needs: tuple[str, ...]) -> Settings:
        """Return the settings of this function, which needs the variables *needs*.

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

    def qstash_group(self, group: str) -> str:
        """Return the name that *group* has in QStash: the relay's name keeps deployments apart."""
        return f"{self.name}.{group}"

    def destination_url(self, name: str) -> str:
        """Return the URL that QStash delivers to for the destination called *name*."""
        return self.destinations[name].url or f"{self.base_urls[0]}/qstash/deliver/{name}"
