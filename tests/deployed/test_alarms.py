"""The alarms of the deployed relay look at what its functions emit, and somebody hears them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployed.conftest import HEARS
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.deployed.clients import Relay


@pytest.fixture(scope="module")
def alarms(relay: Relay) -> list[dict[str, Any]]:
    """The deployed alarms, as CloudWatch tells of them."""
    pages = relay.aws("cloudwatch").get_paginator("describe_alarms").paginate()
    return [it for page in pages for it in page["MetricAlarms"]]


def dimensions(alarm: dict[str, Any]) -> dict[str, str]:
    return {it["Name"]: it["Value"] for it in alarm["Dimensions"]}


@pytest.mark.parametrize(("metric", "verb"), [("DueAge", "sweep"), ("Drift", "audit")])
def test_an_alarm_looks_at_the_very_dimensions_that_a_function_emits(
    relay: Relay, alarms: list[dict[str, Any]], metric: str, verb: str
) -> None:
    """Else it would never go off, and nobody would know.  The first audit after a deploy looks for drift."""
    logs = relay.aws("logs")
    relay.aws("lambda").invoke(FunctionName=relay.local.outputs[f"{verb.capitalize()}Function"])
    (watched,) = [dimensions(it) for it in alarms if it["MetricName"] == metric]

    def look() -> dict[str, Any] | None:
        groups = [it["logGroupName"] for it in logs.describe_log_groups()["logGroups"]]
        found = [logs.filter_log_events(logGroupName=name, filterPattern=metric)["events"] for name in groups]
        lines = [it["message"] for them in found for it in them if "CloudWatchMetrics" in it["message"]]
        told: dict[str, Any] | None = json.loads(lines[0][lines[0].index("{") :]) if lines else None
        return told

    emitted = eventually(look, f"{verb} has told of {metric}")

    (declared,) = emitted["_aws"]["CloudWatchMetrics"]
    assert [{name: emitted[name] for name in names} for names in declared["Dimensions"]] == [watched]
    assert watched == {"relay": "deployed", "service": verb}


def test_whoever_the_configuration_names_is_subscribed_to_the_topic_of_all_alarms(
    relay: Relay, alarms: list[dict[str, Any]]
) -> None:
    (topic,) = {action for it in alarms for action in it["AlarmActions"]}

    subscribed = relay.aws("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]

    assert [(it["Protocol"], it["Endpoint"]) for it in subscribed] == [("email", HEARS)]
