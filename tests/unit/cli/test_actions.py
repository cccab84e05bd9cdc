"""`relay secret`, `send` and `replay`: what they change, and what they refuse."""

from __future__ import annotations

import base64
import hmac
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from relay.signatures import describe, sign, verify
from tests.unit.cli.conftest import ROW, SECRET, TOKEN, delivery

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

EVENTS = Path(__file__).parents[3] / "events"
PUSH = str(EVENTS / "github" / "push.json")
ACCEPTED = {"event_id": "rly_1"}


# -- secret -------------------------------------------------------------------------------------------------------


def test_the_first_secret_of_the_first_source_is_made_before_any_deploy(undeployed: Relay) -> None:
    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-one\n")

    assert shown.exit_code == 0, shown.stderr
    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-one"]
    assert undeployed.kept("sources")["github"][0]["created_at"].endswith("+00:00")


def test_a_rotation_overlaps_newest_first_and_keeps_two(undeployed: Relay) -> None:
    for value in ("s3cr3t-one", "s3cr3t-two", "s3cr3t-three"):
        undeployed.run("secret", "set", "github", stdin=value)
    undeployed.run("secret", "set", "acme", stdin="s3cr3t-acme")

    kept = undeployed.kept("sources")
    assert [it["value"] for it in kept["github"]] == ["s3cr3t-three", "s3cr3t-two"]
    assert [it["value"] for it in kept["acme"]] == ["s3cr3t-acme"]


def test_the_same_secret_again_pushes_nothing_out(undeployed: Relay) -> None:
    for value in ("s3cr3t-one", "s3cr3t-two"):
        undeployed.run("secret", "set", "github", stdin=value)

    again = undeployed.run("secret", "set", "github", "--json", stdin="s3cr3t-two")

    assert json.loads(again.stdout)["changed"] is False
    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-two", "s3cr3t-one"]


def test_the_one_before_comes_back_when_it_is_set_again(undeployed: Relay) -> None:
    for value in ("s3cr3t-one", "s3cr3t-two", "s3cr3t-one"):
        undeployed.run("secret", "set", "github", stdin=value)

    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-one", "s3cr3t-two"]


def test_replace_forgets_the_one_before(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "github", stdin="s3cr3t-one")

    shown = undeployed.run("secret", "set", "github", "--replace", "--json", stdin="s3cr3t-two")

    assert [it["value"] for it in undeployed.kept("sources")["github"]] == ["s3cr3t-two"]
    assert json.loads(shown.stdout) == {
        "name": "github",
        "secret": f"{undeployed.name}/sources",
        "values": 1,
        "changed": True,
    }


def test_a_new_qstash_token_keeps_the_url(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "qstash", "--url", "https://qstash-eu.example.com", stdin="token-one\r\n")
    undeployed.run("secret", "set", "qstash", stdin="token-two")

    assert undeployed.kept("qstash") == {"token": "token-two", "url": "https://qstash-eu.example.com"}


@pytest.mark.parametrize(
    "value", ["", "\n", "   ", "\t\n", " padded", "padded \n", "two\nlines", "\x00", b"\xff\xfe", "x" * 5000]
)
def test_a_secret_that_can_not_be_meant_is_refused(undeployed: Relay, value: str | bytes) -> None:
    shown = undeployed.run("secret", "set", "github", stdin=value)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: the secret ")
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("sources")


@pytest.mark.parametrize(
    "words",
    [
        ("a.b",),
        ("",),
        ("github", "--url", "https://qstash.upstash.io"),
        ("qstash", "--replace"),
        ("qstash", "--url", "qstash.upstash.io"),
        ("qstash", "--url", "https://user:pass@example.com"),
        ("qstash", "--url", "http://[::1"),
    ],
)
def test_a_secret_set_that_makes_no_sense_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("secret", "set", *words, stdin="value").exit_code == 2


def test_a_token_with_a_space_is_refused(undeployed: Relay) -> None:
    assert undeployed.run("secret", "set", "qstash", stdin="a b").exit_code == 1


@pytest.mark.parametrize("held", ["not JSON", "[]", '{"github": "text"}', '{"github": [{"valu": "s3cr3t-old"}]}'])
def test_a_secret_that_somebody_broke_is_left_as_it_is(undeployed: Relay, held: str) -> None:
    undeployed.keep("sources", held)

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert "mend it in Secrets Manager" in shown.stderr
    assert "s3cr3t" not in shown.output
    text = undeployed.secretsmanager.get_secret_value(SecretId=f"{undeployed.name}/sources")["SecretString"]
    assert text == held


def test_a_secret_marked_for_deletion_is_told_with_the_command_that_brings_it_back(undeployed: Relay) -> None:
    undeployed.keep("sources", {})
    undeployed.secretsmanager.delete_secret(SecretId=f"{undeployed.name}/sources", RecoveryWindowInDays=7)

    shown = undeployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert shown.exit_code == 1
    assert f"aws secretsmanager restore-secret --secret-id {undeployed.name}/sources" in shown.stderr


def test_a_source_that_is_not_deployed_is_noted(deployed: Relay) -> None:
    typo = deployed.run("secret", "set", "gihub", stdin="s3cr3t-new")
    known = deployed.run("secret", "set", "github", stdin="s3cr3t-new")

    assert typo.exit_code == 0
    assert "has no source gihub" in typo.stderr
    assert known.stderr == ""


def test_no_command_ever_prints_a_secret(deployed: Relay) -> None:
    """What is set, what is held, and what signs: none of it comes out, in tables or JSON, well or not."""
    deployed.keep("qstash", {"token": TOKEN, "url": deployed.server.url})
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, status=202)
    for flag in ((), ("--json",)):
        deployed.run("source", "list", *flag)
        deployed.run("doctor", *flag)
        deployed.run("send", PUSH, *flag)
        deployed.run("secret", "set", "github", *flag, stdin="s3cr3t-new")
        deployed.run("secret", "set", "qstash", *flag, stdin="s3cr3t-token")
        deployed.run("secret", "set", "github", *flag, stdin=" s3cr3t-padded")

    everything = "".join(deployed.shown)
    assert len(everything) > 500
    for secret in (SECRET, TOKEN, "s3cr3t", "hush-hush"):
        assert secret not in everything


# -- send ---------------------------------------------------------------------------------------------------------


def test_send_signs_as_the_source_would_and_says_the_events_id(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, status=202)

    shown = deployed.run("send", PUSH, "--json")

    call = deployed.server.asked("/webhooks/github")[0]
    verify(ROW, headers=call.headers, body=call.body, secrets=[SECRET])
    assert call.body == json.loads(Path(PUSH).read_text())["body"].encode()
    assert call.headers["x-github-event"] == "push"
    assert "authorization" not in call.headers
    assert not [it for it in call.headers if it.startswith(("x-forwarded", "x-amz"))]
    assert json.loads(shown.stdout) == {
        "source": "github",
        "status": 202,
        "event_id": "rly_1",
        "duplicate": False,
        "error": None,
    }


def test_send_signs_with_the_newest_secret(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, status=202)
    deployed.run("secret", "set", "github", stdin="newer")

    deployed.run("send", PUSH)

    call = deployed.server.asked("/webhooks/github")[0]
    verify(ROW, headers=call.headers, body=call.body, secrets=["newer"])


def test_times_sends_the_very_same_again(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, ACCEPTED | {"duplicate": True}, status=202)

    shown = deployed.run("send", PUSH, "--times", "3")

    first, *others = deployed.server.asked("/webhooks/github")
    assert [(it.body, it.headers) for it in others] == [(first.body, first.headers)] * 2
    assert shown.stdout.count("rly_1") == 3
    assert shown.stdout.count("duplicate") == 2


def test_a_sample_that_carries_a_signature_is_sent_as_it_is(deployed: Relay) -> None:
    answer = {"error": {"code": "signature", "message": "X-Hub-Signature-256 doesn't match"}}
    deployed.server.says("POST", "/webhooks/github", answer, status=401)
    forged = EVENTS / "github" / "pull_request.opened.forged.json"

    shown = deployed.run("send", str(forged))

    headers = json.loads(forged.read_text())["headers"]
    assert deployed.server.calls[-1].headers["x-hub-signature-256"] == headers["x-hub-signature-256"]
    assert shown.exit_code == 1
    assert shown.stderr == "error: the relay refused 1 of 1: 401 signature: X-Hub-Signature-256 doesn't match\n"


def test_a_sample_in_base64_is_sent_as_its_bytes(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/acme", ACCEPTED, status=202)
    deployed.run("secret", "set", "acme", stdin="acme's")

    shown = deployed.run("send", str(EVENTS / "acme" / "upload.binary.json"))

    assert shown.exit_code == 0, shown.stderr
    call = deployed.server.asked("/webhooks/acme")[0]
    assert call.body.startswith(b"\x89PNG")
    assert call.headers["x-acme-signature"] == hmac.digest(b"acme's", call.body, "sha256").hex()


def test_source_chooses_where_it_goes_and_whose_secret_signs(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/acme", ACCEPTED, status=202)
    deployed.run("secret", "set", "acme", stdin="acme's")

    deployed.run("send", PUSH, "--source", "acme")

    assert "x-acme-signature" in deployed.server.asked("/webhooks/acme")[0].headers


def test_a_source_without_a_secret_is_told_with_the_next_command(deployed: Relay) -> None:
    shown = deployed.run("send", PUSH, "--source", "acme")

    assert shown.exit_code == 1
    assert "relay secret set acme" in shown.stderr


def test_a_source_that_is_not_deployed_cannot_be_sent_to(deployed: Relay) -> None:
    shown = deployed.run("send", PUSH, "--source", "stripe")

    assert shown.exit_code == 1
    assert "no source stripe, but acme, github" in shown.stderr


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b"[]"])
def test_an_answer_that_is_not_the_relays_counts_as_refused(deployed: Relay, answer: bytes) -> None:
    deployed.server.says("POST", "/webhooks/github", answer)

    assert deployed.run("send", PUSH).exit_code == 1


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"requestContext": {"http": {"method": "POST", "path": "/webhooks/github"}}, "headers": []}',
        '{"requestContext": {"http": {"method": "POST", "path": "/webhooks/github"}}, "headers": {}, "body": 1}',
        '{"requestContext": {"http": {"method": "PUT", "path": "/"}}, "headers": {}, "body": "*", "isBase64Encoded":1}',
        "\ufeff{}",
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_request_is_told_in_one_line(undeployed: Relay, tmp_path: Path, content: str) -> None:
    file = tmp_path / "sample.json"
    file.write_text(content, encoding="utf-8")

    shown = undeployed.run("send", str(file))

    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"error: {file} isn't ")
    assert shown.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_an_error_of_usage(undeployed: Relay) -> None:
    assert undeployed.run("send", "no-such-file.json").exit_code == 2


@pytest.mark.parametrize("file", sorted(EVENTS.rglob("*.json")), ids=lambda it: it.name)
def test_every_sample_is_a_request_as_an_http_api_hands_it_over(file: Path) -> None:
    """Twice the same file is a duplicate, so a sample from GitHub has a delivery id that no other has."""
    sample: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))

    assert sample["version"] == "2.0"
    assert sample["rawPath"] == sample["requestContext"]["http"]["path"] == f"/webhooks/{file.parent.name}"
    assert sample["pathParameters"] == {"source": file.parent.name}
    assert all(name == name.lower() for name in sample["headers"])
    text = sample["body"]
    body = base64.b64decode(text, validate=True) if sample["isBase64Encoded"] else text.encode()
    assert sample["headers"]["content-length"] == str(len(body))
    if file.parent.name == "github":
        others = {
            json.loads(it.read_text())["headers"]["x-github-delivery"] for it in file.parent.iterdir() if it != file
        }
        assert sample["headers"]["x-github-delivery"] not in others
        told = describe(ROW, headers=sample["headers"], body=body).event_type
        assert file.name.startswith(f"{told}.")


def test_the_forged_sample_is_forged() -> None:
    sample = json.loads((EVENTS / "github" / "pull_request.opened.forged.json").read_text(encoding="utf-8"))

    _, right = sign(ROW, SECRET, sample["body"].encode())
    assert len(sample["headers"]["x-hub-signature-256"]) == len(right)
    assert sample["headers"]["x-hub-signature-256"] != right


# -- replay -------------------------------------------------------------------------------------------------------


def test_a_replay_of_an_event_asks_for_its_dead_deliveries(deployed: Relay) -> None:
    answer = {
        "id": "rpl_1",
        "deliveries": [delivery(1, status="pending")],
        "skipped": [{"delivery_id": "dlv_1.erp", "reason": "it is delivered"}],
    }
    deployed.server.says("POST", "/v1/replays", answer, status=202)

    shown = deployed.run(
        "replay", "start", "rly_1", "--destination", "ledger", "--destination", "erp", "--reason", "mended"
    )

    assert deployed.server.calls[-1].json == {
        "event_id": "rly_1",
        "destinations": ["ledger", "erp"],
        "include_delivered": False,
        "reason": "mended",
    }
    assert shown.exit_code == 0
    for text in (delivery(1)["id"], "pending", "rpl_1", "dlv_1.erp", "skipped", "it is delivered"):
        assert text in shown.stdout


def test_single_deliveries_go_in_one_replay_and_as_json_it_is_one_line(deployed: Relay) -> None:
    answer = {"id": "rpl_1", "deliveries": [delivery(1, status="pending")], "skipped": []}
    deployed.server.says("POST", "/v1/replays", answer, status=202)

    shown = deployed.run("replay", "start", "dlv_1.ledger", "dlv_2.erp", "dlv_1.ledger", "--json")

    assert [it.json for it in deployed.server.calls] == [{"delivery_ids": ["dlv_1.ledger", "dlv_2.erp"]}]
    assert json.loads(shown.stdout) == answer


def test_more_deliveries_than_one_replay_takes_are_several(deployed: Relay) -> None:
    answer = {"id": "rpl_1", "deliveries": [delivery(1)], "skipped": []}
    deployed.server.says("POST", "/v1/replays", answer, status=202)

    deployed.run("replay", "start", *(f"dlv_{n}.ledger" for n in range(150)))

    assert [len(it.json["delivery_ids"]) for it in deployed.server.calls] == [100, 50]


def test_what_was_started_before_a_failure_is_told(deployed: Relay) -> None:
    answer = {"id": "rpl_1", "deliveries": [delivery(1, status="pending")], "skipped": []}
    deployed.server.says("POST", "/v1/replays", answer, b"not JSON", status=202)

    shown = deployed.run("replay", "start", "rly_1", "rly_2")

    assert shown.exit_code == 1
    assert "rpl_1" in shown.stdout
    assert shown.stderr.startswith("error: ")


def test_a_replay_that_replays_nothing_is_an_error(deployed: Relay) -> None:
    answer = {"id": "rpl_1", "deliveries": [], "skipped": [{"delivery_id": "dlv_1.erp", "reason": "it is in_flight"}]}
    deployed.server.says("POST", "/v1/replays", answer, status=202)

    shown = deployed.run("replay", "start", "dlv_1.erp")

    assert shown.exit_code == 1
    assert "it is in_flight" in shown.stdout


@pytest.mark.parametrize(
    "words",
    [(), ("evt_1",), ("github:1",), ("dlv_1",), ("dlv_1.x", "--destination", "x"), ("dlv_1.x", "--include-delivered")],
    ids=" ".join,
)
def test_a_replay_of_what_can_not_be_replayed_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("replay", "start", *words).exit_code == 2
