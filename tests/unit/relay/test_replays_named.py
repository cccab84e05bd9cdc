"""Replays that name their deliveries, as operators ask for them; and the sweep that is told to publish them now."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from relay.model.delivery import Status
from relay.runtime import aws
from tests.aws_wire import refused
from tests.unit.relay.ledgers import put
from tests.unit.relay.operator import ARN
from tests.unit.relay.replays import dead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.relay.operator import Operator
    from tests.unit.relay.world import World

START = "POST /v1/replays"
NOT_TAKEN = "ResourceNotFoundException"  # boto3 doesn't try again after it


@contextmanager
def _nudges(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, bytes]]]:
    """Give a sweep to nudge that is never there; yield how often it was asked: path, kind of call, payload."""
    for name, value in {
        "RELAY_SWEEP_FUNCTION": "the-sweep",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    asked: list[tuple[str, str, bytes]] = []

    def refuse(request: Any, **_: Any) -> Any:
        kind = request.headers["X-Amz-Invocation-Type"]
        asked.append((request.url, kind if isinstance(kind, str) else kind.decode(), request.body))
        return refused(request, NOT_TAKEN)

    aws.made.cache_clear()
    aws.client("lambda").meta.events.register("before-send.lambda.Invoke", refuse)
    yield asked
    aws.made.cache_clear()


def test_single_deliveries_are_replayed_with_who_asked_and_why(world: World, operator: Operator) -> None:
    """Each once, however often it is named; what is under way is skipped, and said."""
    one, two = dead(world, 2)
    erp, other, busy = world.delivery(one, "erp"), world.delivery(two, "erp"), world.delivery(one, "ledger")

    status, answer = operator.ask(START, {"delivery_ids": [erp.id, other.id, busy.id, erp.id], "reason": "x" * 500})

    assert status == 202
    assert [(it["id"], it["status"]) for it in answer["deliveries"]] == [(erp.id, "pending"), (other.id, "pending")]
    assert answer["skipped"] == [{"delivery_id": busy.id, "reason": "it is in_flight"}]
    job = world.store.replays.get(answer["id"])
    assert job is not None
    assert (job.by, job.reason, job.replayed, job.skipped) == (ARN, "x" * 500, 2, 1)
    assert world.delivery(one, "erp").generation != erp.generation
    assert world.sweep(seconds=0).published == 2


def test_an_event_is_named_by_its_sources_own_id(world: World, operator: Operator) -> None:
    """Its dead deliveries are replayed, those that arrived aren't."""
    (event,) = dead(world, 1)
    put(world, event, "ledger", Status.DELIVERED)

    status, answer = operator.ask(START, {"event_id": "github:0"})

    assert (status, [it["destination"] for it in answer["deliveries"]]) == (202, ["erp"])
    assert world.statuses(event.id)["ledger"] is Status.DELIVERED


@pytest.mark.parametrize(
    ("more", "replayed"),
    [
        ({"include_delivered": True}, {"erp", "ledger"}),
        ({"include_delivered": False}, {"erp"}),
        ({"include_delivered": True, "destinations": ["ledger"]}, {"ledger"}),
        ({"destinations": ["ledger"]}, set()),
        ({"destinations": ["erp", "erp"]}, {"erp"}),
    ],
    ids=str,
)
def test_of_an_event_that_is_replayed_which_was_asked_for(
    world: World, operator: Operator, more: dict[str, Any], replayed: set[str]
) -> None:
    (event,) = dead(world, 1)
    put(world, event, "ledger", Status.DELIVERED)

    _, answer = operator.ask(START, {"event_id": event.id} | more)

    assert {it["destination"] for it in answer["deliveries"]} == replayed


@pytest.mark.parametrize("named", [{"event_id": "rly_none"}, {"delivery_ids": ["dlv_none.erp"]}], ids=str)
def test_what_there_is_not_is_not_found(world: World, operator: Operator, named: dict[str, Any]) -> None:
    assert operator.ask(START, named)[0] == 404
    assert world.store.replays.newest(9) == []


def test_a_destination_that_an_event_has_not_is_not_found(world: World, operator: Operator) -> None:
    """Its other deliveries stay as they are."""
    (event,) = dead(world, 1)

    status, answer = operator.ask(START, {"event_id": event.id, "destinations": ["erp", "nowhere"]})

    assert status == 404
    assert "nowhere" in answer["error"]["message"]
    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


@pytest.mark.parametrize("body", [{"event_id": "github:0"}, {"query": {"destination": "erp"}}], ids=str)
def test_the_sweep_is_told_to_come_now(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    """Nobody waits for it; and where it can't be told, it comes within a minute: the replay is started all the same."""
    dead(world, 1)

    with _nudges(monkeypatch) as asked:
        status, answer = operator.ask(START, body)

    assert status == 202
    assert world.store.replays.get(answer["id"]) is not None
    ((url, kind, payload),) = asked
    assert url.endswith("/functions/the-sweep/invocations")
    assert (kind, payload) == ("Event", b"{}")


@pytest.mark.parametrize(
    "body",
    [{"query": {"destination": "erp"}, "dry_run": True}, {"event_id": "github:0", "destinations": ["ledger"]}],
    ids=str,
)
def test_the_sweep_is_left_alone_where_nothing_is_started(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    dead(world, 1)

    with _nudges(monkeypatch) as asked:
        status, _ = operator.ask(START, body)

    assert status < 300
    assert asked == []
