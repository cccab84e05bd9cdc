"""The tables and settings of relay.toml, as pydantic's models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr

from infra.config import github_hooks
from infra.config.capacity import Concurrency, Emails, Throttle
from infra.config.destinations import Destination, PublicUrl
from infra.config.mistakes import Mistake
from infra.config.publishing import FlowLimits, PublishSettings, Queue
from infra.config.schedule import CronText
from infra.config.schemes import Scheme, Table
from infra.config.types import ExpressionText, Glob, Name, Seconds
from relay.internet.addresses import address_of, is_public

if TYPE_CHECKING:
    from collections.abc import Iterable

Plan = Literal["free", "payg", "fixed"]
OnSuspectedReplay = Literal["flag", "refuse"]

RELAY_NAME_MAX_CHARS = 30
SCHEDULE = "qstash"  # the scheme by which a schedule's posts are proved


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
        raise ValueError(f"{host} is an address, for which AWS has no certificates: give your domain's name")
    port = f":{parts.port}" if parts.port not in (None, 443 if parts.scheme == "https" else 80) else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


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
    tracing: Annotated[
        bool,
        Field(
            description="Whether AWS X-Ray traces the functions: Lambda's own segments, which AWS charges for, and"
            " which the relay itself never reads.",
            examples=[True],
        ),
    ] = False


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
        ExpressionText | None,
        Field(
            description="JMESPath over `event_type`, `headers` (lower case, `_` for `-`), `query`, `body` and `source`:"
            " the route takes the events for which it gives something true; without it every event. `body` is what"
            " the JSON or the form holds, unpacked; of a form with the one field `payload` the JSON in it.",
            examples=["body.repository.private"],
        ),
    ] = None
    transform: Annotated[
        ExpressionText | None,
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
    suspected_replays: Annotated[
        OnSuspectedReplay,
        Field(
            description="What happens to signed bytes that come again under a new id: they are marked, or refused.",
            examples=["refuse"],
        ),
    ] = "flag"
    replays: Annotated[
        OnSuspectedReplay | None,
        Field(
            description="The old name of `suspected_replays`, which this release still takes.",
            json_schema_extra={"deprecated": True},
        ),
    ] = None
    reopen: Annotated[
        Literal["dead", "never"],
        Field(
            description="What a redelivery of an event does where a delivery of it died: makes it again, or nothing.",
            examples=["never"],
        ),
    ] = "dead"
    reconcile: Annotated[
        github_hooks.Hooks | None,
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
    def on_suspected_replay(self) -> OnSuspectedReplay:
        """What happens to a suspected replay, under whichever name the file says it."""
        return self.replays or self.suspected_replays

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
    flow_controls: dict[Name, FlowLimits] = Field(
        default_factory=dict, description="Flow controls that are pinned, by name."
    )
    _warnings: tuple[Mistake, ...] = PrivateAttr(())

    @property
    def warnings(self) -> tuple[Mistake, ...]:
        """The warnings, in the order of the file: settings that are likely to be meant otherwise."""
        return self._warnings

    def warn(self, found: Iterable[Mistake]) -> None:
        """Keep the warnings *found*."""
        self._warnings = tuple(sorted(found, key=lambda it: (it.line or 0, it.path, it.message)))
