"""Who may report to the relay, and what a report changes.  Every refusal leaves the table as it was."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.deployed.clients import Relay


@pytest.fixture(scope="module")
def settled(relay: Relay) -> dict[str, Any]:
    """A dead letter, in QStash's words, of an event whose deliveries are all over."""
    event_id = relay.push().json()["event_id"]
    return relay.dead_letter(event_id) | {"event_id": event_id}


def report_of(dead_letter: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return the report that QStash made of the last attempt of *dead_letter*."""
    return {
        "status": 503,
        "body": base64.b64encode(b"status 503\n").decode(),
        "retried": 2,
        "maxRetries": 2,
        "dlqId": dead_letter["dlqId"],
        "sourceMessageId": dead_letter["messageId"],
        "topicName": dead_letter["topicName"],
        "endpointName": "dead",
        "url": dead_letter["url"],
        **changed,
    }


def wrongs(url: str) -> dict[str, dict[str, Any]]:
    """Return the claims of calls that QStash never made, by what is wrong with them."""
    now = int(time.time())
    return {
        "another key": {"key": "sig_" + "0" * 40},
        "another address": {"sub": url.replace("/failure/", "/callback/")},
        "another body": {"body": base64.urlsafe_b64encode(bytes(32)).decode()},
        "another issuer": {"iss": "Upstage"},
        "stale": {"exp": now - 60},
        "too early": {"nbf": now + 60},
    }


@pytest.mark.parametrize("wrong", sorted(wrongs("")))
def test_a_call_that_qstash_did_not_make_gets_401_and_writes_nothing(
    relay: Relay, settled: dict[str, Any], wrong: str
) -> None:
    url = settled["failureCallback"]
    before = relay.records(settled["event_id"])

    answer = relay.call_back(url, report_of(settled, status=418), **wrongs(url)[wrong])

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "signature")
    assert relay.records(settled["event_id"]) == before


def test_a_signed_call_to_a_path_that_the_relay_never_gave_gets_401(relay: Relay, settled: dict[str, Any]) -> None:
    """Destinations know QStash's keys as well; only the MAC in the path is the relay's own."""
    url, _, mac = settled["failureCallback"].rpartition("/")
    before = relay.records(settled["event_id"])

    answer = relay.call_back(f"{url}/{'0' * len(mac)}", report_of(settled))

    assert answer.status_code == 401
    assert relay.records(settled["event_id"]) == before


def test_an_unsigned_call_gets_401(relay: Relay, settled: dict[str, Any]) -> None:
    path = settled["callback"].removeprefix(relay.local.relay_url)

    assert relay.post(path, b"{}", {}).status_code == 401


def test_an_unsigned_delivery_gets_401(relay: Relay) -> None:
    assert relay.post("/qstash/deliver/ledger", b"{}", {}).status_code == 401


@pytest.mark.parametrize("key", ["qstash_current_signing_key", "qstash_next_signing_key"])
@pytest.mark.parametrize("kind", ["callback", "failureCallback"])
def test_a_true_report_sent_again_changes_nothing(relay: Relay, settled: dict[str, Any], kind: str, key: str) -> None:
    before = relay.records(settled["event_id"])

    answer = relay.call_back(settled[kind], report_of(settled), key=getattr(relay.local, key))

    assert answer.status_code == 200
    assert relay.records(settled["event_id"]) == before


def test_a_report_that_comes_late_does_not_undo_a_success(relay: Relay, settled: dict[str, Any]) -> None:
    event_id = settled["event_id"]
    late = report_of(settled, endpointName="healthy", sourceMessageId="msg_late", retried=0, maxRetries=0)

    answer = relay.call_back(settled["failureCallback"], late)

    assert answer.status_code == 200
    assert relay.event(event_id)["deliveries"]["healthy"]["status"] == "delivered"


def test_a_report_on_an_event_that_is_gone_is_kept_and_counted(relay: Relay) -> None:
    event_id = relay.push().json()["event_id"]
    dead_letter = relay.dead_letter(event_id)
    before = relay.ask("config").json()["counts"]["orphans"]
    table = relay.aws("dynamodb")
    for pk, sk in relay.records(event_id):
        table.delete_item(TableName=relay.local.table_name, Key={"pk": {"S": pk}, "sk": {"S": sk}})

    answers = [relay.call_back(dead_letter["failureCallback"], report_of(dead_letter)) for _ in range(2)]

    assert [it.status_code for it in answers] == [200, 200]
    assert relay.ask("config").json()["counts"]["orphans"] == before + 1
    assert {pk for pk, _ in relay.records(event_id)} == {f"ORPHAN#{event_id}"}
