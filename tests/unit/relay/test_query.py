"""Queries over the real store: how events and deliveries are listed, found and shown."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import BadRequest
from relay.model.ids import event_id, kept_key
from relay.query import answers

if TYPE_CHECKING:
    from tests.unit.relay.world import World


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ({"colour": "red"}, "unknown_filter", "colour"),
        ({"status": "lost"}, "bad_filter", "status"),
        ({"since": "yesterday"}, "bad_filter", "since"),
        ({"until": "2026-01-31T09:00:00"}, "bad_filter", "until"),
        ({"since": "2026-01-31T09:00:01Z", "until": "2026-01-31T09:00:00Z"}, "bad_filter", "since must be before"),
        ({"limit": "0"}, "bad_filter", "limit"),
        ({"limit": "9999999999"}, "bad_filter", "limit"),
        ({"cursor": "x"}, "bad_cursor", "cursor"),
        ({"cursor": "bnVsbA"}, "bad_cursor", "cursor"),
    ],
)
def test_a_filter_or_cursor_that_there_is_not_is_named(
    world: World, asked: dict[str, str], code: str, says: str
) -> None:
    """400, with what to do."""
    for listing in (answers.list_events, answers.list_deliveries):
        with pytest.raises(BadRequest, match=says) as refused:
            listing(world.store, asked)
        assert refused.value.code == code


def test_a_cursor_of_another_query_is_refused(world: World) -> None:
    """It would skip or repeat."""
    for number in range(3):
        world.clock.at += timedelta(seconds=1)
        world.post(key=str(number))
    cursor = answers.list_events(world.store, {"limit": "2"})["cursor"]

    assert len(answers.list_events(world.store, {"limit": "2", "cursor": cursor})["events"]) == 1
    with pytest.raises(BadRequest):
        answers.list_events(world.store, {"limit": "2", "cursor": cursor, "source": "github"})


def test_events_are_found_by_what_became_of_them(world: World) -> None:
    """At 3 a.m.: which events died, and where."""
    one = world.post(key="1").event
    world.clock.at += timedelta(seconds=1)
    world.post(key="2")
    world.report(one, "erp", "failure", status=500, retried=2)

    found = answers.list_events(world.store, {"status": "dead_lettered"})["events"]
    deliveries = answers.list_deliveries(world.store, {"destination": "erp"})["deliveries"]

    assert [it["id"] for it in found] == [one.id]
    assert {it["status"] for it in deliveries} == {"dead_lettered", "in_flight"}
    assert answers.list_events(world.store, {"destination": "erp", "status": "delivered"})["events"] == []


def test_an_event_is_found_by_its_sources_own_id(world: World) -> None:
    """Or by a delivery's id."""
    event = world.post(key="guid:1").event

    assert answers.resolve("github:guid:1", world.settings) == event.id
    assert answers.resolve("github:" + "x" * 1000, world.settings) == event_id("github", kept_key("x" * 1000))
    assert answers.resolve(f"dlv_{event.id[4:]}.erp", world.settings) == event.id
    assert answers.resolve(event.id, world.settings) == event.id


@pytest.mark.local_aws
def test_an_event_needs_one_table_query(world: World) -> None:
    """Deliveries and attempts included."""
    event = world.post().event
    calls: list[str] = []
    world.store.table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    answers.show_event(world.store, event.id, with_body=False)

    assert calls == ["Query"]


def test_a_listing_and_a_record_show_the_same_bytes(world: World) -> None:
    """A listing reads the index, `show` the records: whoever asks both compares their answers."""
    died = world.post(b'{"n": 1}', key="1").event
    world.post(b'{"n": 2}', key="1")  # a conflict
    world.report(died, "erp", "failure", status=500, retried=2, dlqId="dlq_1")
    world.report(died, "ledger")
    world.clock.at += timedelta(seconds=1)
    world.paused = {"erp": {}}
    world.post(key="2")
    world.clock.at += timedelta(seconds=1)
    world.save(key="3")  # nothing of it is published, so that its deliveries have no record
    listed = answers.list_events(world.store, {})["events"]
    deliveries = answers.list_deliveries(world.store, {})["deliveries"]

    shown = [answers.show_event(world.store, event["id"], with_body=False) for event in listed]

    of_events = [{name: record[name] for name in row} for record, row in zip(shown, listed, strict=True)]
    recorded = {delivery["id"]: delivery for record in shown for delivery in record["deliveries"]}
    of_deliveries = [{name: recorded[row["id"]][name] for name in row} for row in deliveries]
    assert json.dumps(of_events) == json.dumps(listed)
    assert json.dumps(of_deliveries) == json.dumps(deliveries)
    assert [event["conflicts"] for event in listed] == [0, 0, 1]
    assert {row["status"] for row in deliveries} == {"dead_lettered", "delivered", "held", "in_flight", "pending"}
    assert {name for record in recorded.values() for name in record} == {*deliveries[0], "attempts"}
