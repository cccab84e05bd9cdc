"""`relay source quarantine`: what is kept of what was refused is shown, let in and discarded, page by page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cli.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

PATH = "/v1/sources/github/quarantine"
IDS = [f"{number:032x}" for number in range(1, 10)]


def request(id_: str, outcome: str = "passes", **changes: Any) -> dict[str, Any]:
    """Return a kept request as /v1 shows it."""
    said: dict[str, Any] = {
        "id": id_,
        "received_at": "2026-11-24T08:31:08.123456Z",
        "expires_at": "2026-11-27T09:00:00.000000Z",
        "refused_for": "bad_signature",
        "method": "POST",
        "content_type": "application/json",
        "user_agent": "GitHub-Hookshot/044aadd",
        "size_bytes": 10009,
        "outcome": outcome,
    }
    if outcome == "passes":
        said |= {"event_type": "push", "idempotency_key": "72d3162e"}
    if outcome == "refused":
        said |= {"why": "bad_signature", "message": "X-Hub-Signature-256 doesn't match"}
    return said | changes


def answer(*requests: dict[str, Any], cursor: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a page of what is kept, as /v1 answers it."""
    counted = {"number": len(requests), "number_max": 1000, "bytes": 14000, "bytes_max": 67_108_864}
    return {"source": "github", "requests": list(requests), "left": [], "cursor": cursor, **counted, **changes}


@pytest.fixture
def keeping(deployed: Relay) -> Relay:
    """Give a relay that keeps one real request of github and one forged, in two pages."""
    config = deployed.configure(counts={"orphans": 0, "quarantined": {"github": 2}})
    github = config["sources"]["github"] | {"quarantine_s": 259_200}
    deployed.configure(sources=config["sources"] | {"github": github}, counts=config["counts"])
    pages = answer(request(IDS[0]), cursor="on"), answer(request(IDS[1], "refused"))
    deployed.server.says("GET", PATH, *pages)
    return deployed


def test_what_is_kept_is_listed_with_what_would_pass(keeping: Relay) -> None:
    shown = keeping.run("source", "quarantine", "github")

    assert shown.exit_code == 0
    _, first, second = shown.stdout.splitlines()
    assert first.split() == [*(IDS[0], "2026-11-24", "08:31:08Z", "9.8", "KiB", "passes"), *first.split()[6:]]
    assert "push 72d3162e" in first
    assert "X-Hub-Signature-256 doesn't match" in second
    assert "1 would pass: run `relay source quarantine github --release`" in shown.stderr
    assert [it.query for it in keeping.server.asked(PATH)] == ["", "cursor=on"]


def test_what_is_kept_as_json_is_one_object_a_line(keeping: Relay) -> None:
    shown = keeping.run("source", "quarantine", "github", "--json")

    assert [json.loads(it) for it in shown.stdout.splitlines()] == [request(IDS[0]), request(IDS[1], "refused")]
    assert shown.stderr == ""


def test_where_nothing_would_pass_the_next_step_is_said(keeping: Relay) -> None:
    keeping.server.says("GET", PATH, answer(request(IDS[1], "refused"), number=1000))

    shown = keeping.run("source", "quarantine", "github")

    assert "relay secret set github" in shown.stderr
    assert "full" in shown.stderr


def test_nothing_kept_is_said(keeping: Relay) -> None:
    keeping.server.says("GET", PATH, answer())

    assert "the quarantine of github is empty" in keeping.run("source", "quarantine", "github").stderr


def test_what_passes_is_let_in_page_by_page(keeping: Relay) -> None:
    let_in = request(IDS[0], "released", event_type="push", event_id="rly_a")
    pages = answer(let_in, cursor="on"), answer(request(IDS[1], "refused"))
    keeping.server.says("POST", PATH, *pages)

    shown = keeping.run("source", "quarantine", "github", "--release")

    assert shown.exit_code == 0
    assert "push rly_a" in shown.stdout
    assert "1 released, 0 had arrived again meanwhile; 1 stay" in shown.stderr
    assert [it.json for it in keeping.server.asked(PATH)] == [
        {"action": "release"},
        {"action": "release", "cursor": "on"},
    ]


def test_what_fails_ends_with_status_1(keeping: Relay) -> None:
    failed = {"id": IDS[0], "outcome": "failed", "why": "upstream", "message": "S3: SlowDown"}
    keeping.server.says("POST", PATH, answer(failed))

    shown = keeping.run("source", "quarantine", "github", "--release", "--json")

    assert (shown.exit_code, json.loads(shown.stdout)) == (1, failed)
    assert "1 of 1 failed (S3: SlowDown)" in shown.stderr


@pytest.mark.parametrize("option", ["--release", "--discard"])
def test_those_that_are_named_alone(keeping: Relay, option: str) -> None:
    """What one call has no time for, the next does."""
    gone = [{"id": it, "outcome": "gone"} for it in IDS[:2]]
    keeping.server.says("POST", PATH, answer(gone[0], left=[IDS[1]]), answer(gone[1]))

    shown = keeping.run("source", "quarantine", "github", option, "--id", IDS[0], "--id", IDS[1], "--json")

    assert shown.exit_code == 0
    assert [json.loads(it) for it in shown.stdout.splitlines()] == gone
    assert [it.json["ids"] for it in keeping.server.asked(PATH)] == [IDS[:2], [IDS[1]]]


def test_discarding_leaves_what_would_pass(keeping: Relay) -> None:
    """Without a name only what isn't proven goes, and only once that is confirmed."""
    keeping.server.says("POST", PATH, answer(request(IDS[1], "discarded")))

    refused = keeping.run("source", "quarantine", "github", "--discard")
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    keeping.server.says("GET", PATH, answer(request(IDS[0]), cursor="on"), answer(request(IDS[1], "refused")))
    shown = keeping.run("source", "quarantine", "github", "--discard", "--yes")

    assert shown.exit_code == 0
    (asked,) = [it.json for it in keeping.server.asked(PATH) if it.method == "POST"]
    assert asked == {"action": "discard", "ids": [IDS[1]]}


def test_discarding_asks_on_a_terminal(keeping: Relay) -> None:
    status, shown = on_a_terminal(
        "source", "quarantine", "github", "--discard", asked="could still release them", typed="n\n"
    )

    assert (status, "Delete 1" in shown) == (1, True)
    assert [it for it in keeping.server.asked(PATH) if it.method == "POST"] == []


def test_a_relay_whose_cursor_stays_is_given_up_on(keeping: Relay) -> None:
    keeping.server.says("GET", PATH, answer(request(IDS[0]), cursor="on"))
    keeping.server.says("POST", PATH, answer(request(IDS[0]), cursor="on", left=[IDS[0]]))

    same, none = "the relay returned the same cursor twice", "the relay settled none of the requests"
    for words, told in (((), same), (("--release",), same), (("--discard", "--id", IDS[0]), none)):
        shown = keeping.run("source", "quarantine", "github", *words)
        assert (shown.exit_code, told in shown.stderr) == (1, True)


def test_a_source_that_keeps_nothing_is_told_how_to(deployed: Relay) -> None:
    shown = deployed.run("source", "quarantine", "github")

    assert (shown.exit_code, 'quarantine = "3d"' in shown.stderr) == (1, True)
    assert "there is no source gitub" in deployed.run("source", "quarantine", "gitub").stderr


def test_release_and_discard_exclude_each_other(keeping: Relay) -> None:
    assert keeping.run("source", "quarantine", "github", "--release", "--discard").exit_code == 2


def test_the_list_of_sources_says_what_is_kept(keeping: Relay) -> None:
    shown = keeping.run("source", "list")
    records = [json.loads(it) for it in keeping.run("source", "list", "--json").stdout.splitlines()]

    assert "2, for 3 d" in shown.stdout
    assert {it["name"]: (it["quarantine_s"], it["quarantined"]) for it in records} == {
        "github": (259_200, 2),
        "acme": (None, None),
    }


def test_the_list_of_sources_has_no_column_where_none_asks(deployed: Relay) -> None:
    assert "QUARANTINE" not in deployed.run("source", "list").stdout


@pytest.mark.parametrize(("count", "state"), [(2, "look"), (0, "ok")])
def test_doctor_says_what_waits_there(keeping: Relay, count: int, state: str) -> None:
    keeping.configure(counts={"orphans": 0, "quarantined": {"github": count}})

    shown = keeping.run("doctor", "--json")

    (finding,) = [it for it in map(json.loads, shown.stdout.splitlines()) if it["check"] == "quarantine of github"]
    assert finding["state"] == state
    assert ("source quarantine github" in (finding["next"] or "")) == bool(count)
