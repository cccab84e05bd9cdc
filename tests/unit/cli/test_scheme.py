"""`relay scheme`: what it lists and shows, and that it judges as ingest does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from cli.main import relay
from infra.config.schemes import Scheme, built_in_schemes
from infra.docs import schemes

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_795_435_200
AT = "2026-11-23T12:00:00Z"
SECRET = "s3cret"


def run(*args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(relay, ["scheme", *args], input=stdin)


def github(body: bytes = b'{"action":"opened"}', **changes: Any) -> dict[str, Any]:
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    request = {
        "method": "POST",
        "url": "https://relay.example.com/webhooks/github",
        "headers": {"X-Hub-Signature-256": f"sha256={mac}", "X-GitHub-Event": "issues", "X-GitHub-Delivery": "d-1"},
        "body": base64.b64encode(body).decode(),
    }
    return {**request, **changes}


def slack(body: bytes) -> dict[str, Any]:
    mac = hmac.new(SECRET.encode(), f"v0:{NOW}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Signature": f"v0={mac}", "X-Slack-Request-Timestamp": str(NOW)}
    return github(body, headers=headers)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(github()), encoding="utf-8")
    return file


# -- list and show ----------------------------------------------------------------------------------------------------


def test_every_scheme_is_listed_with_how_it_knows_the_same_event() -> None:
    shown = run("list")
    as_json = [json.loads(it) for it in run("list", "--json").stdout.splitlines()]

    assert {it["name"] for it in as_json} == built_in_schemes().keys()
    lines = {it.split()[0]: it for it in shown.stdout.splitlines()}
    assert "its id (which isn't signed), else nothing" in lines["github"]
    assert "its id, else the same body within 720 h" in lines["stripe"]
    assert "the same body within 24 h" in lines["onfido"]
    assert "nothing: every request is an event" in lines["dropbox"]


@pytest.mark.parametrize("name", built_in_schemes())
def test_what_is_shown_is_the_row_as_relay_toml_takes_it(name: str) -> None:
    shown = run("show", name)

    assert Scheme.model_validate(tomllib.loads(shown.stdout)["schemes"][name]).row() == built_in_schemes()[name].row()


def test_a_scheme_of_ones_own_is_known_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[schemes.acme]\nsignature = "X-Acme: {hex}"\n', encoding="utf-8")

    assert 'signature = "X-Acme: {hex}"' in run("show", "acme", "--config", str(file)).stdout
    assert run("show", "acme").exit_code == 1


def test_a_scheme_that_there_isnt_is_told_with_the_nearest() -> None:
    told = run("show", "strype")

    assert (told.exit_code, "did you mean 'stripe'?" in told.output) == (1, True)


def test_the_page_is_what_the_code_says() -> None:
    """Else the documentation and the relay part; `python -m infra.docs.schemes` writes it anew."""
    text = schemes.PAGE.read_text(encoding="utf-8")

    assert schemes.written(text) == text
    assert all(f"| `{name}` |" in text for name in built_in_schemes())
    assert all(f"| `{key}` |" in text for key in Scheme.model_fields)


# -- verify -----------------------------------------------------------------------------------------------------------


def test_a_valid_request_is_told_with_what_the_relay_makes_of_it(request_file: Path) -> None:
    told = run("verify", str(request_file), "--scheme", "github", "--at", AT, "--json", stdin=SECRET + "\n")

    assert told.exit_code == 0
    assert json.loads(told.stdout) == {
        "verdict": "valid",
        "reason": "ok",
        "message": None,
        "idempotency_key": "d-1",
        "event_type": "issues.opened",
        "answer": {"status": 202, "content_type": "application/json", "headers": {}, "body": ""},
    }


def test_a_request_that_would_be_refused_ends_with_1_and_why(request_file: Path) -> None:
    told = run("verify", str(request_file), "--scheme", "github", stdin="another")

    assert told.exit_code == 1
    assert "bad_signature" in told.output
    assert "X-Hub-Signature-256 doesn't match" in told.output
    assert "another" not in told.output


def test_a_request_is_judged_at_the_time_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(slack(b"{}")), encoding="utf-8")

    then = run("verify", str(file), "--scheme", "slack", "--at", AT, stdin=SECRET)
    later = run("verify", str(file), "--scheme", "slack", "--at", "2026-11-23T12:05:01Z", stdin=SECRET)

    assert then.exit_code == 0
    assert "expired_timestamp" in later.output


def test_a_request_as_an_http_api_hands_it_over_is_judged_too() -> None:
    told = run("verify", "events/github/pull_request.opened.forged.json", "--scheme", "github", stdin=SECRET)

    assert "bad_signature" in told.output


def test_a_time_may_be_epoch_seconds(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(slack(b"{}")), encoding="utf-8")

    assert run("verify", str(file), "--scheme", "slack", "--at", str(NOW), stdin=SECRET).exit_code == 0


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"url":"https://a.example","body":"%"}'])
def test_a_file_that_is_no_request_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "request.json"
    file.write_text(text, encoding="utf-8")

    told = run("verify", str(file), "--scheme", "github", stdin=SECRET)

    assert (told.exit_code, "isn't a request" in told.output) == (1, True)


def test_usage_is_told_with_2(request_file: Path) -> None:
    assert run("verify").exit_code == 2
    assert run("verify", str(request_file)).exit_code == 2
    assert run("verify", str(request_file), "--batch").exit_code == 2


def test_a_batch_is_judged_line_by_line() -> None:
    asked = [
        {"id": "good", "scheme": "github", "secret": SECRET, "now": NOW, **github()},
        {"id": "bad", "scheme": "github", "secret": "other", "now": NOW, **github()},
        {"id": "several", "scheme": "github", "secret": ["other", SECRET], "now": NOW, **github()},
        {
            "id": "hello",
            "scheme": "slack",
            "secret": SECRET,
            "now": NOW,
            **slack(b'{"type":"url_verification","challenge":"c"}'),
        },
        {
            "id": "none",
            "scheme": "ms-graph",
            "secret": None,
            "now": NOW,
            **github(url="https://a.example/?validationToken=t"),
        },
        {"id": "large", "scheme": "github", "secret": SECRET, "now": NOW, **github(b"x" * (4 * 1024 * 1024 + 1))},
    ]

    told = run("verify", "--batch", stdin="".join(json.dumps(it) + "\n" for it in asked))

    said = {it["id"]: it for it in map(json.loads, told.stdout.splitlines())}
    assert told.exit_code == 0
    assert {name: it["verdict"] for name, it in said.items()} == {
        "good": "valid",
        "bad": "invalid",
        "several": "valid",
        "hello": "handshake",
        "none": "handshake",
        "large": "invalid",
    }
    assert said["bad"]["answer"] == {"status": 401}
    assert (said["hello"]["answer"]["status"], said["hello"]["answer"]["body"]) == (200, "c")
    assert said["large"]["reason"] == "body_too_large"


def test_a_line_that_cant_be_judged_is_told_and_the_others_are() -> None:
    good = json.dumps({"id": "good", "scheme": "github", "secret": SECRET, "now": NOW, **github()})
    bad = {
        "no json": "is no JSON",
        "[]": "must be a JSON object",
        json.dumps({"scheme": "strype", **github()}): "did you mean 'stripe'?",
        json.dumps(github()): "scheme is missing",
        json.dumps({"scheme": "github"}): "url is missing",
        json.dumps({"scheme": "github", **github(headers=[])}): "headers must be an object",
        json.dumps({"scheme": "github", **github(method=1)}): "method must be a text",
        json.dumps({"scheme": "github", **github(), "body": "%"}): "body must be base64",
        json.dumps({"scheme": "github", **github(), "secret": 1}): "secret must be a text",
        json.dumps({"scheme": "github", **github(), "now": "today"}): "now must be a number",
    }

    told = run("verify", "--batch", stdin="\n".join([*bad, good]))

    *errors, last = [json.loads(it) for it in told.stdout.splitlines()]
    for number, (said, wanted) in enumerate(zip(errors, bad.values(), strict=True), 1):
        assert said["verdict"] == "error"
        assert f"line {number}" in said["message"]
        assert wanted in said["message"]
    assert (last["id"], last["verdict"]) == ("good", "valid")
    assert (told.exit_code, "10 lines" in told.output) == (1, True)
