"""The algebra of deliveries, over all orders of all reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from relay.model.delivery import RANK, Attempt, Delivery, Report, Status
from relay.model.event import Event
from relay.model.ids import (
    EventId,
    Generation,
    deduplication_id,
    delivery_id,
    event_id,
    from_iso,
    iso,
    split_delivery_id,
)

START = datetime(2026, 1, 31, 9, tzinfo=UTC)
LOOK = START + timedelta(minutes=10)
NOW, OLD = Generation("now"), Generation("old")


def an_event() -> Event:
    return Event(
        id=event_id("github", "1"),
        source="github",
        idempotency_key="1",
        event_type="push",
        received_at=START,
        saved_at=START,
        content_type="application/json",
        headers={},
        sha256="00",
        size_bytes=2,
        expected={"erp": "audit"},
        generation=NOW,
        expires_at=START + timedelta(days=30),
    )


def a_delivery() -> Delivery:
    return Delivery.of(an_event(), "erp")


attempts = st.builds(
    Attempt,
    at=st.integers(0, 50).map(lambda s: START + timedelta(seconds=s)),
    number=st.integers(1, 3),
    message_id=st.sampled_from(["msg_a", "msg_b"]),
    generation=st.sampled_from([NOW, OLD]),
    succeeded=st.booleans(),
)
reports = st.builds(
    Report, attempt=attempts, dead=st.booleans(), dlq_id=st.sampled_from([None, "1700000000000-0", "1700000000001-0"])
)


def fold(delivery: Delivery, told: list[Report]) -> Delivery:
    for report in told:
        delivery = delivery.after(report)
    return delivery


@given(st.lists(reports, max_size=6).flatmap(lambda them: st.tuples(st.just(them), st.permutations(them))))
def test_the_order_of_reports_does_not_matter(both: tuple[list[Report], list[Report]]) -> None:
    """Callbacks come in any order."""
    told, shuffled = both

    assert fold(a_delivery(), told) == fold(a_delivery(), shuffled)


@given(st.lists(reports, min_size=1, max_size=6), st.data())
def test_a_report_told_again_changes_nothing(told: list[Report], data: st.DataObject) -> None:
    """QStash reports at least once."""
    once = fold(a_delivery(), told)

    again = once.after(data.draw(st.sampled_from(told)))

    assert again == once


@given(st.lists(reports, max_size=6), reports)
def test_a_status_never_falls(told: list[Report], report: Report) -> None:
    """Delivered outranks dead-lettered outranks in flight."""
    before = fold(a_delivery(), told)

    after = before.after(report)

    assert RANK[after.status] >= RANK[before.status]


@given(st.lists(reports, max_size=6))
def test_an_old_generation_changes_no_status(told: list[Report]) -> None:
    """What is reported late of a generation that was replaced is history."""
    of_now = [report for report in told if report.attempt.generation == NOW]

    assert fold(a_delivery(), told).status == fold(a_delivery(), of_now).status


def test_delivered_outranks_dead_lettered() -> None:
    """A retry from QStash's console can deliver a dead letter; that is the end of it."""
    dead = Report(Attempt(START, 1, "msg_a", NOW, succeeded=False), dead=True, dlq_id="1-0")
    good = Report(Attempt(START, 1, "msg_b", NOW, succeeded=True))

    assert fold(a_delivery(), [good, dead]).status is Status.DELIVERED
    assert fold(a_delivery(), [dead]).status is Status.DEAD_LETTERED
    assert fold(a_delivery(), [dead]).dlq_id == "1-0"


def test_the_publish_answer_and_a_callback_commute() -> None:
    """A callback can come before the publish returns."""
    good = Report(Attempt(START + timedelta(seconds=1), 1, "msg_a", NOW, succeeded=True))

    first = a_delivery().published(NOW, "msg_a", START, LOOK).after(good)
    second = a_delivery().after(good).published(NOW, "msg_a", START, LOOK)

    assert first == second
    assert first.status is Status.DELIVERED


def test_an_answer_for_an_older_generation_is_not_attached() -> None:
    """A slow ingest must not put its message id on a replay."""
    assert a_delivery().published(OLD, "msg_a", START, LOOK) == a_delivery()
    assert a_delivery().ended(OLD, Status.UNPUBLISHABLE, "too large") == a_delivery()
    assert a_delivery().due(OLD, LOOK) == a_delivery().missing(OLD, LOOK) == a_delivery()


def test_a_replay_keeps_history_and_owes_a_publish() -> None:
    """A new generation starts at pending; its attempts before stay."""
    dead = Report(Attempt(START, 1, "msg_a", NOW, succeeded=False), dead=True, dlq_id="1-0")

    again = a_delivery().after(dead).replayed(Generation("next"), START + timedelta(hours=1))

    assert again.status is Status.PENDING
    assert again.due_at == START + timedelta(hours=1)
    assert list(again.attempts) == ["msg_a.1"]
    assert again.dlq_id is None


def test_an_event_id_tells_source_and_key_apart() -> None:
    """No two pairs run together."""
    ids = {event_id("a", "b:c"), event_id("a:b", "c"), event_id("a", "bc"), event_id("ab", "c")}

    assert len(ids) == 4
    assert all(it.startswith("rly_") and len(it) == 36 for it in ids)


@given(st.text("abcXYZ019_-", min_size=1, max_size=20))
def test_a_delivery_id_names_event_and_destination(name: str) -> None:
    """Both can be read off it."""
    event = event_id("github", "1")

    assert split_delivery_id(delivery_id(event, name)) == (event, name)
    assert split_delivery_id(delivery_id(event, name).partition(".")[0]) == (event, None)


def test_a_deduplication_id_differs_by_all_that_counts_and_has_no_colon() -> None:
    """Another relay, event, generation or scope is another publish; QStash refuses a colon."""
    base = ("relay", EventId("rly_a"), Generation("g"), "g.audit")
    others = [
        ("other", *base[1:]),
        (base[0], EventId("rly_b"), *base[2:]),
        (*base[:2], Generation("h"), base[3]),
        (*base[:3], "d.erp"),
    ]

    ids = {deduplication_id(*it) for it in [base, *others]}

    assert len(ids) == 5
    assert not any(":" in it for it in ids)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_at_rest_reads_back_and_sorts(moment: datetime) -> None:
    """Text order is time order, in every year that there is."""
    assert from_iso(iso(moment)) == moment
    assert (iso(moment) < iso(START)) == (moment < START)
