"""What an operator can get wrong in a question: refused with its name, never a failure of the function."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.model.delivery import Status
from relay.model.ids import iso
from relay.model.replay import ReplayState
from relay.query import answers as queries
from relay.storage.items import SHARDS
from tests.unit.relay.ledgers import SECOND
from tests.unit.relay.replays import dead, known, start

if TYPE_CHECKING:
    from tests.conftest import Clients
    from tests.unit.relay.operator import Operator
    from tests.unit.relay.world import World

START = "POST /v1/replays"
TURN = "POST /v1/replays/{replay_id}"
EVENT = "GET /v1/events/{event_id}"
AUDIT = "GET /v1/audit"
TOO_EARLY, TOO_LATE = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"


@pytest.mark.parametrize("action", [["stop"], {"stop": True}, 7, True], ids=str)
def test_an_action_that_is_no_text_is_refused(world: World, operator: Operator, action: object) -> None:
    job = start(world)

    status, answer = operator.ask(TURN, {"action": action}, replay_id=job.id)

    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert known(world, job).state is ReplayState.RUNNING


@pytest.mark.parametrize(
    "route",
    [
        *("GET /v1/events", "GET /v1/deliveries", AUDIT, "GET /v1/config", "GET /v1/replays", "GET /v1/destinations"),
        *(EVENT, "GET /v1/replays/{replay_id}", "GET /v1/sources/{source}/refusals"),
    ],
)
def test_an_unknown_parameter_is_refused_by_its_name(world: World, operator: Operator, route: str) -> None:
    """And the answer says which are known."""
    event, job = world.post().event, start(world)

    status, answer = operator.ask(route, asked={"x1": "1"}, event_id=event.id, replay_id=job.id, source="github")

    assert (status, answer["error"]["code"]) == (400, "unknown_filter")
    assert "x1" in answer["error"]["message"]
    assert "(allowed: " in answer["error"]["message"]


@pytest.mark.parametrize("route", [AUDIT, "GET /v1/events", "GET /v1/deliveries"])
@pytest.mark.parametrize("asked", [{"since": TOO_EARLY}, {"until": TOO_LATE}], ids=str)
def test_a_time_outside_all_time_is_refused(operator: Operator, route: str, asked: dict[str, str]) -> None:
    """In UTC it would be in the year 0, or 10000."""
    status, answer = operator.ask(route, asked=asked)

    assert (status, answer["error"]["code"]) == (400, "bad_filter")
    assert next(iter(asked)) in answer["error"]["message"]


def test_a_time_long_ago_is_before_all_that_came(world: World, operator: Operator) -> None:
    """Also of a year with fewer than four digits: times are compared as text."""
    world.post()
    world.clock.at += SECOND

    status, answer = operator.ask(AUDIT, asked={"since": "0900-01-01T00:00:00Z"})

    assert (status, answer["since"]) == (200, "0900-01-01T00:00:00.000000Z")
    assert {it["expected"] for it in answer["destinations"]} == {1}


@pytest.mark.parametrize(
    "positions",
    [
        "no JSON",
        "7",
        "null",
        "{}",
        "[]",
        '["x"]',
        json.dumps(["x"] * (SHARDS - 1)),
        json.dumps([7] * SHARDS),
        json.dumps([""] * SHARDS),
    ],
)
def test_a_cursor_of_the_ledger_that_was_made_up_is_refused(world: World, operator: Operator, positions: str) -> None:
    """Even where it says the window's own digest, as whoever reads one can have it say."""
    window = {"since": iso(world.began - SECOND), "until": iso(world.began + SECOND)}
    real = queries.show_audit(world.store, window, lambda: 0)["cursor"]
    digest = json.loads(base64.urlsafe_b64decode(real + "=" * (-len(real) % 4)))[0]
    made_up = base64.urlsafe_b64encode(json.dumps([digest, positions]).encode()).decode()

    status, answer = operator.ask(AUDIT, asked=window | {"cursor": made_up})

    assert (status, answer["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    "body",
    [
        '{"event_id": "github:\\ud800"}',
        '{"query": {"destination": "\\ud800"}}',
        '{"query": {"destination": "erp"}, "reason": "\\ud800"}',
    ],
)
def test_half_a_character_is_refused(world: World, operator: Operator, body: str) -> None:
    """JSON can say it, but nothing can keep it."""
    status, answer = operator.ask(START, body)

    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert world.store.replays.newest(9) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"body": "yes"}, "unknown_filter"), ({"body": ""}, "unknown_filter"), ({"colour": "red"}, "unknown_filter")],
    ids=str,
)
def test_an_event_takes_body_and_sha256_alone(
    world: World, operator: Operator, asked: dict[str, str], code: str
) -> None:
    event = world.post().event

    status, answer = operator.ask(EVENT, asked=asked, event_id=event.id)

    assert (status, answer["error"]["code"]) == (400, code)


def test_a_route_that_there_is_not_is_not_found(operator: Operator) -> None:
    assert operator.ask("GET /v1/nothing")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"event_id": ""},
        {"event_id": 7},
        {"event_id": None},
        {"include_delivered": 1},
        {"include_delivered": None},
        {"destinations": []},
        {"destinations": "erp"},
        {"destinations": [7]},
        {"destinations": None},
    ],
    ids=str,
)
def test_named_deliveries_that_can_not_be_meant_are_refused(
    world: World, operator: Operator, body: dict[str, Any]
) -> None:
    """400: nothing is wrong with the relay, and nothing is replayed."""
    (event,) = dead(world, 1)

    status, _ = operator.ask(START, {"event_id": event.id} | body)

    assert status == 400
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


@pytest.mark.parametrize("ids", [[], "dlv_x.erp", [7], [""], ["dlv_x"], None], ids=str)
def test_ids_that_name_no_delivery_are_refused(operator: Operator, ids: object) -> None:
    assert operator.ask(START, {"delivery_ids": ids})[0] == 400


@pytest.mark.parametrize("more", [{"destinations": ["ledger"]}, {"include_delivered": False}], ids=str)
def test_what_chooses_of_an_event_does_not_go_with_single_deliveries(
    world: World, operator: Operator, more: dict[str, Any]
) -> None:
    """It would be passed over: a delivery to erp would start though ledger alone was said."""
    (event,) = dead(world, 1)

    status, answer = operator.ask(START, {"delivery_ids": [world.delivery(event, "erp").id]} | more)

    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


def test_more_deliveries_than_a_replay_takes_are_refused_before_one_is_read(
    world: World, operator: Operator, clients: Clients
) -> None:
    """A body holds tens of thousands of ids, and to read each of them takes longer than the gateway waits."""
    world.post()
    clients.dynamodb.calls.made.clear()

    status, answer = operator.ask(START, {"delivery_ids": [f"dlv_{number}.erp" for number in range(101)]})

    assert (status, answer["error"]["message"]) == (
        400,
        "one replay takes up to 100 deliveries: split it, or replay by a query",
    )
    assert clients.dynamodb.calls.made == []
