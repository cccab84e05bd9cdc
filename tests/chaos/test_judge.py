"""The judge of the chaos run: each loss, double and difference that is planted is found, and what is right is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.destinations import Arrival
from tests.chaos.ledger import (
    BY_QSTASH,
    BY_REPLAY,
    BY_UNSEEN,
    UNEXPLAINED,
    Ledger,
    Replay,
    Sent,
    compare,
    foreign,
    judge,
)

SENT = Sent("n1", "github", "hash", ("crm",), (202,))
REFUSED = replace(SENT, answers=(503, None))
ARRIVAL = Arrival("crm", "n1", "rly_1", "msg_1", 0, 200, seen=True, sha256="hash", at=1.0)
FAILED = replace(ARRIVAL, status=500, at=0.5)
RETRY = replace(ARRIVAL, retried=1, at=2.0)
ANOTHER = replace(ARRIVAL, message_id="msg_2", at=3.0)
UNSEEN = replace(ARRIVAL, seen=False)
DELIVERED = {("n1", "crm"): "delivered"}
DEAD = {("n1", "crm"): "dead_lettered"}


def doubles(ledger: Ledger) -> dict[str, int]:
    """Return the doubles by cause."""
    return {cause: number for cause, number in ledger.doubled.items() if number}


@pytest.mark.parametrize("came", [[ARRIVAL], [FAILED, RETRY]], ids=["at once", "at a retry"])
def test_what_arrived_and_is_said_to_be_delivered_is_delivered(came: list[Arrival]) -> None:
    ledger = judge([SENT], came, DELIVERED)

    assert (ledger.expected, ledger.delivered) == (1, 1)
    assert ledger.holds
    assert doubles(ledger) == {}


def test_what_every_try_of_failed_is_a_dead_letter() -> None:
    ledger = judge([SENT], [FAILED, replace(FAILED, retried=1)], DEAD)

    assert (ledger.dead_lettered, ledger.delivered, ledger.holds) == (1, 0, True)


@pytest.mark.parametrize("said", ["unpublishable", "held", "cancelled", "removed"])
def test_what_the_relay_says_it_holds_is_not_lost(said: str) -> None:
    ledger = judge([SENT], [], {("n1", "crm"): said})

    assert (ledger.held, ledger.lost, ledger.holds) == (1, 0, True)


@pytest.mark.parametrize("said", [{}, DELIVERED], ids=["says nothing", "says delivered"])
def test_an_accepted_webhook_that_is_nowhere_is_lost(said: dict[tuple[str, str], str]) -> None:
    """Whether the relay forgot it or believes it to be there."""
    ledger = judge([SENT], [], said)

    assert ledger.lost == 1
    assert not ledger.holds


def test_an_accepted_webhook_that_only_failed_is_lost_though_the_relay_says_it_was_delivered() -> None:
    assert judge([SENT], [FAILED], DELIVERED).lost == 1


@pytest.mark.parametrize("said", ["pending", "in_flight", "unaccounted", "never heard of"])
@pytest.mark.parametrize("came", [[], [FAILED]], ids=["nothing came", "a try came"])
def test_what_is_never_decided_is_unaccounted(said: str, came: list[Arrival]) -> None:
    ledger = judge([SENT], came, {("n1", "crm"): said})

    assert (ledger.unaccounted, ledger.holds) == (1, False)


@pytest.mark.parametrize("said", ["pending", "in_flight", "dead_lettered", "unpublishable", None])
def test_what_arrived_and_the_relay_doesnt_know_of_is_unaccounted(said: str | None) -> None:
    ledger = judge([SENT], [ARRIVAL], {("n1", "crm"): said} if said else {})

    assert (ledger.unaccounted, ledger.delivered, ledger.holds) == (1, 0, False)


def test_what_only_its_destination_knows_to_have_arrived_may_be_a_dead_letter() -> None:
    """Nobody heard its answer."""
    assert judge([SENT], [UNSEEN], DEAD).dead_lettered == 1
    assert judge([SENT], [FAILED, ARRIVAL], DEAD).dead_lettered == 1  # the second request of one attempt


def test_bytes_that_changed_on_the_way_are_unaccounted() -> None:
    assert judge([SENT], [replace(ARRIVAL, sha256="another")], DELIVERED).unaccounted == 1


@pytest.mark.parametrize("arrival", [replace(ARRIVAL, nonce="n2"), replace(ARRIVAL, destination="erp")])
def test_what_was_never_sent_there_is_unaccounted(arrival: Arrival) -> None:
    assert judge([SENT], [ARRIVAL, arrival], DELIVERED).unaccounted == 1


def test_what_the_relay_has_of_nobody_is_unaccounted() -> None:
    assert judge([SENT], [ARRIVAL], DELIVERED | {("rly_2", "crm"): "delivered"}).unaccounted == 1


def test_a_refused_webhook_is_owed_nothing() -> None:
    ledger = judge([REFUSED], [], {})

    assert (ledger.sent, ledger.accepted, ledger.refused, ledger.expected) == (1, 0, 1, 0)
    assert ledger.holds


def test_a_webhook_whose_answer_was_lost_may_arrive() -> None:
    assert judge([REFUSED], [ARRIVAL], DELIVERED).holds


def test_a_refused_webhook_that_the_relay_has_must_come_to_an_end() -> None:
    assert judge([REFUSED], [], {("n1", "crm"): "pending"}).unaccounted == 1


def test_a_refused_webhook_must_not_arrive_twice() -> None:
    assert doubles(judge([REFUSED], [ARRIVAL, ANOTHER], DELIVERED)) == {UNEXPLAINED: 1}


def test_a_2xx_among_several_answers_is_an_acceptance() -> None:
    assert judge([replace(SENT, answers=(503, None, 200))], [], {}).lost == 1


# -- doubles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "cause"),
    [
        ([ARRIVAL, replace(ARRIVAL, at=2.0)], BY_QSTASH),
        ([FAILED, ARRIVAL, RETRY], BY_UNSEEN),  # QStash went by the first of two requests of one attempt
        ([UNSEEN, RETRY], BY_UNSEEN),
        ([RETRY, replace(UNSEEN, at=3.0)], BY_UNSEEN),  # answered after it was given up
        ([UNSEEN, ANOTHER], BY_UNSEEN),
        ([ARRIVAL, RETRY], UNEXPLAINED),
        ([ARRIVAL, ANOTHER], UNEXPLAINED),
        ([UNSEEN, RETRY, ANOTHER], UNEXPLAINED),
        ([ARRIVAL, replace(ANOTHER, seen=False)], UNEXPLAINED),
    ],
)
def test_a_double_has_its_cause_or_none(came: list[Arrival], cause: str) -> None:
    causes = doubles(judge([SENT], came, DELIVERED))

    assert cause in causes
    assert (UNEXPLAINED in causes) == (cause == UNEXPLAINED)


def test_an_unexplained_double_breaks_the_promise_and_is_told() -> None:
    ledger = judge([SENT], [ARRIVAL, ANOTHER], DELIVERED)

    assert not ledger.holds
    assert ["n1 at crm" in it for it in ledger.findings] == [True]


def test_order_of_arrivals_doesnt_matter() -> None:
    assert doubles(judge([SENT], [RETRY, UNSEEN], DELIVERED)) == {BY_UNSEEN: 1}


# -- replays ------------------------------------------------------------------------------------------------------


def test_a_replay_explains_one_message_after_it() -> None:
    ledger = judge([SENT], [ARRIVAL, ANOTHER], DELIVERED, [Replay("n1", "crm", at=2.5)])

    assert doubles(ledger) == {BY_REPLAY: 1}
    assert (ledger.replayed, ledger.holds) == (1, True)


def test_a_replay_explains_no_second_message() -> None:
    third = replace(ARRIVAL, message_id="msg_3", at=4.0)

    assert doubles(judge([SENT], [ARRIVAL, ANOTHER, third], DELIVERED, [Replay("n1", "crm", at=2.5)])) == {
        BY_REPLAY: 1,
        UNEXPLAINED: 1,
    }


def test_a_replay_explains_nothing_that_came_before_it() -> None:
    ledger = judge([SENT], [ARRIVAL, ANOTHER], DELIVERED, [Replay("n1", "crm", at=3.5)])

    assert doubles(ledger) == {UNEXPLAINED: 1}


def test_a_replay_that_never_came_is_lost() -> None:
    ledger = judge([SENT], [FAILED], DEAD, [Replay("n1", "crm", at=2.0)])

    assert (ledger.lost, ledger.holds) == (1, False)


def test_a_replay_that_failed_again_came() -> None:
    again = replace(FAILED, message_id="msg_2", at=3.0)

    assert judge([SENT], [FAILED, again], DEAD, [Replay("n1", "crm", at=2.0)]).holds


# -- the ledger ---------------------------------------------------------------------------------------------------


def test_the_ledger_balances() -> None:
    sent = [replace(SENT, nonce=f"n{number}") for number in range(4)]
    said = {("n0", "crm"): "delivered", ("n1", "crm"): "dead_lettered", ("n2", "crm"): "in_flight"}

    ledger = judge(sent, [replace(ARRIVAL, nonce="n0")], said)

    assert (ledger.delivered, ledger.dead_lettered, ledger.held, ledger.lost, ledger.unaccounted) == (1, 1, 0, 1, 1)
    assert ledger.expected == ledger.delivered + ledger.dead_lettered + ledger.held + ledger.lost + ledger.unaccounted


def test_the_ledger_has_a_line_for_each_figure() -> None:
    lines = judge([SENT], [ARRIVAL, replace(ARRIVAL, at=2.0)], DELIVERED).lines()

    names = "sent, accepted, refused, expected deliveries, delivered, dead-lettered, held, replayed, lost, doubled"
    assert [it.partition(":")[0] for it in lines] == [*names.split(", "), "unaccounted"]
    assert f"doubled: 1 ({BY_QSTASH}: 1)" in lines


def test_a_balance_that_is_not_the_sum_of_the_records_is_unaccounted() -> None:
    """The relay's audit reads an index; its records are read one by one."""
    said = {("a", "steady"): "delivered", ("a", "flaky"): "dead_lettered", ("b", "steady"): "delivered"}
    right = {"expected": 3, "delivered": 2, "dead_lettered": 1, "pending": 0}
    ledger = Ledger()

    compare(ledger, said, right)
    before = ledger.unaccounted
    compare(ledger, said, right | {"delivered": 1, "in_flight": 1})

    assert (before, ledger.unaccounted) == (0, 2)
    assert not ledger.holds


def test_a_dead_letter_of_somebody_else_that_is_gone_is_lost() -> None:
    ledger = judge([SENT], [ARRIVAL], DELIVERED)

    foreign(ledger, [{"labels": ["ours"]}, {"labels": ["theirs"]}], "theirs")
    assert ledger.holds
    foreign(ledger, [{"labels": ["ours"]}, {}], "theirs")
    assert ledger.lost == 1
