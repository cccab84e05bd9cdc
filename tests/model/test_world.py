"""The world that the protocol is tried in: whole, the same in every run, and able to tell right from wrong."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from relay.model.delivery import Status
from tests.memory_aws import Fault
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.world import PUBLISH_IS_CALL, World

if TYPE_CHECKING:
    from collections.abc import Callable


def statuses(world: World) -> set[Status]:
    return {it for it in Status if world.deliveries({it})}


def story(world: World) -> None:
    """Let a bit of everything happen."""
    world.destinations.behaviour |= {"erp": Behaviour.FLAKY, "builder": Behaviour.DEAD}
    world.calls.arm(Fault.CRASH_AFTER, after=12)
    world.webhook("github", "1")
    world.fault(on="call", do="void", match={"path": "/v2/publish*"})
    world.webhook("stripe", "1")
    world.wait(minutes=2)
    world.sweep()
    world.become_quiet()


@pytest.mark.parametrize("latency_s", [0.0, 3.0])
def test_a_webhook_gets_everywhere(latency_s: float) -> None:
    """Callbacks may come before the publish has returned, or after."""
    with closing(World(latency_s=latency_s)) as world:
        world.webhook("github", "1")
        world.wait(seconds=60)

        assert statuses(world) == {Status.DELIVERED}
        assert sorted(it.destination for it in world.destinations.seen) == ["builder", "erp", "ledger"]


def test_the_same_acts_are_the_same_run() -> None:
    """Every id, every call, every attempt."""

    def run() -> object:
        with closing(World(seed=7, lag=True)) as world:
            story(world)
            return world.calls.made, world.destinations.seen, world.table.items

    assert run() == run()


def test_a_story_ends_well() -> None:
    """With a crash, a lost answer, a destination that retries and one that is dead."""
    with closing(World()) as world:
        story(world)

        assert violations(world) == []
        assert statuses(world) == {Status.DELIVERED, Status.DEAD_LETTERED}


def lose_the_record(world: World) -> None:
    world.table.items.clear()


def hide_what_is_due(world: World) -> None:
    for item in world.table.items.values():
        if "status" in item:
            item["status"] = {"S": "in_flight"}


def forget_what_is_known(world: World) -> None:
    world.ask_qstash("PATCH", "/admin/settings", {"deduplication_window_s": 0.0}, admin=True)
    world.calls.arm(Fault.VOID, after=PUBLISH_IS_CALL)


def claim_a_delivery(world: World) -> None:
    world.destinations.seen = [it for it in world.destinations.seen if it.destination != "erp"]


def leave_one_in_the_spool(world: World) -> None:
    world.bucket["spool/x"] = b"not a webhook"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, lose_the_record, "there is no record of it"),
        (None, hide_what_is_due, "stays in_flight"),
        (forget_what_is_known, None, "as 2 messages"),
        (None, claim_a_delivery, "is delivered, and its destination took it: False"),
        (None, leave_one_in_the_spool, "1 are still in the spool"),
    ],
)
def test_the_ledger_tells_what_is_wrong(
    before: Callable[[World], None] | None, after: Callable[[World], None] | None, said: str
) -> None:
    """Each kind of violation, made on purpose, is one that it finds."""
    with closing(World()) as world:
        if before:
            before(world)
        world.webhook("github", "1")
        world.become_quiet()
        if after:
            after(world)

        found = violations(world)

        assert [it for it in found if said in it], found
