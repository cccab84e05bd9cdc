"""However much is tried, a delivery's record fits its item: the first and last attempts are kept, the rest counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.delivery import (
    ATTEMPTS_FIRST,
    ATTEMPTS_LAST,
    MESSAGES_MAX,
    RESPONSE_EXCERPT_MAX_CHARS,
    Attempt,
    Delivery,
    Report,
    Status,
)
from relay.model.ids import Generation
from relay.storage.items import delivery_item, delivery_of, plain, wire
from tests.memory_aws.tables import ITEM_MAX_BYTES, item_bytes
from tests.unit.relay.test_model import NOW, OLD, START, a_delivery

if TYPE_CHECKING:
    import random

    from tests.unit.relay.world import World

WIDEST = "\ufffd" * RESPONSE_EXCERPT_MAX_CHARS
KEPT = ATTEMPTS_FIRST + ATTEMPTS_LAST


def failed(number: int, message: str = "msg_a", generation: Generation = NOW, *, succeeded: bool = False) -> Report:
    at = START + timedelta(seconds=number)
    return Report(Attempt(at, number, message, generation, succeeded=succeeded, status_code=500, response=WIDEST))


def told(delivery: Delivery, *reports: Report) -> Delivery:
    for report in reports:
        delivery = delivery.after(report)
    return delivery


@pytest.mark.parametrize("number", [1, KEPT - 1, KEPT, KEPT + 1, 999])
def test_all_are_counted_and_the_first_and_the_last_are_kept(number: int) -> None:
    found = told(a_delivery(), *(failed(it) for it in range(1, number + 1)))

    numbers = [it.number for it in found.attempts.values()]
    assert found.attempts_count == number
    assert len(numbers) == min(number, KEPT)
    assert {1, min(number, ATTEMPTS_FIRST), number} <= set(numbers)


def test_what_succeeded_is_kept_wherever_it_stands() -> None:
    found = told(a_delivery(), *(failed(it, succeeded=it == 30) for it in range(1, 60)))

    assert [it.number for it in found.attempts.values() if it.succeeded] == [30]
    assert found.attempts_count == 59


REPORTS = st.lists(
    st.builds(
        failed,
        st.integers(1, 60),
        st.sampled_from([f"msg_{it}" for it in "abcdefgh"]),
        st.just(NOW),
    ),
    max_size=60,
)


@given(REPORTS, st.randoms(use_true_random=False))
def test_what_is_kept_does_not_depend_on_the_order(reports: list[Report], chance: random.Random) -> None:
    """Nor on how often it is told."""
    shuffled = [*reports, *reports[:20]]
    chance.shuffle(shuffled)

    assert told(a_delivery(), *reports) == told(a_delivery(), *shuffled)


def test_replays_without_end_leave_the_newest_messages_and_count_the_rest() -> None:
    delivery = a_delivery()
    for number in range(300):
        generation = delivery.generation
        delivery = told(delivery, *(failed(it, f"msg_{number:04d}", generation) for it in range(1, 4)))
        delivery = delivery.replayed(Generation(f"g{number}"), START + timedelta(hours=number + 1))

    assert delivery.attempts_count == 900
    assert {it.message_id for it in delivery.attempts.values()} == {f"msg_{it:04d}" for it in range(296, 300)}


def test_a_late_report_of_what_is_no_longer_kept_adds_nothing_without_bound() -> None:
    delivery = replace(a_delivery(), generation=Generation("g"))

    for number in range(200):
        delivery = delivery.after(failed(1, f"msg_{number:04d}", OLD))

    assert len(delivery.attempts) == MESSAGES_MAX


@pytest.mark.parametrize("generation", [NOW, OLD])
def test_the_fullest_record_fits_its_item_and_reads_back(generation: Generation) -> None:
    """Every message with every attempt, and every text as wide as can be."""
    delivery = replace(a_delivery(), reason=WIDEST * 2, dlq_id="1" * 100, message_id="m" * 100)
    for message in range(MESSAGES_MAX * 2):
        name = f"msg_{message}" + "x" * 60
        of = NOW if message % 2 else generation
        delivery = told(delivery, *(failed(it, name, of, succeeded=it % 50 == 0) for it in range(1, 1000, 3)))

    item = wire(delivery_item(delivery))

    assert item_bytes(item) < ITEM_MAX_BYTES
    assert delivery_of(plain(item)) == delivery


def test_a_thousand_failures_end_as_any_others_do(world: World) -> None:
    """Callbacks go on being taken, the audit goes on, and all are counted where they are shown."""
    event = world.post().event
    message = world.message(event, "erp")
    for retried in range(600):
        world.report(
            event, "erp", status=500, retried=retried, sourceMessageId=message, maxRetries=999, body="/////w==" * 120
        )
    world.report(event, "erp", status=200, retried=600, sourceMessageId=message, maxRetries=999)

    delivery = world.delivery(event, "erp")

    assert (delivery.status, delivery.attempts_count) == (Status.DELIVERED, 601)
    assert len(delivery.attempts) == KEPT
