"""`relay event` of an id under which several bodies came: they are told, and each can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.cli.conftest import event
from tests.unit.cli.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

HASH = "cd" * 32
OTHER = {
    "sha256": HASH,
    "size_bytes": 2048,
    "received_at": "2026-11-24T09:00:00.000000Z",
    "content_type": "application/json",
    "headers": {},
}


def test_the_list_tells_of_how_many_other_bodies_came(deployed: Relay) -> None:
    deployed.server.says(
        "GET", "/v1/events", {"events": [event(1, conflicts=2), event(2, conflicts=0)], "cursor": None}
    )

    _, first, second = deployed.run("event", "list").stdout.splitlines()

    assert (first.split()[-2], second.split()[-2]) == ("2", "-")


def test_an_event_is_shown_with_the_other_bodies_under_its_id(deployed: Relay) -> None:
    """By hash, so that one can be asked for."""
    shown_by_relay = event(1, headers={}, deliveries=[], conflicts=1, conflicting=[OTHER])
    path = f"/v1/events/{event(1)['id']}"
    deployed.server.says("GET", path, shown_by_relay, event(1, headers={}, deliveries=[], conflicts=0))

    with_other = deployed.run("event", "show", event(1)["id"]).stdout
    without = deployed.run("event", "show", event(1)["id"]).stdout

    (row,) = [it for it in with_other.splitlines() if HASH in it]
    assert row.split() == [HASH, "2026-11-24", "09:00:00Z", "2.0", "KiB"]
    assert "Other bodies under the same id" in with_other
    assert "Other bodies" not in without


def test_the_hash_of_a_body_is_whole_on_a_narrow_terminal(deployed: Relay) -> None:
    """One copies it."""
    deployed.server.says(
        "GET", f"/v1/events/{event(1)['id']}", event(1, headers={}, deliveries=[], conflicting=[OTHER])
    )

    status, shown = on_a_terminal("event", "show", event(1)["id"], asked="", typed="")

    assert status == 0
    assert HASH in shown


def test_a_body_is_asked_for_by_its_hash(deployed: Relay) -> None:
    """Which is to ask for the body."""
    shown_by_relay = event(1, headers={}, deliveries=[], body="{}", conflicting=[OTHER])
    deployed.server.says("GET", f"/v1/events/{event(1)['id']}", shown_by_relay)

    shown = deployed.run("event", "show", event(1)["id"], "--sha256", HASH)

    assert sorted(deployed.server.calls[-1].query.split("&")) == ["body=true", f"sha256={HASH}"]
    assert shown.stdout.endswith("{}\n")
