"""Publish settings: how QStash delivers the events of a URL group, as the group, a source or a route says it.

The nearest wins, setting by setting: a route's, then its source's, then the group's, then the default.  Hides that
rule, and the form in which the functions read the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from infra.config.schemes import Table
from infra.config.types import (
    Duration,
    ExpressionText,
    HeaderGlob,
    Label,
    Moment,
    Name,
    Redacted,
    RetryDelay,
    Seconds,
    TemplateText,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.config.mistakes import Wrong

WEEK_S = 7 * 86_400  # QStash: a flow control's period at most
MAX_RETRIES = 999  # QStash: of any account
DEFAULTS: dict[str, Any] = {
    "retries": 5,
    "timeout": 30,
    "method": "POST",
    "labels": [],
    "redact": [],
    "callbacks": "all",
}


class Computed(Table):
    """`{ expression = "…" }`: a value that is computed from each event."""

    expression: Annotated[ExpressionText, Field(description="JMESPath over the event.", examples=["body.wait_s"])]


class FlowLimits(Table):
    """`[flow_controls.x]`: a flow control that the deploy pins in QStash, for all messages published under its name."""

    rate: Annotated[int | None, Field(ge=1, description="Deliveries begun in a period.", examples=[20])] = None
    period: Annotated[
        Seconds | None,
        Field(
            description="How long a period is: a week at most.", examples=["1m"], json_schema_extra={"default": "1s"}
        ),
    ] = None
    parallelism: Annotated[int | None, Field(ge=1, description="Deliveries at a time.", examples=[5])] = None

    def flat(self) -> dict[str, int]:
        """Return the limits as the functions read them; limits that aren't set are left out."""
        found = {"rate": self.rate, "period_s": (self.period or 1) if self.rate else None}
        return {name: it for name, it in {**found, "parallelism": self.parallelism}.items() if it is not None}

    def mistakes(self, at: str) -> Iterator[Wrong]:
        """Yield the mistakes between the limits; *at* is their dotted path."""
        if self.rate is None and self.parallelism is None:
            yield at, "limits nothing: set rate, parallelism or both"
        if self.period is not None and self.rate is None:
            yield f"{at}.period", "is the period of a rate: set rate, too"
        if self.period is not None and self.period > WEEK_S:
            yield f"{at}.period", "is longer than a week, QStash's limit: take a shorter one and a smaller rate"


class KeyedFlowControl(FlowLimits):
    """`flow_control = { … }`: limits of the deliveries that share a key, which each event may say."""

    key: Annotated[
        TemplateText,
        Field(description="What shares the limits: text with {JMESPath} in it.", examples=["{source}:{body.account}"]),
    ]


class Queue(Table):
    """`[queues.x]`: a queue in QStash, which delivers in the order of publishing."""

    parallelism: Annotated[
        int, Field(ge=1, description="Deliveries at a time; 1 keeps the order.", examples=[1], le=1_000_000)
    ] = 1


def _kind(value: object) -> str:
    return "(table)" if isinstance(value, dict | Table) else "(text)"


BY_KIND = Discriminator(_kind)


class PublishSettings(Table):
    """How QStash delivers; at a URL group, a source or a route, the nearest wins."""

    retries: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_RETRIES,
            description="How often QStash tries again before a delivery is a dead letter.",
            examples=[3],
            json_schema_extra={"default": 5},
        ),
    ] = None
    retry_delay: Annotated[
        RetryDelay | None,
        Field(
            description="How long QStash waits before it tries again: arithmetic in milliseconds over `retried`, which"
            " is 0 before the first retry.  Without it: 12 s, 2.5 min, 30 min, 6 h, then a day each.",
            examples=["pow(2, retried) * 1000"],
        ),
    ] = None
    timeout: Annotated[
        Seconds | None,
        Field(
            description="How long a destination may take to answer.",
            examples=["2m"],
            json_schema_extra={"default": "30s"},
        ),
    ] = None
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None,
        Field(
            description="The HTTP method that destinations are called with.",
            examples=["PUT"],
            json_schema_extra={"default": "POST"},
        ),
    ] = None
    delay: Annotated[
        Annotated[Annotated[Duration, Tag("(text)")] | Annotated[Computed, Tag("(table)")], BY_KIND] | None,
        Field(
            description="How long QStash waits before the first attempt; an expression gives seconds, or a duration's"
            " text.  `0s` takes a delay of a source or a group back.",
            examples=["10s", {"expression": "body.wait_s"}],
        ),
    ] = None
    not_before: Annotated[
        Annotated[Annotated[Moment, Tag("(text)")] | Annotated[Computed, Tag("(table)")], BY_KIND] | None,
        Field(
            description="When the first attempt is made at the earliest, in place of `delay`: a date and time with an"
            " offset; an expression gives epoch seconds or ISO 8601.",
            examples=[{"expression": "body.at"}],
        ),
    ] = None
    flow_control: Annotated[
        Annotated[Annotated[Name, Tag("(text)")] | Annotated[KeyedFlowControl, Tag("(table)")], BY_KIND] | None,
        Field(
            description="How fast QStash delivers: limits by a key, or the name of one of `[flow_controls]`.",
            examples=["crm", {"key": "{body.account}", "rate": 20, "period": "1s", "parallelism": 5}],
        ),
    ] = None
    labels: Annotated[
        list[Label] | None,
        Field(
            description="Labels in QStash's log, beside the relay's own: text with {JMESPath} in it.",
            examples=[["ci", "{body.account}"]],
            json_schema_extra={"default": []},
        ),
    ] = None
    redact: Annotated[
        list[Redacted] | None,
        Field(
            description="What QStash shows nobody: `body`, `header` (all of them) or `header[NAME]`.",
            examples=[["body", "header[Authorization]"]],
            json_schema_extra={"default": []},
        ),
    ] = None
    callbacks: Annotated[
        Literal["all", "failures"] | None,
        Field(
            description="What QStash reports: every attempt, or only dead letters; its log is asked for the others.",
            examples=["failures"],
            json_schema_extra={"default": "all"},
        ),
    ] = None
    forward_headers: Annotated[
        list[HeaderGlob] | None,
        Field(
            description="Which of the source's headers destinations get, of those that its scheme keeps; without it all"
            " of those.",
            examples=[["x-github-*"]],
        ),
    ] = None
    queue: Annotated[
        Name | None,
        Field(description="The queue of `[queues]` that delivers it, in order.", examples=["fifo"]),
    ] = None

    def own(self) -> Iterator[tuple[str, Any]]:
        """Yield the publish settings that this table itself says, by name."""
        for name in PublishSettings.model_fields:
            if (value := getattr(self, name)) is not None:
                yield name, value


def resolved(flow_controls: Mapping[str, FlowLimits], *nearest: PublishSettings) -> dict[str, Any]:
    """Return the publish settings as the functions read them: for each, the first of *nearest* that has it wins."""
    said: dict[str, Any] = DEFAULTS | {name: value for table in reversed(nearest) for name, value in table.own()}
    flat = {name: _flat(said.get(name)) for name in PublishSettings.model_fields}
    return flat | {
        "timeout_s": flat.pop("timeout"),
        "delay": flat["delay"] or None,
        "flow_control": _flat_control(said.get("flow_control"), flow_controls),
    }


def _flat(value: Any) -> Any:
    if isinstance(value, Computed):
        return {"expression": value.expression}
    return value.replace(tzinfo=None).isoformat() + "Z" if hasattr(value, "isoformat") else value


def _flat_control(
    value: str | KeyedFlowControl | None, flow_controls: Mapping[str, FlowLimits]
) -> dict[str, Any] | None:
    if isinstance(value, KeyedFlowControl):
        return {"key": value.key, **value.flat()}
    return {"key": value, **flow_controls[value].flat()} if value is not None else None
