"""`relay source refusals`: why a provider's calls fail, told without letting a stranger steer the terminal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from relay.runtime.metrics import NAMESPACE, Metric
from tests.unit.cli.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

GITHUB = "/v1/sources/github/refusals"
ACME = "/v1/sources/acme/refusals"
UNKNOWN = "/v1/sources/%28unknown%29/refusals"
WRITTEN = ("message", "method", "path", "user_agent", "content_type", "source_ip", "likely_cause")


def refusal(source: str = "github", **changes: Any) -> dict[str, Any]:
    """Return a refusal as /v1 shows it."""
    return {
        "source": source,
        "reason": "bad_signature",
        "at": "2026-11-24T08:31:08.123456Z",
        "message": "X-Hub-Signature-256 doesn't match",
        "untrusted": True,
        "method": "POST",
        "path": f"/webhooks/{source}",
        "source_ip": "203.0.113.9",
        "user_agent": "GitHub-Hookshot/044aadd",
        "content_type": "application/json",
        "header_names": ["content-type", "x-hub-signature-256"],
        "headers": {"content-type": "application/json"},
        "signed_at": None,
        "size_bytes": 10009,
        "sha256": "ab" * 32,
        "body_truncated": True,
        "body": '{"zen": ',
        "likely_cause": "wrong secret: `relay secret set github`",
        **changes,
    }


def answer(*refusals: dict[str, Any], source: str = "github", count: int = 41) -> dict[str, Any]:
    """Return the answer to GET /v1/sources/{source}/refusals; each reason was refused *count* times."""
    reasons = dict.fromkeys(it["reason"] for it in refusals)
    counts = [
        {
            "reason": reason,
            "count": count,
            "since": "2026-11-20T08:00:00.000000Z",
            "last_at": "2026-11-24T08:31:08.123456Z",
        }
        for reason in reasons
    ]
    return {"source": source, "counts": counts, "refusals": list(refusals)}


@pytest.fixture
def refusing(deployed: Relay) -> Relay:
    """Give a relay that refused github twice, for two reasons, and a source that there isn't once."""
    later = "2026-11-24T09:00:00.000000Z"
    deployed.server.says("GET", GITHUB, answer(refusal(), refusal(reason="missing_header", at="2026-11-23T01:00:00Z")))
    deployed.server.says("GET", ACME, answer(source="acme"))
    stranger = refusal("(unknown)", reason="unknown_source", path="/webhooks/githb", at=later)
    deployed.server.says("GET", UNKNOWN, answer(stranger, source="(unknown)"))
    return deployed


def test_refusals_of_all_sources_are_told_newest_first_with_counts_and_causes(refusing: Relay) -> None:
    shown = refusing.run("source", "refusals")

    assert shown.exit_code == 0
    counts, _, last = shown.stdout.partition("\n\n")
    assert re.split(r"\s{2,}", counts.splitlines()[0]) == ["SOURCE", "REASON", "REFUSED (AT LEAST)", "SINCE", "LAST"]
    assert {tuple(it.split()[:3]) for it in counts.splitlines()[1:]} == {
        ("github", "bad_signature", "41"),
        ("github", "missing_header", "41"),
        ("(unknown)", "unknown_source", "41"),
    }
    heading, *lines = last.splitlines()
    assert "untrusted" in heading
    assert [it.split("  ") for it in lines[::4]] == [
        ["2026-11-24 09:00:00Z", "(unknown)", "unknown_source", "X-Hub-Signature-256 doesn't match"],
        ["2026-11-24 08:31:08Z", "github", "bad_signature", "X-Hub-Signature-256 doesn't match"],
        ["2026-11-23 01:00:00Z", "github", "missing_header", "X-Hub-Signature-256 doesn't match"],
    ]
    assert [re.split(r"\s{2,}", it) for it in lines[5:8]] == [
        ["", "from", "203.0.113.9 GitHub-Hookshot/044aadd"],
        ["", "what", "POST /webhooks/github 9.8 KiB application/json"],
        ["", "likely cause:", "wrong secret: `relay secret set github`"],
    ]


def test_refusals_are_readable_in_eighty_columns(deployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long cause goes on below where it began; no line is left for the terminal to break."""
    monkeypatch.setenv("COLUMNS", "80")
    cause = " ".join(f"word{n}" for n in range(60))
    longest = refusal(reason="untrusted_certificate", likely_cause=cause, user_agent="a" * 500)
    deployed.server.says("GET", GITHUB, answer(longest))

    status, shown = on_a_terminal("source", "refusals", "github", asked="", typed="")

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", it).rstrip() for it in shown.splitlines()]
    first = next(n for n, it in enumerate(lines) if it.startswith("  likely cause:"))
    assert (status, max(map(len, lines)) <= 80) == (0, True)
    assert " ".join(" ".join(lines[first:]).split()) == f"likely cause: {cause}"
    assert len(lines[first:]) > 5
    assert {len(it) - len(it.lstrip()) for it in lines[first + 1 :]} == {lines[first].index("word0")}


def test_the_help_says_where_the_exact_counts_are(undeployed: Relay) -> None:
    """The metric's very names, as `relay.runtime.metrics` writes them."""
    told = " ".join(undeployed.run("source", "refusals", "--help").stdout.split())

    assert f"namespace {NAMESPACE}, metric {Metric.REFUSED.value}, dimensions relay, source, reason" in told


def test_refusals_of_one_source_ask_for_no_other(refusing: Relay) -> None:
    refusing.run("source", "refusals", "github")
    refusing.run("source", "refusals", "(unknown)")

    assert [len(refusing.server.asked(it)) for it in (GITHUB, UNKNOWN, ACME)] == [1, 1, 0]


def test_refusals_are_chosen_by_reason(refusing: Relay) -> None:
    shown = refusing.run("source", "refusals", "--reason", "missing_header")

    assert "missing_header" in shown.stdout
    assert "bad_signature" not in shown.stdout
    assert "unknown_source" not in shown.stdout


def test_refusals_as_json_are_one_object_a_line_with_the_count_of_their_reason(refusing: Relay) -> None:
    shown = refusing.run("source", "refusals", "github", "--json", "--reason", "bad_signature")

    (line,) = shown.stdout.splitlines()
    assert json.loads(line) == {**refusal(), "count": 41, "count_since": "2026-11-20T08:00:00.000000Z"}


def test_no_refusals_are_told_aside(deployed: Relay) -> None:
    deployed.server.says("GET", GITHUB, answer())

    shown = deployed.run("source", "refusals", "github")

    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "nothing was refused" in shown.stderr


def test_a_source_that_there_is_not_is_told_with_those_that_there_are(deployed: Relay) -> None:
    shown = deployed.run("source", "refusals", "githb")

    assert shown.exit_code == 1
    assert "there are github, acme, (unknown)" in shown.stderr


def test_a_reason_that_there_is_not_is_an_error_of_usage(undeployed: Relay) -> None:
    assert undeployed.run("source", "refusals", "--reason", "bad_luck").exit_code == 2


def test_a_refused_request_cannot_steer_the_terminal(deployed: Relay) -> None:
    evil = "\x1b]0;owned\x07\n\u202e[red]evil[/red]" + "x" * 300
    written = dict.fromkeys(WRITTEN, evil)
    deployed.server.says("GET", GITHUB, answer(refusal(**written)))

    shown = deployed.run("source", "refusals", "github")
    as_json = deployed.run("source", "refusals", "github", "--json")

    assert "[red]evil[/red]" in shown.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.stdout)
    assert len(shown.stdout.splitlines()) == 8
    assert as_json.stdout.isascii()
    assert json.loads(as_json.stdout)["path"] == evil
