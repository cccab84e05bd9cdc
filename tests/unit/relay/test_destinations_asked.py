"""What operators ask of destinations over /v1, over the real store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import query
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.storage.items import delivery_item
from tests.unit.relay.ledgers import DAY
from tests.unit.relay.operator import ARN
from tests.unit.relay.replays import dead, erp

if TYPE_CHECKING:
    from tests.unit.relay.operator import Operator
    from tests.unit.relay.world import World

LIST = "GET /v1/destinations"
SHOW = "GET /v1/destinations/{destination}"
TURN = "POST /v1/destinations/{destination}"


def listed(operator: Operator) -> dict[str, Any]:
    _, answer = operator.ask(LIST)
    return {it["destination"]: it for it in answer["destinations"]}


def test_every_configured_destination_is_told_and_those_that_only_the_ledger_knows(
    world: World, operator: Operator
) -> None:
    """A destination that has left may still have something in flight."""
    (event,) = dead(world, 1)
    flying = replace(world.delivery(event, "ledger"), destination="gone", status=Status.IN_FLIGHT)
    world.store.table.put(delivery_item(flying))

    status, answer = operator.ask(LIST)

    found = {it["destination"]: it for it in answer["destinations"]}
    assert (status, answer["complete"], answer["since"]) == (200, True, iso(world.clock() - DAY))
    assert list(found) == ["builder", "erp", "gone", "ledger"]
    assert [it["configured"] for it in found.values()] == [True, True, False, True]
    assert (found["erp"]["group"], found["erp"]["url"]) == ("audit", "https://erp.example.com/in")
    assert (found["erp"]["dead_letters"], found["erp"]["looks_dead"], found["erp"]["paused"]) == (1, True, None)
    assert set(found["erp"]["counts"]) == set(Status)
    assert found["builder"]["looks_dead"] is False


def test_one_destination_is_shown_as_it_is_listed(world: World, operator: Operator) -> None:
    dead(world, 1)

    status, shown = operator.ask(SHOW, destination="erp")

    assert (status, shown["destinations"]) == (200, [listed(operator)["erp"]])


def test_a_time_is_asked_about(world: World, operator: Operator) -> None:
    dead(world, 1)

    _, answer = operator.ask(SHOW, asked={"since": iso(world.clock())}, destination="erp")

    assert answer["destinations"][0]["dead_letters"] == 0
    assert answer["since"] == iso(world.clock())


@pytest.mark.parametrize("asked", [{"until": "2026-01-01T00:00:00Z"}, {"since": "yesterday"}])
def test_a_parameter_that_there_is_not_is_refused(operator: Operator, asked: dict[str, str]) -> None:
    assert operator.ask(LIST, asked=asked)[0] == 400


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_destination_that_there_is_not_is_not_found(world: World, operator: Operator, action: str) -> None:
    assert operator.ask(SHOW, destination="nobody")[0] == 404
    assert operator.ask(TURN, {"action": action}, destination="nobody")[0] == 404
    assert world.store.pauses.all() == {}


def test_an_operator_pauses_a_destination_and_everybody_sees_who_and_why(world: World, operator: Operator) -> None:
    first = operator.ask(TURN, {"action": "pause", "reason": "it burns"}, destination="erp")
    second = operator.ask(TURN, {"action": "pause"}, destination="erp")

    said = {"by": ARN, "at": iso(world.clock()), "reason": "it burns"}
    assert first == (200, {"destination": "erp", "paused": said, "changed": True})
    assert second == (200, {"destination": "erp", "paused": said, "changed": False})
    assert {name: it["paused"] for name, it in listed(operator).items()} == {
        "builder": None,
        "erp": said,
        "ledger": None,
    }


def test_to_resume_is_a_replay_of_what_is_held(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the sweep is told to come."""
    nudged: list[object] = []
    monkeypatch.setattr(query, "_nudge_sweep", nudged.append)
    operator.ask(TURN, {"action": "pause"}, destination="erp")
    events = dead(world, 2, Status.HELD)

    status, answer = operator.ask(TURN, {"action": "resume", "rate": 7, "reason": "mended"}, destination="erp")
    world.sweep(seconds=0)

    job = world.store.replays.get(answer["replay"]["id"])
    assert (status, answer["destination"], answer["paused"], len(nudged)) == (202, "erp", None, 1)
    assert job is not None
    assert (job.by, job.reason, job.rate) == (ARN, "mended", 7)
    assert erp(world, events) == [Status.IN_FLIGHT] * 2
    assert operator.ask(TURN, {"action": "resume"}, destination="erp")[0] == 409


def test_a_destination_that_has_left_is_resumed_and_what_was_held_is_removed(world: World, operator: Operator) -> None:
    """It can't be paused; what was, can be let go."""
    (event,) = dead(world, 1, Status.HELD)
    operator.ask(TURN, {"action": "pause"}, destination="erp")
    flat = dict(world.settings.flat)
    flat["destinations"] = {name: it for name, it in flat["destinations"].items() if name != "erp"}
    audit = flat["url_groups"]["audit"] | {"destinations": ["ledger"]}
    world.deploy(flat | {"url_groups": flat["url_groups"] | {"audit": audit}})

    status, _ = operator.ask(TURN, {"action": "resume"}, destination="erp")
    world.sweep(seconds=0)

    assert status == 202
    assert erp(world, [event]) == [Status.REMOVED]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"action": "stop"},
        {"action": ["pause"]},
        {"action": "pause", "rate": 5},
        {"action": "pause", "reason": 5},
        {"action": "pause", "since": "x"},
        {"action": "resume", "rate": 0},
        {"action": "resume", "rate": "7"},
        {"action": "resume", "rate": True},
    ],
    ids=str,
)
def test_what_can_not_be_asked_is_refused_and_changes_nothing(
    world: World, operator: Operator, asked: dict[str, Any]
) -> None:
    world.store.pauses.add("erp", "arn:me", None)
    before = world.store.pauses.all()

    assert operator.ask(TURN, asked, destination="erp")[0] == 400
    assert world.store.pauses.all() == before
    assert world.store.replays.newest(9) == []


def test_the_configuration_tells_what_is_paused(world: World, operator: Operator) -> None:
    said, _ = world.store.pauses.add("erp", "arn:me", None)

    assert operator.ask("GET /v1/config")[1]["paused"] == {"erp": said}
