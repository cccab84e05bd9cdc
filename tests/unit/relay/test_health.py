"""How destinations are doing: every number is what a plain reckoning over the deliveries says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.delivery import Attempt, Delivery, Status
from relay.model.ids import EventId, Generation, iso
from relay.query import health
from relay.query.health import Health, look
from relay.storage.items import delivery_item
from tests.unit.relay.ledgers import DAY, SECOND, put

if TYPE_CHECKING:
    from tests.unit.relay.world import World

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    """Make a delivery in any status after any attempts, the last of them the one that succeeded, if any did."""
    received = NOW - timedelta(seconds=draw(st.integers(0, 200_000)))
    status = draw(st.sampled_from(Status))
    tries = draw(st.integers(1 if status is Status.DELIVERED else 0, 4))
    took = timedelta(milliseconds=draw(st.integers(0, 100_000)))
    attempts = {}
    for number in range(1, tries + 1):
        succeeded = status is Status.DELIVERED and number == tries
        at = received + took * number / tries
        attempt = Attempt(at, number, "msg", Generation("g"), succeeded=succeeded)
        attempts[attempt.key] = attempt
    return Delivery(
        event_id=EventId(f"rly_{draw(st.integers(0, 10**9))}"),
        destination="erp",
        group="audit",
        source="github",
        event_type="push",
        event_received_at=received,
        generation=Generation("g"),
        since=received,
        expires_at=NOW + DAY,
        status=status,
        attempts=attempts,
    )


@given(st.lists(deliveries(), max_size=40))
def test_the_numbers_are_those_of_a_plain_reckoning(them: list[Delivery]) -> None:
    """Over the attempts themselves, which the index doesn't have."""
    found = Health()

    for delivery in them:
        found.add(delivery_item(delivery))

    attempts = [attempt for it in them for attempt in it.attempts.values()]
    failed = [it for it in attempts if not it.succeeded]
    arrived = {attempt.at: it for it in them for attempt in it.attempts.values() if attempt.succeeded}
    flying = [it.event_received_at for it in them if it.status is Status.IN_FLIGHT]
    assert found.counts == Counter(it.status for it in them)
    assert (found.attempts, found.failed) == (len(attempts), len(failed))
    assert found.failure_rate == (len(failed) / len(attempts) if attempts else None)
    assert found.last_success_at == (iso(max(arrived)) if arrived else None)
    assert found.in_flight_s(NOW) == ((NOW - min(flying)).total_seconds() if flying else None)
    dead = any(it.status in {Status.DEAD_LETTERED, Status.UNPUBLISHABLE} for it in them)
    assert found.looks_dead == (not arrived and (bool(failed) or dead))


@pytest.mark.parametrize(
    ("counts", "failed", "dead"),
    [
        ({}, 0, False),
        ({Status.IN_FLIGHT: 1}, 1, True),
        ({Status.IN_FLIGHT: 1, Status.DELIVERED: 1}, 5, False),
        ({Status.UNPUBLISHABLE: 1}, 0, True),
        ({Status.DEAD_LETTERED: 1}, 0, True),
        ({Status.HELD: 1, Status.REMOVED: 1, Status.CANCELLED: 1}, 0, False),
    ],
)
def test_dead_looks_what_took_nothing_though_it_was_or_would_have_been_asked(
    counts: dict[Status, int], failed: int, *, dead: bool
) -> None:
    assert Health(counts=Counter(counts), attempts=failed, failed=failed).looks_dead is dead


@given(st.lists(st.floats(0, 10**6, allow_nan=False), min_size=1, max_size=200))
def test_95_of_100_took_no_longer(times: list[float]) -> None:
    """And of those that it says, none could be left out."""
    p95 = Health(delivered_s=times).p95_s

    assert p95 in times
    assert sum(it <= p95 for it in times) >= 0.95 * len(times)
    assert sum(it < p95 for it in times) < 0.95 * len(times)


def test_p95_of_a_hundred_is_the_ninety_fifth() -> None:
    assert Health(delivered_s=[float(it) for it in range(100, 0, -1)]).p95_s == 95
    assert quantiles(range(1, 101), n=20, method="inclusive")[-1] == pytest.approx(95, abs=0.1)
    assert Health().p95_s is None


def test_what_is_to_come_counts_however_old_and_what_ended_of_the_time_asked_about(world: World) -> None:
    for number, status in enumerate((Status.DELIVERED, Status.DEAD_LETTERED, Status.HELD, Status.IN_FLIGHT)):
        put(world, world.post(key=f"old {number}").event, "erp", status)
    world.clock.at += 2 * DAY
    for number, status in enumerate((Status.DELIVERED, Status.DELIVERED, Status.REMOVED)):
        put(world, world.post(key=f"new {number}").event, "erp", status)

    found = look(world.store, since=world.clock() - DAY, seconds_left=lambda: 9)

    assert found.complete
    counts = found.by_destination["erp"].counts
    expected = {Status.DELIVERED: 2, Status.REMOVED: 1, Status.HELD: 1, Status.IN_FLIGHT: 1}
    assert {it: count for it, count in counts.items() if count} == expected
    assert found.by_destination["erp"].in_flight_s(world.clock()) == (2 * DAY).total_seconds()
    assert set(found.by_destination) == {"erp", "ledger", "builder"}


def test_one_destination_is_looked_at_alone(world: World) -> None:
    put(world, world.post().event, "erp", Status.DELIVERED)

    found = look(world.store, since=world.clock() - DAY, seconds_left=lambda: 9, destination="erp")

    assert set(found.by_destination) == {"erp"}


def test_every_page_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SLICE", 1)
    for number in range(60):
        event = world.save(key=str(number))
        entry = delivery_item(replace(Delivery.of(event, "erp"), status=Status.DELIVERED))
        world.store.table.put(entry | {"feed_pk": "delivered#0"})
        world.clock.at += SECOND

    found = look(world.store, since=world.clock() - DAY, seconds_left=lambda: 9)

    assert found.by_destination["erp"].counts[Status.DELIVERED] == 60
    assert found.complete


def test_where_time_or_the_bound_ends_it_the_oldest_is_missing_and_that_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(world, world.post(key="1").event, "erp", Status.DELIVERED)
    left = iter([9.0] * 3)

    late = look(world.store, since=world.clock() - DAY, seconds_left=lambda: next(left, 0.0))
    monkeypatch.setattr(health, "ENTRIES_MAX", 0)
    many = look(world.store, since=world.clock() - DAY, seconds_left=lambda: 9)

    assert (late.complete, many.complete) == (False, False)
    assert many.by_destination == {}
