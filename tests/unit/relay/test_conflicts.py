"""Other bytes under an event's id: kept and counted, and never delivered in the first one's place."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import NotFound
from relay.model.delivery import Status
from relay.publishing.claim_checks import CARRIED_BODY_MAX_BYTES
from relay.query import answers
from relay.storage.store import INLINE_BODY_MAX_BYTES

if TYPE_CHECKING:
    from tests.unit.relay.world import World

FIRST, OTHER = b'{"amount": 1}', b'{"amount": 2}'


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def shown_body(world: World, event_id: str, body: bytes) -> str:
    """Return the body of hash *body*'s, as operators get it."""
    shown = answers.show_event(world.store, event_id, with_body=True, sha256=sha256(body))  # type: ignore[arg-type]
    return str(shown["body"])


def test_the_same_bytes_again_are_no_conflict(world: World) -> None:
    """A plain redelivery."""
    event = world.post(FIRST).event

    again = world.post(FIRST)

    assert (again.duplicate, again.conflict) == (True, False)
    assert world.store.event(event.id).conflicts == 0  # type: ignore[union-attr]


def test_other_bytes_under_the_same_id_are_said_to_be_a_conflict(world: World) -> None:
    """The source made a mistake, or somebody else made use of one."""
    first = world.post(FIRST)

    again = world.post(OTHER)

    assert (again.duplicate, again.conflict) == (True, True)
    assert again.event.id == first.event.id
    assert again.event.sha256 == sha256(FIRST)


def test_they_are_not_published(world: World) -> None:
    """The first bytes are what the destinations got."""
    world.post(FIRST)

    world.post(OTHER)
    world.sweep()

    assert {it.content for it in world.wire.published} == {FIRST}


@pytest.mark.parametrize("size", [0, INLINE_BODY_MAX_BYTES, CARRIED_BODY_MAX_BYTES])
def test_both_bodies_are_readable(world: World, size: int) -> None:
    """Nothing that was acknowledged is lost: by its hash, in the table or in the bucket."""
    first, other = FIRST + b" " * size, OTHER + b" " * (size // 2)
    event = world.post(first).event

    world.post(other)

    assert shown_body(world, event.id, first).encode() == first
    assert shown_body(world, event.id, other).encode() == other
    assert answers.show_event(world.store, event.id, with_body=True)["body"].encode() == first


def test_a_body_that_never_came_is_not_found(world: World) -> None:
    """Whether or not there is a conflict."""
    event = world.post(FIRST).event
    world.post(OTHER)

    with pytest.raises(NotFound):
        shown_body(world, event.id, b"neither")


def test_an_event_shows_and_a_listing_counts_its_conflicts(world: World) -> None:
    """Each once, however often its bytes come."""
    event = world.post(FIRST).event
    for body in (OTHER, OTHER, b"third", FIRST):
        world.post(body)

    shown = answers.show_event(world.store, event.id, with_body=False)
    (listed,) = answers.list_events(world.store, {})["events"]

    assert {it["sha256"] for it in shown["conflicting"]} == {sha256(OTHER), sha256(b"third")}
    assert {it["size_bytes"] for it in shown["conflicting"]} == {len(OTHER), len(b"third")}
    assert shown["conflicts"] == listed["conflicts"] == 2


def test_a_conflict_of_a_dead_delivery_opens_it_again_with_the_first_bytes(world: World) -> None:
    """What died was the first event: its deliveries carry its bytes."""
    event = world.post(FIRST).event
    world.report(event, "erp", "failure", status=500, retried=2)

    world.clock.at += timedelta(seconds=60)

    again = world.post(OTHER)

    assert again.conflict
    assert len(again.reopened) == 1
    assert world.wire.published[-1].url.path == "/v2/publish/https://erp.example.com/in"
    assert world.wire.published[-1].content == FIRST
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
