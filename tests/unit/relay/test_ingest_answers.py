"""What ingest answers a source that sends an event again: the whole function, QStash out of reach."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

import ingest
from relay import wiring
from relay.model.delivery import Status
from relay.model.ids import EventId
from relay.runtime import aws
from tests.unit.relay.world import BASE, FLAT, MAC, SECRET, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalClients

NOWHERE = "http://127.0.0.1:9"  # the port of the discard service, which nothing offers


def post(body: bytes) -> dict[str, Any]:
    """Have ingest answer the webhook *body* under one and the same id; return status and body."""
    headers = {
        "x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "x-github-delivery": "d-1",
        "x-github-event": "push",
        "content-type": "application/json",
    }
    asked = {
        "routeKey": "ANY /webhooks/{source}",
        "rawPath": "/webhooks/github",
        "requestContext": {"http": {"method": "POST", "sourceIp": "127.0.0.1"}},
        "pathParameters": {"source": "github"},
        "headers": headers,
        "body": body.decode(),
    }
    answer = ingest.handler(asked, None)
    return {"status": answer["statusCode"], **json.loads(answer["body"])}


@pytest.fixture
def world(local_clients: LocalClients, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """Return a relay that ingest's environment names."""
    world = World(local_clients)
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    name = world.store.table.name
    secrets = boto3.client(
        "secretsmanager",
        endpoint_url=local_clients.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    held = {"qstash": {"token": "token", "url": NOWHERE}, "sources": {"github": [{"value": SECRET}]}}
    for kind, value in held.items():
        secrets.create_secret(Name=f"{name}/{kind}", SecretString=json.dumps(value))
    config = tmp_path / "relay.json"
    config.write_text(json.dumps(FLAT), encoding="utf-8")
    environment = {
        "RELAY_TABLE": name,
        "RELAY_BUCKET": name,
        "RELAY_BASE_URLS": BASE,
        "RELAY_CONFIG": str(config),
        "RELAY_QSTASH_SECRET": f"{name}/qstash",
        "RELAY_SOURCES_SECRET": f"{name}/sources",
        "AWS_ENDPOINT_URL": local_clients.url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    wiring.relay.cache_clear()
    aws.made.cache_clear()
    yield world
    wiring.relay.cache_clear()
    aws.made.cache_clear()


def test_a_first_webhook_is_acknowledged_though_qstash_is_out_of_reach(world: World) -> None:
    """202: it is durable."""
    answer = post(b"{}")

    assert (answer["status"], set(answer)) == (202, {"status", "event_id"})
    assert world.store.event(EventId(answer["event_id"])) is not None


@pytest.mark.usefixtures("world")
def test_a_duplicate_is_said_to_be_one_and_no_more() -> None:
    """200, and nothing of what didn't happen."""
    first = post(b"{}")

    assert post(b"{}") == {"status": 200, "event_id": first["event_id"], "duplicate": True}


@pytest.mark.usefixtures("world")
def test_a_conflict_is_said_to_be_one() -> None:
    """So that whoever sent other bytes under an old id learns that they weren't taken for an event."""
    first = post(b"{}")

    again = post(b'{"other": 1}')

    assert again == {"status": 200, "event_id": first["event_id"], "duplicate": True, "conflict": True}


def test_what_was_opened_again_is_named(world: World) -> None:
    """By its delivery's id."""
    event = world.store.event(EventId(post(b"{}")["event_id"]))
    assert event is not None
    world.store.change_delivery(event, "erp", lambda it: it.ended(event.generation, Status.UNPUBLISHABLE, "so"))

    again = post(b"{}")

    assert (again["status"], again["reopened"]) == (200, [world.delivery(event, "erp").id])
