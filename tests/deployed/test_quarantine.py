"""A sender whose key was changed before the relay's: nothing of what it sends is lost, and none of it comes twice."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

from tests.deployed.clients import SETTLED_S
from tests.deployed.test_refusals import command
from tests.waiting import eventually

if TYPE_CHECKING:
    from typing import Any

    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

CHANGED = "the key that the sender has now"


def test_what_was_refused_for_its_signature_is_let_in_once_the_secret_is_right(
    relay: Relay, destinations: Destinations
) -> None:
    name, body = uuid4().hex, b'{"kind":"kept"}'
    signature = base64.b64encode(hmac.digest(CHANGED.encode(), body, "sha512")).decode()
    refused = [relay.send("kept", body, id=name, x_acme_signature=signature) for _ in range(2)]
    forged = relay.send("kept", b"forged", x_acme_signature="AAAA")
    unsigned = relay.post("/webhooks/kept", b"unsigned", {})
    assert {it.status_code for it in (*refused, forged, unsigned)} == {401}
    assert [it["outcome"] for it in command(relay, "source", "quarantine", "kept")] == ["refused", "refused"]
    assert relay.ask("config").json()["counts"]["quarantined"] == {"kept": 2}

    held = relay.secret("sources")
    relay.put_secret("sources", held | {"kept": [{"value": CHANGED}, *held["kept"]]})
    eventually(lambda: _passing(relay), "the new secret is known")
    released = command(relay, "source", "quarantine", "kept", "--release")
    again = command(relay, "source", "quarantine", "kept", "--release")

    outcomes = {it["outcome"]: it for it in released}
    event_id = outcomes["released"]["event_id"]
    assert set(outcomes) == {"released", "refused"}
    assert [it["outcome"] for it in again] == ["refused"]
    assert relay.event(event_id)["received_at"] == outcomes["released"]["received_at"]
    destinations.await_received("bytes", 1, event_id=event_id, timeout_s=SETTLED_S)
    sent_again = relay.send("kept", body, id=name, x_acme_signature=signature)
    assert (sent_again.status_code, sent_again.json()["event_id"]) == (200, event_id)
    (gone,) = command(relay, "source", "quarantine", "kept", "--discard", "--yes")
    assert gone["outcome"] == "discarded"
    assert relay.ask("config").json()["counts"]["quarantined"] == {"kept": 0}
    later = relay.send("acme", b"later").json()["event_id"]
    destinations.await_received("bytes", 1, event_id=later, timeout_s=SETTLED_S)
    assert len(destinations.received("bytes", event_id)) == 1


def _passing(relay: Relay) -> bool:
    shown: dict[str, Any] = relay.ask("sources/kept/quarantine").raise_for_status().json()
    return "passes" in {it["outcome"] for it in shown["requests"]}


def test_an_unsigned_question_gets_403(relay: Relay) -> None:
    """Whoever may post webhooks may not ask what was refused."""
    url = f"{relay.local.relay_url}/v1/sources/kept/quarantine"
    body = json.dumps({"action": "release"})

    assert [httpx.request(it, url, content=body, trust_env=False).status_code for it in ("GET", "POST")] == [403, 403]
