"""Replaying over the real store, QStash at the wire: a dead letter goes to its destination alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.model.delivery import Status
from relay.replay.deliveries import replay_deliveries, replay_event

if TYPE_CHECKING:
    from tests.unit.relay.world import World


def test_a_replayed_dead_letter_is_published_to_its_destination_alone(world: World) -> None:
    """A new generation, a new deduplication id: QStash doesn't swallow it."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2, dlqId="17-0")
    world.report(event, "builder", scope="g.ci")
    before = len(world.wire.published)

    replay = replay_event(
        world.store, event.id, world.router, destinations=None, include_delivered=False, by="arn:me", reason="repaired"
    )
    swept = world.sweep(seconds=1)

    assert [it.destination for it in replay.deliveries] == ["erp"]
    assert {name for name, _ in replay.skipped} == {it for it in (x[0] for x in replay.skipped) if "erp" not in it}
    assert swept.published == 1
    (again,) = world.wire.published[before:]
    assert str(again.url).endswith("/v2/publish/https://erp.example.com/in")
    ids = {it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}
    assert len(ids) == 3
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    generation = replay.deliveries[0].generation
    world.report(event, "erp", generation=generation, scope="d.erp", sourceMessageId="msg_new")
    assert world.statuses(event.id)["erp"] is Status.DELIVERED


def test_each_replay_has_a_deduplication_id_of_its_own(world: World) -> None:
    """A second replay to the same destination isn't swallowed as a duplicate of the first."""
    event = world.post().event
    generation = event.generation
    for _ in range(3):
        world.report(event, "erp", "failure", status=500, retried=2, generation=generation, scope="d.erp")
        replay = replay_event(
            world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by=None, reason=None
        )
        generation = replay.deliveries[0].generation
        world.sweep(seconds=1)

    ids = [it.headers["Upstash-Deduplication-Id"] for it in world.wire.published]
    assert len(set(ids)) == len(ids) == 2 + 3


def test_a_late_report_of_the_old_generation_does_not_touch_the_new_one(world: World) -> None:
    """The replay is in flight until its own report comes."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    replay_event(
        world.store, event.id, world.router, destinations=["erp"], include_delivered=False, by=None, reason=None
    )
    world.sweep(seconds=1)

    world.report(event, "erp", status=500, retried=1)

    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_what_is_still_on_its_way_is_not_replayed(world: World) -> None:
    """Only a terminal delivery gets a new generation."""
    event = world.post().event
    delivery = world.store.delivery(event, "erp")

    replay = replay_deliveries(world.store, [delivery.id], by=None, reason=None)

    assert replay.deliveries == []
    assert replay.skipped == [(delivery.id, "it is in_flight")]
