"""What waits to be published has no record: listings and destinations show it all the same, as its event does."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ledger.balance import balance
from relay.model.delivery import Status
from relay.model.ids import iso
from relay.publishing.routing import routing_now
from relay.query import answers, health, implied
from relay.storage import listings
from tests.conftest import Clients
from tests.memory_aws import MemoryDynamoDB, MemoryS3
from tests.unit.relay.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.model.event import Event

SOME, MANY = 50, 0  # how many marks of a shard are read one by one


@pytest.fixture(params=[SOME, MANY], ids=["few", "many"])
def world(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Give a world that finds them by the marks of their events, or among all events."""
    monkeypatch.setattr(listings, "MARKS_MAX", request.param)
    return world


def hold(world: World, count: int) -> list[Event]:
    """Have *count* events come while nothing can be published, a second apart."""
    found = []
    for number in range(count):
        world.clock.at += timedelta(seconds=1)
        found.append(world.save(key=f"held-{number}"))
    return found


def pages(world: World, **asked: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a listing of deliveries."""
    cursor = None
    for _ in range(200):
        answer = answers.list_deliveries(world.store, asked | ({"cursor": cursor} if cursor else {}))
        yield answer["deliveries"]
        cursor = answer["cursor"]
        if cursor is None:
            return
    pytest.fail("the listing has no end")


def listed(world: World, **asked: str) -> list[dict[str, Any]]:
    return [it for page in pages(world, **asked) for it in page]


def truth(world: World, events: list[Event]) -> list[dict[str, Any]]:
    """Return the deliveries of *events*, the newest first, as each event shows them."""
    shown = [answers.show_event(world.store, it.id, with_body=False)["deliveries"] for it in events]
    rows = [{name: it[name] for name in it if name != "attempts"} for them in shown for it in them]
    return sorted(rows, key=lambda it: (it["event_received_at"], it["event_id"], it["destination"]), reverse=True)


@pytest.mark.parametrize("limit", ["1", "7", "200"])
def test_a_hold_is_listed_whole_newest_first(world: World, limit: str) -> None:
    events = hold(world, 33)

    assert listed(world, status="pending", limit=limit) == truth(world, events)
    assert len(truth(world, events)) == 99


def test_a_hold_is_found_by_every_filter(world: World) -> None:
    events = hold(world, 9)
    wanted = truth(world, events)

    assert listed(world, destination="erp") == [it for it in wanted if it["destination"] == "erp"]
    assert listed(world, source="github", type="push", status="pending") == wanted
    assert listed(world, source="acme") == listed(world, type="pull") == listed(world, destination="other") == []
    assert listed(world, status="pending", since=iso(events[6].received_at)) == truth(world, events[6:])
    assert listed(world, status="pending", until=iso(events[6].received_at)) == truth(world, events[:6])
    assert listed(world, status="held") == listed(world, status="in_flight") == []


def test_events_are_found_by_what_waits(world: World) -> None:
    events = hold(world, 3)

    found = answers.list_events(world.store, {"status": "pending", "destination": "erp"})["events"]

    assert [it["id"] for it in found] == [it.id for it in reversed(events)]


def test_destinations_show_what_waits(world: World) -> None:
    hold(world, 33)

    answer = health.list_destinations(world.settings, world.store, {}, lambda: 20.0)
    one = health.list_destinations(world.settings, world.store, {}, lambda: 20.0, destination="erp")

    counts = {it["destination"]: it["counts"]["pending"] for it in answer["destinations"]}
    assert counts == {"ledger": 33, "erp": 33, "builder": 33}
    assert [it["counts"]["pending"] for it in one["destinations"]] == [33]


def test_what_is_let_go_is_listed_where_it_went(world: World) -> None:
    events = hold(world, 5)
    world.sweep()

    assert listed(world, status="pending") == []
    assert listed(world, status="in_flight") == truth(world, events)


@pytest.mark.parametrize("reader", ["newest", "_page"])
def test_one_that_gets_a_record_within_a_page_is_listed_once(
    world: World, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    """Whichever of the two was read before: the page after begins below it."""
    (event,) = hold(world, 1)
    module: Any = implied if reader == "newest" else answers
    read = getattr(module, reader)

    def then_published(*given: Any, **asked: Any) -> Any:
        found = read(*given, **asked)
        world.publisher.publish_event(event, b"{}", routing_now(world.settings, event, b"{}"))
        return found

    monkeypatch.setattr(module, reader, then_published)

    found = listed(world)

    assert {it["id"] for it in found} == {it["id"] for it in truth(world, [event])}
    assert len(found) == 3
    assert listed(world, status="pending") == []


def test_without_time_what_waits_is_not_said_to_be_all(world: World) -> None:
    hold(world, 3)

    assert not health.look(world.store, since=world.clock.at, seconds_left=lambda: 0.0).complete


def test_looking_for_what_waits_leaves_time_for_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events are looked through for it, half of the time is for what has a record."""
    world.report(world.post(key="1").event, "erp", "callback", status=200)
    left_s = [20.0]
    marked = world.store.listings.marked

    def slow(*args: Any, **named: Any) -> Any:
        left_s[0] -= 4
        return marked(*args, **named)

    monkeypatch.setattr(world.store.listings, "marked", slow)

    found = health.look(world.store, since=World.began, seconds_left=lambda: left_s[0])

    assert not found.complete
    assert found.by_destination["erp"].counts[Status.DELIVERED] == 1


OPS = st.lists(
    st.sampled_from(["post", "hold", "reject", "deliver", "die", "sweep", "pause", "resume"]), min_size=1, max_size=12
)


@given(OPS, st.sampled_from([SOME, MANY]), st.sampled_from(["1", "3", "200"]))
def test_listings_say_what_the_events_say(ops: list[str], most: int, limit: str) -> None:
    """In any order of what can happen; and the destinations add up to the audit's balance."""
    world = World(Clients(MemoryDynamoDB(), MemoryS3()))
    events: list[Event] = []
    for number, op in enumerate(ops):
        world.clock.at += timedelta(seconds=1)
        match op:
            case "post":
                events.append(world.post(key=str(number)).event)
            case "hold":
                events.append(world.save(key=str(number)))
            case "reject":
                world.wire.failures = [500, 500]
                events.append(world.post(key=str(number)).event)
                world.wire.failures = []
            case "deliver" | "die" if events:
                kind, status = ("callback", 200) if op == "deliver" else ("failure", 500)
                world.report(events[number % len(events)], "erp", kind, status=status, retried=2)
            case "sweep":
                world.sweep()
            case "pause":
                world.paused["ledger"] = {"at": iso(world.clock.at), "by": None, "reason": None}
            case "resume":
                world.paused.clear()
    wanted = truth(world, events)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listings, "MARKS_MAX", most)
        assert listed(world, limit=limit) == wanted
        for one in Status:
            assert listed(world, limit=limit, status=one) == [it for it in wanted if it["status"] == one]
        look = health.look(world.store, since=World.began, seconds_left=lambda: 20.0)

    until = iso(world.clock.at + timedelta(seconds=1))
    balanced = balance(world.store, since=iso(World.began), until=until, seconds_left=lambda: 20.0)
    counted = {name: +it.counts for name, it in look.by_destination.items()}
    assert counted == balanced.by_destination
    assert counted == {
        name: Counter(Status(it["status"]) for it in wanted if it["destination"] == name)
        for name in {it["destination"] for it in wanted}
    }
