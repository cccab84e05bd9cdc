"""What the state machine once found, reduced to the acts that it takes: each stays true by a test of its own."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from relay.deployment import sync
from relay.model.delivery import DEAD, Status
from tests.memory_aws import Fault
from tests.model.configuration import FIRST, Kind, other_url
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.protocol import PUBLISHES
from tests.model.world import PUBLISH_IS_CALL, World

UNHEARD: dict[str, Any] = {"on": "call", "do": "void", "match": {"path": PUBLISHES}, "seconds": 30.0, "count": 1}
"""QStash takes the next publish, and its answer gets lost."""


def statuses(world: World) -> set[Status]:
    return {it for it in Status if world.deliveries({it})}


def assert_all_is_delivered(world: World) -> None:
    """Let the world become quiet, and find everything delivered, once."""
    world.become_quiet()

    assert violations(world) == []
    assert statuses(world) == {Status.DELIVERED}


def test_callbacks_that_die_while_nobody_knows_the_keys_are_made_up_for() -> None:
    """The keys are rolled twice, and no sweep reads them until every callback's retries are spent."""
    with closing(World()) as world:
        world.account.rotate()
        world.account.rotate()
        world.webhook("github", "1")
        world.wait(seconds=25_000)
        world.wait(days=1)

        world.become_quiet()

        assert world.refused[401] > 0
        assert violations(world) == []
        assert statuses(world) == {Status.DELIVERED}


@pytest.mark.parametrize(
    ("behaviour", "ends"), [(Behaviour.UP, Status.DELIVERED), (Behaviour.DEAD, Status.DEAD_LETTERED)]
)
def test_callbacks_that_are_lost_are_made_up_for(behaviour: Behaviour, ends: Status) -> None:
    """QStash's log tells what they would have."""
    with closing(World()) as world:
        world.destinations.behaviour |= dict.fromkeys(("ledger", "erp", "builder"), behaviour)
        world.fault(on="callback", do="lose")
        world.webhook("github", "1")

        world.become_quiet()

        assert violations(world) == []
        assert statuses(world) == {ends}


def test_a_message_that_qstash_loses_is_published_again() -> None:
    """No attempt of it was begun, so it can't be doubled."""
    with closing(World()) as world:
        world.fault(on="delivery", do="lose", count=3)
        world.webhook("github", "1")

        assert_all_is_delivered(world)


def test_a_publish_that_is_answered_as_a_duplicate_of_what_qstash_lost_is_made_again() -> None:
    """QStash knows the id and has no message: it is taken for published, looked after, and found missing."""
    with closing(World()) as world:
        world.fault(on="delivery", do="lose", count=3)
        world.fault(**UNHEARD)
        world.webhook("github", "1")
        world.wait(minutes=1)
        world.sweep()
        believed = statuses(world)

        assert_all_is_delivered(world)

        assert believed == {Status.IN_FLIGHT}


@pytest.mark.parametrize("soon_s", [5, 110, 300])
def test_what_a_url_group_that_was_deleted_held_up_goes_out_within_minutes_of_its_mending(soon_s: float) -> None:
    """Its token may not publish, the group is deleted; both are mended.

    A mended group may be another than before, so what was saved before it waits until QStash's log can't lag any more
    (README: eight minutes).  Until then QStash has nothing of it, and no sweep says that it has.
    """
    with closing(World()) as world:
        may_publish, reader = world.qstash, world.with_token(world.account.read_only_token)
        world.qstash = reader
        for number in range(3):
            world.webhook("github", str(number))
        world.wait(minutes=1)
        world.sweep()
        world.qstash = may_publish
        world.delete_group("audit")
        sync.mend("relay", qstash=world.qstash, store=world.store)
        mended_at = world.now()
        world.wait(seconds=soon_s)
        told = [world.sweep()]
        while not world.destinations.seen and len(told) < 12:
            world.wait(minutes=1)
            told.append(world.sweep())
        took = world.now() - mended_at

        *before, last = [(it.published, it.waiting) for it in told if it]
        assert {published for published, _ in before} == {0}
        assert before[0][1] > 0
        assert last == (9, 0)
        assert statuses(world) == {Status.DELIVERED}
        assert took <= timedelta(minutes=8)
        assert_all_is_delivered(world)


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_what_no_sweep_saw_for_days_is_settled_or_left_to_a_person(fault: Fault) -> None:
    """Where its callbacks came it is settled; where nobody can tell, it is said, and nothing stays due."""
    with closing(World()) as world:
        world.calls.arm(fault, after=PUBLISH_IS_CALL)
        world.webhook("stripe", "1")
        world.webhook("stripe", "1")  # its source sends again, and is told that it is durable
        world.wait(days=4)

        world.become_quiet()

        assert violations(world) == []
        assert statuses(world) == {Status.UNACCOUNTED if fault is Fault.CRASH_BEFORE else Status.DELIVERED}


def test_what_somebody_cancelled_is_over() -> None:
    """Even while its attempt is under way."""
    with closing(World(latency_s=3.0)) as world:
        world.destinations.behaviour["ledger"] = Behaviour.DOWN
        world.webhook("stripe", "1")
        world.wait(seconds=1)
        for number in range(2):
            world.cancel(number)

        world.become_quiet()

        assert violations(world) == []
        assert not statuses(world) & DEAD


def test_a_webhook_that_the_table_doesnt_take_goes_through_the_spool_once() -> None:
    """It is acknowledged, taken in by a sweep, delivered once, and gone from the spool."""
    with closing(World()) as world:
        world.calls.arm(Fault.REFUSED)
        event = world.webhook("github", "1")

        world.become_quiet()

        assert event in world.acknowledged
        assert world.calls.made.count("s3.PutObject") == 1
        assert violations(world) == []
        assert statuses(world) == {Status.DELIVERED}


def test_a_webhook_that_waited_in_the_spool_for_days_is_published() -> None:
    """It wasn't in the table, so QStash can't have it: nobody need ask a log that doesn't reach back so far."""
    with closing(World()) as world:
        world.calls.arm(Fault.REFUSED)
        world.webhook("github", "1")
        world.wait(days=4)

        world.become_quiet()

        assert statuses(world) == {Status.DELIVERED}


@pytest.mark.parametrize("ended", [True, False], ids=["by the new functions", "by the old ones"])
@pytest.mark.parametrize("lag_s", [0.0, 240.0], ids=["the log shows it", "the log lags"])
@pytest.mark.parametrize("scope", ["account", "destination"])
def test_what_a_deploy_moves_is_not_published_to_both_urls(scope: str, lag_s: float, *, ended: bool) -> None:
    """QStash took it, and its answer got lost; its deduplication id is another at the new URL."""
    with closing(World(scope=scope, log_lag_s=lag_s)) as world:
        world.fault(**UNHEARD)
        world.webhook("github", "1")
        world.begin_deploy(other_url(world.layout))
        if ended:
            world.end_deploy()
        world.wait(seconds=61)
        world.sweep()

        assert_all_is_delivered(world)


def test_a_replay_that_a_deploy_moves_is_not_published_to_both_urls() -> None:
    """Where a deduplication id is one of its URL's, and no callback tells."""
    with closing(World(scope="destination")) as world:
        world.destinations.behaviour["ledger"] = Behaviour.DEAD
        world.webhook("stripe", "1")
        world.wait(seconds=61)
        world.destinations.behaviour["ledger"] = Behaviour.UP
        ((event, name),) = world.deliveries({Status.DEAD_LETTERED})
        world.replay(event, name)
        world.fault(on="callback", do="lose")
        world.fault(**UNHEARD)
        world.sweep()
        world.begin_deploy({**FIRST, "audit": {**FIRST["audit"], name: Kind.OTHER_URL}})
        world.end_deploy()
        world.wait(seconds=61)
        world.sweep()

        assert_all_is_delivered(world)


def test_what_went_to_a_url_alone_is_known_again_after_a_deploy_moved_that() -> None:
    """Nothing but QStash's log tells that it was delivered, to the URL of before."""
    with closing(World()) as world:
        world.drift("erp")
        world.webhook("stripe", "1")
        world.fault(on="callback", do="lose")
        world.wait(seconds=330)
        world.sweep()
        world.wait(seconds=1)
        world.begin_deploy(other_url(world.layout))
        world.end_deploy()

        assert_all_is_delivered(world)


def test_what_was_published_as_its_destination_was_paused_is_not_held_and_sent_again() -> None:
    """QStash took it, and nobody heard: neither an answer nor a callback."""
    with closing(World()) as world:
        world.drift("erp")
        world.webhook("stripe", "1")
        world.fault(on="callback", do="lose")
        world.wait(seconds=361)
        world.fault(**UNHEARD)
        world.sweep()
        world.pause("erp")
        for _ in range(4):
            world.wait(seconds=61)
            world.sweep()
        world.resume("erp")

        assert_all_is_delivered(world)


@pytest.mark.parametrize("status", [400, 412, 413])
@pytest.mark.parametrize("lag_s", [0.0, 240.0], ids=["the log shows it", "the log lags"])
def test_what_is_refused_now_and_was_taken_before_is_not_reopened(lag_s: float, status: int) -> None:
    """Nobody heard that it was taken; its source sends it again."""
    with closing(World(log_lag_s=lag_s)) as world:
        world.fault(on="callback", do="lose")
        world.fault(**UNHEARD)
        world.webhook("github", "1")
        world.fault(on="call", do="answer", match={"path": PUBLISHES}, status=status, count=50)
        for _ in range(3):
            world.wait(seconds=61)
            world.sweep()
        world.webhook("github", "1")

        assert_all_is_delivered(world)


def test_what_was_never_taken_and_is_refused_is_unpublishable_once_the_log_cant_lag() -> None:
    with closing(World()) as world:
        world.calls.arm(Fault.CRASH_BEFORE, after=PUBLISH_IS_CALL)
        world.webhook("github", "1")
        world.fault(on="call", do="answer", match={"path": PUBLISHES}, status=413, count=50)
        seen = []
        for _ in range(8):
            world.wait(seconds=61)
            world.sweep()
            seen.append(statuses(world))

        assert seen[0] == {Status.PENDING}
        assert seen[-1] == {Status.UNPUBLISHABLE}
