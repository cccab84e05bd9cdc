"""`relay event`, `delivery` and `source`: what people and programs get to see."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from cli.listing import UNROUTED
from cli.terminal.tables import STYLES
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.storage import items
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.verify import describe
from tests.unit.cli.conftest import SECRET, delivery, event

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

RUNNING = datetime(2026, 1, 1, tzinfo=UTC)


def test_event_list_is_a_table_with_whole_ids_however_wide(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/events", {"events": [event(1), event(2, published=False)], "cursor": None})

    shown = deployed.run("event", "list")

    assert shown.exit_code == 0
    head, first, second = shown.stdout.splitlines()
    columns = ["EVENT", "SOURCE", "TYPE", "RECEIVED", "SIZE", "PUBLISHED", "RECONCILED", "CONFLICTS", "SOURCE'S", "ID"]
    assert head.split() == columns
    assert event(1)["id"] in first
    assert event(1)["idempotency_key"] in first
    assert "pull_request.opened" in first
    assert "2026-11-24 08:31:08Z" in first
    assert "9.8 KiB" in first
    assert second.split()[-4] == "no"


def test_event_list_tells_what_had_to_be_asked_for_again(deployed: Relay) -> None:
    """`relay doctor` and the log name what is still missing; this is what came."""
    events = [event(1, reconciled_at="2026-11-24T09:00:00.000000Z"), event(2, reconciled_at=None)]
    deployed.server.says("GET", "/v1/events", {"events": events, "cursor": None})

    _, first, second = deployed.run("event", "list").stdout.splitlines()

    assert (first.split()[-3], second.split()[-3]) == ("yes", "-")


def test_event_show_tells_that_it_was_lost_and_came_when_asked_for(deployed: Relay) -> None:
    reconciled = event(1, reconciled_at="2026-11-24T09:00:00.000000Z", headers={}, deliveries=[])
    deployed.server.says("GET", f"/v1/events/{reconciled['id']}", reconciled, reconciled | {"reconciled_at": None})

    lost = deployed.run("event", "show", reconciled["id"]).stdout
    came = deployed.run("event", "show", reconciled["id"]).stdout

    assert "2026-11-24 09:00:00Z: the event was lost" in lost
    assert "the event was lost" not in came


def test_event_list_as_json_is_one_object_a_line_as_the_relay_gave_it(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/events", {"events": [event(1), event(2)], "cursor": None})

    shown = deployed.run("event", "list", "--json")

    assert [json.loads(it) for it in shown.stdout.splitlines()] == [event(1), event(2)]


def test_delivery_list_is_a_table_with_whole_ids(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/deliveries", {"deliveries": [delivery(1, "a" * 64)], "cursor": None})

    shown = deployed.run("delivery", "list")

    assert delivery(1, "a" * 64)["id"] in shown.stdout
    assert "dead_lettered" in shown.stdout


def test_filters_are_sent_as_the_relay_names_them(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/deliveries", {"deliveries": [], "cursor": None})

    deployed.run(
        *("delivery", "list", "--source", "github", "--type", "a b&c", "--destination", "ledger"),
        *("--status", "dead_lettered", "--since", "2026-01-02T01:00:00+01:00", "--limit", "7", "--cursor", "ab="),
    )

    assert parse_qs(deployed.server.asked("/v1/deliveries")[0].query) == {
        "source": ["github"],
        "type": ["a b&c"],
        "destination": ["ledger"],
        "status": ["dead_lettered"],
        "since": ["2026-01-02T00:00:00.000000Z"],
        "limit": ["7"],
        "cursor": ["ab="],
    }


@pytest.mark.parametrize(
    ("age", "meant"),
    [("45s", timedelta(seconds=45)), ("30m", timedelta(minutes=30)), ("2h", timedelta(hours=2)), ("1d", timedelta(1))],
)
def test_an_age_is_counted_back_from_now(deployed: Relay, age: str, meant: timedelta) -> None:
    deployed.server.says("GET", "/v1/events", {"events": [], "cursor": None})

    deployed.run("event", "list", "--until", age)

    sent = datetime.fromisoformat(parse_qs(deployed.server.asked("/v1/events")[0].query)["until"][0])
    assert abs(datetime.now(UTC) - meant - sent) < timedelta(seconds=20)


@pytest.mark.parametrize(
    ("time", "why"),
    [
        ("2026-01-02T01:00:00", "no zone"),
        ("2026-01-02", "no zone"),
        ("yesterday", "neither an age"),
        ("2y", "neither an age"),
        ("99999999999999d", "before all time"),
        ("9999999d", "before all time"),
    ],
)
def test_a_time_that_could_be_misread_is_an_error_of_usage(undeployed: Relay, time: str, why: str) -> None:
    shown = undeployed.run("event", "list", "--since", time)

    assert shown.exit_code == 2
    assert why in shown.stderr


def test_a_list_that_ends_early_says_how_to_go_on(deployed: Relay) -> None:
    """An age would be another time by then, so the exact times of this list are told."""
    deployed.server.says("GET", "/v1/events", {"events": [event(1)], "cursor": "next-page"})

    shown = deployed.run("event", "list", "--limit", "1", "--since", "2026-01-02T00:00:00Z", "--json")

    assert len(shown.stdout.splitlines()) == 1
    assert "--since 2026-01-02T00:00:00.000000Z --cursor next-page" in shown.stderr


def test_all_follows_the_cursor_to_the_end(deployed: Relay) -> None:
    deployed.server.says(
        *("GET", "/v1/events"),
        {"events": [event(1)], "cursor": "two"},
        {"events": [], "cursor": "three"},
        {"events": [event(2)], "cursor": None},
    )

    shown = deployed.run("event", "list", "--all", "--json")

    assert [json.loads(it)["id"] for it in shown.stdout.splitlines()] == [event(1)["id"], event(2)["id"]]
    asked = [parse_qs(it.query) for it in deployed.server.asked("/v1/events")]
    assert [it.get("cursor") for it in asked] == [None, ["two"], ["three"]]
    assert "more" not in shown.stderr


def test_a_limit_above_a_page_takes_several(deployed: Relay) -> None:
    pages = [
        {"events": [event(n) for n in range(200)], "cursor": "two"},
        {"events": [event(9)] * 50, "cursor": "three"},
    ]
    deployed.server.says("GET", "/v1/events", *pages)

    shown = deployed.run("event", "list", "--limit", "250", "--json")

    assert len(shown.stdout.splitlines()) == 250
    assert [parse_qs(it.query)["limit"] for it in deployed.server.asked("/v1/events")] == [["200"], ["50"]]
    assert "--cursor three" in shown.stderr


def test_a_cursor_that_stays_the_same_ends_in_an_error_not_in_a_loop(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/events", {"events": [], "cursor": "same"})

    shown = deployed.run("event", "list", "--all")

    assert shown.exit_code == 1
    assert "cursor" in shown.stderr


def test_all_and_limit_contradict_each_other(undeployed: Relay) -> None:
    assert undeployed.run("event", "list", "--all", "--limit", "3").exit_code == 2


def test_an_event_is_shown_with_deliveries_attempts_and_body(deployed: Relay) -> None:
    attempt = {
        "number": 6,
        "at": "2026-11-24T09:31:08.123456Z",
        "status_code": 503,
        "outcome": "failed",
        "message_id": "msg_1",
        "generation": "fb389ad0bba790f5",
        "response": "down for [red]maintenance[/red]",
    }
    shown_by_relay = {
        **event(1),
        "headers": {"x-github-event": "push"},
        "deliveries": [{**delivery(1), "attempts": [attempt]}],
        "body": '{"zen":\n  1}',
    }
    deployed.server.says("GET", f"/v1/events/{event(1)['id']}", shown_by_relay)

    shown = deployed.run("event", "show", event(1)["id"], "--body")

    assert deployed.server.calls[-1].query == "body=true"
    for text in (delivery(1)["id"], "1725323658779-0", "503", "down for [red]maintenance[/red]", "x-github-event"):
        assert text in shown.stdout
    assert '{"zen":\n  1}\n' in shown.stdout


def test_a_body_that_is_no_text_is_shown_in_base64(deployed: Relay) -> None:
    shown_by_relay = {**event(1), "headers": {}, "deliveries": [], "body_base64": "/w=="}
    deployed.server.says("GET", f"/v1/events/{event(1)['id']}", shown_by_relay)

    assert deployed.run("event", "show", event(1)["id"], "--body").stdout.endswith("/w==\n")


OWN_IDS = {
    "plain": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "steps and marks": "a/b/../c ?#%2F&=+:",
    "colons": "urn:uuid:1::",
    "unicode": "größe-✓-\U0001f600",
    "1,000 characters": "x" * 1000,
    "bytes that are no text": "a\udcffb",
    "a hash": "sha256:" + "0" * 64,
}


@pytest.mark.parametrize("key", OWN_IDS.values(), ids=OWN_IDS)
def test_an_event_is_found_by_its_sources_own_id(deployed: Relay, key: str) -> None:
    """Whatever is in it: no path could carry a `/`, and the gateway would take no 1,000 characters of it apart."""
    row = Row.of({"signature": "X-Signature: {hex}", "id": "X-Id"})
    header = key.encode(errors="replace").decode()  # as the gateway hands it over
    received = InboundRequest(method="POST", urls=[], headers={"x-id": header}, body=b"{}")
    id_ = event_id("acme", describe(row, received).idempotency_key)
    shown_by_relay = {**event(1), "headers": {}, "deliveries": []}
    deployed.server.says("GET", f"/v1/events/{id_}", shown_by_relay)

    shown = deployed.run("event", "show", f"acme:{key}", "--json")

    assert json.loads(shown.stdout) == shown_by_relay


def test_an_event_is_found_by_the_id_of_a_delivery(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/events/rly_1", {**event(1), "headers": {}, "deliveries": []})

    assert deployed.run("event", "show", "dlv_1.builder", "--json").exit_code == 0
    assert deployed.run("event", "show", "dlv_1", "--json").exit_code == 0


@pytest.mark.parametrize(
    "text", ["evt_1", "..", ":", "github:", ":1", "", "rly_", "rly_a/b", "rly_1?", "dlv_", "dlv_/.a"]
)
def test_what_is_no_id_is_an_error_of_usage(undeployed: Relay, text: str) -> None:
    assert undeployed.run("event", "show", text).exit_code == 2


def test_what_a_stranger_wrote_cannot_steer_the_terminal(deployed: Relay) -> None:
    deployed.server.says(
        "GET", "/v1/events", {"events": [event(1, type="\x1b]0;owned\x07\n\u202epush")], "cursor": None}
    )

    shown = deployed.run("event", "list").stdout

    assert "owned" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert len(shown.splitlines()) == 2


UNSIGNED_ID = ["its", "id", "(which", "isn't", "signed),", "else", "the", "same", "body", "within", "24", "h"]
SIGNED_ID = ["its", "id,", "else", "the", "same", "body", "within", "24", "h"]


def test_source_list_counts_the_signing_secrets_and_shows_none(deployed: Relay) -> None:
    shown = deployed.run("source", "list")
    as_json = deployed.run("source", "list", "--json")

    assert [it.split() for it in shown.stdout.splitlines()[1:]] == [
        ["github", "github", "audit", *UNSIGNED_ID, "1", f"{deployed.server.url}/webhooks/github"],
        ["acme", "acme", "audit", *SIGNED_ID, "none", f"{deployed.server.url}/webhooks/acme"],
    ]
    assert [(json.loads(it)["name"], json.loads(it)["secrets"]) for it in as_json.stdout.splitlines()] == [
        ("github", 1),
        ("acme", 0),
    ]
    assert SECRET not in shown.output + as_json.output


def test_global_options_may_stand_before_the_command(deployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_NAME", "another")
    deployed.server.says("GET", "/v1/events", {"events": [event(1)], "cursor": None})

    before = deployed.run("--name", deployed.name, "--json", "event", "list")
    after = deployed.run("event", "list", "--json", "--name", deployed.name)

    assert json.loads(before.stdout) == json.loads(after.stdout) == event(1)


def test_every_status_has_a_colour_and_unrouted_is_the_relays_own_word() -> None:
    assert set(Status) <= set(STYLES)
    assert UNROUTED == items.UNROUTED
