"""What a replay of many chooses: counted first, bounded by the moment of its start, and never everything there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.errors import BadRequest
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.model.replay import RATE_MAX
from relay.replay import bulk
from tests.unit.relay.replays import ERP, advance, dead, erp, start

if TYPE_CHECKING:
    from tests.unit.relay.world import World


def test_a_count_says_what_would_be_replayed_by_status_and_changes_nothing(world: World) -> None:
    """Without a status: all that ended, and didn't arrive; what is held will go by itself."""
    number = dict(zip(Status, (0, 2, 0, 2, 1, 1, 2, 3, 2), strict=True))
    events = [
        event
        for at, (status, count) in enumerate(number.items())
        for event in dead(world, count, status=status, first=at * 10)
    ]
    before = [world.store.delivery(it, "erp") for it in events]

    counted = bulk.count(world.store, ERP, lambda: 30)

    assert counted.by_status == {
        "unaccounted": 2,
        "cancelled": 1,
        "removed": 1,
        "unpublishable": 2,
        "dead_lettered": 3,
    }
    assert counted.complete
    assert [world.store.delivery(it, "erp") for it in events] == before
    assert world.store.replays.newest(9) == []


def test_a_status_that_is_named_is_the_only_one(world: World) -> None:
    dead(world, 2, Status.DELIVERED)
    dead(world, 1, first=9)

    assert bulk.count(world.store, ERP | {"status": "delivered"}, lambda: 30).by_status == {"delivered": 2}


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"source": "github"}, 2),
        ({"source": "stripe"}, 0),
        ({"type": "push"}, 2),
        ({"type": "fork"}, 0),
        ({"destination": "ledger"}, 0),
        ({"since": "2026-01-31T09:00:02Z"}, 1),
        ({"until": "2026-01-31T09:00:02Z"}, 1),
    ],
    ids=str,
)
def test_every_filter_of_a_listing_chooses(world: World, query: dict[str, str], number: int) -> None:
    dead(world, 2)

    assert bulk.count(world.store, query, lambda: 30).by_status["dead_lettered"] == number
    assert advance(world, start(world, query)) == number


def test_a_count_counts_every_page_until_time_is_short(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)
    dead(world, 5)
    left = iter([1.0, 1.0])

    whole = bulk.count(world.store, ERP, lambda: 30)
    part = bulk.count(world.store, ERP, lambda: next(left, 0.0))

    assert (whole.by_status["dead_lettered"], whole.complete) == (5, True)
    assert (part.by_status["dead_lettered"], part.complete) == (4, False)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "say which"),
        ({"colour": "red"}, "colour"),
        ({"limit": "7"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"status": "lost"}, "status"),
        ({"status": "pending"}, "under way"),
        ({"status": "in_flight"}, "under way"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-31T09:00:00Z", "until": "2026-01-31T09:00:00Z"}, "before"),
        ({"since": "2027-01-31T09:00:00Z"}, "before"),
    ],
    ids=str,
)
def test_a_query_that_chooses_nothing_sensible_is_refused(world: World, query: dict[str, str], says: str) -> None:
    """Everything there is among it; and nothing is started."""
    with pytest.raises(BadRequest, match=says):
        start(world, query)

    assert world.store.replays.due() == []


@pytest.mark.parametrize(
    "query", [{}, {"status": "pending"}, {"since": "2026-02-01T09:00:00Z", "until": "2026-01-31T09:00:00Z"}]
)
def test_a_count_refuses_what_a_replay_refuses(world: World, query: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        bulk.count(world.store, query, lambda: 30)


@pytest.mark.parametrize("rate", [0, -1, RATE_MAX + 1])
def test_a_rate_out_of_bounds_is_refused(world: World, rate: int) -> None:
    with pytest.raises(BadRequest, match="rate"):
        start(world, rate=rate)


@pytest.mark.parametrize("query", [{}, {"until": "2027-01-31T09:00:00Z"}], ids=["no end", "an end to come"])
def test_what_comes_after_the_start_is_not_replayed(world: World, query: dict[str, str]) -> None:
    """It isn't what was counted."""
    before = dead(world, 1)
    job = start(world, ERP | query)
    after = dead(world, 1, first=9)

    advance(world, job)

    assert erp(world, before + after) == [Status.PENDING, Status.DEAD_LETTERED]


def test_an_end_that_was_asked_for_stays(world: World) -> None:
    events = dead(world, 2)
    job = start(world, ERP | {"until": iso(events[1].received_at)})

    advance(world, job)

    assert erp(world, events) == [Status.PENDING, Status.DEAD_LETTERED]
