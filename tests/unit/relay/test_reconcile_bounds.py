"""Reconciliation: how often, how much and how far back is asked for, and what the relay itself refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.query import answers
from tests.github_api import HOOK
from tests.unit.relay.reconciling import Reconciling

if TYPE_CHECKING:
    from tests.unit.relay.world import World


@pytest.fixture
def reconciling(world: World) -> Reconciling:
    return Reconciling(world)


# -- bounds --------------------------------------------------------------------------------------------------------


def test_asking_is_half_an_hour_apart_and_ends_after_five(reconciling: Reconciling) -> None:
    """Then it is missing, and shown as such until it comes or is a week old."""
    (lost,) = reconciling.lose()
    reconciling.up = False

    asked = []
    missing = []
    counted = []
    for _ in range(20):
        done = reconciling.run()
        asked.append(done.asked)
        missing.append([one.guid for one in done.missing])
        counted.append(answers.show_config(reconciling.world.settings, reconciling.world.store)["counts"]["missing"])

    assert counted == [len(one) for one in missing]
    assert asked == [1, 0] * 5 + [0] * 10
    assert missing == [[]] * 10 + [[lost]] * 10
    assert len(reconciling.api.repeated) == 5


def test_what_github_has_no_more_is_not_asked_for_and_is_missing(reconciling: Reconciling) -> None:
    """However few askings were spent: nothing but a person's hand can help now."""
    (lost,) = reconciling.lose()
    reconciling.up = False
    reconciling.run()

    done = reconciling.run(after=timedelta(hours=73))

    assert (done.asked, len(reconciling.api.repeated)) == (0, 1)
    assert [one.guid for one in done.missing] == [lost]


def test_what_was_missing_and_came_at_last_is_not_missing_any_more(reconciling: Reconciling) -> None:
    """A person had it sent again by hand."""
    (lost,) = reconciling.lose()
    reconciling.up = False
    for _ in range(11):
        reconciling.run()
    reconciling.up = True
    reconciling.api.send(guid=lost)

    done = reconciling.run()

    assert (done.missing, done.arrived) == ([], 1)


def test_a_run_asks_for_a_hundred_the_oldest_first(reconciling: Reconciling) -> None:
    """GitHub forgets the oldest first, and others need its rate limit, too."""
    guids = []
    for _ in range(130):
        guids += reconciling.lose()
        reconciling.world.clock.at += timedelta(seconds=1)

    first, second = reconciling.run(), reconciling.run()

    assert (first.asked, first.waiting, second.asked, second.arrived) == (100, 130, 30, 100)
    assert [guid for guid in guids[:100] if not reconciling.has(guid)] == []


def test_the_first_run_looks_as_far_back_as_github_can_send_again(reconciling: Reconciling) -> None:
    old, kept = reconciling.lose()[0], ""
    reconciling.world.clock.at += timedelta(hours=3)
    kept = reconciling.lose()[0]

    done = reconciling.run(after=timedelta(hours=70))

    assert (done.looked_at, reconciling.has(old), reconciling.has(kept)) == (1, False, True)


def test_an_event_whose_record_has_expired_is_not_missing(reconciling: Reconciling) -> None:
    """With a retention shorter than GitHub's memory it would be delivered twice."""
    reconciling.configure(HOOK, retention_days=1)
    reconciling.api.send()

    done = reconciling.run(after=timedelta(hours=30))

    assert (done.looked_at, done.asked) == (0, 0)


def test_a_run_reads_the_list_only_back_to_the_last_one(reconciling: Reconciling) -> None:
    """Each sending is paid for once."""
    reconciling.api.per_page = 10
    for _ in range(40):
        reconciling.api.send()
        reconciling.world.clock.at += timedelta(seconds=1)
    first = reconciling.run()
    pages = len(reconciling.api.asked)
    reconciling.api.send()

    second = reconciling.run()

    assert (first.looked_at, pages) == (40, 4)
    assert (second.looked_at, len(reconciling.api.asked) - pages) == (1, 1)


@pytest.mark.local_aws
def test_a_look_at_a_hundred_sendings_is_one_read_of_the_table(reconciling: Reconciling) -> None:
    for _ in range(100):
        reconciling.api.send()
    calls: list[str] = []
    events = reconciling.world.store.table.client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    reconciling.run()

    assert calls.count("BatchGetItem") == 1
    assert "GetItem" not in calls


# -- what the relay refused ----------------------------------------------------------------------------------------


def test_what_was_refused_is_shown_soon_and_asked_for_ever_more_rarely(reconciling: Reconciling) -> None:
    """The secret is wrong: that is known within the hour, and there are askings left a day later."""
    reconciling.refusing = 401
    (lost,) = reconciling.lose(status=401)

    at = []
    shown = []
    for number in range(48 * 4):
        done = reconciling.run()
        at += [number] * done.asked
        shown += [number] * len(done.missing)

    assert [number / 4 for number in at] == [0, 0.5, 2.5, 10.5, 42.5]  # hours
    assert shown[0] == 2
    assert not reconciling.has(lost)


def test_once_the_secret_is_mended_what_was_refused_is_asked_for_at_once(reconciling: Reconciling) -> None:
    """What is accepted since is the sign; it is kept for runs that come later."""
    reconciling.refusing = 401
    (lost,) = reconciling.lose(status=401)
    for _ in range(13):
        reconciling.run()
    reconciling.refusing = 0
    reconciling.api.send()

    mended = reconciling.run()
    after = reconciling.run()

    assert (mended.asked, after.arrived, after.missing) == (1, 1, [])
    assert reconciling.shown(lost)["reconciled_at"] is not None


def test_a_body_that_is_too_large_is_asked_for_once(reconciling: Reconciling) -> None:
    """The same bytes stay too large, whatever else is accepted."""
    reconciling.refusing = 413
    (lost,) = reconciling.lose(status=413)
    reconciling.run()
    reconciling.refusing = 0
    reconciling.api.send()

    done = [reconciling.run() for _ in range(4)]

    assert len(reconciling.api.repeated) == 1
    assert [[one.guid for one in run.missing] for run in done[1:]] == [[lost]] * 3
