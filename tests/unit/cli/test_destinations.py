"""`relay destination`: how each one is doing, as a table that stays readable, and its pause."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from cli.listing import STATUSES

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

SINCE = "2026-11-24T09:00:00.000000Z"
PAUSED = {"by": "arn:aws:iam::1:user/ada", "at": "2026-11-24T08:31:08.123456Z", "reason": "it burns"}


def a_destination(name: str, **changes: Any) -> dict[str, Any]:
    """Return a destination as /v1 shows it: nothing happened there."""
    counts = dict.fromkeys(STATUSES, 0) | changes.pop("counts", {})
    return {
        "destination": name,
        "configured": True,
        "group": "audit",
        "url": f"https://{name}.example.com/in",
        "counts": counts,
        "attempts": 0,
        "failed_attempts": 0,
        "failure_rate": None,
        "p95_s": None,
        "last_success_at": None,
        "dead_letters": counts["dead_lettered"],
        "oldest_in_flight_s": None,
        "looks_dead": False,
        "paused": None,
        **changes,
    }


def says(relay: Relay, *found: dict[str, Any], path: str = "", complete: bool = True) -> None:
    answer = {"since": SINCE, "complete": complete, "destinations": list(found)}
    relay.server.says("GET", f"/v1/destinations{path}", answer)


def fine() -> dict[str, Any]:
    """Return a destination that takes nearly everything."""
    last = (datetime.now(UTC) - timedelta(minutes=3, seconds=5)).isoformat()
    counts = {"delivered": 12345, "in_flight": 2, "dead_lettered": 1}
    numbers = {"attempts": 12600, "failed_attempts": 255, "failure_rate": 255 / 12600, "p95_s": 1.26}
    return a_destination("ledger", counts=counts, last_success_at=last, oldest_in_flight_s=7200.5, **numbers)


def dead() -> dict[str, Any]:
    counts = {"dead_lettered": 4, "in_flight": 7}
    numbers = {"attempts": 31, "failed_attempts": 31, "failure_rate": 1.0}
    return a_destination("erp", counts=counts, looks_dead=True, oldest_in_flight_s=90.0, **numbers)


def test_each_destination_is_a_line_and_a_dead_one_is_marked(deployed: Relay) -> None:
    says(deployed, dead(), fine(), a_destination("quiet"))

    shown = deployed.run("destination", "list")

    head, *lines = shown.stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    assert [it.split() for it in lines] == [
        ["erp", "dead", "0", "100%", "-", "4", "0", "7,", "1", "min", "-"],
        ["ledger", "ok", "12345", "2.0%", "1.3", "s", "1", "0", "2,", "2", "h", "3", "min", "ago"],
        ["quiet", "idle", "0", "-", "-", "0", "0", "0", "-"],
    ]
    assert shown.exit_code == 0
    assert "erp: every attempt failed" in shown.stderr
    assert "ledger" not in shown.stderr


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"paused": PAUSED, "looks_dead": True, "configured": False}, "paused"),
        ({"configured": False, "looks_dead": True}, "removed"),
        ({"looks_dead": True}, "dead"),
        ({"counts": {"delivered": 1}}, "ok"),
        ({}, "idle"),
    ],
)
def test_its_state_is_what_must_be_known_first(deployed: Relay, changes: dict[str, Any], state: str) -> None:
    says(deployed, a_destination("erp", **changes))

    shown = deployed.run("destination", "list")

    assert shown.stdout.splitlines()[1].split()[1] == state


def test_a_narrow_terminal_shows_a_line_each(deployed: Relay) -> None:
    """All of it fits in 80 columns."""
    says(deployed, dead(), fine(), a_destination("builder", counts={"held": 1200, "pending": 4}, paused=PAUSED))

    shown = on_columns(80, "--name", deployed.name, "destination", "list")

    lines = plain(shown).splitlines()[:4]
    assert [it.split()[0] for it in lines] == ["NAME", "erp", "ledger", "builder"]
    assert max(len(it) for it in lines) <= 80
    assert "1204" in lines[3].split()


def test_a_program_gets_one_object_a_destination(deployed: Relay) -> None:
    says(deployed, dead(), complete=False)

    shown = deployed.run("destination", "list", "--json", "--since", "2026-11-24T09:00:00Z")

    assert json.loads(shown.stdout) == dead() | {"since": SINCE, "complete": False}
    assert parse_qs(deployed.server.calls[-1].query) == {"since": [SINCE]}


def test_where_not_all_was_read_that_is_said(deployed: Relay) -> None:
    says(deployed, fine(), complete=False)

    assert "the oldest deliveries are missing" in deployed.run("destination", "list").stderr


def test_one_destination_is_shown_with_who_paused_it(deployed: Relay) -> None:
    health = fine() | {"paused": PAUSED}
    says(deployed, health, path="/ledger")

    shown = deployed.run("destination", "show", "ledger").stdout
    as_json = deployed.run("destination", "show", "ledger", "--json").stdout

    words = ("paused", "12345", "12600, of which 255 failed", "2.0%", "1.3 s", "2 h ago", "user/ada", "it burns")
    assert all(word in shown for word in words)
    assert json.loads(as_json)["paused"] == PAUSED


def test_a_destination_is_paused_and_what_that_means_is_said(deployed: Relay) -> None:
    answer = {"destination": "erp", "paused": PAUSED, "changed": True}
    deployed.server.says("POST", "/v1/destinations/erp", answer, answer | {"changed": False}, answer)

    first = deployed.run("destination", "pause", "erp", "--reason", "it burns")
    asked = deployed.server.calls[-1].json
    second = deployed.run("destination", "pause", "erp")
    third = deployed.run("destination", "pause", "erp", "--json")

    assert asked == {"action": "pause", "reason": "it burns"}
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "erp is paused" in first.stdout
    assert "relay destination resume erp" in first.stderr
    assert "is already paused" in second.stdout
    assert "user/ada" in second.stdout
    assert json.loads(third.stdout) == answer


def test_a_destination_is_resumed_by_a_replay_that_is_named(deployed: Relay) -> None:
    answer = {"destination": "erp", "paused": None, "replay": {"id": "rpl_1"}}
    deployed.server.says("POST", "/v1/destinations/erp", answer)

    shown = deployed.run("destination", "resume", "erp", "--rate", "60", "--reason", "mended")
    asked = deployed.server.calls[-1].json
    as_json = deployed.run("destination", "resume", "erp", "--json")

    assert asked == {"action": "resume", "reason": "mended", "rate": 60}
    assert shown.stdout == "rpl_1\n"
    assert "relay replay show rpl_1" in shown.stderr
    assert json.loads(as_json.stdout) == answer
    assert deployed.server.calls[-1].json == {"action": "resume"}


@pytest.mark.parametrize("words", [("resume", "erp"), ("pause", "erp"), ("show", "erp")])
def test_a_destination_that_there_is_not_makes_the_status_1(deployed: Relay, words: tuple[str, str]) -> None:
    told = {"error": {"code": "not_found", "message": "there is no such destination"}}
    method = "GET" if words[0] == "show" else "POST"
    deployed.server.says(method, "/v1/destinations/erp", told, status=404)

    shown = deployed.run("destination", *words)

    assert shown.exit_code == 1
    assert "`relay destination list`" in shown.stderr


@pytest.mark.parametrize("words", [("resume", "erp", "--rate", "0"), ("pause",), ("list", "--since", "yesterday")])
def test_what_can_not_be_asked_is_an_error_of_usage(deployed: Relay, words: tuple[str, ...]) -> None:
    assert deployed.run("destination", *words).exit_code == 2


def on_columns(columns: int, *words: str) -> str:
    """Return what a terminal of so many columns shows of a command."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: it for name, it in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    program = [sys.executable, "-c", "from cli.main import main; main()", *words]
    with subprocess.Popen(  # noqa: S603
        program, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
    ) as running:
        os.close(its)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
        finally:
            running.kill()
            os.close(ours)
    return shown.decode()


def plain(text: str) -> str:
    """Return *text* without a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
