"""Events that no route takes: kept, counted, found, and replayed once a route does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import BadRequest
from relay.ingest.webhook import Webhook
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.query import answers
from relay.replay import bulk
from relay.replay.deliveries import replay_event
from relay.verification.verify import WebhookInfo
from tests.flat import publishing, route
from tests.unit.relay.replays import advance
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.model.ids import EventId
    from relay.replay.deliveries import StartedReplay
    from tests.unit.relay.world import World

SECONDS_LEFT = 30.0


def routes(*them: dict[str, Any]) -> dict[str, Any]:
    """Return FLAT with *them* as the routes of its source."""
    return FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"routes": list(them)}}}


NOTHING = routes(route("ci", name="routes[0]", when="body.wanted"))
TOO_PRECISE = routes(route("ci", name="routes[0]", when="starts_with(body.ref, 'v')"), route("audit"))
ALL = routes(route("ci", "audit"))


def unrouted(world: World) -> Event:
    """Return an event that no route took."""
    world.deploy(NOTHING)
    return world.post(b"{}").event


def replayed(world: World, event_id: EventId) -> StartedReplay:
    """Replay the event."""
    return replay_event(
        world.store, event_id, world.router, destinations=None, include_delivered=False, by="arn:me", reason=None
    )


def listed(world: World, status: str | None) -> list[str]:
    """Return the ids of the events that are listed."""
    asked = {} if status is None else {"status": status}
    return [it["id"] for it in answers.list_events(world.store, asked)["events"]]


def balanced(world: World) -> dict[str, Any]:
    """Return the ledger."""
    asked = {"until": iso(world.clock.at.replace(year=2027))}
    return answers.show_audit(world.store, asked, lambda: SECONDS_LEFT)


def test_an_event_that_no_route_takes_is_kept_counted_and_found(world: World) -> None:
    """And owes nobody anything: it is no delivery of the ledger's."""
    event = unrouted(world)
    world.deploy(ALL)
    other = world.post(key="d-2").event

    assert listed(world, "unrouted") == [event.id]
    assert set(listed(world, None)) == {event.id, other.id}
    found = balanced(world)
    assert found["unrouted"] == 1
    assert sum(it["expected"] for it in found["destinations"]) == len(other.expected)
    assert answers.show_event(world.store, event.id, with_body=True)["body"] == "{}"


def test_once_a_route_takes_it_a_replay_delivers_it_to_each_once(world: World) -> None:
    """It was published to nobody before, so that nothing is doubled."""
    event = unrouted(world)
    world.deploy(ALL)

    replay = replayed(world, event.id)
    world.sweep(seconds=1)

    assert {it.destination for it in replay.deliveries} == {"builder", "ledger", "erp"}
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert len(world.wire.published) == 2  # one message to each URL group
    assert listed(world, "unrouted") == []
    assert listed(world, None) == [event.id]
    assert replayed(world, event.id).deliveries == []
    world.sweep(seconds=1)
    assert len(world.wire.published) == 2


def test_while_no_route_takes_it_a_replay_changes_nothing(world: World) -> None:
    """It stays unrouted."""
    event = unrouted(world)

    assert replayed(world, event.id).deliveries == []
    assert listed(world, "unrouted") == [event.id]


def test_a_route_that_cannot_tell_keeps_the_others_from_nothing(world: World) -> None:
    """Why it couldn't is kept; once it can, a replay sends the event there, and nowhere else again."""
    world.deploy(TOO_PRECISE)
    event = world.post(b'{"ref": 7}').event
    assert event.route_error is not None
    assert "starts_with" in event.route_error
    assert set(world.statuses(event.id)) == {"ledger", "erp"}
    assert answers.show_event(world.store, event.id, with_body=False)["route_error"] == event.route_error

    world.deploy(ALL)
    replay = replayed(world, event.id)
    world.sweep(seconds=1)

    assert [it.destination for it in replay.deliveries] == ["builder"]
    assert [it.url.path.rpartition("/")[2] for it in world.wire.published] == ["relay.audit", "relay.ci"]
    assert answers.show_event(world.store, event.id, with_body=False)["route_error"] is None


@pytest.mark.parametrize(("config", "metric"), [(NOTHING, "Unrouted"), (TOO_PRECISE, "RouteFailed"), (ALL, None)])
def test_what_came_through_the_spool_counts_once_as_any_other(
    world: World, capsys: pytest.CaptureFixture[str], config: dict[str, Any], metric: str | None
) -> None:
    world.deploy(config)
    said = WebhookInfo("d-1", has_id=True, event_type="push", headers={})
    for _ in range(2):
        world.store.spool.put(Webhook("github", world.clock.at, said, None, b'{"ref": 7}').dump())

    world.sweep(60)

    lines = [json.loads(it) for it in capsys.readouterr().out.splitlines() if it.startswith("{")]
    assert [it["metric"] for it in lines if it.get("metric") in {"Unrouted", "RouteFailed"}] == [metric] * bool(metric)


def test_an_event_that_owes_a_publish_is_not_routed_again(world: World) -> None:
    """One time of the first publish is kept: within it the same deduplication id is safe."""
    world.deploy(TOO_PRECISE)
    world.wire.failures = [500] * 9
    event = world.post(b'{"ref": 7}').event
    world.deploy(ALL)

    assert world.router.reroute(world.store, world.store.event(event.id) or event) == []


def test_of_two_that_route_it_at_once_one_does(world: World) -> None:
    """The put that routes is conditional on the event as it was."""
    event = unrouted(world)
    world.deploy(ALL)

    first, second = (world.router.reroute(world.store, event) for _ in range(2))

    assert len(first) == 3
    assert second == []


def test_what_is_routed_for_a_paused_destination_is_held(world: World) -> None:
    """As a webhook that comes is."""
    event = unrouted(world)
    world.deploy(ALL)
    world.paused = {"erp": {"at": iso(world.clock.at)}}

    replayed(world, event.id)
    world.sweep(seconds=1)

    assert world.statuses(event.id) == {
        "builder": Status.IN_FLIGHT,
        "ledger": Status.IN_FLIGHT,
        "erp": Status.HELD,
    }


def test_all_that_are_unrouted_are_replayed_at_a_rate(world: World) -> None:
    """Counted first; a replay that comes to the end has found each."""
    world.deploy(NOTHING)
    events = [world.post(json.dumps({"n": n}).encode(), key=f"d-{n}").event for n in range(5)]
    asked = {"status": "unrouted", "source": "github"}
    world.clock.at = world.clock.at.replace(minute=59)
    counted = bulk.count(world.store, asked, lambda: SECONDS_LEFT)
    assert (counted.by_status, counted.complete) == ({"unrouted": 5}, True)
    world.deploy(ALL)

    job = bulk.start(world.store, asked, rate=3, by="arn:me", reason=None)
    assert [advance(world, job), advance(world, job)] == [3, 2]

    assert listed(world, "unrouted") == []
    world.sweep(seconds=1)
    assert {status for it in events for status in world.statuses(it.id).values()} == {Status.IN_FLIGHT}


def test_no_delivery_is_unrouted(world: World) -> None:
    """An event that nobody gets has no destination to choose by, and no delivery to list."""
    with pytest.raises(BadRequest, match="destination"):
        bulk.filters_of({"status": "unrouted", "destination": "erp"})
    with pytest.raises(BadRequest, match="status must be one of"):
        answers.list_deliveries(world.store, {"status": "unrouted"})


def test_the_settings_of_a_publish_are_the_routes_own(world: World) -> None:
    """A group that two routes name is published once: as the first that takes the event says."""
    world.deploy(
        routes(
            route("ci", name="routes[0]", how=publishing(retries=1), event_types=["push"], transform="{only: body.n}"),
            route("ci", "audit"),
        )
    )
    world.post(b'{"n": 5, "rest": 1}')

    ci = next(it for it in world.wire.published if it.url.path.endswith("relay.ci"))
    assert json.loads(ci.content) == {"only": 5}
    assert ci.headers["Upstash-Retries"] == "1"
    assert len(world.wire.published) == 2
