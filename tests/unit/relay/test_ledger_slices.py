"""The ledger in slices: it stops between two of them, goes on where it was, and has everything once."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.ledger import balance
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.storage.items import SHARDS, shard_of
from tests.conftest import Clients
from tests.examples import examples
from tests.memory_aws import MemoryDynamoDB, MemoryS3
from tests.unit.relay.ledgers import NAMES, SECOND, counts, put, saved, whole
from tests.unit.relay.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.ledger.balance import Balance

ACTS = [*Status, "saved", "published"]
Act = Status | str


def in_turns(world: World, slices: int = 1) -> list[Balance]:
    """Return balances of so many slices each, each going on where the one before stopped."""
    found: list[Balance] = []
    while not found or not found[-1].complete:
        assert len(found) < 100
        found.append(whole(world, positions=found[-1].positions if found else None, seconds=times(slices)))
    return found


def times(number: int) -> Callable[[], float]:
    """Return a clock by which so many slices have time."""
    left = iter([1.0] * number)
    return lambda: next(left, 0.0)


def keys_of_one_shard(number: int) -> list[str]:
    return [key for key in map(str, range(300)) if shard_of(event_id("github", key)) == 3][:number]


def test_a_balance_that_has_no_time_reads_nothing_and_says_so(world: World) -> None:
    world.post()

    found = whole(world, seconds=lambda: 0)

    assert counts(found) == {}
    assert not found.complete
    assert len(found.positions) == SHARDS


def test_a_balance_stops_where_time_is_short_and_goes_on_there(world: World) -> None:
    """What both found adds up to the whole."""
    for number in range(12):
        world.post(key=str(number))

    first = whole(world, seconds=times(SHARDS // 2))
    second = whole(world, positions=first.positions)

    assert (first.complete, second.complete) == (False, True)
    assert all(0 < sum(it.total() for it in part.by_destination.values()) < 36 for part in (first, second))
    assert counts(first, second) == counts(whole(world)) == {name: {Status.IN_FLIGHT: 12} for name in NAMES}


def test_what_an_earlier_balance_said_of_positions_stays_as_it_was(world: World) -> None:
    """They are saved while the next goes on."""
    world.post()
    first = whole(world, seconds=times(2))
    before = list(first.positions)

    whole(world, positions=first.positions)

    assert first.positions == before


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
def test_slices_have_each_event_once_with_all_of_its_deliveries(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Events of one moment among them, at the border of two slices; each with another status."""
    monkeypatch.setattr(balance, "EVENTS_A_SLICE", size)
    expected = dict.fromkeys((Status.DELIVERED, Status.DEAD_LETTERED, Status.IN_FLIGHT), 2)
    for number, key in enumerate(keys_of_one_shard(6)):
        world.clock.at += SECOND if number % 3 == 0 else timedelta(0)
        event = world.post(key=key).event
        for name in NAMES:
            put(world, event, name, list(expected)[number % 3])

    found = in_turns(world)

    assert counts(*found) == dict.fromkeys(NAMES, expected)
    assert sum(bool(it.by_destination) for it in found) == -(-6 // size)
    assert [it.findings for it in found if it.findings] == []


@pytest.mark.local_aws
def test_a_slice_reads_few_entries_beside_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is read for one would grow with what comes after it."""
    monkeypatch.setattr(balance, "EVENTS_A_SLICE", 2)
    for key in keys_of_one_shard(6):
        world.clock.at += SECOND
        world.post(key=key)
    asked: list[tuple[str, str]] = []

    def note(params: Any, **_: Any) -> None:
        values = params["ExpressionAttributeValues"]
        if values[":pk"]["S"] == "in_flight#3":
            asked.append((values[":above"]["S"], values[":below"]["S"]))

    dynamodb: Any = world.store.table.client
    dynamodb.meta.events.register("provide-client-params.dynamodb.Query", note)
    whole(world)
    dynamodb.meta.events.unregister("provide-client-params.dynamodb.Query", note)

    assert len(asked) == 3
    assert all(below == above for (_, below), (above, _) in pairwise(asked))


@given(
    histories=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["saved", "posted"]), st.tuples(*[st.sampled_from(ACTS)] * 3)),
        max_size=12,
    ),
    size=st.integers(1, 4),
    slices=st.integers(1, 5),
)
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happened_each_expected_delivery_has_one_status(
    monkeypatch: pytest.MonkeyPatch, histories: list[tuple[int, str, tuple[Act, ...]]], size: int, slices: int
) -> None:
    """`expected` is the number of events that named the destination; its statuses are those of the table."""
    monkeypatch.setattr(balance, "EVENTS_A_SLICE", size)
    world = World(Clients(MemoryDynamoDB(), MemoryS3()))
    truth: dict[str, dict[Status, int]] = {}
    for number, (seconds, came, acts) in enumerate(histories):
        world.clock.at += timedelta(seconds=seconds)
        event = saved(world, str(number)) if came == "saved" else world.post(key=str(number)).event
        for name, act in zip(NAMES, acts, strict=True):
            if isinstance(act, Status):
                put(world, event, name, act)
            elif act == "published":
                world.report(event, name, scope=f"g.{event.expected[name]}")
        for name, status in world.statuses(event.id).items():
            truth.setdefault(name, {}).setdefault(status, 0)
            truth[name][status] += 1

    found = in_turns(world, slices)

    assert counts(*found) == truth
    assert {it.why for part in found for it in part.findings if it.mendable} == set()
