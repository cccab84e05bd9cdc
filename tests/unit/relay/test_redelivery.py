"""A source that sends an event again has doubts: what died of it is made again, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from relay.errors import OperatorError, QStashError
from relay.model.delivery import Status
from relay.storage.generations import Cause, start_again
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from relay.ingest.accept import Acceptance
    from relay.model.event import Event
    from relay.publishing.publisher import Publisher
    from tests.unit.relay.world import World


def half_dead(world: World) -> Event:
    """Return an event whose delivery to erp is dead, to ledger delivered, and to builder in flight."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2, dlqId="17-0")
    world.report(event, "ledger")
    return event


def ended(world: World, status: Status) -> Event:
    """Return an event whose delivery to erp ended in *status*."""
    event = world.post().event
    world.store.change_delivery(event, "erp", lambda it: it.ended(event.generation, status, "so"))
    return event


def sent_again(world: World, *, after_s: float = 60) -> Acceptance:
    """Have the source send the event again, another request at another time."""
    world.clock.at += timedelta(seconds=after_s)
    return world.post()


def test_only_the_dead_delivery_is_opened_again(world: World) -> None:
    """What was delivered, or is on its way, isn't sent twice."""
    event = half_dead(world)

    again = sent_again(world)

    assert again.duplicate
    assert again.reopened == (world.delivery(event, "erp").id,)
    assert world.statuses(event.id) == {
        "ledger": Status.DELIVERED,
        "erp": Status.IN_FLIGHT,
        "builder": Status.IN_FLIGHT,
    }


def test_it_is_published_at_once_to_its_url_alone(world: World) -> None:
    """Under a new deduplication id, which QStash doesn't swallow."""
    half_dead(world)

    sent_again(world)

    (again,) = world.wire.published[2:]
    assert again.url.path == "/v2/publish/https://erp.example.com/in"
    assert len({it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}) == 3
    assert world.sweep().published == 0


def test_its_attempts_are_kept_and_its_cause_is_the_source(world: World) -> None:
    """A person who looks later sees both lives."""
    event = half_dead(world)
    dead = world.delivery(event, "erp")

    sent_again(world)

    assert world.delivery(event, "erp").attempts == dead.attempts
    items = world.store.table.client.scan(TableName=world.store.table.name)["Items"]
    (record,) = [it for it in items if it.get("kind", {}).get("S") == "REPLAY"]
    assert (record["by"]["S"], record["replaces"]["S"]) == ("source", event.generation)


def test_what_is_not_published_yet_is_the_outboxs(world: World) -> None:
    """A redelivery publishes nothing that is due anyway."""
    event = world.save()

    again = sent_again(world)

    assert (again.duplicate, again.reopened) == (True, ())
    assert world.wire.published == []
    assert set(world.statuses(event.id).values()) == {Status.PENDING}


def test_a_source_can_be_told_never_to_open_again(world: World) -> None:
    """`reopen = "never"`: the operators replay."""
    source = FLAT["sources"]["github"] | {"reopen": "never"}
    world.deploy(FLAT | {"sources": {"github": source}})
    event = half_dead(world)

    again = sent_again(world)

    assert (again.duplicate, again.reopened) == (True, ())
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED
    assert len(world.wire.published) == 2


def test_what_was_unpublishable_is_tried_again(world: World) -> None:
    """QStash's mind, or its limits, may have changed."""
    event = ended(world, Status.UNPUBLISHABLE)

    again = sent_again(world)

    assert again.reopened == (world.delivery(event, "erp").id,)
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    assert world.delivery(event, "erp").reason is None


@pytest.mark.parametrize("status", [Status.REMOVED, Status.CANCELLED, Status.UNACCOUNTED])
def test_what_a_person_ended_or_must_decide_stays_so(world: World, status: Status) -> None:
    """The source doesn't know of it."""
    event = ended(world, status)

    again = sent_again(world)

    assert (again.duplicate, again.reopened) == (True, ())
    assert world.statuses(event.id)["erp"] is status
    assert len(world.wire.published) == 2


def test_two_redeliveries_at_once_open_it_once(world: World) -> None:
    """All see it dead; one of them changes it."""
    event = half_dead(world)
    world.clock.at += timedelta(seconds=60)

    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: sent_again(world, after_s=0), range(4)))

    assert sum(len(it.reopened) for it in again) == 1
    assert len(world.wire.published) == 3
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_whoever_saw_an_older_state_changes_nothing(world: World) -> None:
    """Not even the record of a replay is made."""
    event = half_dead(world)
    dead = world.delivery(event, "erp")
    assert start_again(world.store, event, dead, Cause("rpl_1", None, None)) is not None

    assert start_again(world.store, event, dead, Cause("rpl_2", None, None)) is None

    assert world.store.table.get("REPLAY#rpl_1", dead.id) is not None
    assert world.store.table.get("REPLAY#rpl_2", dead.id) is None


def test_where_it_cant_be_published_now_the_sweep_does_it(world: World) -> None:
    """The source is acknowledged all the same."""
    event = half_dead(world)
    world.wire.failures = [httpx.ConnectError("down")]

    again = sent_again(world)
    swept = world.sweep(1)

    assert isinstance(again.failure, QStashError)
    assert len(again.reopened) == 1
    assert swept.published == 1
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    assert len(world.wire.taken) == 3


def test_nor_does_it_need_anything_to_publish_with(world: World) -> None:
    """No token any more: it is due, and the sweep's."""
    event = half_dead(world)
    world.clock.at += timedelta(seconds=60)

    def nothing() -> Publisher:
        raise OperatorError("no token")

    again = world.post(publisher=nothing)

    assert isinstance(again.failure, OperatorError)
    assert again.reopened == (world.delivery(event, "erp").id,)
    assert world.sweep(1).published == 1


def test_one_that_died_again_is_opened_again_each_time(world: World) -> None:
    """A generation has an id of its own."""
    event = half_dead(world)
    for number in range(3):
        sent_again(world)
        now = world.delivery(event, "erp")
        told = {"generation": now.generation, "scope": "d.erp", "sourceMessageId": f"msg_{number}"}
        world.report(event, "erp", "failure", status=500, retried=2, **told)
    ids = {it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}

    assert len(ids) == len(world.wire.published) == 2 + 3
