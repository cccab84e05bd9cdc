"""What was refused, and why, as an operator reads it back from a deployed relay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.deployed.clients import Relay


def refused(
    relay: Relay,
    path: str,
    status: int,
    *,
    kept_as: str,
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Post to *path* until the sample that is kept of it under the source *kept_as* is ours; return that sample.

    Other tests are refused, too, and within a second one sample of a source and reason is kept.
    """
    agent = f"test/{uuid4().hex}"

    def kept() -> dict[str, Any] | None:
        answer = relay.post(path, body, {"User-Agent": agent, **(headers or {})})
        assert answer.status_code == status, answer.text
        shown = relay.ask(f"sources/{kept_as}/refusals").raise_for_status().json()
        mine: list[dict[str, Any]] = [it for it in shown["refusals"] if it["user_agent"] == agent]
        if not mine:
            return None
        counts = {it["reason"]: it for it in shown["counts"]}
        assert counts[mine[0]["reason"]]["count"] >= 1
        assert counts[mine[0]["reason"]]["last_at"] >= mine[0]["at"]
        return mine[0]

    return eventually(kept, f"a refusal of {path} is kept")


def command(relay: Relay, *words: str, stdin: str = "") -> list[dict[str, Any]]:
    """Run the relay command; return what it says, line by line."""
    run = [str(Path(sys.executable).with_name("relay")), *words, "--json"]
    environment = {**os.environ, **relay.local.environment()}
    done = subprocess.run(run, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(it) for it in done.stdout.splitlines()]


def test_a_bad_signature_is_kept_without_the_signature(relay: Relay) -> None:
    signature = "sha256=" + "5e" * 32
    headers = {"X-Hub-Signature-256": signature, "Authorization": "Bearer hush", "X-GitHub-Event": "push"}

    kept = refused(relay, "/webhooks/github?token=hush", 401, kept_as="github", body=b'{"a":1}', headers=headers)

    assert (kept["reason"], kept["untrusted"], kept["method"]) == ("bad_signature", True, "POST")
    assert (kept["body"], kept["size_bytes"], kept["body_truncated"]) == ('{"a":1}', 7, False)
    assert {"x-hub-signature-256", "authorization", "x-github-event"} <= set(kept["header_names"])
    assert "hush" not in json.dumps(kept)
    assert "5e5e" not in json.dumps(kept)
    assert "relay secret set github" in kept["likely_cause"] or "accepted since" in kept["likely_cause"]


def test_a_missing_signature_is_told_from_a_bad_one(relay: Relay) -> None:
    kept = refused(relay, "/webhooks/orders", 401, kept_as="orders")

    assert kept["reason"] == "missing_header"
    assert kept["likely_cause"].startswith(f"{kept['message']}; acme expects `X-Acme-Signature: ")
    assert "doesn't sign" in kept["likely_cause"]


def test_an_unknown_source_is_kept_with_the_nearest_name(relay: Relay) -> None:
    kept = refused(relay, "/webhooks/githb", 404, kept_as="%28unknown%29")

    assert (kept["source"], kept["reason"], kept["path"]) == ("(unknown)", "unknown_source", "/webhooks/githb")
    assert f"{relay.local.relay_url}/webhooks/github" in kept["likely_cause"]


def test_a_wrong_path_leaves_a_trace(relay: Relay) -> None:
    """As an unknown source does: else nobody could tell why nothing comes."""
    kept = refused(relay, "/webhook/github", 404, kept_as="%28unknown%29")

    assert (kept["source"], kept["reason"], kept["path"]) == ("(unknown)", "unknown_path", "/webhook/github")
    assert f"{relay.local.relay_url}/webhooks/github" in kept["likely_cause"]


@pytest.mark.parametrize(
    "path", ["/v1/nonsense", "/qstash/callback", "/qstash/nonsense/a/mac", "/claims/a", "/a/QSTASH/b"]
)
def test_what_was_meant_for_no_webhook_is_answered_as_the_gateway_does(relay: Relay, path: str) -> None:
    """And not kept: a MAC may stand in it."""
    answer = relay.post(path, b"{}", {})

    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
    kept = relay.ask("sources/%28unknown%29/refusals").json()["refusals"]
    assert not [it for it in kept if it["path"] == path]


def test_a_source_without_a_secret_is_told_how_to_get_one(relay: Relay) -> None:
    kept = refused(relay, "/webhooks/mute", 503, kept_as="mute", headers={"X-Acme-Signature": "AAAA"})

    assert kept["reason"] == "no_secret"
    assert "`relay secret set mute`" in kept["likely_cause"]


def test_a_body_too_large_is_kept_by_its_beginning(relay: Relay) -> None:
    body = b"\xff" * (4 * 1024 * 1024 + 1)

    kept = refused(relay, "/webhooks/acme", 413, kept_as="acme", body=body)

    assert (kept["reason"], kept["size_bytes"], kept["body_truncated"]) == ("body_too_large", len(body), True)
    assert len(kept["body_base64"]) < 700


def test_the_command_shows_the_refusals_of_one_source_and_of_all(relay: Relay) -> None:
    kept = refused(relay, "/webhooks/late", 401, kept_as="late", headers={"X-Acme-Signature": "AAAA"})

    of_one = command(relay, "source", "refusals", "late", "--reason", kept["reason"])
    of_all = command(relay, "source", "refusals")

    assert kept["at"] in [it["at"] for it in of_one]
    assert {it["source"] for it in of_one} == {"late"}
    assert all(it["count"] >= 1 for it in of_one)
    assert kept["at"] in [it["at"] for it in of_all if it["source"] == "late"]


def test_refusals_of_a_source_that_there_is_not_get_404(relay: Relay) -> None:
    assert relay.ask("sources/nobody/refusals").status_code == 404


def test_refusals_take_no_parameter(relay: Relay) -> None:
    answer = relay.ask("sources/github/refusals", limit="5")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_filter")


@pytest.mark.parametrize("source", ["github", "%28unknown%29"])
def test_an_unsigned_question_for_refusals_gets_403(relay: Relay, source: str) -> None:
    url = f"{relay.local.relay_url}/v1/sources/{source}/refusals"

    assert httpx.get(url, trust_env=False).status_code == 403
