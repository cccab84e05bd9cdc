"""However far a deploy came, what it changed in QStash is taken back, and what it didn't change is left alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.deployment import states
from relay.deployment.changes import Change, plan
from relay.deployment.steps import Steps
from relay.errors import QStashError
from tests.unit.relay.account import PIN, Account, key
from tests.unit.relay.test_sync import DESIRED, THERE


def essence(held: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be as it was: QStash keeps a flow control's last limits, and who waits in a queue changes."""
    return {
        "groups": {name: sorted(map(str, them)) for name, them in held["groups"].items()},
        "schedules": held["schedules"],
        "queues": {name: (it["parallelism"], it["paused"]) for name, it in held["queues"].items()},
        "flow_controls": {name: it if it["pinned"] else "free" for name, it in held["flow_controls"].items()},
    }


def steps_of(account: Account, leaving: Any = ()) -> Steps:
    qstash: Any = account
    return Steps(qstash, deepcopy(states.actual(qstash, "relay")), leaving)


def taken_back(steps: Steps, account: Account) -> list[str]:
    qstash: Any = account
    return steps.take_back(lambda: states.actual(qstash, "relay"))


@given(DESIRED, THERE, st.integers(0, 12))
def test_whatever_was_changed_is_as_it_was(said: Any, there: Any, came_to: int) -> None:
    account = Account(**there)
    qstash: Any = account
    before = essence(deepcopy(account.held))
    todo = plan(said, states.actual(qstash, "relay"))
    steps = steps_of(account)
    for change in todo[:came_to]:
        steps.do(change)

    left = taken_back(steps, account)

    assert (left, essence(account.held)) == ([], before)


def test_what_others_changed_meanwhile_is_left_alone() -> None:
    account = Account(groups={"relay.a": [{"name": "x", "url": "u"}]}, flow_controls={"relay.k": key(**PIN)})
    steps = steps_of(account)
    steps.do(Change("groups", "relay.b", removes=False, what=[{"name": "y", "url": "u"}]))
    account.held["groups"]["relay.a"] = [{"name": "x", "url": "another"}]
    account.held["groups"]["relay.b"].append({"name": "stranger", "url": "s"})

    taken_back(steps, account)

    assert account.held["groups"] == {
        "relay.a": [{"name": "x", "url": "another"}],
        "relay.b": [{"name": "stranger", "url": "s"}],
    }


class Full(Account):
    """An account that has no room for more URL groups than it has at first."""

    def put_endpoints(self, group: str, endpoints: Any) -> None:
        if group not in self.held["groups"] and len(self.held["groups"]) >= 3:
            raise QStashError("quota maxTopics exceeded", answered=412)
        super().put_endpoints(group, endpoints)


def test_the_group_that_makes_room_is_the_one_whose_destinations_the_new_one_has() -> None:
    """Its events lose their way least: each of its destinations is somewhere else at once."""
    ends = {name: [{"name": name, "url": "u"}] for name in ("x", "y", "z")}
    account = Full(groups={"relay.a": ends["x"], "relay.b": ends["y"], "relay.c": ends["z"]})

    steps_of(account, {"relay.a", "relay.b"}).do(Change("groups", "relay.new", removes=False, what=ends["y"]))

    assert account.held["groups"].keys() == {"relay.a", "relay.c", "relay.new"}
