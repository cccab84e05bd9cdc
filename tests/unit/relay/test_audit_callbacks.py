"""The audit and callbacks that died: what they report is recorded from QStash's dead letters, and they go; no other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from relay.model.delivery import Status
from relay.model.ids import EventId
from tests.unit.relay.ledgers import audited
from tests.unit.relay.world import BASE

if TYPE_CHECKING:
    from tests.unit.relay.dead_letters import DeadLetters
    from tests.unit.relay.world import World


@pytest.mark.parametrize(
    ("kind", "wire", "status"),
    [
        ("callback", {"status": 200, "retried": 1}, Status.DELIVERED),
        ("callback", {"status": 500, "retried": 1}, Status.IN_FLIGHT),
        ("failure", {"status": 500, "retried": 2, "dlqId": "17-0"}, Status.DEAD_LETTERED),
    ],
)
def test_what_a_dead_callback_reports_is_recorded_and_it_goes(
    world: World, letters: DeadLetters, kind: str, wire: dict[str, Any], status: Status
) -> None:
    event = world.post().event
    letters.add_callback(event, "erp", kind, sourceMessageId="msg_7", **wire)

    done = audited(world)

    delivery = world.store.delivery(event, "erp")
    (attempt,) = delivery.attempts.values()
    assert (delivery.status, delivery.dlq_id) == (status, wire.get("dlqId"))
    assert (attempt.message_id, attempt.number, attempt.status_code) == ("msg_7", wire["retried"] + 1, wire["status"])
    assert letters.ids == []
    assert done.settled == (status is not Status.IN_FLIGHT)


def test_a_dead_callback_of_an_event_that_is_not_there_is_kept_as_an_orphan(world: World, letters: DeadLetters) -> None:
    """So QStash need keep it no longer."""
    event = world.post().event
    letters.add_callback(replace(event, id=EventId("rly_nobody")), "erp")

    done = audited(world)

    assert (letters.ids, done.settled, world.store.state.count("orphans")) == ([], 0, 1)


def test_a_dead_callback_with_another_mac_stays(world: World, letters: DeadLetters) -> None:
    """This relay didn't make it: its owner is to look at it."""
    event = world.post().event
    forged = letters.add_callback(event, "erp", mac="guessed")

    done = audited(world)

    assert (letters.ids, done.settled) == ([forged], 0)
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_a_dead_callback_to_another_base_url_stays(world: World, letters: DeadLetters) -> None:
    """Its MAC may be right: it is another deployment's."""
    event = world.post().event
    others = [letters.add_callback(event, "erp", base=base) for base in (f"{BASE}.au", "https://other.example.com")]

    done = audited(world)

    assert (letters.ids, done.settled) == (others, 0)


def test_a_dead_letter_that_only_looks_like_a_callback_stays(world: World, letters: DeadLetters) -> None:
    """To the relay's own URL, under a right MAC, and no callback in it."""
    event = world.post().event
    letters.add_callback(event, "erp")
    letters.letters[0]["body"] = "not JSON"
    other = letters.add(url=f"{BASE}/qstash/callback/", body="{}")

    audited(world)

    assert len(letters.ids) == 2
    assert other in letters.ids


def test_a_dead_callback_says_nothing_against_what_is_known(world: World, letters: DeadLetters) -> None:
    event = world.post().event
    world.report(event, "erp")
    letters.add_callback(event, "erp", "failure", status=500, retried=2)

    done = audited(world)

    assert world.statuses(event.id)["erp"] is Status.DELIVERED
    assert (letters.ids, done.settled) == ([], 0)
