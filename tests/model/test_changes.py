"""Every change of relay.toml, and every two of them, while events are owed, unheard of, on their way and dead."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from relay.model.delivery import Status
from tests.model.configuration import CHANGES, FIRST, NAMES, SOURCES, add
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.protocol import PUBLISHES
from tests.model.test_protocol import ASKED
from tests.model.world import FUNCTIONS, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.model.configuration import Layout

    Change = Callable[[Layout], Layout]

UNHEARD: dict[str, Any] = {"on": "call", "do": "void", "match": {"path": PUBLISHES}, "seconds": 30.0, "count": 1}
AWAY: dict[str, Any] = {"on": "call", "do": "answer", "match": {"path": PUBLISHES}, "status": 503, "count": 100}
# `make model` tries all pairs; else each change is the first of three, and the second of three.
PAIRS = [
    (first, second)
    for row, first in enumerate(CHANGES)
    for column, second in enumerate(CHANGES)
    if ASKED or (row + column) % 3 == 0
]
ORDERS = {"ingest first": FUNCTIONS, "ingest last": FUNCTIONS[::-1]}
# `make test` tries each change in one of the orders, turn and turn about.
SINGLE = [
    pytest.param(
        change,
        order,
        scope,
        marks=[] if scope == "account" and (row + column) % 2 == 0 else pytest.mark.slow,
        id=f"{change.__name__}-{name}-{scope}",
    )
    for row, change in enumerate(CHANGES)
    for column, (name, order) in enumerate(ORDERS.items())
    for scope in ("account", "destination")
]
ENDS = {Status.DELIVERED, Status.REMOVED, Status.DEAD_LETTERED}


class Story:
    """Events of both sources in turn, in every state, each with an id of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent = 0
        self.send()  # what is older in QStash's log shows that nothing since is forgotten
        self.world.wait(minutes=3)

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            self.sent += 1
            self.world.webhook(SOURCES[self.sent % 2], str(self.sent))

    def send_unheard(self) -> None:
        """Have QStash take an event, and its answer get lost."""
        self.world.fault(**UNHEARD)
        self.send()
        self.world.ask_qstash("DELETE", "/admin/rules", admin=True)

    def send_in_every_state(self) -> None:
        behaviours = self.world.destinations.behaviour
        for behaviour in (Behaviour.DEAD, Behaviour.DOWN, Behaviour.UP):
            behaviours.update(dict.fromkeys(NAMES, behaviour))
            self.send(count=2)
            self.world.wait(seconds=1)
        for _ in SOURCES:
            self.send_unheard()
        self.world.fault(**AWAY)
        self.send(count=2)
        self.world.ask_qstash("DELETE", "/admin/rules", admin=True)

    def deploy(self, change: Change, *order: str) -> None:
        """Deploy a change; events come before, between and after, and the sweep runs.

        Args:
            order: In which the functions know it; none: all at once.
        """
        self.world.begin_deploy(change(self.world.layout))
        self.send()
        for functions in ((it,) for it in order) if order else (FUNCTIONS,):
            self.send_unheard()
            self.world.wait(seconds=100)
            self.world.switch(*functions)
            self.send(count=2)
            self.world.sweep()
        self.world.end_deploy()
        self.send()

    def replay_the_dead(self) -> None:
        for event, destination in self.world.deliveries({Status.DEAD_LETTERED}):
            self.world.replay(event, destination)


def statuses(world: World) -> set[Status]:
    return {it for it in Status if world.deliveries({it})}


def assert_nothing_is_lost_or_doubled(world: World, *ends: Status) -> None:
    world.become_quiet()

    assert violations(world) == []
    assert statuses(world) <= {Status.DELIVERED, *ends}


@pytest.mark.parametrize(("change", "order", "scope"), SINGLE)
def test_a_change_loses_and_doubles_nothing(change: Change, order: tuple[str, ...], scope: str) -> None:
    """Whichever function knows it first."""
    with closing(World(scope=scope, log_lag_s=60.0)) as world:
        story = Story(world)
        story.send_in_every_state()
        story.deploy(change, *order)
        story.replay_the_dead()

        assert_nothing_is_lost_or_doubled(world, *ENDS)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_changes_lose_and_double_nothing(first: Change, second: Change) -> None:
    """The second comes while what was before the first is still owed."""
    with closing(World(seed=CHANGES.index(first) * len(CHANGES) + CHANGES.index(second))) as world:
        story = Story(world)
        story.send_in_every_state()
        story.deploy(first)
        story.replay_the_dead()
        story.send_in_every_state()
        story.deploy(second)
        story.replay_the_dead()

        assert_nothing_is_lost_or_doubled(world, *ENDS)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_rolled_back_loses_and_doubles_nothing(change: Change) -> None:
    """Half of the functions knew it."""
    with closing(World(log_lag_s=60.0)) as world:
        story = Story(world)
        story.send_in_every_state()
        world.begin_deploy(change(world.layout))
        world.switch("ingest", "sweep")
        story.send_in_every_state()
        world.wait(seconds=61)
        world.sweep()
        world.roll_back()
        story.send()
        world.end_deploy()

        assert world.layout == FIRST
        left = {Status.REMOVED} if change is add else set()  # what it brought is gone again
        assert_nothing_is_lost_or_doubled(world, Status.DEAD_LETTERED, *left)
