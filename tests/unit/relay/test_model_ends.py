"""The algebra of deliveries with publishes and ends in it: any order, any number of times, within a generation."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.delivery import DEAD, OPEN, RANK, Attempt, Delivery, Report, Status
from relay.model.ids import Generation
from tests.store_conformance import Clock, an_event

if TYPE_CHECKING:
    from collections.abc import Callable

Change = tuple[str, "Callable[[Delivery], Delivery]"]
ENDS = [Status.UNACCOUNTED, Status.CANCELLED, Status.REMOVED, Status.UNPUBLISHABLE]
REASONS = {status: f"because of {status}" for status in ENDS}
START = Clock().at
LOOK = START + timedelta(minutes=10)
NOW, OLD, NEXT = Generation("now"), Generation("old"), Generation("next")

generations = st.sampled_from([NOW, NOW, NOW, OLD])
moments = st.integers(0, 50).map(lambda s: START + timedelta(seconds=s))
published = st.builds(
    lambda generation, message, at: (
        f"published({generation}, {message}, {at:%S})",
        lambda it: it.published(generation, message, at, LOOK),
    ),
    generations,
    st.sampled_from(["msg_a", "msg_b"]),
    moments,
)
ended = st.builds(
    lambda generation, status: (
        f"ended({generation}, {status})",
        lambda it: it.ended(generation, status, REASONS[status]),
    ),
    generations,
    st.sampled_from(ENDS),
)
after = st.builds(
    lambda at, number, message, generation, succeeded, dead: (
        f"after({at:%S}, {number}, {message}, {generation}, {succeeded}, {dead})",
        lambda delivery: delivery.after(
            Report(
                Attempt(at, number, message, generation, succeeded=succeeded),
                dead=dead,
                dlq_id=f"{number}-0" if dead else None,
            )
        ),
    ),
    moments,
    st.integers(1, 3),
    st.sampled_from(["msg_a", "msg_b"]),
    generations,
    st.booleans(),
    st.booleans(),
)
changes = st.lists(st.one_of(published, ended, after), max_size=6)


def a_delivery() -> Delivery:
    return Delivery.of(an_event(Clock(), generation=NOW), "erp")


def fold(told: list[Change], delivery: Delivery | None = None) -> Delivery:
    """Return a delivery after all of *told*."""
    delivery = delivery or a_delivery()
    for _, change in told:
        delivery = change(delivery)
    return delivery


@given(changes.flatmap(lambda them: st.tuples(st.just(them), st.permutations(them))))
def test_the_order_does_not_matter(both: tuple[list[Change], list[Change]]) -> None:
    """Answers, callbacks and looks overtake one another."""
    told, shuffled = both

    assert fold(told) == fold(shuffled)


@given(changes, st.data())
def test_what_is_told_again_changes_nothing(told: list[Change], data: st.DataObject) -> None:
    """Everything is written at least once."""
    once = fold(told)
    again = data.draw(st.sampled_from(told)) if told else ("", lambda it: it)

    assert fold([again], once) == once


@given(changes, changes)
def test_a_status_never_falls(told: list[Change], more: list[Change]) -> None:
    """What is known later outranks what was known before, whoever tells it."""
    before = fold(told)

    assert RANK[fold(more, before).status] >= RANK[before.status]


@given(changes)
def test_nothing_is_owed_to_what_is_over(told: list[Change]) -> None:
    """Neither a publish nor a look."""
    delivery = fold(told)

    assert delivery.status in OPEN or delivery.due_at is None


@given(changes)
def test_nothing_can_be_made_due_again_that_is_over(told: list[Change]) -> None:
    """Whatever the sweep read before it ended."""
    delivery = fold(told)

    for due in (delivery.due(NOW, LOOK), delivery.owed(NOW, LOOK), delivery.waiting(NOW, LOOK, "the log")):
        assert (due.due_at is None) == (delivery.status not in OPEN)


@given(changes, published)
def test_what_is_published_and_open_is_looked_after(told: list[Change], publish: Change) -> None:
    """Nothing in flight can be forgotten."""
    delivery = fold([*told, ("published", lambda d: d.published(NOW, "msg_a", START, LOOK)), publish])

    assert delivery.status not in OPEN or delivery.due_at is not None
    assert delivery.status is not Status.PENDING


def test_an_answer_that_comes_again_moves_no_look() -> None:
    """The sweep decided when; an answer that was slow, or is repeated, knows less."""
    delivery = a_delivery().published(NOW, "msg_a", START, LOOK).due(NOW, LOOK + timedelta(hours=6))

    again = delivery.published(NOW, "msg_a", START, LOOK + timedelta(minutes=1))

    assert again == delivery


def test_a_publish_puts_what_was_due_to_be_published_off_to_its_look() -> None:
    """It was due at once, as a replay is: now QStash has it."""
    delivery = a_delivery().replayed(NEXT, START)

    assert delivery.published(NEXT, "msg_b", START, LOOK).due_at == LOOK


@given(changes)
def test_a_reason_is_that_of_its_status(told: list[Change]) -> None:
    """Or there is none: what was unaccounted and is delivered has no excuse any more."""
    delivery = fold(told)

    assert delivery.reason == REASONS.get(delivery.status)


@given(changes)
def test_only_the_current_generation_counts(told: list[Change]) -> None:
    """Of an older one attempts are kept, as history, and nothing else."""
    of_now = [(name, change) for name, change in told if str(OLD) not in name.replace("(", ", ").split(", ")]

    assert replace(fold(told), attempts={}) == replace(fold(of_now), attempts={})


@given(changes)
def test_a_replay_owes_a_publish_whatever_came_before(told: list[Change]) -> None:
    """A new generation begins anew; its dead letter is remembered until QStash has it."""
    before = fold(told)

    again = before.replayed(NEXT, START + timedelta(hours=1))

    assert (again.status, again.due_at, again.message_id, again.dlq_id, again.reason, again.missing_since) == (
        Status.PENDING,
        START + timedelta(hours=1),
        None,
        None,
        None,
        None,
    )
    assert again.replaced_dlq_id == before.dlq_id
    assert again.attempts == before.attempts


@given(changes)
def test_what_the_replaced_generation_still_tells_is_history(told: list[Change]) -> None:
    """Late callbacks, answers and looks change nothing of a replay."""
    again = a_delivery().replayed(NEXT, START)

    late = fold(told, again)

    assert replace(late, attempts={}) == again


def test_a_dead_letter_is_remembered_until_qstash_has_what_replaces_it() -> None:
    """Through replays that were never published."""
    dead = Report(Attempt(START, 1, "msg_a", NOW, succeeded=False), dead=True, dlq_id="1-0")
    twice = a_delivery().after(dead).replayed(OLD, START).replayed(NEXT, START)

    assert twice.replaced_dlq_id == "1-0"
    assert twice.ended(NEXT, Status.UNPUBLISHABLE, "no").replaced_dlq_id == "1-0"
    assert twice.published(NEXT, "msg_b", START, LOOK).replaced_dlq_id is None


def test_a_message_is_missing_since_it_was_missed_first() -> None:
    """Until it is there, or its destination was heard of."""
    later = START + timedelta(minutes=5)
    heard = Report(Attempt(later, 1, "msg_a", NOW, succeeded=False))
    delivery = a_delivery().published(NOW, "msg_a", START, LOOK)

    missed = delivery.missing(NOW, START).missing(NOW, later)

    assert missed.missing_since == START
    assert missed.there(NOW) == delivery
    assert missed.there(OLD) == missed
    assert missed.after(heard).missing_since is None


@pytest.mark.parametrize("due", [None, LOOK - timedelta(1), LOOK, LOOK + timedelta(1)])
def test_what_is_owed_by_a_time_is_due_then_or_before(due: datetime | None) -> None:
    """A drift found late doesn't put off a look that was due sooner."""
    delivery = replace(a_delivery(), due_at=due)

    assert delivery.owed(NOW, LOOK).due_at == min(due or LOOK, LOOK)


@pytest.mark.parametrize("due", [None, LOOK - timedelta(1), LOOK, LOOK + timedelta(1)])
def test_what_waits_is_put_off_but_no_look_is(due: datetime | None) -> None:
    """The publish was due just now, and isn't asked for at every sweep; what a callback told of is looked after."""
    pending = replace(a_delivery(), due_at=due)
    in_flight = replace(pending, status=Status.IN_FLIGHT)

    waiting, looked_after = (it.waiting(NOW, LOOK, "the log") for it in (pending, in_flight))

    assert (waiting.due_at, waiting.reason) == (LOOK, "the log")
    assert (looked_after.due_at, looked_after.reason) == (min(due or LOOK, LOOK), None)
    assert pending.waiting(OLD, LOOK, "the log") == pending


def test_the_ranks_are_those_that_were_thought_about() -> None:
    """Delivered above dead above whatever people or QStash ended, and that nobody knows below them all."""
    by_rank = sorted(Status, key=RANK.__getitem__)

    assert by_rank[:4] == [Status.PENDING, Status.HELD, Status.IN_FLIGHT, Status.UNACCOUNTED]
    assert by_rank[-2:] == [Status.DEAD_LETTERED, Status.DELIVERED]
    assert {Status.UNPUBLISHABLE, Status.DEAD_LETTERED} == DEAD
    assert {Status.PENDING, Status.IN_FLIGHT} == OPEN
