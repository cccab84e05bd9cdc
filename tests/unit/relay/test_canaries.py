"""Canaries: how long each event took to be delivered, told once, whoever heard of it."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import record
from infra.local.qstash.broker.signing import sign
from relay import urls, wiring
from relay.config.settings import Settings
from relay.model.delivery import Status
from relay.model.ids import destination_scope, group_scope
from relay.storage.generations import Cause, new_replay_id, start_again
from tests.unit.relay.operator import wired
from tests.unit.relay.world import BASE, FLAT, MAC, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from relay.model.delivery import Delivery
    from relay.model.event import Event

KEY = "sig_current_current_current_current"
CANARY: dict[str, Any] = {**FLAT, "sources": {"github": {**FLAT["sources"]["github"], "canary": True}}}


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """Give a relay whose source is a canary, and which the function record finds."""
    world.deploy(CANARY)
    world.store.deployment.save_keys(current=KEY, following="sig_next", mac=MAC)
    relay = wired(world, monkeypatch, tmp_path, "RELAY_TABLE")
    monkeypatch.setattr(relay, "settings", world.settings)
    monkeypatch.setattr(record, "relay", lambda *_: relay)
    monkeypatch.setattr(record, "handler", world.handler(record))
    yield world
    wiring.relay.cache_clear()


def call_back(
    event: Event, name: str, status: int = 200, kind: str = urls.CALLBACK, again: Delivery | None = None
) -> None:
    """Have QStash call record back on the delivery of *event* to *name*, or on a replay of it, *again*."""
    address = urls.CallbackAddress(kind, event.id, event.generation, group_scope(event.expected[name]))
    if again is not None:
        address = urls.CallbackAddress(kind, event.id, again.generation, destination_scope(name))
    url = address.url(BASE, MAC)
    body = json.dumps({"status": status, "sourceMessageId": "msg_x", "maxRetries": 2, "endpointName": name})
    asked = {
        "rawPath": url.removeprefix(BASE),
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"upstash-signature": sign(key=KEY, url=url, body=body.encode(), now_s=time.time())},
        "body": body,
    }
    assert record.handler(asked, None)["statusCode"] == 200


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was emitted of canaries since the last time."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return [it for it in lines if "CanaryTime" in it]


def test_a_delivered_canary_tells_how_long_it_took_since_it_came(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """By relay and source: two relays in one account may both have a `github`."""
    event = world.post().event
    world.clock.at += timedelta(seconds=7)

    call_back(event, "erp")

    (emitted,) = told(capsys)
    assert (emitted["CanaryTime"], emitted["relay"], emitted["source"]) == ([7.0], "relay", "github")
    (declared,) = emitted["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "FanoutRelay"
    assert [sorted(it) for it in declared["Dimensions"]] == [["relay", "service"], ["relay", "source"]]
    assert declared["Metrics"] == [{"Name": "CanaryTime", "Unit": "Seconds"}]


def test_each_delivery_tells_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Callbacks come at least once."""
    event = world.post().event

    for name in ("erp", "erp", "ledger"):
        call_back(event, name)

    assert len(told(capsys)) == 2


def test_what_isnt_delivered_tells_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Its silence is what the alarm waits for."""
    event = world.post().event

    call_back(event, "erp", 500)
    call_back(event, "ledger", 500, urls.FAILURE)

    assert told(capsys) == []


def test_a_replay_tells_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """How long a person took says nothing of the relay."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    again = start_again(world.store, event, world.delivery(event, "erp"), Cause(new_replay_id(), "ada", "mended"))
    assert again is not None

    call_back(event, "erp", again=again)

    assert world.delivery(event, "erp").status is Status.DELIVERED
    assert told(capsys) == []


def test_other_sources_tell_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.deploy(FLAT)
    wiring.relay("RELAY_TABLE").settings = Settings.of({"RELAY_BASE_URLS": BASE}, FLAT)
    event = world.post().event

    call_back(event, "erp")

    assert told(capsys) == []


def test_what_sweep_finds_in_the_log_is_told_as_well(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Callbacks can be lost; the time is that of the attempt, not of the look."""
    event = world.post().event
    world.clock.at += timedelta(seconds=9)
    world.wire.say(world.message(event, "erp"), "DELIVERED", responseStatus=200)

    world.sweep(seconds=3600)

    assert world.delivery(event, "erp").status is Status.DELIVERED
    assert [it["CanaryTime"] for it in told(capsys)] == [[9.0]]
