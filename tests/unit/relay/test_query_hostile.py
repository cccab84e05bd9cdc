"""Whatever anybody asks of `/v1`: an answer that says what is wrong with it, and never that the relay failed."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import query
from relay.storage import filters
from relay.storage.items import SHARDS

if TYPE_CHECKING:
    from tests.unit.relay.operator import Operator
    from tests.unit.relay.world import World

ROUTES = sorted(query.ANSWERS)
LISTINGS = ["GET /v1/events", "GET /v1/deliveries"]
LONG = ["x" * 1001, "é" * 501, "x" * 3000]
SINCE, UNTIL = "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"


def cursor_of(answer: dict[str, Any]) -> Any:
    """Return what is in the cursor of *answer*."""
    text = answer["cursor"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def forged(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def some(world: World) -> None:
    for number in range(3):
        world.clock.at += timedelta(seconds=1)
        world.post(key=str(number))


@pytest.mark.parametrize("route", LISTINGS)
@pytest.mark.parametrize(
    "at", ["!", "~~", "x" * 1025, "x" * 5000, "é", "\x00", "\ud800", "", None, 7, [], {}], ids=lambda it: repr(it)[:12]
)
@pytest.mark.parametrize("times", [{}, {"since": SINCE, "until": UNTIL}], ids=["all", "times"])
def test_a_forged_cursor_of_a_listing_is_refused(
    world: World, operator: Operator, route: str, at: object, times: dict[str, str]
) -> None:
    """It knows which query it is of, and says a place where nothing of it can be."""
    some(world)
    _, answer = operator.ask(route, asked={"limit": "1", **times})
    digest, place = cursor_of(answer)
    assert isinstance(place, str)

    status, refused = operator.ask(route, asked={"limit": "1", **times, "cursor": forged([digest, at])})

    assert (status, refused["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    "at",
    ["!", "~~", "x" * 2000, "é", 7, [], "2026-01-30T00:00:00.000000Z", "2026-02-02T00:00:00.000000Z"],
    ids=lambda it: repr(it)[:12],
)
def test_a_forged_cursor_of_an_audit_is_refused(
    world: World, operator: Operator, at: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    some(world)
    monkeypatch.setattr(query, "COUNT_S", 0.0)  # so that there is a cursor
    _, answer = operator.ask("GET /v1/audit", asked={"since": SINCE, "until": UNTIL})
    digest, _ = cursor_of(answer)
    places = json.dumps([at] + [None] * (SHARDS - 1))

    asked = {"since": SINCE, "until": UNTIL, "cursor": forged([digest, places])}
    status, refused = operator.ask("GET /v1/audit", asked=asked)

    assert (status, refused["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize("route", LISTINGS)
@pytest.mark.parametrize("text", ["x", "bnVsbA", "é", "W10", "=" * 100, "A" * 8001, forged({}), forged([1, 2, 3])])
def test_what_is_no_cursor_is_refused(operator: Operator, route: str, text: str) -> None:
    assert operator.ask(route, asked={"cursor": text})[0] == 400


@pytest.mark.parametrize("text", LONG, ids=["ascii", "utf-8", "longer"])
def test_an_id_that_is_longer_than_any_is_refused(world: World, operator: Operator, text: str) -> None:
    world.post()

    statuses = {
        operator.ask("GET /v1/events/{event_id}", event_id=text)[0],
        operator.ask("GET /v1/events/{event_id}", event_id=f"github:{text}")[0],
        operator.ask("GET /v1/replays/{replay_id}", replay_id=text)[0],
        operator.ask("POST /v1/replays/{replay_id}", {"action": "stop"}, replay_id=text)[0],
        operator.ask("GET /v1/destinations/{destination}", destination=text)[0],
        operator.ask("POST /v1/destinations/{destination}", {"action": "pause"}, destination=text)[0],
        operator.ask("GET /v1/sources/{source}/refusals", source=text)[0],
        operator.ask("POST /v1/replays", {"event_id": text})[0],
        operator.ask("POST /v1/replays", {"delivery_ids": [f"dlv_x.{text}"]})[0],
        operator.ask("POST /v1/replays", {"delivery_ids": [text]})[0],
        operator.ask("POST /v1/replays", {"query": {"source": text}})[0],
        operator.ask("GET /v1/deliveries", asked={"destination": text})[0],
    }

    assert statuses == {400}


@pytest.mark.parametrize(
    "limit", ["0", "-1", "1e9", "abc", "", "201", "9" * 5000, "0001" + "0" * 5000, "\u0661", " 1", "1.0"]
)
@pytest.mark.parametrize("route", LISTINGS)
def test_a_limit_that_is_none_is_refused(operator: Operator, route: str, limit: str) -> None:
    status, answer = operator.ask(route, asked={"limit": limit})

    assert status == 400
    assert "limit" in answer["error"]["message"]


TEXTS = st.text(max_size=30) | st.sampled_from(
    [*LONG, "", "\x00", "\ud800", "rly_", "dlv_.", "github:", "erp", "~", "!"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*filters.FILTERS, "body", "sha256"]) | TEXTS
FIELDS = st.sampled_from(
    ["delivery_ids", "event_id", "query", "reason", "destinations", "include_delivered", "rate", "dry_run", "action"]
)
BODIES = st.dictionaries(FIELDS | TEXTS, VALUES, max_size=4) | VALUES


@given(
    route=st.sampled_from(ROUTES),
    path=st.fixed_dictionaries(dict.fromkeys(("event_id", "destination", "source", "replay_id"), TEXTS)),
    asked=st.dictionaries(NAMES, TEXTS | st.sampled_from(["pending", SINCE, UNTIL, "1", "true"]), max_size=3),
    body=BODIES | st.text(max_size=20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=300)
def test_no_question_makes_the_relay_fail(
    operator: Operator, route: str, path: dict[str, str], asked: dict[str, str], body: object
) -> None:
    status, answer = operator.ask(route, body, asked=asked, **path)

    assert status < 500, answer
    assert status < 400 or answer["error"]["message"]


def test_an_empty_id_is_refused(operator: Operator) -> None:
    """DynamoDB has no item under an empty key, and says that nobody may ask for one."""
    assert operator.ask("GET /v1/events/{event_id}", event_id="")[0] == 400
