"""A pause, from outside: what comes for a destination is held, its neighbour goes on, nothing is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

NUMBER = 3
RATE = 2  # a minute: less than what is held
NEXT_MINUTE_S = 120


@dataclass
class Pause:
    """What came while `shut` was paused, and what was seen of it before and after the end of the pause."""

    events: list[str] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)
    audited: dict[str, Any] = field(default_factory=dict)
    got_while_paused: int = 0
    replay: dict[str, Any] = field(default_factory=dict)
    at_first: list[str] = field(default_factory=list)


def statuses(relay: Relay, pause: Pause, destination: str) -> list[str]:
    return [relay.event(it)["deliveries"][destination]["status"] for it in pause.events]


@pytest.fixture(scope="session")
def pause(relay: Relay, destinations: Destinations) -> Pause:
    """Pause `shut`, send webhooks, look, and resume it at a rate that lets go of some."""
    paused = Pause()
    assert relay.turn("shut", action="pause", reason="upgrade").status_code == 200
    relay.start_anew("Ingest", timeout_s=27)  # a warm function may still use pauses that it read ten seconds ago
    paused.events = [relay.send("paired", b"%d" % number).json()["event_id"] for number in range(NUMBER)]
    for event_id in paused.events:
        relay.delivery(event_id, "shut", "held")
        relay.delivery(event_id, "open", "delivered")
    paused.got_while_paused = len(destinations.received("shut"))
    paused.shown = relay.ask("destinations/shut").json()["destinations"][0]
    lines = {line["destination"]: line for line in relay.ask("audit").json()["destinations"]}
    paused.audited = lines["shut"]
    paused.replay = relay.turn("shut", action="resume", rate=RATE, reason="upgraded").json()["replay"]
    eventually(lambda: statuses(relay, paused, "shut").count("delivered") == RATE, "the first are let go")
    paused.at_first = statuses(relay, paused, "shut")
    return paused


@pytest.mark.early
def test_what_comes_for_a_paused_destination_is_held_and_seen_to_be(pause: Pause) -> None:
    """With who paused it, and why; the ledger balances."""
    assert pause.got_while_paused == 0
    assert pause.shown["paused"]["reason"] == "upgrade"
    assert pause.shown["counts"]["held"] == NUMBER
    assert pause.audited["held"] == pause.audited["expected"] == NUMBER


@pytest.mark.early
def test_the_other_destination_of_its_group_goes_on_getting_each_once(pause: Pause, destinations: Destinations) -> None:
    assert [len(destinations.received("open", it)) for it in pause.events] == [1] * NUMBER


@pytest.mark.late
def test_resume_lets_go_what_is_held_at_the_rate_each_once(
    relay: Relay, pause: Pause, destinations: Destinations
) -> None:
    """So many at first, and the rest a minute later."""
    assert sorted(pause.at_first) == ["delivered"] * RATE + ["held"] * (NUMBER - RATE)

    def look() -> bool:
        relay.sweep()  # the rule's next run may be a minute away
        return statuses(relay, pause, "shut") == ["delivered"] * NUMBER

    eventually(look, "the rest is let go", NEXT_MINUTE_S)
    assert [len(destinations.received("shut", it)) for it in pause.events] == [1] * NUMBER
    replay = relay.ask(f"replays/{pause.replay['id']}").json()
    assert (replay["state"], replay["replayed"], replay["reason"]) == ("done", NUMBER, "upgraded")
    assert relay.ask("destinations/shut").json()["destinations"][0]["paused"] is None


@pytest.mark.early
@pytest.mark.usefixtures("pause")
def test_what_comes_after_the_end_of_a_pause_goes_at_once(relay: Relay, destinations: Destinations) -> None:
    relay.start_anew("Ingest", timeout_s=29)

    event_id = relay.send("paired", b"after").json()["event_id"]

    relay.delivery(event_id, "shut", "delivered")
    assert len(destinations.received("shut", event_id)) == 1
