"""Reconciliation: what GitHub refuses costs no asking, and keeps no other hook from it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.github_api import HOOK
from tests.unit.relay.reconciling import LIMITED, ORG, Reconciling

if TYPE_CHECKING:
    from tests.unit.relay.world import World


@pytest.fixture
def reconciling(world: World) -> Reconciling:
    return Reconciling(world)


@pytest.mark.parametrize("status", [408, 429, 500, 0])
def test_what_nobody_refused_is_asked_for_every_half_hour(reconciling: Reconciling, status: int) -> None:
    """A gateway that has no room says 429: that is no word of the relay's."""
    reconciling.refusing = status
    reconciling.up = False
    reconciling.lose(status=status)

    done = [reconciling.run() for _ in range(8)]

    assert [one.asked for one in done] == [1, 0] * 4
    assert done[-1].missing == []


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(403, headers=LIMITED, json={"message": "API rate limit exceeded"}),
        httpx.Response(403, headers={"retry-after": "60"}, json={"message": "secondary rate limit"}),
        httpx.Response(429, headers=LIMITED),
        httpx.Response(502),
        httpx.ConnectTimeout("slow"),
    ],
    ids=["used up", "secondary", "429", "outage", "silence"],
)
@pytest.mark.parametrize("at", [0, 1, 2], ids=["list", "details", "asking"])
def test_what_passes_by_itself_ends_the_run_and_costs_no_asking(
    reconciling: Reconciling, failure: httpx.Response | Exception, at: int
) -> None:
    """The next run goes on where it ended."""
    lost = reconciling.lose(2)
    reconciling.api.failures = [*[None] * at, failure]

    stopped = reconciling.run()
    calls = len(reconciling.api.asked)
    again = reconciling.run()

    assert stopped.stopped
    assert (stopped.asked, stopped.refused, calls) == (0, {}, at + 1)
    assert (again.stopped, again.asked) == (None, 2)
    assert all(map(reconciling.has, lost))
    assert all(one.asked == 0 for one in stopped.missing)


def test_a_list_whose_reading_was_cut_short_goes_on_at_its_page(reconciling: Reconciling) -> None:
    """What was read before isn't read again, and what came meanwhile is the run's after."""
    reconciling.api.per_page = 10
    lost = reconciling.lose(25)
    reconciling.api.failures = [None, httpx.Response(403, headers=LIMITED)]

    first = reconciling.run()
    meanwhile = reconciling.lose()
    second = reconciling.run()
    third = reconciling.run()

    assert (first.looked_at, first.waiting, second.looked_at, second.asked) == (10, 10, 15, 25)
    assert third.looked_at == 1 + second.asked
    assert all(map(reconciling.has, lost + meanwhile))


def test_a_run_that_runs_out_of_time_goes_on_next_time(reconciling: Reconciling) -> None:
    reconciling.api.per_page = 10
    lost = reconciling.lose(25)

    first = reconciling.run(seconds=iter([60, 60, 0]))
    second = reconciling.run()
    reconciling.run()

    assert (first.stopped, first.looked_at, second.looked_at) == ("out of time", 20, 5)
    assert all(map(reconciling.has, lost))


def test_a_page_that_is_gone_has_the_list_read_from_the_newest(reconciling: Reconciling) -> None:
    """Else a cursor that GitHub has forgotten would end every run."""
    reconciling.api.per_page = 10
    reconciling.lose(15)
    reconciling.api.failures = [None, httpx.Response(502)]
    reconciling.run()
    reconciling.api.failures = [httpx.Response(422, json={"message": "Invalid cursor"})]

    done = reconciling.run()

    assert (done.refused, done.looked_at, done.waiting) == ({}, 15, 15)


def test_a_hook_that_github_refuses_is_named_and_keeps_no_other_from_it(reconciling: Reconciling) -> None:
    reconciling.add_hook(ORG)
    reconciling.configure("repos/octo-org/gone/hooks/1", ORG)
    (lost,) = reconciling.lose(hook=ORG)

    done = reconciling.run()

    assert list(done.refused) == ["repos/octo-org/gone/hooks/1"]
    assert "404: Not Found" in done.refused["repos/octo-org/gone/hooks/1"]
    assert reconciling.has(lost)


def test_a_hook_whose_list_is_refused_has_no_askings_spent(reconciling: Reconciling) -> None:
    """It is one refusal, not one an event."""
    reconciling.lose(3)
    reconciling.up = False
    reconciling.run()
    del reconciling.api.hooks[HOOK]
    calls = len(reconciling.api.asked)

    done = reconciling.run(after=timedelta(hours=1))

    assert (len(reconciling.api.asked) - calls, done.asked, done.waiting) == (1, 0, 3)


def test_a_token_that_github_refuses_is_told_and_costs_no_asking(reconciling: Reconciling) -> None:
    reconciling.lose()

    refused = reconciling.run(token="ghp_old")
    mended = reconciling.run()

    assert "401: Bad credentials" in refused.refused[HOOK]
    assert mended.asked == 1


def test_a_token_that_may_not_ask_is_told_and_costs_no_asking(reconciling: Reconciling) -> None:
    (lost,) = reconciling.lose()
    forbidden = httpx.Response(403, json={"message": "Resource not accessible by personal access token"})
    reconciling.api.failures = [None, None, forbidden]

    refused = reconciling.run()
    mended = reconciling.run()

    assert "not accessible" in refused.refused[HOOK]
    assert (refused.asked, mended.asked, reconciling.has(lost)) == (0, 1, True)


def test_a_sending_that_github_has_no_more_refuses_no_hook(reconciling: Reconciling) -> None:
    lost = reconciling.lose(2)
    reconciling.api.failures = [None, httpx.Response(404, json={"message": "Not Found"})]

    done = reconciling.run()

    assert (done.refused, done.stopped) == ({}, None)
    assert [reconciling.has(guid) for guid in lost] == [False, True]
