"""The functions that anybody reaches may write what they must, and nothing else: the synthesized policies, evaluated.

The local AWS knows no leading keys and lets all pass.  So the functions run here, all ways that make them write, on a
DynamoDB in memory that refuses what these policies don't allow; the same holds, by `infra.stack.writes`, wherever tests
of the relay or of the model have one of these functions write.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

import ingest
import record
from infra.config.schemes import built_in_schemes
from infra.local.qstash.broker.signing import sign
from infra.stack.writes import LEADING_KEYS
from relay import urls, wiring
from relay.ingest.refusals import RefusalPace, record_refusal
from relay.model.delivery import Status
from relay.model.ids import EventId, group_scope, new_generation
from relay.targets.deliver import deliver
from relay.urls import body_mac, tick_url
from relay.verification.secret import Secret
from tests.conftest import Clients
from tests.flat import bus
from tests.memory_aws import Denied, MemoryDynamoDB, MemoryS3
from tests.memory_aws.roles import allows
from tests.unit.relay.operator import wired
from tests.unit.relay.world import BASE, FLAT, MAC, SECRET, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.infra.conftest import Synthesized

KEY = "sig_current_current_current_current"
NIGHTLY = {"cron": "0 3 * * *", "timezone": "UTC", "body": "{}", "content_type": "application/json", "retries": 5}
# What the relay steers itself by, and what only its other functions write.
NOT_THEIRS = [
    *("KEYS", "LEASE", "DESIRED", "URLS", "PAUSED", "HOLD", "AUDIT", "SWEEP"),
    *("RECONCILE#github", "anything", "", "rly", "XREPLAY#1", "seen#github#1", "\nrly_a"),
]


def source(scheme: str, **more: Any) -> dict[str, Any]:
    """Return a source of the flat configuration, routed as `github`."""
    row = built_in_schemes()["github" if scheme == "plain" else scheme].row()
    if scheme == "plain":  # without ids: known again by its bytes, within the source's retries
        row = {name: it for name, it in row.items() if name != "id"} | {"retries_for_s": 3_600}
    return {**FLAT["sources"]["github"], "scheme": scheme, "row": row, **more}


SOURCES = {
    **FLAT["sources"],
    "plain": source("plain"),
    "notion": source("notion"),
    "kept": source("github", quarantine_s=86_400),
    "nightly": source("qstash", schedule=NIGHTLY, canary=True),
}


class Bus:
    """EventBridge's client, as far as deliver uses it."""

    def put_events(self, **_: Any) -> Any:
        return {"FailedEntryCount": 0}


class OpenRoutes:
    """What anybody, or QStash, sends to the functions behind the open routes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def webhook(self, name: str, body: bytes, key: str = "", secret: str = SECRET) -> int:
        """Post *body* to a source as GitHub signs it; return ingest's status."""
        headers = {
            "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "x-github-event": "push",
            "content-type": "application/json",
        }
        return self._ingest(name, body, headers | ({"x-github-delivery": key} if key else {}))

    def tick(self) -> int:
        """Post what QStash's schedule posts."""
        url = tick_url(f"{BASE}/webhooks/nightly", MAC)
        token = sign(key=KEY, url=url, body=b"{}", now_s=self.world.clock.at.timestamp())
        headers = {"upstash-signature": token, "upstash-message-id": "msg_1"}
        return self._ingest("nightly", b"{}", headers, url.partition("?")[2])

    def handshake(self) -> int:
        """Post what Notion posts before it has a secret."""
        return self._ingest("notion", b'{"verification_token":"secret_x"}', {"content-type": "application/json"})

    def _ingest(self, name: str, body: bytes, headers: dict[str, str], query: str = "") -> int:
        asked = {
            "routeKey": "ANY /webhooks/{source}",
            "rawPath": f"/webhooks/{name}",
            "rawQueryString": query,
            "queryStringParameters": dict(parse_qsl(query)),
            "requestContext": {"http": {"method": "POST", "sourceIp": "127.0.0.1"}},
            "pathParameters": {"source": name},
            "headers": headers,
            "body": body.decode(),
        }
        status: int = self.world.handler(ingest)(asked, None)["statusCode"]
        return status

    def callback(self, event_id: EventId, name: str, status: int, kind: str, **more: Any) -> int:
        """Have QStash call record back; return record's status."""
        event = self.world.store.event(event_id)
        generation = event.generation if event else new_generation()
        group = event.expected[name] if event else "audit"
        url = urls.CallbackAddress(kind, event_id, generation, group_scope(group)).url(BASE, MAC)
        said = {"status": status, "sourceMessageId": "msg_x", "maxRetries": 2, "endpointName": name} | more
        body = json.dumps(said)
        asked = {
            "rawPath": url.removeprefix(BASE),
            "requestContext": {"http": {"method": "POST"}},
            "headers": {
                "upstash-signature": sign(key=KEY, url=url, body=body.encode(), now_s=self.world.clock.at.timestamp())
            },
            "body": body,
        }
        answered: int = self.world.handler(record)(asked, None)["statusCode"]
        return answered

    def delivery(self, event_id: EventId) -> None:
        """Have QStash deliver to the bus."""
        headers = {"relay-event-id": event_id, "relay-body-mac": body_mac(MAC, event_id, b"{}")}
        with self.world.acting("deliver"):
            deliver(
                "ledger",
                headers=headers,
                body=b"{}",
                mac_key=MAC,
                settings=self.world.settings,
                store=self.world.store,
                clients=lambda *_: Bus(),
            )

    def events(self, name: str) -> list[EventId]:
        """Return the events of a source."""
        table = self.world.store.table
        items = table.client.scan(TableName=table.name)["Items"]
        return [EventId(it["pk"]["S"]) for it in items if it["sk"]["S"] == "EVENT" and it["source"]["S"] == name]


@pytest.fixture(scope="module")
def roles(real: Synthesized) -> dict[str, list[dict[str, Any]]]:
    """The statements about the table of the synthesized policies."""
    return {verb: [it for it in real.policy(verb) if "dynamodb:" in json.dumps(it["Action"])] for verb in LEADING_KEYS}


@pytest.fixture
def dynamodb(roles: Mapping[str, list[dict[str, Any]]]) -> MemoryDynamoDB:
    """A DynamoDB that refuses what the synthesized policies don't allow."""
    return MemoryDynamoDB(roles=roles)


@pytest.fixture
def open_routes(dynamodb: MemoryDynamoDB, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[OpenRoutes]:
    """Give a relay whose functions ingest, record and deliver have the synthesized policies."""
    world = World(Clients(dynamodb, MemoryS3()))
    world.clock.at = world.clock.at.fromtimestamp(int(time.time()), world.clock.at.tzinfo)  # PyJWT's own clock is real
    world.deploy({**FLAT, "sources": SOURCES, "destinations": {**FLAT["destinations"], "ledger": bus("audit")}})
    world.store.deployment.save_keys(current=KEY, following="sig_next", mac=MAC)
    parts = wired(world, monkeypatch, tmp_path, "RELAY_BUCKET")
    secrets = {"github": [Secret(SECRET)], "plain": [Secret(SECRET)], "kept": [Secret(SECRET)]}
    monkeypatch.setattr(parts, "settings", world.settings)
    monkeypatch.setattr(parts, "publisher", lambda: world.publisher)
    monkeypatch.setattr(parts, "signing_secrets", lambda name: secrets.get(name, []))
    monkeypatch.setattr(parts, "refresh_signing_secrets", lambda: False)
    for function in (ingest, record):
        monkeypatch.setattr(function, "relay", lambda *_: parts)
    monkeypatch.setattr(ingest, "record_refusal", partial(record_refusal, pace=RefusalPace()))
    yield OpenRoutes(world)
    wiring.relay.cache_clear()


def test_whatever_the_open_routes_make_the_functions_write_their_policies_allow_and_need_all_they_have(
    open_routes: OpenRoutes, dynamodb: MemoryDynamoDB, roles: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Every kind of key that a policy names is written by something here: else it would be one too many."""
    assert open_routes.webhook("github", b"{}", "d-1") == 202
    (event,) = open_routes.events("github")
    assert open_routes.webhook("github", b'{"other":1}', "d-1") == 200  # a conflict
    assert open_routes.webhook("github", b'"' + b"x" * 100_000 + b'"', "d-2") == 202  # its body is in the bucket
    assert open_routes.webhook("plain", b"{}") == 202
    assert open_routes.tick() == 202
    assert open_routes.handshake() == 200
    assert open_routes.webhook("github", b"{}", "d-3", secret="wrong") == 401
    assert open_routes.webhook("nobody", b"{}") == 404
    assert open_routes.webhook("kept", b"{}", "d-1", secret="wrong") == 401
    open_routes.world.wire.refused[b'{"never":1}'] = 400
    assert open_routes.webhook("github", b'{"never":1}', "d-4") == 202  # unpublishable
    open_routes.delivery(event)
    (tick,) = open_routes.events("nightly")
    for name, status, kind in [("ledger", 200, "callback"), ("erp", 500, "callback"), ("erp", 500, "failure")]:
        assert open_routes.callback(event, name, status, kind) == 200
    assert open_routes.callback(tick, "ledger", 200, "callback") == 200  # of a canary
    assert open_routes.callback(EventId("rly_gone"), "erp", 200, "callback") == 200  # an orphan
    open_routes.world.clock.at += timedelta(seconds=60)
    assert open_routes.webhook("github", b"{}", "d-1") == 200  # what died is made again

    assert open_routes.world.delivery(open_routes.world.store.event(event), "erp").status is Status.IN_FLIGHT  # type: ignore[arg-type]
    seen = {verb: dynamodb.written[verb] for verb in LEADING_KEYS}
    assert all(allows(roles[verb], "dynamodb:PutItem", {key}) for verb, keys in seen.items() for key in keys)
    assert {verb: {_kind(key) for key in keys} for verb, keys in seen.items()} == {
        verb: {_kind(pattern) for pattern in patterns} for verb, patterns in LEADING_KEYS.items()
    }


def _kind(key: str) -> str:
    """Return the part of a key, or of a pattern, that says what it is of."""
    return "rly_" if key.startswith("rly_") else key.partition("#")[0]


@pytest.mark.parametrize("verb", LEADING_KEYS)
def test_what_the_relay_steers_itself_by_they_may_read_and_never_write(
    roles: Mapping[str, list[dict[str, Any]]], verb: str
) -> None:
    """The key of callback URLs above all: whoever writes it can forge whatever became of any event."""
    for key in NOT_THEIRS:
        assert allows(roles[verb], "dynamodb:GetItem", {key})
        for action in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "ConditionCheckItem"):
            assert not allows(roles[verb], f"dynamodb:{action}", {key})
            assert not allows(roles[verb], f"dynamodb:{action}", {"rly_a", key})


@pytest.mark.parametrize("verb", LEADING_KEYS)
def test_the_policies_are_those_that_every_test_of_the_relay_holds_the_functions_to(
    roles: Mapping[str, list[dict[str, Any]]], verb: str
) -> None:
    """So what any test has them write, the synthesized policy allows, too."""
    (limited,) = [it for it in roles[verb] if "Condition" in it]

    assert limited["Action"] == ["dynamodb:PutItem", "dynamodb:UpdateItem"]
    assert limited["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [*LEADING_KEYS[verb]]}}


def test_a_write_that_a_role_doesnt_allow_ends_a_test(open_routes: OpenRoutes) -> None:
    """Not an error, which ingest would take for a table that is down, and spool the webhook."""
    store = open_routes.world.store

    with open_routes.world.acting("record"), pytest.raises(Denied, match="record may not PutItem under HANDSHAKE"):
        store.state.save_handshake("github", {})
    with open_routes.world.acting("ingest"), pytest.raises(Denied, match="ingest may not UpdateItem under KEYS"):
        store.deployment.save_keys(current="a", following="b", mac="c")
