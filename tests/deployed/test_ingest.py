"""What a source is answered, and what is kept of what it sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.deployed.clients import SETTLED_S
from tests.deployed.conftest import GIVEN_SECRET
from tests.waiting import eventually

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

MIB = 1024 * 1024
NOT_TEXT = bytes(range(256)) + b"\xff\xfe\x00\x80\r\n"


def test_an_event_gets_202_and_its_duplicate_200_with_the_same_id(relay: Relay) -> None:
    name = uuid4().hex

    first, second = [relay.send("acme", b"once", id=name) for _ in range(2)]  # where nothing dies, to be reopened

    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"event_id": first.json()["event_id"], "duplicate": True}


def test_a_duplicate_is_delivered_once(relay: Relay, destinations: Destinations) -> None:
    name = uuid4().hex
    event_id = relay.send("acme", b"once", id=name).json()["event_id"]
    destinations.await_received("bytes", 1, event_id=event_id, timeout_s=SETTLED_S)

    relay.send("acme", b"once", id=name)

    later = relay.send("acme", b"later").json()["event_id"]
    destinations.await_received("bytes", 1, event_id=later, timeout_s=SETTLED_S)
    assert len(destinations.received("bytes", event_id)) == 1


def test_a_signing_secret_is_the_one_given_or_made_up(relay: Relay) -> None:
    secrets = relay.local.secrets

    assert secrets["acme"] == GIVEN_SECRET
    assert len(set(secrets.values())) == len(secrets)
    assert [relay.send("acme", b"{}").status_code, relay.push().status_code] == [202, 202]


def test_one_slash_at_the_end_is_the_same_source(relay: Relay) -> None:
    """And more is another path."""
    body = b'{"slash":1}'
    signature = base64.b64encode(hmac.digest(GIVEN_SECRET.encode(), body, "sha512")).decode()
    headers = {"X-Acme-Signature": signature, "X-Acme-Id": uuid4().hex}

    first, again = relay.post("/webhooks/acme/", body, headers), relay.post("/webhooks/acme", body, headers)

    assert (first.status_code, again.status_code) == (202, 200), first.text
    assert again.json()["event_id"] == first.json()["event_id"]
    for path in ("/webhooks/acme//", "/webhooks/acme/more", "/acme/", "/webhooks/", "/"):
        answer = relay.post(path, body, headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert "acme" not in answer.text


def test_an_unknown_source_gets_404(relay: Relay) -> None:
    answer = relay.post("/webhooks/gitlab", b"{}", {})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "signature", ["sha256=" + "0" * 64, "sha256=zz", "sha1=" + "0" * 40, ""], ids=["false", "no hex", "prefix", "empty"]
)
def test_a_forged_webhook_gets_401_and_is_not_kept(relay: Relay, signature: str) -> None:
    before = relay.ask("events", source="github").json()["events"]

    answer = relay.push(x_hub_signature_256=signature)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "signature")
    assert relay.ask("events", source="github").json()["events"] == before


def test_a_refusal_says_nothing_of_the_secret_or_the_right_signature(relay: Relay) -> None:
    body = b'{"n":1}'

    said = relay.post("/webhooks/github", body, {"X-Hub-Signature-256": "sha256=" + "0" * 64}).text

    assert relay.local.secrets["github"] not in said
    assert "sha256=" not in said


def test_a_source_without_a_secret_gets_503_never_an_open_door(relay: Relay) -> None:
    answer = relay.send("mute", b"{}")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_a_body_over_4_mib_gets_413(relay: Relay) -> None:
    answer = relay.send("acme", b"x" * (4 * MIB + 1))

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_a_body_of_4_mib_is_taken_and_kept_whole(relay: Relay) -> None:
    body = b"\xfe" * (4 * MIB)

    answer = relay.send("acme", body)

    assert answer.status_code == 202
    shown = relay.event(answer.json()["event_id"])
    assert (shown["size_bytes"], shown["sha256"]) == (4 * MIB, hashlib.sha256(body).hexdigest())


def test_broken_json_is_accepted_and_typed_unknown(relay: Relay) -> None:
    answer = relay.send("acme", b'{"kind":', content_type="application/json")

    assert answer.status_code == 202
    assert relay.event(answer.json()["event_id"])["type"] == "unknown"


@pytest.mark.parametrize("body", [NOT_TEXT, b"", b"\x1f\x8b\x08\x00"], ids=["binary", "empty", "gzip"])
def test_a_destination_gets_the_bytes_that_the_source_sent(
    relay: Relay, destinations: Destinations, body: bytes
) -> None:
    event_id = relay.send("acme", body, x_acme_kind="odd").json()["event_id"]

    (got,) = destinations.await_received("bytes", 1, event_id=event_id, timeout_s=SETTLED_S)

    assert got.body == body
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["x-acme-kind"] == "odd"
    assert got.headers["relay-source"] == "acme"
    assert "x-acme-signature" in got.headers  # it is no secret, and whoever has the secret can check it again


def test_a_new_signing_secret_works_without_a_deploy_and_beside_the_old(relay: Relay) -> None:
    """The function reads the secrets again where a signature fits none of them, at most once in 10 s."""
    kept = relay.secret("sources")
    relay.put_secret("sources", kept | {"acme": [{"value": "a newer one"}, *kept["acme"]]})
    newer = base64.b64encode(hmac.digest(b"a newer one", b"rotated", "sha512")).decode()

    def taken() -> bool:
        return relay.send("acme", b"rotated", x_acme_signature=newer).status_code in {200, 202}

    try:
        eventually(taken, "a webhook signed with the new secret is taken", timeout_s=SETTLED_S)
        assert relay.send("acme", b"as before").status_code == 202
    finally:
        relay.put_secret("sources", kept)


def test_the_same_signed_body_under_a_new_id_is_flagged(relay: Relay) -> None:
    body = b'{"action":"closed","nonce":"' + uuid4().hex.encode() + b'"}'
    first = relay.push(body).json()["event_id"]

    again = relay.push(body).json()["event_id"]

    assert again != first
    assert relay.event(again)["suspected_replay_of"] == first
    assert relay.event(first)["suspected_replay_of"] is None
