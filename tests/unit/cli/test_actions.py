"""`relay send` and `replay`: what they change, and what they refuse."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.schemes import built_in_schemes
from infra.local.sources.secrets import made_up
from relay.model.ids import event_id
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify
from tests.unit.cli.conftest import GITHUB, SECRET, delivery

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Call, Relay

EVENTS = Path(__file__).parents[3] / "events"
PUSH = str(EVENTS / "github" / "push.json")
ACCEPTED = {"event_id": "rly_1"}
REFUSED = {"error": {"code": "signature", "message": "it doesn't match"}}


def received(relay: Relay, call: Call) -> InboundRequest:
    """Return what the relay got, as it would take it."""
    url = relay.server.url + call.path + (f"?{call.query}" if call.query else "")
    return InboundRequest(method=call.method, urls=[url], headers=call.headers, body=call.body)


def judged(relay: Relay, call: Call, secret: str, row: dict[str, Any] = GITHUB) -> Any:
    """Return what the relay makes of *call*."""
    return verify(Row.of(row), received(relay, call), [Secret(secret)], at=time.time())


def configure(relay: Relay, secrets: dict[str, str | None] | None = None, **schemes: str) -> None:
    """Deploy sources of built-in schemes, by name, and keep a secret for each that is made up or given; None: none."""
    sources: dict[str, dict[str, Any]] = {
        name: {"scheme": scheme, "row": built_in_schemes()[scheme].row(), "to": ["audit"]}
        for name, scheme in schemes.items()
    }
    relay.configure(sources=sources)
    for name in schemes:
        secret = (secrets or {}).get(name, "made up")
        if secret is not None:
            secret = made_up(sources[name]["row"]) if secret == "made up" else secret
            relay.run("secret", "set", name, stdin=secret)


def kept(relay: Relay, source: str) -> str:
    """Return the newest signing secret of *source*."""
    return str(relay.kept("sources")[source][0]["value"])


# -- send ---------------------------------------------------------------------------------------------------------


def test_send_signs_as_the_source_would_and_says_the_events_id(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, status=202)

    shown = deployed.run("send", PUSH, "--json")

    call = deployed.server.asked("/webhooks/github")[0]
    assert isinstance(judged(deployed, call, SECRET), WebhookInfo)
    assert call.body == json.loads(Path(PUSH).read_text())["body"].encode()
    assert call.headers["x-github-event"] == "push"
    assert "authorization" not in call.headers
    assert not [it for it in call.headers if it.startswith(("x-forwarded", "x-amz"))]
    assert json.loads(shown.stdout) == {
        "source": "github",
        "status": 202,
        "event_id": "rly_1",
        "duplicate": False,
        "answer": None,
        "error": None,
    }


def test_send_signs_with_the_newest_secret(deployed: Relay) -> None:
    deployed.server.says("POST", "/webhooks/github", ACCEPTED, status=202)
    deployed.run("secret", "set", "github", stdin="newer")

    deployed.run("send", PUSH)

    call = deployed.server.asked("/webhooks/github")[0]
    assert isinstance(judged(deployed, call, "newer"), WebhookInfo)


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


def test_every_sample_of_github_is_another_event_and_named_for_its_type() -> None:
    """Twice the same file is a duplicate; two files aren't."""
    ids = []
    for file in sorted((EVENTS / "github").iterdir()):
        sample: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        action = json.loads(sample["body"]).get("action")
        kind = sample["headers"]["x-github-event"] + (f".{action}" if action else "")
        assert file.name.startswith(f"{kind}.")
        ids.append(sample["headers"]["x-github-delivery"])

    assert len(set(ids)) == len(ids)


def test_the_forged_sample_is_forged() -> None:
    sample = json.loads((EVENTS / "github" / "pull_request.opened.forged.json").read_text(encoding="utf-8"))

    right = "sha256=" + hmac.digest(SECRET.encode(), sample["body"].encode(), "sha256").hex()
    assert len(sample["headers"]["x-hub-signature-256"]) == len(right)
    assert sample["headers"]["x-hub-signature-256"] != right


# -- send, any scheme ---------------------------------------------------------------------------------------------


def test_what_is_signed_with_the_url_and_a_time_is_signed_for_this_relay_and_now(deployed: Relay) -> None:
    configure(deployed, calls="plivo-v3", crm="hubspot-v3")
    for name in ("calls", "crm"):
        deployed.server.says("POST", f"/webhooks/{name}", ACCEPTED, status=202)

    deployed.run("send", str(EVENTS / "plivo-v3" / "call.answered.json"))
    deployed.run("send", str(EVENTS / "hubspot-v3" / "contact.propertyChange.json"))

    for name, scheme in (("calls", "plivo-v3"), ("crm", "hubspot-v3")):
        (call,) = deployed.server.asked(f"/webhooks/{name}")
        row = built_in_schemes()[scheme].row()
        assert isinstance(judged(deployed, call, kept(deployed, name), row), WebhookInfo)


def test_the_source_is_the_only_one_with_the_scheme_that_the_path_names(deployed: Relay) -> None:
    configure(deployed, payments="stripe", others="hmac")
    deployed.server.says("POST", "/webhooks/payments", ACCEPTED, status=202)

    shown = deployed.run("send", str(EVENTS / "stripe" / "payment_intent.succeeded.json"))

    assert shown.exit_code == 0, shown.output
    assert len(deployed.server.asked("/webhooks/payments")) == 1


def test_of_several_sources_with_the_scheme_one_must_be_chosen(deployed: Relay) -> None:
    configure(deployed, eu="stripe", us="stripe")
    deployed.server.says("POST", "/webhooks/us", ACCEPTED, status=202)
    sample = str(EVENTS / "stripe" / "payment_intent.succeeded.json")

    unsure, sure = deployed.run("send", sample), deployed.run("send", sample, "--source", "us")

    assert unsure.exit_code == 1
    assert "choose eu or us with --source" in unsure.stderr
    assert sure.exit_code == 0, sure.output


def test_a_handshakes_answer_is_shown(deployed: Relay) -> None:
    """It has no event, and the one of Notion comes before there is a secret."""
    configure(deployed, {"dropbox": None, "notion": None}, dropbox="dropbox", notion="notion")
    deployed.server.says("GET", "/webhooks/dropbox", b"the-challenge")
    deployed.server.says("POST", "/webhooks/notion", b"")

    challenge = deployed.run("send", str(EVENTS / "dropbox" / "challenge.json"))
    token = deployed.run("send", str(EVENTS / "notion" / "verification_token.json"), "--json")

    assert challenge.exit_code == token.exit_code == 0, challenge.output + token.output
    assert "answered the-challenge" in challenge.stdout
    assert deployed.server.asked("/webhooks/dropbox")[0].query == "challenge=Vr2q8nT5wYx0Zc3Bd6Fg9Hj"
    assert json.loads(token.stdout)["answer"] == ""


def test_an_event_whose_source_wants_another_acknowledgement_has_no_id_to_show(deployed: Relay) -> None:
    configure(deployed, adyen="adyen")
    deployed.server.says("POST", "/webhooks/adyen", b"[accepted]")

    shown = deployed.run("send", str(EVENTS / "adyen" / "AUTHORISATION.json"))

    assert shown.exit_code == 0, shown.output
    assert "answered [accepted]" in shown.stdout


def test_what_only_the_provider_can_sign_is_told(deployed: Relay) -> None:
    configure(deployed, {"discord": "ab" * 32}, discord="discord")

    shown = deployed.run("send", str(EVENTS / "discord" / "ping.json"))

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: source discord: only the provider can sign that")
    assert shown.stderr.count("\n") == 1
    assert deployed.server.asked("/webhooks/discord") == []


@pytest.mark.parametrize("option", ["--tamper", "--stale"])
def test_what_is_refused_as_it_must_be_is_a_success(deployed: Relay, option: str) -> None:
    """Whoever tries it wants to see that the relay refuses it."""
    configure(deployed, stripe="stripe")
    deployed.server.says("POST", "/webhooks/stripe", REFUSED, status=401)

    shown = deployed.run("send", str(EVENTS / "stripe" / "payment_intent.succeeded.json"), option, "--times", "2")

    assert shown.exit_code == 0, shown.output
    assert shown.stdout.endswith("refused, as it must be: 401 signature: it doesn't match\n")
    call, again = deployed.server.asked("/webhooks/stripe")
    assert call == again
    right = json.loads((EVENTS / "stripe" / "payment_intent.succeeded.json").read_text("utf-8"))["body"].encode()
    signed_s = int(call.headers["stripe-signature"].removeprefix("t=").partition(",")[0])
    if option == "--tamper":
        assert sum(a != b for a, b in zip(call.body, right, strict=True)) == 1
        assert abs(time.time() - signed_s) < 60
    else:
        assert call.body == right
        assert 360 <= time.time() - signed_s < 420


@pytest.mark.parametrize(("status", "answer", "words"), [(202, ACCEPTED, "accepted 1 of 1"), (503, REFUSED, "failed")])
def test_what_is_not_refused_and_must_be_is_a_failure(
    deployed: Relay, status: int, answer: dict[str, Any], words: str
) -> None:
    """A relay that isn't ready refuses everything, which shows nothing."""
    deployed.server.says("POST", "/webhooks/github", answer, status=status)

    shown = deployed.run("send", PUSH, "--tamper")

    assert shown.exit_code == 1
    assert words in shown.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((PUSH, "--stale"), "has no signed time"),
        ((str(EVENTS / "dropbox" / "challenge.json"), "--tamper"), "nobody signs this request"),
        ((str(EVENTS / "dropbox" / "challenge.json"), "--stale"), "has no signed time"),
    ],
)
def test_what_can_not_be_made_wrong_is_told_and_not_sent(deployed: Relay, words: tuple[str, ...], told: str) -> None:
    configure(deployed, github="github", dropbox="dropbox")

    shown = deployed.run("send", *words)

    assert shown.exit_code == 1
    assert told in shown.stderr
    assert {it.path for it in deployed.server.calls} == {"/v1/config"}


def test_a_carried_signature_can_not_be_made_stale(deployed: Relay, tmp_path: Path) -> None:
    configure(deployed, stripe="stripe")
    sample = json.loads((EVENTS / "stripe" / "payment_intent.succeeded.json").read_text("utf-8"))
    sample["headers"]["stripe-signature"] = "t=1,v1=ab"
    file = tmp_path / "carried.json"
    file.write_text(json.dumps(sample), encoding="utf-8")

    shown = deployed.run("send", str(file), "--stale")

    assert shown.exit_code == 1
    assert "has a signature" in shown.stderr


def test_tampering_and_staleness_are_shown_one_by_one(undeployed: Relay) -> None:
    assert undeployed.run("send", PUSH, "--tamper", "--stale").exit_code == 2


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


def test_an_event_is_replayed_by_its_sources_own_id(deployed: Relay) -> None:
    """As `relay event show` finds it."""
    answer = {"id": "rpl_1", "deliveries": [delivery(1, status="pending")], "skipped": []}
    deployed.server.says("POST", "/v1/replays", answer, status=202)

    deployed.run("replay", "start", "acme:a/b", event_id("acme", "a/b"), "acme:" + "x" * 1000)

    named = [event_id("acme", "a/b"), event_id("acme", "x" * 1000)]
    assert [it.json["event_id"] for it in deployed.server.calls] == named


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
    [
        (),
        ("evt_1",),
        ("github:",),
        ("rly_a/b",),
        ("dlv_1",),
        ("dlv_1.x", "--destination", "x"),
        ("dlv_1.x", "--include-delivered"),
    ],
    ids=" ".join,
)
def test_a_replay_of_what_can_not_be_replayed_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("replay", "start", *words).exit_code == 2
