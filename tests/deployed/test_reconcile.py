"""Reconciliation end to end: what GitHub couldn't deliver comes once it is asked for, once, and is shown as such."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from tests.deployed.test_refusals import command
from tests.github_api import HOOK, TOKEN, GitHubApi, Hook

if TYPE_CHECKING:
    from tests.deployed.clients import Relay


def post(url: str, headers: dict[str, str], body: bytes) -> int:
    """Post as GitHub does, which waits ten seconds."""
    return httpx.post(url, headers=headers, content=body, timeout=10, trust_env=False).status_code


def run(relay: Relay) -> dict[str, Any]:
    """Have the function run, as its rule does every quarter of an hour."""
    answer = relay.aws("lambda").invoke(FunctionName=relay.local.outputs["ReconcileFunction"])
    told: dict[str, Any] = json.load(answer["Payload"])
    assert "FunctionError" not in answer, told
    return told


def test_an_event_that_github_could_not_deliver_comes_and_is_shown_as_reconciled(
    relay: Relay, github: GitHubApi
) -> None:
    github.hooks[HOOK] = Hook(f"{relay.local.relay_url}/webhooks/github", relay.local.secrets["github"], post)
    command(relay, "secret", "set", "github-api", stdin=TOKEN)
    body = b'{"action": "opened", "lost": true}'
    came = github.send(body=body, event="pull_request")
    lost = github.send(body=body, event="issues", status=0)

    first = run(relay)
    second = run(relay)
    third = run(relay)

    assert came.status_code == 202
    assert [(it["asked"], it["arrived"], it["missing"]) for it in (first, second, third)] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 0),
    ]
    assert github.repeated == [lost.id]
    (shown,) = command(relay, "event", "show", f"github:{lost.guid}")
    assert (shown["type"], shown["reconciled_at"] > shown["received_at"]) == ("issues.opened", True)
    (other,) = command(relay, "event", "show", f"github:{came.guid}")
    assert other["reconciled_at"] is None
    assert set(relay.settled(shown["id"])) == {"healthy", "flaky", "dead"}
