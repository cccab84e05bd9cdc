"""Schedules at the command: there is no secret to set and nothing to send, and the list shows when they tick."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.schemes import built_in_schemes
from tests.unit.cli.conftest import GITHUB

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

PUSH = "events/github/push.json"
ROUTED: dict[str, Any] = {"to": ["audit"], "routes": [{"name": "to", "to": {"audit": {}}}]}
SOURCES: dict[str, Any] = {
    "github": {"scheme": "github", "row": GITHUB, "url": "https://relay.example.com/webhooks/github", **ROUTED},
    "nightly": {
        **ROUTED,
        "scheme": "qstash",
        "row": built_in_schemes()["qstash"].row(),
        "url": "https://relay.example.com/webhooks/nightly",
        "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "body": "{}", "retries": 5},
    },
}


@pytest.fixture
def scheduled(deployed: Relay) -> Relay:
    """Give a relay with a schedule beside a source."""
    deployed.configure(sources=SOURCES)
    return deployed


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_schedule_has_no_secret_to_set(scheduled: Relay, force: tuple[str, ...]) -> None:
    """Nor by force: the relay would never look at it."""
    shown = scheduled.run("secret", "set", "nightly", *force, stdin="s3cr3t")

    assert shown.exit_code == 1
    assert "nightly is a schedule: QStash alone posts to it" in shown.stderr
    assert "nightly" not in scheduled.kept("sources")


def test_nothing_can_be_sent_as_a_schedule(scheduled: Relay) -> None:
    shown = scheduled.run("send", PUSH, "--source", "nightly")

    assert shown.exit_code == 1
    assert "nightly is a schedule" in shown.stderr
    assert "0 3 * * * Europe/Berlin" in shown.stderr
    assert scheduled.server.asked("/webhooks/nightly") == []


def test_source_list_shows_when_a_schedule_ticks(scheduled: Relay) -> None:
    shown = scheduled.run("source", "list")
    rows = [json.loads(line) for line in scheduled.run("source", "list", "--json").stdout.splitlines()]

    assert "SCHEDULE" in shown.stdout
    assert "0 3 * * * Europe/Berlin" in " ".join(shown.stdout.split())
    assert [(it["cron"], it["timezone"], it["secrets"]) for it in rows] == [
        (None, None, 1),
        ("0 3 * * *", "Europe/Berlin", None),
    ]


def test_a_relay_without_schedules_has_no_column_for_them(deployed: Relay) -> None:
    assert "SCHEDULE" not in deployed.run("source", "list").stdout


def test_neither_doctor_nor_the_list_of_secrets_misses_one_of_a_schedule(scheduled: Relay) -> None:
    assert "nightly" not in scheduled.run("secret", "list").stdout
    assert "signing secret of nightly" not in scheduled.run("doctor").stdout
