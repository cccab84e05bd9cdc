"""What operators may ask of replays: POST and GET /v1/replays, through the function query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import query as function
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.model.replay import RATE_DEFAULT, RATE_MAX, ReplayState
from relay.query import views
from tests.unit.relay.ledgers import SECOND
from tests.unit.relay.operator import ARN, Operator
from tests.unit.relay.replays import dead, start

if TYPE_CHECKING:
    from tests.unit.relay.world import World

START = "POST /v1/replays"
LIST = "GET /v1/replays"
SHOW = "GET /v1/replays/{replay_id}"
TURN = "POST /v1/replays/{replay_id}"


# -- POST /v1/replays ---------------------------------------------------------------------------------------------


def test_a_replay_of_many_is_started_with_who_asked_and_why(world: World, operator: Operator) -> None:
    dead(world, 2)

    status, answer = operator.ask(START, {"query": {"destination": "erp"}, "rate": 7, "reason": "mended"})

    job = world.store.replays.get(answer["id"])
    assert job is not None
    assert status == 202
    assert answer == views.replay_json(job)
    assert (job.by, job.reason, job.rate, job.state) == (ARN, "mended", 7, ReplayState.RUNNING)
    assert job.query == answer["query"] == {"destination": "erp", "until": iso(world.clock.at)}
    assert world.sweep(seconds=0).replayed == 2


def test_a_rate_that_is_not_said_is_the_default(operator: Operator) -> None:
    assert operator.ask(START, {"query": {"destination": "erp"}})[1]["rate"] == RATE_DEFAULT


def test_a_dry_run_counts_and_starts_nothing(world: World, operator: Operator) -> None:
    dead(world, 2)

    status, answer = operator.ask(START, {"query": {"destination": "erp"}, "dry_run": True})

    assert (status, answer["complete"], answer["count"]["dead_lettered"]) == (200, True, 2)
    assert "delivered" not in answer["count"]
    assert world.store.replays.newest(9) == []


def test_a_count_that_time_did_not_suffice_for_says_so(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would look as if that were all."""
    dead(world, 1)
    monkeypatch.setattr(function, "COUNT_S", 0.0)

    status, answer = operator.ask(START, {"query": {"destination": "erp"}, "dry_run": True})

    assert (status, answer["complete"]) == (200, False)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": {}}, "say which"),
        ({"query": "all"}, "query"),
        ({"query": ["erp"]}, "query"),
        ({"query": {"destination": 7}}, "query"),
        ({"query": {"status": ["delivered"]}}, "query"),
        ({"query": {"colour": "red"}}, "colour"),
        ({"query": {"status": "in_flight"}}, "under way"),
        ({"rate": 0}, "rate"),
        ({"rate": RATE_MAX + 1}, "rate"),
        ({"rate": "7"}, "rate"),
        ({"rate": 7.0}, "rate"),
        ({"rate": True}, "rate"),
        ({"rate": None}, "rate"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"destinations": ["erp"]}, "destination"),
        ({"include_delivered": True}, "status"),
        ({"reason": 7}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"event_id": "rly_x"}, "either"),
        ({"delivery_ids": ["dlv_x.erp"]}, "either"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused_and_starts_nothing(
    world: World, operator: Operator, body: dict[str, Any], says: str
) -> None:
    """400, with the name of what is wrong."""
    status, answer = operator.ask(START, {"query": {"destination": "erp"}} | body)

    assert status == 400
    assert says in answer["error"]["message"]
    assert world.store.replays.newest(9) == []


@pytest.mark.parametrize("body", ["not JSON", [], "", {}, {"reason": "why"}], ids=str)
def test_a_body_that_names_nothing_is_refused(operator: Operator, body: object) -> None:
    assert operator.ask(START, body)[0] == 400


@pytest.mark.parametrize("more", [{"rate": 7}, {"dry_run": True}, {"dry_run": False}], ids=str)
def test_a_rate_or_a_dry_run_goes_with_a_query_alone(world: World, operator: Operator, more: dict[str, Any]) -> None:
    """A person who asks for a dry run of named deliveries must not have them replayed."""
    (event,) = dead(world, 1)

    status, _ = operator.ask(START, {"event_id": event.id} | more)

    assert status == 400
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


@pytest.mark.parametrize("more", [{"destinations": ["erp"]}, {"include_delivered": True}], ids=str)
def test_what_goes_with_an_event_does_not_go_with_deliveries(
    world: World, operator: Operator, more: dict[str, Any]
) -> None:
    """Never ignored: who says it means it."""
    (event,) = dead(world, 1)

    status, _ = operator.ask(START, {"delivery_ids": [world.store.delivery(event, "erp").id]} | more)

    assert status == 400
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


# -- GET and POST /v1/replays/{id} --------------------------------------------------------------------------------


def test_replays_are_listed_and_shown(world: World, operator: Operator) -> None:
    (event,) = dead(world, 1)
    job = start(world)
    world.clock.at += SECOND
    _, named = operator.ask(START, {"event_id": event.id, "reason": "one"})
    world.clock.at += SECOND

    status, listed = operator.ask(LIST)
    views = operator.ask(SHOW, replay_id=named["id"])

    assert status == 200
    assert [(it["id"], it["state"], it["by"], it["reason"]) for it in listed["replays"]] == [
        (named["id"], "done", ARN, "one"),
        (job.id, "running", "arn:me", "mended"),
    ]
    generation = world.store.delivery(event, "erp").generation
    deliveries = [{"delivery_id": f"dlv_{event.id[4:]}.erp", "generation": generation}]
    assert views == (200, listed["replays"][0] | {"deliveries": deliveries})
    assert set(views[1]) == {
        *("id", "state", "by", "reason", "started_at", "query", "rate", "replayed", "skipped", "deliveries")
    }


def test_the_list_of_replays_takes_no_filter(operator: Operator) -> None:
    status, answer = operator.ask(LIST, asked={"limit": "7"})

    assert (status, answer["error"]["code"]) == (400, "unknown_filter")


def test_a_replay_is_stopped_and_resumed(world: World, operator: Operator) -> None:
    job = start(world)

    stopped = operator.ask(TURN, {"action": "stop"}, replay_id=job.id)
    meanwhile = world.store.replays.due()
    resumed = operator.ask(TURN, {"action": "resume"}, replay_id=job.id)

    assert [(status, answer["state"]) for status, answer in (stopped, resumed)] == [(200, "stopped"), (200, "running")]
    assert (meanwhile, world.store.replays.due()) == ([], [job.id])


@pytest.mark.parametrize(
    "body", [{}, {"action": "start"}, {"action": "stop", "now": True}, {"action": None}, "stop"], ids=str
)
def test_an_action_that_there_is_not_is_refused(world: World, operator: Operator, body: object) -> None:
    job = start(world)

    assert operator.ask(TURN, body, replay_id=job.id)[0] == 400
    assert world.store.replays.get(job.id) == job


def test_a_replay_that_there_is_not_is_not_found(operator: Operator) -> None:
    assert operator.ask(SHOW, replay_id="rpl_none")[0] == 404
    assert operator.ask(TURN, {"action": "stop"}, replay_id="rpl_none")[0] == 404


def test_a_replay_that_is_done_can_not_be_turned(world: World, operator: Operator) -> None:
    (event,) = dead(world, 1)
    _, named = operator.ask(START, {"event_id": event.id})

    status, answer = operator.ask(TURN, {"action": "resume"}, replay_id=named["id"])

    assert (status, answer["error"]["code"]) == (409, "conflict")
