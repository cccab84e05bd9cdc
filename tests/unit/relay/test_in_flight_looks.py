"""When what is in flight is looked after, over the real store, QStash at the wire: late enough, and no later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from relay.ledger.in_flight import LOOK_MAX, FollowUp, follow_up
from relay.model.delivery import Delivery, Status
from relay.model.ids import Generation
from relay.publishing.publisher import LOOK_SOON_AFTER
from relay.storage.store import Due
from tests.flat import publishing
from tests.unit.relay.told import PATIENCE, SILENCE_S, dead, tell
from tests.unit.relay.world import routed

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.model.event import Event
    from tests.unit.relay.world import World


def test_what_waits_for_its_retry_is_looked_at_after_it(world: World) -> None:
    """Not before, however far away it is: there is nothing to see."""
    event = world.post().event
    message = world.message(event, "erp")
    tell(world, message, "ACTIVE", "ERROR")
    next_at = world.clock.at + timedelta(hours=20)
    tell(world, message, "RETRY", nextDeliveryTime=int(next_at.timestamp() * 1000))

    world.sweep(SILENCE_S)

    assert world.delivery(event, "erp").due_at == next_at + PATIENCE
    assert list(world.delivery(event, "erp").attempts) == [f"{message}.1"]


def test_what_still_waits_is_looked_at_later_and_later(world: World) -> None:
    """As long again as it has taken, and never less often than `LOOK_MAX`."""
    event = world.post().event

    waits = []
    for hours in (0.25, 1, 3, 30):
        world.sweep(hours * 3600)
        due_at = world.delivery(event, "erp").due_at
        assert due_at is not None
        waits.append(due_at - world.clock.at)

    assert waits == [timedelta(hours=it) for it in (0.25, 1.25, 4.25)] + [LOOK_MAX]
    assert world.delivery(event, "erp").status is Status.IN_FLIGHT
    assert len(world.wire.published) == 2


def quiet(world: World) -> Event:
    """Return an event of a relay whose group ci reports dead letters alone."""
    world.deploy(routed(audit=publishing(), ci=publishing(callbacks="failures", timeout_s=10)))
    return world.post().event


def test_a_group_that_reports_failures_asks_for_no_other_callback(world: World) -> None:
    """Half of the messages, and so of the bill."""
    quiet(world)

    audit, ci = world.wire.published
    assert "Upstash-Callback" in audit.headers
    assert not [name for name in ci.headers if name.lower().startswith("upstash-callback")]
    assert "Upstash-Failure-Callback" in ci.headers


def test_what_it_delivered_is_soon_read_from_the_log(world: World) -> None:
    """Silence is how it says so."""
    event = quiet(world)
    soon = timedelta(seconds=10) + LOOK_SOON_AFTER
    assert world.delivery(event, "builder").due_at == world.clock.at + soon
    tell(world, world.message(event, "builder"), "ACTIVE", "DELIVERED", responseStatus=200)

    world.sweep(soon.total_seconds())

    assert world.statuses(event.id)["builder"] is Status.DELIVERED


def test_what_settled_meanwhile_is_not_asked_about(world: World) -> None:
    """The index lags; a call costs."""
    event = world.post().event
    for name in event.expected:
        world.report(event, name, sourceMessageId=world.message(event, name))
    calls = len(world.wire.asked)

    world.sweep(SILENCE_S)

    assert len(world.wire.asked) == calls


def test_what_the_index_still_shows_and_is_not_due_any_more_is_left_alone(world: World) -> None:
    """Settled since, put off since, or pending again: the record says so."""
    event = world.post().event
    due = Due(event.id, "erp", world.clock.at + PATIENCE)
    world.clock.at += PATIENCE
    states: list[Callable[[Delivery], Delivery]] = [
        lambda it: it.due(event.generation, due.at + timedelta(seconds=1)),
        lambda it: it.ended(event.generation, Status.CANCELLED, "so"),
        lambda it: it.replayed(Generation("next"), due.at),
    ]
    calls = len(world.wire.asked)

    for change in states:
        world.store.change_delivery(event, "erp", change)
        follow_up(world.publisher, [due], FollowUp())

    assert len(world.wire.asked) == calls


def test_what_ended_needs_no_other_call(world: World) -> None:
    """A retry from QStash's console may be on its way: that it died is known, and written."""
    event = world.post().event
    dead(world, event, "erp")
    world.wire.say("msg_again", "CREATED", label=event.label, url=world.settings.destination_url("erp"))
    world.wire.broken = {"GET /v2/messages": 500}

    world.sweep(SILENCE_S)

    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


def test_of_several_messages_one_that_is_still_there_is_enough(world: World) -> None:
    """A retry from QStash's console waits, though the message before it is gone without an end."""
    event = world.post().event
    first = world.message(event, "erp")
    tell(world, first, "ACTIVE")
    world.wire.held.discard(first)
    world.wire.say("msg_z", "CREATED", label=event.label, url=world.settings.destination_url("erp"))
    world.wire.held.add("msg_z")

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.missing_since) == (Status.IN_FLIGHT, None)
