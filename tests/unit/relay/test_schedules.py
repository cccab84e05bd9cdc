"""Schedules: what the local QStash posts at its times becomes events, each tick one, and nobody else gets in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

import ingest
from infra.config.schemes import built_in_schemes
from infra.local.qstash.broker.signing import sign
from relay import wiring
from relay.config.settings import Settings
from relay.ingest.refusals import RefusalPace, record_refusal
from relay.model.ids import EventId, event_id
from relay.model.refusal import Reason
from relay.query.answers import list_refusals
from relay.urls import tick_url
from tests.unit.qstash.fakes import START_S, USERS, local
from tests.unit.qstash.steps import call
from tests.unit.relay.operator import wired
from tests.unit.relay.world import BASE, FLAT, MAC, SECRET, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

URL = tick_url(f"{BASE}/webhooks/nightly", MAC)
BODY = b'{"kind":"nightly"}'
CURRENT, FOLLOWING = USERS[0].current_key, USERS[0].next_key
ROLLED = "sig_rolled_rolled_rolled_rolled_rolled"
NIGHTLY: dict[str, Any] = {
    **FLAT["sources"]["github"],
    "scheme": "qstash",
    "row": built_in_schemes()["qstash"].row(),
    "schedule": {
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "body": BODY.decode(),
        "content_type": "application/json",
        "retries": 5,
    },
}


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """Give a relay with the schedule `nightly`, whose table has the keys of the local QStash."""
    world.clock.at = datetime.fromtimestamp(START_S, UTC)
    world.deploy({**FLAT, "sources": {**FLAT["sources"], "nightly": NIGHTLY}})
    world.store.deployment.save_keys(current=CURRENT, following=FOLLOWING, mac=MAC)
    relay = wired(world, monkeypatch, tmp_path, "RELAY_BUCKET")
    monkeypatch.setattr(relay, "settings", Settings.of({"RELAY_BASE_URLS": BASE}, world.settings.flat))
    monkeypatch.setattr(relay, "publisher", lambda: world.publisher)
    monkeypatch.setattr(ingest, "relay", lambda *_: relay)
    monkeypatch.setattr(ingest, "handler", world.handler(ingest))
    monkeypatch.setattr(ingest, "record_refusal", partial(record_refusal, pace=RefusalPace()))  # a function's own
    yield world
    wiring.relay.cache_clear()


def post(headers: dict[str, str], body: bytes = BODY, url: str = URL) -> dict[str, Any]:
    """Hand a request to ingest as the HTTP API does; return status and answer."""
    query = url.partition("?")[2]
    asked = {
        "routeKey": "ANY /webhooks/{source}",
        "rawPath": "/webhooks/nightly",
        "rawQueryString": query,
        "queryStringParameters": dict(parse_qsl(query)),
        "requestContext": {"http": {"method": "POST", "sourceIp": "127.0.0.1"}},
        "pathParameters": {"source": "nightly"},
        "headers": headers,
        "body": body.decode(),
    }
    answer = ingest.handler(asked, None)
    return {"status": answer["statusCode"], **json.loads(answer["body"])}


def tick(world: World, message: str = "msg_1", key: str = CURRENT, **changes: str) -> dict[str, Any]:
    """Post what QStash posts now; *changes* replace headers, an empty one takes it out."""
    return post({name: it for name, it in (headers(world, message, key) | changes).items() if it})


def headers(world: World, message: str, key: str = CURRENT, url: str = URL) -> dict[str, str]:
    token = sign(key=key, url=url, body=BODY, now_s=world.clock.at.timestamp())
    return {"upstash-signature": token, "upstash-message-id": message, "content-type": "application/json"}


def ticks(cron: str, first_day: datetime, days: int) -> list[tuple[datetime, httpx.Request]]:
    """Return what the local QStash posts in *days* from the midnight (UTC) of *first_day* on, and when."""

    async def advance() -> list[tuple[datetime, httpx.Request]]:
        async with local() as server:
            await server.clock.advance(first_day.timestamp() - START_S)
            server.http.headers["Content-Type"] = "application/json"
            await call(server, "POST", f"schedules/{URL}", BODY, cron=cron, schedule_id="relay.nightly")
            await server.clock.advance(days * 86_400)
            times = [datetime.fromtimestamp(START_S + it, UTC) for it in server.destination.times]
            return list(zip(times, server.destination.requests, strict=True))

    return asyncio.run(advance())


def test_every_tick_of_the_local_qstash_is_an_event_of_its_own(world: World) -> None:
    """Though the body is always the same; and where QStash's name for it was, the ledger has it."""
    answers = []
    for at, request in ticks("CRON_TZ=Europe/Berlin 0 3 * * *", datetime(2027, 2, 1, tzinfo=UTC), 3):
        world.clock.at = at
        answers.append(post(dict(request.headers), request.content))

    assert [it["status"] for it in answers] == [202, 202, 202]
    events = [world.store.event(EventId(it["event_id"])) for it in answers]
    assert [(it.event_type, it.headers, it.content_type) for it in events if it] == [
        ("schedule", {}, "application/json")
    ] * 3
    assert len({it.id for it in events if it}) == 3
    assert all(it and it.id == event_id("nightly", it.idempotency_key) for it in events)
    assert [it.suspected_replay_of for it in events if it] == [None] * 3
    assert all(it and world.store.body(it) == BODY for it in events)


@pytest.mark.parametrize(
    ("cron", "first_day", "expected"),
    [
        ("0 3 * * *", datetime(2027, 3, 27, tzinfo=UTC), ["27T02:00", "28T01:00", "29T01:00"]),
        ("0 3 * * *", datetime(2027, 10, 30, tzinfo=UTC), ["30T01:00", "31T02:00", "01T02:00"]),
        ("30 2 * * *", datetime(2027, 3, 27, tzinfo=UTC), ["27T01:30", "29T00:30"]),
        ("30 2 * * *", datetime(2027, 10, 30, tzinfo=UTC), ["30T00:30", "31T00:30", "31T01:30", "01T01:30"]),
    ],
)
def test_ticks_follow_the_clocks_of_the_zone(cron: str, first_day: datetime, expected: list[str]) -> None:
    """As robfig's cron: a time that a change of the clocks skips has no tick that day, one that it repeats has two."""
    found = ticks(f"CRON_TZ=Europe/Berlin {cron}", first_day, 3)

    assert [f"{at:%dT%H:%M}" for at, _ in found] == expected


def test_what_qstash_sends_again_is_the_same_event(world: World) -> None:
    """Each attempt has a signature of its own; the message's id stays."""
    first = tick(world)
    world.clock.at += timedelta(minutes=12)

    again = tick(world)

    assert (first["status"], again) == (202, {"status": 200, "event_id": first["event_id"], "duplicate": True})


def test_either_of_qstashs_keys_may_have_signed(world: World) -> None:
    assert tick(world, key=FOLLOWING)["status"] == 202


def test_keys_that_rolled_are_read_again_once_a_minute_at_most(world: World) -> None:
    """So that a tick after a roll gets in, and strangers can't have the table read for each of theirs."""
    tick(world)
    world.store.deployment.save_keys(current=FOLLOWING, following=ROLLED, mac=MAC)

    early = tick(world, "msg_2", key=ROLLED)
    world.clock.at += timedelta(seconds=wiring.KEYS_KEPT_S)
    late = tick(world, "msg_2", key=ROLLED)

    assert (early["status"], late["status"]) == (401, 202)


def test_a_key_that_was_rolled_away_opens_nothing_for_long(world: World) -> None:
    """Though no other was needed since, which would have had them read again."""
    tick(world)
    world.store.deployment.save_keys(current=ROLLED, following="sig_next", mac=MAC)
    world.clock.at += timedelta(seconds=wiring.KEYS_TRUSTED_S)

    late = tick(world, "msg_2", key=FOLLOWING)

    assert late["status"] == 401


def test_without_keys_nothing_gets_in(world: World) -> None:
    """Fail closed, and have QStash try again."""
    world.store.deployment.save_keys(current="", following="", mac=MAC)

    assert tick(world)["status"] == 503


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"upstash-signature": ""}, Reason.MISSING_HEADER),
        ({"upstash-message-id": ""}, Reason.MISSING_HEADER),
        ({"upstash-signature": "x.y"}, Reason.MALFORMED_HEADER),
    ],
)
def test_a_tick_that_lacks_its_proof_is_refused_and_recorded(
    world: World, changes: dict[str, str], reason: Reason
) -> None:
    answer = tick(world, **changes)

    assert answer["status"] == 401
    assert reason in {it["reason"] for it in list_refusals(world.store, "nightly", world.settings)["counts"]}


@pytest.mark.parametrize("key", [SECRET, ROLLED])
def test_who_isnt_qstash_is_refused_whatever_he_signs_with(world: World, key: str) -> None:
    """No signing secret of `sources` opens a schedule; the likely cause says that there is none to set."""
    answer = tick(world, key=key)

    refusals = list_refusals(world.store, "nightly", world.settings)["refusals"]
    assert answer["status"] == 401
    assert "only QStash may post to a schedule" in refusals[0]["likely_cause"]
    assert "secret set" not in refusals[0]["likely_cause"]


@pytest.mark.parametrize(
    "query",
    ["", "?tick=", f"?tick={'0' * 32}", tick_url("daily", MAC).removeprefix("daily"), "?tick=%ff"],
    ids=["none", "empty", "made up", "of another schedule", "no text"],
)
def test_a_destination_that_holds_qstashs_keys_can_not_forge_a_tick(world: World, query: str) -> None:
    """The keys are symmetric; the URL that only QStash was given is what it lacks."""
    url = f"{BASE}/webhooks/nightly{query}"

    answer = post(headers(world, "msg_1", url=url), url=url)

    assert answer["status"] == 401
    assert {it["reason"] for it in list_refusals(world.store, "nightly", world.settings)["counts"]} == {"wrong_token"}


def test_what_proves_a_tick_is_nowhere_in_its_event(world: World) -> None:
    event = world.store.event(EventId(tick(world)["event_id"]))

    assert event is not None
    assert event.query == {}


def test_another_body_or_an_old_tick_is_refused(world: World) -> None:
    """The signature is over this body, and good for five minutes."""
    held = headers(world, "msg_1")

    other = post(held, b'{"kind":"other"}')
    world.clock.at += timedelta(minutes=6)
    old = post(held)

    assert (other["status"], old["status"]) == (401, 401)


def test_the_clocks_of_qstash_and_the_relay_may_differ_by_seconds(world: World) -> None:
    held = headers(world, "msg_1")
    world.clock.at -= timedelta(seconds=4)

    assert post(held)["status"] == 202


def test_the_same_signature_under_another_message_id_is_a_suspected_replay(world: World) -> None:
    """Nothing signs the id: who saw a tick could have it made an event again."""
    held = headers(world, "msg_1")
    first = post(held)

    again = post(held | {"upstash-message-id": "msg_2"})

    event = world.store.event(EventId(again["event_id"]))
    assert event is not None
    assert event.suspected_replay_of == first["event_id"]
