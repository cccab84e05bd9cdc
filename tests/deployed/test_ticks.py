"""A schedule, from outside: QStash posts to the relay by the clock, and each tick is an event like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.deployed.conftest import TICK
from tests.waiting import eventually

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

pytestmark = pytest.mark.late

A_MINUTE_MORE_S = 120


@pytest.fixture(scope="module")
def tick(relay: Relay) -> dict[str, Any]:
    """Wait until the schedule has run; give the event that came of it."""
    return eventually(
        lambda: next(iter(relay.ask("events", source="minutely").json()["events"]), None),
        "QStash has posted, and the relay taken it",
        A_MINUTE_MORE_S,
    )


def test_a_tick_becomes_an_event_that_is_delivered(
    relay: Relay, tick: dict[str, Any], destinations: Destinations
) -> None:
    delivery = relay.delivery(tick["id"], "ticks", "delivered")

    assert (tick["source"], tick["type"]) == ("minutely", "schedule")
    assert tick["idempotency_key"].startswith("msg_")
    assert delivery["attempts_count"] == 1
    assert [it.body for it in destinations.received("ticks", tick["id"])] == [TICK.encode()]


def test_the_time_that_a_canary_took_is_a_metric(relay: Relay, tick: dict[str, Any]) -> None:
    """With the relay and the source as its dimensions."""
    relay.delivery(tick["id"], "ticks", "delivered")
    logs = relay.aws("logs")

    def look() -> list[str]:
        groups = [it["logGroupName"] for it in logs.describe_log_groups()["logGroups"]]
        found = [logs.filter_log_events(logGroupName=name, filterPattern="CanaryTime")["events"] for name in groups]
        messages = [row["message"] for rows in found for row in rows]
        return [message for message in messages if '"source":"minutely"' in message.replace(" ", "")]

    assert eventually(look, "CanaryTime is told")
