"""What QStash has no message of any more: lost, or delivered, or nobody can tell; a second look decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.ledger.in_flight import FORGOTTEN, LOST, UNENDED
from relay.model.delivery import Status
from relay.qstash.client import LOG_LITTLE_PAGES
from relay.qstash.message_log import LOG_LAG
from tests.unit.relay.told import SILENCE_S, tell

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World

LAG_S = LOG_LAG.total_seconds()


def vanished(world: World, *states: str) -> Event:
    """Return an event of whose delivery to erp QStash logged *states*, and has no message any more."""
    event = world.post().event
    message = world.message(event, "erp")
    if states:
        tell(world, message, *states)
    world.wire.held.discard(message)
    return event


def test_a_first_look_that_misses_it_decides_nothing(world: World) -> None:
    """What just happened may not be in the log yet."""
    event = vanished(world)

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.missing_since, erp.due_at) == (
        Status.IN_FLIGHT,
        world.clock.at,
        world.clock.at + LOG_LAG,
    )


def test_a_second_look_comes_no_earlier_than_the_log_can_lag(world: World) -> None:
    """Sweeps in between leave it alone."""
    event = vanished(world)
    world.sweep(SILENCE_S)

    done = world.sweep(LAG_S - 1)

    assert done.reopened == 0
    assert world.delivery(event, "erp").generation == event.generation


def test_a_second_look_that_comes_earlier_decides_nothing(world: World) -> None:
    """Whatever made it due: the time since the first one counts."""
    event = vanished(world)
    world.sweep(SILENCE_S)
    soon = world.clock.at + timedelta(seconds=60)
    world.store.change_delivery(event, "erp", lambda it: it.due(event.generation, soon))

    done = world.sweep(60)

    assert done.reopened == 0
    assert world.delivery(event, "erp").status is Status.IN_FLIGHT


def test_what_qstash_lost_before_any_attempt_is_a_new_generation(world: World) -> None:
    """It was taken, it is gone, and nothing was begun: nobody can have got it."""
    event = vanished(world)
    world.sweep(SILENCE_S)

    done = world.sweep(LAG_S)

    erp = world.delivery(event, "erp")
    assert done.reopened == 1
    assert (erp.status, erp.generation != event.generation) == (Status.PENDING, True)
    replays = world.store.table.client.scan(TableName=world.store.table.name)["Items"]
    (record,) = [it for it in replays if it.get("kind", {}).get("S") == "REPLAY"]
    assert (record["by"]["S"], record["reason"]["S"]) == ("relay", LOST)


def test_what_qstash_lost_is_published_again_once(world: World) -> None:
    """To its URL alone, under an id that QStash hasn't seen."""
    event = vanished(world)
    world.sweep(SILENCE_S)
    world.sweep(LAG_S)

    for _ in range(3):
        world.sweep(60)

    again = world.wire.published[2:]
    ids = {it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}
    assert [it.url.path for it in again] == ["/v2/publish/https://erp.example.com/in"]
    assert len(ids) == 3
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_what_was_delivered_while_the_log_lagged_is_not_published_again(world: World) -> None:
    """The message is gone and its end isn't there yet: the second look sees it."""
    event = world.post().event
    world.clock.at += timedelta(seconds=SILENCE_S - 2)
    tell(world, world.message(event, "erp"), "ACTIVE", "DELIVERED")
    world.wire.lag = timedelta(minutes=4)

    world.sweep(0)
    first = world.statuses(event.id)["erp"]
    for _ in range(4):
        world.sweep(LAG_S)

    assert first is Status.IN_FLIGHT
    assert world.statuses(event.id)["erp"] is Status.DELIVERED
    assert len(world.wire.published) == 2


def test_a_message_that_was_there_again_is_missing_from_the_start_next_time(world: World) -> None:
    """Two looks must miss it one after the other: else one that comes as the log lags would decide alone."""
    event = vanished(world)
    message = world.message(event, "erp")
    world.sweep(SILENCE_S)
    world.wire.held.add(message)
    world.sweep(LAG_S)
    due_at = world.delivery(event, "erp").due_at
    assert due_at is not None
    world.clock.at = due_at - timedelta(seconds=2)
    tell(world, message, "ACTIVE", "DELIVERED")
    world.wire.lag = timedelta(minutes=4)

    world.sweep(0)
    for _ in range(3):
        world.sweep(LAG_S)

    assert world.statuses(event.id)["erp"] is Status.DELIVERED
    assert len(world.wire.published) == 2


def test_an_attempt_that_was_begun_and_has_no_end_is_left_to_a_person(world: World) -> None:
    """Its destination may have got it: never publish it again on a guess."""
    event = vanished(world, "ACTIVE")
    world.sweep(SILENCE_S)

    done = world.sweep(LAG_S)
    world.sweep(3600)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.reason, erp.due_at) == (Status.UNACCOUNTED, UNENDED, None)
    assert done.unaccounted == 1
    assert len(world.wire.published) == 2


def test_an_attempt_that_a_callback_told_of_was_begun(world: World) -> None:
    """Though the log shows none."""
    event = vanished(world)
    world.report(event, "erp", status=500, sourceMessageId=world.message(event, "erp"))
    world.sweep(SILENCE_S)

    world.sweep(LAG_S)

    assert world.delivery(event, "erp").reason == UNENDED
    assert len(world.wire.published) == 2


@pytest.mark.parametrize("by", ["number", "age"])
def test_where_the_log_does_not_reach_back_a_person_decides(world: World, by: str) -> None:
    """It shows no attempt since it shows nothing any more."""
    event = vanished(world, "ACTIVE")
    if by == "age":
        world.clock.at += timedelta(days=4)
    world.wire.forgot_ms = int(world.clock.at.timestamp() * 1000) + 1
    world.sweep(SILENCE_S)
    if by == "number":
        world.wire.page_max = 2
        for number in range(2 * LOG_LITTLE_PAGES + 1):
            world.wire.say(f"other_{number}", "CREATED", label="other")

    world.sweep(LAG_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.reason) == (Status.UNACCOUNTED, FORGOTTEN)
    assert len(world.wire.published) == 2


def test_where_the_log_has_nothing_of_it_and_reaches_back_qstash_lost_it(world: World) -> None:
    """It answered with a message id, and wrote nothing down."""
    event = vanished(world)
    world.wire.logs.clear()
    world.sweep(SILENCE_S)

    assert world.sweep(LAG_S).reopened == 1
    assert world.statuses(event.id)["erp"] is Status.PENDING


def test_what_is_unaccounted_and_reports_after_all_is_delivered(world: World) -> None:
    """What is known later outranks that nobody knew."""
    event = vanished(world, "ACTIVE")
    message = world.message(event, "erp")
    world.sweep(SILENCE_S)
    world.sweep(LAG_S)

    world.report(event, "erp", sourceMessageId=message)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.reason) == (Status.DELIVERED, None)


def test_a_delivery_that_changed_meanwhile_is_not_made_again(world: World) -> None:
    """A callback that comes as the look concludes wins."""
    event = vanished(world)
    message = world.message(event, "erp")
    world.sweep(SILENCE_S)
    world.report(event, "erp", sourceMessageId=message)

    assert world.sweep(LAG_S).reopened == 0
    assert world.statuses(event.id)["erp"] is Status.DELIVERED
