"""`relay replay` of many: how one is started, counted, listed, shown, stopped and resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

ERP = {"destination": "erp"}


def job(**changes: Any) -> dict[str, Any]:
    """Return a replay as /v1 shows it."""
    return {
        "id": "rpl_0123456789abcdef",
        "state": "running",
        "by": "arn:aws:iam::000000000000:user/ada",
        "reason": "mended",
        "started_at": "2026-11-24T08:31:08.123456Z",
        "query": {"destination": "erp", "until": "2026-11-24T08:31:08.123456Z"},
        "rate": 600,
        "replayed": 120,
        "skipped": 3,
        **changes,
    }


# -- start --------------------------------------------------------------------------------------------------------


def test_a_replay_of_many_asks_for_all_that_its_options_choose(deployed: Relay) -> None:
    deployed.server.says("POST", "/v1/replays", job(), status=202)

    shown = deployed.run(
        *("replay", "start", "--source", "github", "--type", "push", "--destination", "erp", "--status", "cancelled"),
        *(
            "--since",
            "2026-01-31T10:00:00+01:00",
            "--until",
            "2026-02-01T09:00:00Z",
            "--rate",
            "7",
            "--reason",
            "mended",
        ),
    )

    assert deployed.server.calls[-1].json == {
        "query": {
            "source": "github",
            "type": "push",
            "destination": "erp",
            "status": "cancelled",
            "since": "2026-01-31T09:00:00.000000Z",
            "until": "2026-02-01T09:00:00.000000Z",
        },
        "rate": 7,
        "reason": "mended",
    }
    assert (shown.exit_code, shown.stdout) == (0, f"{job()['id']}\n")
    assert f"relay replay show {job()['id']}" in shown.stderr


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (("--destination", "erp"), ERP),
        (("--source", "github"), {"source": "github"}),
        (("--type", "push"), {"type": "push"}),
        (("--status", "delivered"), {"status": "delivered"}),
    ],
    ids=str,
)
def test_what_is_not_said_is_not_asked_for(deployed: Relay, words: tuple[str, ...], query: dict[str, str]) -> None:
    """The relay has the defaults."""
    deployed.server.says("POST", "/v1/replays", job(), status=202)

    shown = deployed.run("replay", "start", *words, "--json")

    assert deployed.server.calls[-1].json == {"query": query}
    assert json.loads(shown.stdout) == job()


def test_a_dry_run_shows_the_counts_and_starts_nothing(deployed: Relay) -> None:
    counted = {"count": {"dead_lettered": 12, "cancelled": 0}, "complete": True}
    deployed.server.says("POST", "/v1/replays", counted)

    shown = deployed.run("replay", "start", "--destination", "erp", "--dry-run", "--reason", "mended", "--rate", "7")
    as_json = deployed.run("replay", "start", "--destination", "erp", "--dry-run", "--json")

    assert [it.json for it in deployed.server.asked("/v1/replays")] == [{"query": ERP, "dry_run": True}] * 2
    assert shown.stdout == "dead_lettered: 12\ncancelled: 0\n"
    assert shown.stderr == ""
    assert json.loads(as_json.stdout) == counted


def test_a_count_that_stopped_before_the_end_says_so(deployed: Relay) -> None:
    deployed.server.says("POST", "/v1/replays", {"count": {"dead_lettered": 12}, "complete": False})

    shown = deployed.run("replay", "start", "--destination", "erp", "--dry-run")

    assert "there are more" in shown.stderr
    assert shown.exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name the deliveries"),
        (("--dry-run",), "name the deliveries"),
        (("--rate", "7"), "name the deliveries"),
        (("--reason", "why"), "name the deliveries"),
        (("rly_1", "--source", "github"), "leave out"),
        (("rly_1", "--type", "push"), "leave out"),
        (("rly_1", "--status", "delivered"), "leave out"),
        (("rly_1", "--since", "1d"), "leave out"),
        (("rly_1", "--until", "1d"), "leave out"),
        (("rly_1", "--rate", "7"), "leave out"),
        (("rly_1", "--dry-run"), "leave out"),
        (("--destination", "erp", "--destination", "crm"), "one --destination"),
        (("--destination", "erp", "--include-delivered"), "--status delivered"),
        (("--source", "github", "--rate", "0"), "rate"),
        (("--source", "github", "--rate", "6001"), "rate"),
        (("--status", "in_flight"), "status"),
        (("--status", "pending"), "status"),
        (("--since", "yesterday"), "since"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...], says: str) -> None:
    """Nothing is asked of the relay, and nothing started."""
    shown = undeployed.run("replay", "start", *words)

    assert shown.exit_code == 2
    assert says in " ".join(shown.stderr.split())
    assert undeployed.server.calls == []


def test_what_the_relay_refuses_is_told(deployed: Relay) -> None:
    refused = {"error": {"code": "bad_filter", "message": "since must be before until"}}
    deployed.server.says("POST", "/v1/replays", refused, status=400)

    shown = deployed.run("replay", "start", "--destination", "erp")

    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "since must be before until" in shown.stderr


# -- list, show, stop, resume -------------------------------------------------------------------------------------


def test_replays_are_a_table_with_whole_ids(deployed: Relay) -> None:
    named = job(id="rpl_named", state="done", by=None, reason=None, query={}, rate=0, replayed=1, skipped=0)
    deployed.server.says("GET", "/v1/replays", {"replays": [job(), named]})

    shown = deployed.run("replay", "list")

    head, first, second = shown.stdout.splitlines()
    assert head.split() == ["REPLAY", "STATE", "STARTED", "REPLAYED", "SKIPPED", "BY", "REASON"]
    assert first.split()[:6] == [job()["id"], "running", "2026-11-24", "08:31:08Z", "120", "3"]
    assert first.split()[-1] == "mended"
    assert second.split()[:6] == ["rpl_named", "done", "2026-11-24", "08:31:08Z", "1", "0"]


def test_replays_as_json_are_one_a_line(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/replays", {"replays": [job(), job(id="rpl_2")]})

    shown = deployed.run("replay", "list", "--json")

    assert [json.loads(it)["id"] for it in shown.stdout.splitlines()] == [job()["id"], "rpl_2"]


def test_that_there_are_no_replays_is_said_aside(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/replays", {"replays": []})

    shown = deployed.run("replay", "list")

    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "no replays" in shown.stderr


def test_a_replay_is_shown_with_its_deliveries(deployed: Relay) -> None:
    deliveries = [{"delivery_id": f"dlv_{'7' * 32}.erp", "generation": "fb389ad0bba790f5"}]
    deployed.server.says("GET", f"/v1/replays/{job()['id']}", job(deliveries=deliveries))

    shown = deployed.run("replay", "show", job()["id"])
    as_json = deployed.run("replay", "show", job()["id"], "--json")

    facts = dict(it.split(None, 1) for it in shown.stdout.splitlines() if " " in it)
    told = {name.rstrip(":"): value for name, value in facts.items()}
    assert (told["replay"], told["state"], told["reason"]) == (job()["id"], "running", "mended")
    assert (told["replayed"], told["skipped"], told["rate"]) == ("120", "3", "600 a minute")
    assert told["of"] == "destination erp, until 2026-11-24T08:31:08.123456Z"
    assert shown.stdout.splitlines()[-1] == deliveries[0]["delivery_id"]
    assert json.loads(as_json.stdout) == job(deliveries=deliveries)


def test_a_replay_that_named_its_deliveries_says_so(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/replays/rpl_1", job(query={}, rate=0, by=None, reason=None, deliveries=[]))

    assert "the named ids" in deployed.run("replay", "show", "rpl_1").stdout


@pytest.mark.parametrize(("verb", "state"), [("stop", "stopped"), ("resume", "running")])
def test_a_replay_is_stopped_and_resumed(deployed: Relay, verb: str, state: str) -> None:
    """It then shows as it is."""
    deployed.server.says("POST", "/v1/replays/rpl_1", job(id="rpl_1", state=state))

    shown = deployed.run("replay", verb, "rpl_1")
    as_json = deployed.run("replay", verb, "rpl_1", "--json")

    assert [it.json for it in deployed.server.asked("/v1/replays/rpl_1")] == [{"action": verb}] * 2
    assert state in shown.stdout
    assert json.loads(as_json.stdout) == job(id="rpl_1", state=state)


def test_an_id_is_one_step_of_the_path(deployed: Relay) -> None:
    """Whatever is in it."""
    deployed.server.says("POST", "/v1/replays/a%3Ab%20%3F", job())

    assert deployed.run("replay", "stop", "a:b ?").exit_code == 0


def test_a_replay_that_is_done_is_an_error_with_its_reason(deployed: Relay) -> None:
    deployed.server.says(
        "POST", "/v1/replays/rpl_1", {"error": {"code": "conflict", "message": "the replay is done"}}, status=409
    )

    shown = deployed.run("replay", "resume", "rpl_1")

    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "the replay is done" in shown.stderr
