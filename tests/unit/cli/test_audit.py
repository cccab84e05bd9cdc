"""`relay audit`: what it asks, how it adds up, and what makes its status 1."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from cli.commands.audit import STATUSES
from relay.model.delivery import Status

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Call, Relay

LOST = {"delivery_id": f"dlv_{'7' * 32}.erp", "event_id": f"rly_{'7' * 32}", "why": "nobody can tell"}


def line(destination: str, **counts: int) -> dict[str, Any]:
    return {"destination": destination, "expected": sum(counts.values()), **dict.fromkeys(STATUSES, 0), **counts}


def answer(*lines: dict[str, Any], cursor: str | None = None, orphans: int = 0, unaccounted: Any = ()) -> Any:
    return {"destinations": lines, "unaccounted": [*unaccounted], "orphans": orphans, "cursor": cursor}


def asked(call: Call) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(call.query).items()}


def test_it_has_a_column_for_every_status() -> None:
    """Else the equation wouldn't be seen to hold."""
    assert set(STATUSES) == set(Status)


def test_the_ledger_is_a_table_by_destination(deployed: Relay) -> None:
    deployed.server.says(
        "GET", "/v1/audit", answer(line("erp", delivered=3, dead_lettered=2), line("builder", in_flight=7))
    )

    shown = deployed.run("audit")

    head, first, second = shown.stdout.splitlines()
    columns = ["DESTINATION", "EXPECTED", *(it.replace("_", " ").upper() for it in STATUSES)]
    assert head.split() == " ".join(columns).split()
    assert first.split() == ["builder", "7", "0", "0", "7", "0", "0", "0", "0", "0", "0"]
    assert second.split() == ["erp", "5", "3", "2", "0", "0", "0", "0", "0", "0", "0"]
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_without_a_time_it_is_the_last_day(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/audit", answer())

    shown = deployed.run("audit")

    window = asked(deployed.server.calls[-1])
    since, until = (datetime.fromisoformat(window[name]) for name in ("since", "until"))
    assert until - since == timedelta(days=1)
    assert abs(datetime.now(UTC) - until) < timedelta(minutes=1)
    assert "no events" in shown.stderr


def test_a_time_that_is_said_is_asked_for(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/audit", answer())

    deployed.run("audit", "--since", "2026-01-31T10:00:00+01:00", "--until", "2026-02-01T09:00:00Z")

    assert asked(deployed.server.calls[-1]) == {
        "since": "2026-01-31T09:00:00.000000Z",
        "until": "2026-02-01T09:00:00.000000Z",
    }


def test_a_year_has_four_digits(deployed: Relay) -> None:
    """The relay compares times as text."""
    deployed.server.says("GET", "/v1/audit", answer())

    deployed.run("audit", "--since", "0900-01-31T09:00:00Z")

    assert asked(deployed.server.calls[-1])["since"] == "0900-01-31T09:00:00.000000Z"


def test_what_is_unaccounted_is_named_and_makes_the_status_1(deployed: Relay) -> None:
    """With what a person can do."""
    deployed.server.says("GET", "/v1/audit", answer(line("erp", unaccounted=1), unaccounted=[LOST]))

    shown = deployed.run("audit")

    assert shown.exit_code == 1
    assert LOST["delivery_id"] in shown.stdout
    assert LOST["why"] in shown.stdout
    assert shown.stderr.startswith("error: 1 deliveries are unaccounted")
    assert "relay replay start" in shown.stderr


def test_callbacks_of_unknown_events_are_told(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/audit", answer(line("erp", delivered=1), orphans=4))

    shown = deployed.run("audit")

    assert shown.exit_code == 0
    assert "4 callbacks" in shown.stderr


def test_several_answers_add_up_and_ask_for_the_same_time(deployed: Relay) -> None:
    """Each under the cursor of the one before; a destination may be in one of them alone."""
    deployed.server.says(
        "GET",
        "/v1/audit",
        answer(line("erp", delivered=3), cursor="a", unaccounted=[LOST]),
        answer(line("builder", delivered=1), line("erp", delivered=4, in_flight=1), cursor="b"),
        answer(line("erp", unaccounted=1), unaccounted=[LOST | {"delivery_id": "dlv_8.erp"}], orphans=2),
    )

    shown = deployed.run("audit", "--json")

    told = json.loads(shown.stdout)
    calls = [asked(it) for it in deployed.server.calls if it.path == "/v1/audit"]
    assert told["destinations"] == [
        line("builder", delivered=1),
        line("erp", delivered=7, in_flight=1, unaccounted=1),
    ]
    assert [it["delivery_id"] for it in told["unaccounted"]] == [LOST["delivery_id"], "dlv_8.erp"]
    assert [it.pop("cursor", None) for it in calls] == [None, "a", "b"]
    assert calls[0] == calls[1] == calls[2]
    assert {"since": told["since"], "until": told["until"]} == calls[0]
    assert (told["orphans"], shown.exit_code) == (2, 1)


def test_as_json_it_is_one_line(deployed: Relay) -> None:
    deployed.server.says("GET", "/v1/audit", answer(line("erp", delivered=3)))

    shown = deployed.run("audit", "--json")

    (told,) = shown.stdout.splitlines()
    assert json.loads(told)["destinations"] == [line("erp", delivered=3)]
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_a_cursor_that_stays_the_same_ends_it(deployed: Relay) -> None:
    """Else it would ask for ever."""
    same = answer(line("erp", delivered=1), cursor="a")
    deployed.server.says("GET", "/v1/audit", same, same, answer())

    shown = deployed.run("audit")

    assert shown.exit_code == 1
    assert "the relay returned the same cursor twice: run `relay doctor`" in shown.stderr
    assert len(deployed.server.asked("/v1/audit")) == 2


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--until", "2026-01-31T09:00:00"), ("erp",)], ids=" ".join
)
def test_a_time_that_there_is_not_is_an_error_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("audit", *words).exit_code == 2
