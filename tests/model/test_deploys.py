"""A deploy that QStash hinders: lost answers, calls that fail at any step, a plan without room for one group more."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.desired import desired
from relay.deployment import states, sync
from relay.errors import QStashError
from relay.runtime import deadline
from tests.model.configuration import BASE, CHANGES, FIRST, add, flat, move, other_url, rename, split
from tests.model.ledger import violations
from tests.model.test_changes import ENDS, Story, assert_nothing_is_lost_or_doubled
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.configuration import Layout

    Change = Callable[[Layout], Layout]

WRITES = {"path": "/v2/topics/*"}
OLD = states.physical_id(json.dumps(desired(flat(FIRST), BASE)))


def said(layout: Layout) -> str:
    return json.dumps(desired(flat(layout), BASE))


def deploy(world: World, layout: Layout, current: str = OLD) -> str:
    """Have sync put *layout* into QStash, as CloudFormation asks it to."""
    return sync.add(said(layout), "relay", qstash=world.qstash, store=world.store, current=current)


def fail_writes(world: World, after: int, count: int | None = None) -> None:
    """Have QStash fail calls that change URL groups: those that come *after* some, and so many of them."""
    world.fault(on="call", do="answer", status=500, match=WRITES, after=after, count=count)


def end_faults(world: World) -> int:
    """Have no call fail any more; return how many did."""
    hits: int = sum(it["hits"] for it in world.ask_qstash("GET", "/admin/rules", admin=True)["rules"])
    world.ask_qstash("DELETE", "/admin/rules", admin=True)
    return hits


def failure(world: World, layout: Layout) -> str:
    """Return why a deploy fails; nothing where it doesn't."""
    try:
        deploy(world, layout)
    except QStashError as error:
        return str(error)
    return ""


def held(world: World) -> dict[str, dict[str, str]]:
    return {
        name: {it["name"]: it["url"] for it in them} for name, them in world.qstash.resources.groups("relay.").items()
    }


@pytest.fixture
def left_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have waiting take no time but that of the run: what is left of it, and each wait."""
    left = [280.0]

    def sleep(seconds: float) -> None:
        left[0] -= seconds
        left.append(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    return left


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("do", [{"do": "void"}, {"do": "drop"}, {"do": "answer", "status": 503}], ids=str)
def test_what_fails_in_passing_fails_no_deploy(change: Change, do: dict[str, Any], left_s: list[float]) -> None:
    """Whether or not QStash did it: it is done once more, and that changes nothing."""
    with closing(World()) as world, closing(World()) as undisturbed:
        layout = change(FIRST)
        deploy(undisturbed, layout)
        world.fault(on="call", match={"path": "/v2/topics*"}, probability=0.5, seed=1, **do)
        with deadline.within(lambda: left_s[0]):
            state = deploy(world, layout)

        assert end_faults(world) == len(left_s[1:]) > 0, "each is tried again"
        assert held(world) == held(undisturbed)
        assert state in world.store.deployment.desired()


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("change", CHANGES)
def test_a_deploy_that_fails_at_any_step_leaves_qstash_as_it_was(change: Change, after: int) -> None:
    with closing(World()) as world:
        before = held(world)
        fail_writes(world, after, 1)

        why = failure(world, change(FIRST))

        assert bool(why) == bool(end_faults(world))
        assert "couldn't all be taken back" not in why
        assert not why or (held(world), set(world.store.deployment.desired())) == (before, {OLD})


@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("change", CHANGES)
def test_what_could_not_be_taken_back_the_rollback_mends_whole(change: Change, after: int) -> None:
    """CloudFormation then asks for the state of before: no function ever left it."""
    with closing(World()) as world:
        before = held(world)
        fail_writes(world, after)
        why = failure(world, change(FIRST))
        end_faults(world)
        assert ("couldn't all be taken back" in why) == bool(why and held(world) != before)

        if why:  # else it took fewer calls
            assert deploy(world, FIRST) == OLD
            assert (held(world), set(world.store.deployment.desired())) == (before, {OLD})


@pytest.mark.parametrize("change", [other_url, move, split, rename, add])
def test_a_deploy_that_fails_between_events_loses_and_doubles_nothing(change: Change) -> None:
    with closing(World(log_lag_s=60.0)) as world:
        story = Story(world)
        story.send_in_every_state()
        fail_writes(world, 1)
        world.begin_deploy(change(world.layout))
        story.send_unheard()
        world.wait(seconds=100)
        world.sweep()
        end_faults(world)
        world.fail_deploy()
        story.send()

        assert_nothing_is_lost_or_doubled(world, *ENDS)


# -- a plan with few URL groups ----------------------------------------------------------------------------------------


def allow(world: World, groups: int) -> None:
    world.ask_qstash("PATCH", "/admin/settings", {"url_groups": groups}, admin=True)


@pytest.mark.parametrize("order", [(), ("ingest", "sweep", "record", "deliver", "audit")], ids=["at once", "in turn"])
def test_a_renamed_group_takes_the_place_of_the_old_one_and_loses_and_doubles_nothing(order: tuple[str, ...]) -> None:
    """QStash's free plan has one URL group: what is published to the one that is gone is owed, and goes out later."""
    with closing(World(log_lag_s=60.0)) as world:
        allow(world, len(FIRST))
        story = Story(world)
        story.send_in_every_state()
        story.deploy(rename, *order)

        assert set(held(world)) == {f"relay.{it}" for it in rename(FIRST)}
        assert_nothing_is_lost_or_doubled(world, *ENDS)


def test_without_need_no_group_goes_before_the_functions_know_the_new_one() -> None:
    with closing(World()) as world:
        before = held(world)

        deploy(world, rename(FIRST))

        assert before.keys() < held(world).keys()


def test_a_rollback_puts_the_old_group_in_the_place_of_the_new_one() -> None:
    with closing(World()) as world:
        before = held(world)
        allow(world, len(FIRST))
        new = deploy(world, rename(FIRST))

        deploy(world, FIRST, current=new)
        sync.remove(new, "relay", qstash=world.qstash, store=world.store)

        assert held(world) == before


def test_where_there_is_no_room_even_so_the_deploy_fails_and_what_made_room_is_back() -> None:
    with closing(World()) as world:
        allow(world, len(FIRST))
        before = held(world)

        with pytest.raises(QStashError, match="quota maxTopics exceeded"):
            deploy(world, split(rename(FIRST)))

        assert held(world) == before


def test_a_token_that_is_refused_makes_no_room() -> None:
    """Nothing is taken away for what is the account's affair."""
    with closing(World()) as world:
        before = held(world)
        world.fault(on="call", do="answer", status=403, match=WRITES)

        with pytest.raises(QStashError):
            deploy(world, rename(FIRST))

        assert held(world) == before
        assert violations(world) == []
