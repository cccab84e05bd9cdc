"""`relay send --dry-run`: what a sample would lead to is worked out by what the functions run, and nothing is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.flat import group, publishing, route, url
from tests.unit.cli.conftest import GITHUB, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Relay

HOW = publishing(retries=1, delay={"expression": "body.wait_s"}, labels=["pr-{body.number}"], queue="fifo")
ROUTES = [
    route("ci", name="routes[0]", event_types=["pull_request.*"], transform="{n: body.number}", how=HOW),
    route("audit", name="routes[1]", event_types=["push"]),
    route("audit", name="routes[2]", when="body.number > `5`", how=publishing(labels=["{to_number(body.title)}"])),
]


@pytest.fixture
def sample(tmp_path: Path) -> str:
    """A pull request, as an HTTP API hands it over."""
    body = {"action": "opened", "number": 7, "wait_s": 60, "title": "seven"}
    asked = {
        "rawPath": "/webhooks/github",
        "rawQueryString": "",
        "headers": {"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "d-1", "Content-Type": "application/json"},
        "requestContext": {"http": {"method": "POST", "path": "/webhooks/github"}},
        "body": json.dumps(body),
    }
    (tmp_path / "sample.json").write_text(json.dumps(asked))
    return str(tmp_path / "sample.json")


def routed(deployed: Relay, routes: list[dict[str, Any]]) -> None:
    """Have a relay deployed with *routes*."""
    config = {
        "name": "relay",
        "retention_days": 30,
        "base_urls": ["https://relay.example.com"],
        "sources": {"github": {"scheme": "github", "row": GITHUB, "routes": routes}},
        "url_groups": {"ci": group("builder"), "audit": group("ledger")},
        "destinations": {
            "builder": url("ci", "https://ci.example.com/x", Authorization={"secret": "ci"}),
            "ledger": url("audit", "https://ledger.example.com/in"),
        },
    }
    deployed.server.says("GET", "/v1/config", config)


def test_the_routes_are_told_with_what_each_destination_would_get(deployed: Relay, sample: str) -> None:
    routed(deployed, ROUTES[:2])

    shown = deployed.run("--json", "send", sample, "--dry-run")

    assert shown.exit_code == 0, shown.stderr
    first, second, published = map(json.loads, shown.stdout.splitlines())
    assert first == {"route": "routes[0]", "takes": True, "to": ["ci"], "why": None}
    assert (second["takes"], "push" in second["why"]) == (False, True)
    assert published["destinations"] == ["builder"]
    assert published["body"] == '{"n":7}'
    assert (published["labels"], published["queue"], published["retries"]) == (["pr-7"], "relay.fifo", 1)
    assert published["headers"]["Authorization"] == "(its secret)"
    assert published["not_before"] is not None
    assert {it.path for it in deployed.server.calls} == {"/v1/config"}
    assert SECRET not in shown.stdout


def test_what_could_not_be_made_of_it_is_told(deployed: Relay, sample: str) -> None:
    """As it would stand with the delivery: it would be unpublishable."""
    routed(deployed, [route("ci", name="routes[0]", transform="body.nothing")])

    shown = deployed.run("send", sample, "--dry-run")

    assert shown.exit_code == 0, shown.stderr
    assert "gives nothing of this event" in shown.stdout


def test_one_thing_is_shown_at_a_time(undeployed: Relay, sample: str) -> None:
    assert undeployed.run("send", sample, "--dry-run", "--tamper").exit_code == 2
