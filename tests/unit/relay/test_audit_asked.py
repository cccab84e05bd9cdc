"""What operators may ask of the ledger and of an event's bodies, through the function query."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

import query as function
from relay.ledger import balance
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.query import answers as queries
from relay.storage.items import SHARDS
from tests.unit.relay.ledgers import DAY, NAMES, SECOND, put

if TYPE_CHECKING:
    from tests.unit.relay.operator import Operator
    from tests.unit.relay.world import World

AUDIT = "GET /v1/audit"


def _slice(world: World, asked: dict[str, str]) -> dict[str, Any]:
    """Return an answer for which there was time for one slice."""
    left = iter([1.0])
    return queries.show_audit(world.store, asked, lambda: next(left, 0.0))


def test_the_ledger_is_shown_by_destination(world: World, operator: Operator) -> None:
    """Of the last day; every status, and what is unaccounted by name."""
    event = world.post().event
    put(world, event, "erp", Status.UNACCOUNTED, reason="nobody knows")
    world.clock.at += SECOND

    status, answer = operator.ask(AUDIT)

    none = {it.value: 0 for it in Status}
    assert status == 200
    assert answer["destinations"] == [
        {"destination": "builder", "expected": 1, **none, "in_flight": 1},
        {"destination": "erp", "expected": 1, **none, "unaccounted": 1},
        {"destination": "ledger", "expected": 1, **none, "in_flight": 1},
    ]
    assert answer["unaccounted"] == [
        {"delivery_id": f"dlv_{event.id[4:]}.erp", "event_id": event.id, "why": "nobody knows"}
    ]
    assert (answer["since"], answer["until"]) == (iso(world.clock.at - DAY), iso(world.clock.at))
    assert (answer["orphans"], answer["cursor"]) == (0, None)


def test_orphans_are_told_with_the_ledger(world: World, operator: Operator) -> None:
    event = world.post().event
    world.report(event, "nobody", scope="d.nobody", sourceMessageId="msg_8")

    assert operator.ask(AUDIT)[1]["orphans"] == 1


def test_answers_that_stop_before_the_end_go_on_and_add_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slice an answer, each under the cursor of the one before; the last has none."""
    monkeypatch.setattr(balance, "EVENTS_A_SLICE", 2)
    for number in range(6):
        world.post(key=str(number))
    window = {"since": iso(world.began), "until": iso(world.began + SECOND)}
    expected = dict.fromkeys(NAMES, 0)
    answers = [_slice(world, window)]
    while answers[-1]["cursor"] is not None and len(answers) < 50:
        answers.append(_slice(world, window | {"cursor": answers[-1]["cursor"]}))
    for line in (line for answer in answers for line in answer["destinations"]):
        expected[line["destination"]] += line["expected"]

    assert expected == dict.fromkeys(NAMES, 6)
    assert len(answers) >= 8


def test_a_balance_ends_before_the_gateway_gives_up(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It then says where to go on."""
    world.post()
    monkeypatch.setattr(function, "COUNT_S", 0.0)

    status, answer = operator.ask(AUDIT)

    assert (status, answer["destinations"]) == (200, [])
    assert answer["cursor"] is not None


def test_a_cursor_is_of_one_window(world: World, operator: Operator) -> None:
    window = {"since": iso(world.began - SECOND), "until": iso(world.began + SECOND)}
    cursor = queries.show_audit(world.store, window, lambda: 0)["cursor"]

    right, _ = operator.ask(AUDIT, asked=window | {"cursor": cursor})
    status, answer = operator.ask(AUDIT, asked=window | {"since": iso(world.began), "cursor": cursor})

    assert right == 200
    assert (status, answer["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize("positions", ["no JSON", "7", "[]", json.dumps([7] * SHARDS)], ids=str)
def test_a_cursor_that_no_answer_had_is_refused(world: World, operator: Operator, positions: str) -> None:
    """Anybody can write one: it is base64, and its digest is of what they ask."""
    window = {"since": iso(world.began - SECOND), "until": iso(world.began + SECOND)}
    right = queries.show_audit(world.store, window, lambda: 0)["cursor"]
    digest, _ = json.loads(base64.urlsafe_b64decode(right + "=="))
    forged = base64.urlsafe_b64encode(json.dumps([digest, positions]).encode()).decode().rstrip("=")

    status, answer = operator.ask(AUDIT, asked=window | {"cursor": forged})

    assert (status, answer["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"since": "2026-01-31T09:00:00Z", "until": "2026-01-31T09:00:00Z"}, "bad_filter"),
        ({"since": "2026-01-31T10:00:00Z", "until": "2026-01-31T09:00:00Z"}, "bad_filter"),
        ({"since": "yesterday"}, "bad_filter"),
        ({"until": "2026-01-31T09:00:00"}, "bad_filter"),
        ({"cursor": "x"}, "bad_cursor"),
        ({"destination": "erp"}, "unknown_filter"),
    ],
    ids=str,
)
def test_a_window_that_there_is_not_is_refused(operator: Operator, asked: dict[str, str], code: str) -> None:
    status, answer = operator.ask(AUDIT, asked=asked)

    assert (status, answer["error"]["code"]) == (400, code)


# -- the bodies of an event ---------------------------------------------------------------------------------------


def test_every_body_that_came_under_an_events_id_can_be_seen(world: World, operator: Operator) -> None:
    """By its hash; without one, that which is delivered."""
    event = world.post(b'{"a":1}').event
    world.post(b'{"a":22}')

    def shown(**asked: str) -> Any:
        return operator.ask("GET /v1/events/{event_id}", asked={"body": "true"} | asked, event_id=event.id)

    (other,) = shown()[1]["conflicting"]
    assert shown()[1]["body"] == shown(sha256=event.sha256)[1]["body"] == '{"a":1}'
    assert shown(sha256=other["sha256"])[1]["body"] == '{"a":22}'
    assert other["size_bytes"] == 8
    assert shown(sha256="ab" * 32)[0] == 404


@pytest.mark.parametrize(("asked", "shown"), [({}, set()), ({"body": "false"}, set()), ({"body": "true"}, {"body"})])
def test_a_body_is_shown_where_it_is_asked_for(
    world: World, operator: Operator, asked: dict[str, str], shown: set[str]
) -> None:
    """It may be large, and isn't for everybody's eyes."""
    event = world.post().event

    status, answer = operator.ask("GET /v1/events/{event_id}", asked=asked, event_id=event.id)

    assert (status, answer.keys() & {"body"}) == (200, shown)
