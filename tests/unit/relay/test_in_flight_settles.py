"""Looking after what never reported, over the real store, QStash at the wire: its log tells what callbacks didn't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from relay.model.delivery import Status
from relay.model.ids import group_scope
from relay.query import views
from relay.replay.deliveries import replay_event
from relay.urls import CallbackAddress as Address
from tests.unit.relay.told import SILENCE_S, dead, retried, tell
from tests.unit.relay.world import MAC

if TYPE_CHECKING:
    from tests.unit.relay.world import World

OLD = "https://relay-before.example.com"  # what the relay was reached at before a deploy


def test_a_delivery_whose_callback_was_lost_is_settled_from_the_log(world: World) -> None:
    """With the attempts that its callbacks would have told of."""
    event = world.post().event
    message = world.message(event, "erp")
    retried(world, message)
    tell(world, message, "ACTIVE", "DELIVERED", responseStatus=201)

    done = world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.due_at) == (Status.DELIVERED, None)
    assert [(it["number"], it["status_code"], it["outcome"]) for it in views.attempts_json(erp)] == [
        (1, 500, "failed"),
        (2, 201, "succeeded"),
    ]
    assert views.attempts_json(erp)[0]["response"] == "oops"
    assert done.settled == 1


@pytest.mark.parametrize("kind", ["callback", "failure"])
@pytest.mark.parametrize("name", ["erp", "ledger", "builder"])
def test_that_our_own_callback_was_delivered_says_nothing_of_the_delivery(
    world: World, kind: Literal["callback", "failure"], name: str
) -> None:
    """A callback is a message, too, and may be listed under its message's labels, and its endpoint's name."""
    event = world.post().event
    message = world.message(event, name)
    retried(world, message)
    scope = group_scope(event.expected[name])
    said = {"label": event.label, "url": Address(kind, event.id, event.generation, scope).url(OLD, MAC)}
    for state in ("CREATED", "ACTIVE", "DELIVERED"):
        world.wire.say("msg_callback", state, endpointName=name, responseStatus=200, **said)
    world.wire.held.add(message)

    world.sweep(SILENCE_S)

    assert world.delivery(event, name).status is Status.IN_FLIGHT
    assert "msg_callback" not in {it.message_id for it in world.delivery(event, name).attempts.values()}


def test_a_callback_that_comes_later_adds_nothing(world: World) -> None:
    """The log's attempts have the keys that callbacks give."""
    event = world.post().event
    message = world.message(event, "erp")
    retried(world, message)
    tell(world, message, "ACTIVE", "DELIVERED", responseStatus=200)
    world.sweep(SILENCE_S)
    settled = world.delivery(event, "erp")

    world.report(event, "erp", sourceMessageId=message, status=500)
    world.report(event, "erp", sourceMessageId=message, retried=1)

    assert sorted(settled.attempts) == [f"{message}.1", f"{message}.2"]
    assert world.delivery(event, "erp") == settled


def test_a_delivery_whose_failure_callback_was_lost_is_dead_with_its_dead_letter(world: World) -> None:
    """QStash's list of them names it, under the message's id."""
    event = world.post().event
    message = dead(world, event, "erp")
    world.wire.dead_letters.insert(0, {"dlqId": "1-0", "messageId": "other", "label": event.label, "url": "x"})

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.dlq_id, erp.due_at) == (Status.DEAD_LETTERED, "17-0", None)
    assert sorted(erp.attempts) == [f"{message}.1", f"{message}.2"]


def test_its_dead_letter_may_stand_on_a_later_page(world: World) -> None:
    """QStash gives a hundred at a time."""
    event = world.post().event
    dead(world, event, "erp")
    others = [{"dlqId": f"{it}-0", "messageId": f"other_{it}", "label": event.label} for it in range(4)]
    world.wire.dead_letters = others + world.wire.dead_letters
    world.wire.page_max = 2

    world.sweep(SILENCE_S)

    assert world.delivery(event, "erp").dlq_id == "17-0"


def test_each_destination_of_a_group_has_its_own_end(world: World) -> None:
    """One label, several messages."""
    event = world.post().event
    dead(world, event, "erp")
    tell(world, world.message(event, "ledger"), "ACTIVE", "DELIVERED")

    world.sweep(SILENCE_S)

    assert world.statuses(event.id) == {
        "ledger": Status.DELIVERED,
        "erp": Status.DEAD_LETTERED,
        "builder": Status.IN_FLIGHT,
    }


@pytest.mark.parametrize("state", ["CANCELED", "CANCELLED"])
def test_a_message_that_somebody_cancelled_is_cancelled(world: World, state: str) -> None:
    """Nobody lost it: it says who ended it."""
    event = world.post().event
    tell(world, world.message(event, "erp"), "CANCEL_REQUESTED", state)

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.due_at) == (Status.CANCELLED, None)
    assert "cancelled" in str(erp.reason)


def test_a_retry_from_qstashs_console_settles_it(world: World) -> None:
    """It is another message, under the same label."""
    event = world.post().event
    dead(world, event, "erp")
    label, url = event.label, world.settings.destination_url("erp")
    world.wire.say("msg_again", "CREATED", label=label, url=url)
    tell(world, "msg_again", "ACTIVE", "DELIVERED")

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert erp.status is Status.DELIVERED
    assert "msg_again.1" in erp.attempts


@pytest.mark.parametrize("call", ["GET /v2/logs", "GET /v2/dlq", "GET /v2/messages"])
def test_where_qstash_fails_to_tell_all_stays_due(world: World, call: str) -> None:
    """What isn't known isn't written."""
    event = world.post().event
    if call == "GET /v2/dlq":
        dead(world, event, "erp")
    world.wire.broken = {call: 500}
    before = world.delivery(event, "erp")

    done = world.sweep(SILENCE_S)

    assert (done.settled, done.failed) == (0, 1)
    assert world.delivery(event, "erp") == before


def test_one_that_cant_be_recorded_keeps_no_other_from_it(world: World) -> None:
    """What QStash still has is asked message by message; an end needs no such call."""
    event = world.post().event
    tell(world, world.message(event, "ledger"), "ACTIVE", "DELIVERED")
    world.wire.broken = {"GET /v2/messages": 500}

    world.sweep(SILENCE_S)

    assert world.statuses(event.id)["ledger"] is Status.DELIVERED


def test_an_older_generations_lines_change_nothing_of_the_newer(world: World) -> None:
    """A replay has a label of its own."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2, sourceMessageId=world.message(event, "erp"))
    old = world.message(event, "erp")
    replay_event(
        world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by=None, reason=None
    )
    world.sweep(1)
    tell(world, old, "ACTIVE", "DELIVERED")

    world.sweep(SILENCE_S)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.message_id != old) == (Status.IN_FLIGHT, True)
    assert erp.due_at is not None
    assert erp.due_at > world.clock.at
