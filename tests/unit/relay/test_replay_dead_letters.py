"""A replay takes its dead letter out of QStash once it isn't needed there; and what may be replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from relay.model.delivery import Status
from relay.replay.deliveries import REPLAYABLE, replay_deliveries, replay_event

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.replay.deliveries import StartedReplay
    from tests.unit.relay.world import World


def dead(world: World, *, dlq_id: str = "17-0") -> Event:
    """Return an event whose delivery to erp is dead, its dead letter in QStash beside another one."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2, dlqId=dlq_id)
    world.wire.dead_letters = [{"dlqId": dlq_id, "messageId": "m"}, {"dlqId": "other", "messageId": "n"}]
    return event


def replayed(world: World, event: Event) -> StartedReplay:
    """Replay the delivery to erp."""
    return replay_event(
        world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by=None, reason=None
    )


def kept(world: World) -> list[str]:
    """Return the dead letters that QStash keeps."""
    return [it["dlqId"] for it in world.wire.dead_letters]


def test_a_dead_letter_leaves_qstash_once_it_is_published_again(world: World) -> None:
    """Else somebody retries it from QStash's console as well."""
    event = dead(world)
    replayed(world, event)
    before = kept(world)

    world.sweep(1)

    assert before == ["17-0", "other"]
    assert kept(world) == ["other"]
    assert world.delivery(event, "erp").replaced_dlq_id is None


def test_it_stays_while_qstash_does_not_take_the_new_one(world: World) -> None:
    """Until then it is the only copy that QStash has."""
    event = dead(world)
    replayed(world, event)
    world.wire.failures = [401]

    world.sweep(1)

    assert kept(world) == ["17-0", "other"]
    assert world.delivery(event, "erp").replaced_dlq_id == "17-0"
    world.sweep(60)
    assert kept(world) == ["other"]


def test_it_stays_where_the_new_one_can_never_be_published(world: World) -> None:
    """Nothing took its place; the next replay does."""
    event = dead(world)
    replayed(world, event)
    world.wire.failures = [413]

    world.sweep(1)
    refused = kept(world)
    replayed(world, event)
    world.sweep(1)

    assert refused == ["17-0", "other"]
    assert kept(world) == ["other"]


def test_it_stays_where_the_answer_names_no_message(world: World) -> None:
    """Nobody knows what QStash made of it: it is owed on."""
    event = dead(world)
    replayed(world, event)
    world.wire.garbled = [b"[]"]

    world.sweep(1)

    assert kept(world) == ["17-0", "other"]
    world.sweep(300)
    assert kept(world) == ["other"]
    assert len(world.wire.taken) == 3


def test_a_delete_that_fails_costs_nothing(world: World) -> None:
    """The audit finds what was left behind."""
    event = dead(world)
    replayed(world, event)
    world.wire.broken = {"DELETE /v2/dlq": 500}

    done = world.sweep(1)

    assert (done.published, done.failed) == (1, 0)
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    assert world.sweep(60).published == 0


def test_an_answer_that_was_lost_does_not_lose_the_dead_letters_id(world: World) -> None:
    """Published again, under the same id, it goes then."""
    event = dead(world)
    replayed(world, event)
    world.wire.failures = [httpx.ReadTimeout("void")]
    world.sweep(1)

    world.sweep(60)

    assert kept(world) == ["other"]
    assert len(world.wire.taken) == 3


@pytest.mark.parametrize(
    "status",
    [Status.UNACCOUNTED, Status.CANCELLED, Status.REMOVED, Status.UNPUBLISHABLE],
)
def test_whatever_ended_it_a_person_can_replay_it(world: World, status: Status) -> None:
    """The event is there; it is theirs to decide."""
    event = world.post().event
    world.store.change_delivery(event, "erp", lambda it: it.ended(event.generation, status, "so"))

    replay = replayed(world, event)
    world.sweep(1)

    assert [(it.destination, it.reason) for it in replay.deliveries] == [("erp", None)]
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


@pytest.mark.parametrize("published", [True, False])
def test_what_is_still_owed_or_on_its_way_cant_be(world: World, *, published: bool) -> None:
    """It would be doubled."""
    event = world.post().event if published else world.save()
    one = world.delivery(event, "erp").id

    whole = replayed(world, event)
    single = replay_deliveries(world.store, [one], by=None, reason=None)

    status = "in_flight" if published else "pending"
    assert (whole.deliveries, single.deliveries) == ([], [])
    assert whole.skipped == single.skipped == [(one, f"it is {status}")]


def test_what_was_delivered_is_replayed_only_where_it_is_asked_for(world: World) -> None:
    """`include_delivered`; or by its own id."""
    event = world.post().event
    world.report(event, "erp")

    def replay(*, include_delivered: bool) -> int:
        started = replay_event(
            world.store,
            event.id,
            world.router,
            destinations=["erp"],
            include_delivered=include_delivered,
            by=None,
            reason=None,
        )
        return len(started.deliveries)

    assert [replay(include_delivered=False), replay(include_delivered=True)] == [0, 1]


def test_a_replay_takes_whatever_is_over() -> None:
    """And a status that is new must be thought about."""
    assert set(Status) - REPLAYABLE == {Status.PENDING, Status.IN_FLIGHT}
