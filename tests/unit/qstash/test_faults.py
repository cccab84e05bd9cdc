"""Faults, time and windows on command."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import jwt
import pytest

from infra.local.destinations import Behaviour, Destinations
from infra.local.qstash.broker.clock import Clock, all_idle
from tests.local_qstash import running_qstash

from .fakes import ADMIN, START_S, URL, USERS, Local, local, run
from .steps import slow

CALLBACK = "https://callback.test/"
PUBLISHES = {"on": "call", "match": {"method": "POST", "path": "/v2/publish/*"}}
CALLBACKS = {"on": "callback", "match": {"destination": "https://callback.test/*"}}


async def reported(server: Local) -> list[str]:
    """Return the ids of the messages that callbacks reported, in the order in which they came."""
    return [json.loads(request.content)["sourceMessageId"] for request in server.destination.to("callback.test")]


async def publish(server: Local, label: str = "") -> str:
    """Publish with a callback, and return the message's id."""
    message_id: str = (await server.publish(callback=CALLBACK, label=label))["messageId"]
    return message_id


@run
async def test_the_admin_api_is_off_unless_asked_for_and_has_a_token_of_its_own() -> None:
    async with local() as server:
        assert (await server.http.get("/admin/rules", headers=ADMIN)).status_code == 404
    async with local(admin=True) as server:
        assert (await server.http.get("/admin/rules")).status_code == 401
        assert (await server.http.get("/v2/keys", headers=ADMIN)).status_code == 401
        assert await server.admin("GET", "rules") == {"rules": []}


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"on": "call", "do": "lose"}, "'lose' is nothing that happens to a call"),
        ({"on": "callback", "do": "answer"}, "nothing that happens to a callback"),
        ({"on": "call", "do": "drop", "often": 1}, "0.often: Extra inputs are not permitted"),
        ({"on": "call", "do": "drop", "count": 0}, "0.count"),
        ({"on": "call", "do": "drop", "probability": 2}, "0.probability"),
        ({"on": "call", "do": "answer", "status": 200}, "0.status"),
        ({"on": "call", "do": "drop", "match": {"host": "x"}}, "0.match.host"),
        ([{"on": "call", "do": "drop"}, {}], "1.on: Field required"),
        ("nonsense", "Input should be an object"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(rule: Any, why: str) -> None:
    @run
    async def body() -> None:
        async with local(admin=True) as server:
            assert why in (await server.admin("POST", "rules", rule, expect=400))["error"]
            assert await server.admin("GET", "rules") == {"rules": []}

    body()


@run
async def test_publishes_are_answered_with_a_status_as_often_as_asked_and_the_rule_says_what_it_struck() -> None:
    async with local(admin=True) as server:
        added = await server.admin("POST", "rules", PUBLISHES | {"do": "answer", "status": 503, "after": 1, "count": 2})
        await server.publish()
        await server.publish(expect=503)
        await server.get("/v2/keys")
        await server.publish(expect=503)
        await server.publish()
        assert len(server.destination.requests) == 2
        rule = (await server.admin("GET", "rules"))["rules"][0]
        assert (rule["id"], rule["seen"], rule["hits"]) == (added["ids"][0], 4, 2)
        assert rule["last"] == [f"POST /v2/publish/{URL}"] * 2
        await server.admin("DELETE", f"rules/{rule['id']}")
        await server.admin("DELETE", f"rules/{rule['id']}", expect=404)


@pytest.mark.parametrize(("quota", "prefix"), [("daily", "RateLimit"), ("burst", "Burst-RateLimit")])
def test_either_rate_limit_is_answered_with_its_headers(quota: str, prefix: str) -> None:
    @run
    async def body() -> None:
        async with local(admin=True) as server:
            await server.admin("POST", "rules", {"on": "call", "do": "answer", "quota": quota, "seconds": 60})
            response = await server.http.get("/v2/keys")
            assert response.status_code == 429
            assert response.headers[f"{prefix}-Reset"] == str(int(START_S) + 60)
            assert response.headers[f"{prefix}-Remaining"] == "0"
            other = {"RateLimit-Limit", "Burst-RateLimit-Limit"} - {f"{prefix}-Limit"}
            assert other.isdisjoint(name.title().replace("Ratelimit", "RateLimit") for name in response.headers)

    body()


@pytest.mark.parametrize(("deduplication_id", "deliveries"), [("", 2), ("d", 1)])
def test_a_publish_answered_into_the_void_was_made(deduplication_id: str, deliveries: int) -> None:
    """The classic double publish: whoever publishes again sends twice, unless both have a deduplication id."""

    @run
    async def body() -> None:
        async with local(admin=True) as server:
            await server.admin("POST", "rules", PUBLISHES | {"do": "void", "count": 1})
            with pytest.raises(ConnectionResetError):
                await server.publish(deduplication_id=deduplication_id)
            await server.publish(deduplication_id=deduplication_id, expect=202 if deduplication_id else 200)
            assert len(server.destination.requests) == deliveries

    body()


@pytest.mark.parametrize("do", ["drop", "hang"])
def test_a_publish_that_is_dropped_was_not_made(do: str) -> None:
    @run
    async def body() -> None:
        async with local(admin=True) as server:
            await server.admin("POST", "rules", PUBLISHES | {"do": do, "seconds": 5.0})
            with pytest.raises(ConnectionResetError):
                async with server.passing(5):
                    await server.publish()
            assert server.destination.requests == []

    body()


@run
async def test_a_lost_callback_leaves_no_trace_but_its_creation() -> None:
    async with local(admin=True) as server:
        await server.admin("POST", "rules", CALLBACKS | {"do": "lose", "count": 1})
        first, second = await publish(server), await publish(server)
        assert await reported(server) == [second]
        lost = (await server.admin("GET", "rules"))["rules"][0]["last"]
        assert await server.states(lost[0]) == ["CREATED"]
        assert await server.states(first) == ["CREATED", "ACTIVE", "DELIVERED"]
        assert await server.dead_letters() == []


@run
async def test_callbacks_are_delayed() -> None:
    async with local(admin=True) as server:
        await server.admin("POST", "rules", CALLBACKS | {"do": "delay", "seconds": 60})
        await publish(server)
        await server.clock.advance(59)
        assert await reported(server) == []
        await server.clock.advance(1)
        assert len(await reported(server)) == 1


@run
async def test_callbacks_come_in_another_order() -> None:
    """Each second one overtakes the one before; where none follows, the held one comes in the end."""
    async with local(admin=True) as server:
        await server.admin("POST", "rules", CALLBACKS | {"do": "reorder", "seconds": 60})
        first, second, third = await publish(server), await publish(server), await publish(server)
        assert await reported(server) == [second, first]
        await server.clock.advance(60)
        assert await reported(server) == [second, first, third]


@pytest.mark.parametrize(("on", "host"), [("delivery", "destination.test"), ("callback", "callback.test")])
def test_what_is_duplicated_comes_twice_with_one_id(on: str, host: str) -> None:
    @run
    async def body() -> None:
        async with local(admin=True) as server:
            await server.admin("POST", "rules", {"on": on, "do": "duplicate"})
            message = await publish(server)
            first, second = server.destination.to(host)
            for name in ("Upstash-Message-Id", "Upstash-Retried"):
                assert first.headers[name] == second.headers[name]
            assert len(server.destination.requests) == 3
            assert await server.states(message) == ["CREATED", "ACTIVE", "DELIVERED"]

    body()


@run
async def test_a_rule_is_about_a_group_or_a_label_and_callbacks_have_those_of_their_source() -> None:
    async with local(admin=True) as server:
        await server.group("g", ("a", URL))
        await server.admin("POST", "rules", {"on": "callback", "do": "lose", "match": {"group": "g", "label": "l*"}})
        await server.publish("g", callback=CALLBACK, label="x, l1")
        kept = (await server.publish("g", callback=CALLBACK, label="x"))[0]["messageId"]
        other = await publish(server, label="l1")
        assert await reported(server) == [kept, other]


@run
async def test_keys_roll_while_deliveries_are_under_way() -> None:
    async with local(admin=True) as server:
        await server.admin("POST", "rules", {"on": "delivery", "do": "rotate", "after": 1, "count": 1})
        await server.publish()
        await server.publish()
        keys = await server.get("/v2/keys")
        assert keys["current"] == USERS[0].next_key
        for request, key in zip(server.destination.requests, (USERS[0].current_key, keys["current"]), strict=True):
            options: Any = {"verify_exp": False, "verify_iat": False}
            jwt.decode(request.headers["Upstash-Signature"], key, algorithms=["HS256"], options=options)


@run
async def test_while_it_is_down_nobody_is_answered_and_nothing_delivered() -> None:
    async with local(admin=True) as server:
        await server.publish(delay="30s")
        await server.admin("POST", "down", {"seconds": 60.0})
        with pytest.raises(ConnectionResetError):
            await server.publish()
        await server.clock.advance(59)
        assert server.destination.requests == []
        await server.clock.advance(1)
        assert len(server.destination.requests) == 1
        assert not (await server.admin("POST", "down"))["up"]
        assert (await server.admin("POST", "up"))["up"]
        await server.publish()
        await server.admin("POST", "rules", PUBLISHES | {"do": "down", "seconds": 5.0, "count": 1})
        with pytest.raises(ConnectionResetError):
            await server.publish()
        with pytest.raises(ConnectionResetError):
            await server.get("/v2/keys")
        await server.clock.advance(5)
        await server.publish()


@run
async def test_what_waited_for_its_turn_when_it_went_down_waits_on() -> None:
    async with local(admin=True) as server:
        server.destination.default = slow(server, 5)
        for _ in range(2):
            await server.publish(flow_control_key="k", flow_control_value="parallelism=1")
        await server.admin("POST", "down", {"seconds": 60.0})
        await server.clock.advance(59)
        assert len(server.destination.requests) == 1
        await server.clock.advance(1)
        assert len(server.destination.requests) == 2


@pytest.mark.parametrize("days", [0, 90])
def test_either_deduplication_window_holds(days: int) -> None:
    @run
    async def body() -> None:
        async with local(admin=True) as server:
            window_s = days * 86_400 or 600
            if days:
                await server.admin("PATCH", "settings", {"deduplication_window_s": window_s})
            await server.publish(deduplication_id="d")
            await server.clock.advance(window_s - 1)
            await server.publish(deduplication_id="d", expect=202)
            await server.clock.advance(1)
            await server.publish(deduplication_id="d")

    body()


@run
async def test_an_id_counts_for_the_account_or_for_a_destination() -> None:
    async with local(admin=True) as server:
        await server.publish(deduplication_id="d")
        await server.publish("https://other.test/", deduplication_id="d", expect=202)
        await server.admin("PATCH", "settings", {"deduplication_scope": "destination"})
        await server.publish(deduplication_id="e")
        await server.publish("https://other.test/", deduplication_id="e")
        await server.publish(deduplication_id="e", expect=202)
        await server.admin("PATCH", "settings", {"deduplication_scope": "world"}, expect=400)


@run
async def test_a_bulk_cancel_honours_its_count_or_ignores_it() -> None:
    async with local(admin=True) as server:
        for ignored, cancelled in ((False, 2), (True, 4)):
            await server.admin("PATCH", "settings", {"cancel_count_ignored": ignored})
            for _ in range(3):
                await server.publish(delay="1h")
            assert (await server.http.delete("/v2/messages?count=2")).json() == {"cancelled": cancelled}


@run
async def test_the_log_lags_and_is_cut_short() -> None:
    async with local(admin=True) as server:
        first = await server.publish()
        await server.admin("PATCH", "settings", {"log_lag_s": 30})
        await server.clock.advance(20)
        second = await server.publish()
        assert (await server.get("/v2/logs"))["logs"] == []
        await server.clock.advance(10)
        rows = (await server.get("/v2/logs"))["logs"]
        assert {row["messageId"] for row in rows} == {first["messageId"]}
        settings = await server.admin("PATCH", "settings", {"log_lag_s": 0, "log_rows": 2})
        assert (settings["log_rows"], settings["deduplication_window_s"]) == (2, 600)
        assert [row["state"] for row in (await server.get("/v2/logs"))["logs"]] == ["DELIVERED", "ACTIVE"]
        assert await server.states(second["messageId"]) == ["ACTIVE", "DELIVERED"]
        await server.admin("PATCH", "settings", {"log_rows": None})
        assert len((await server.get("/v2/logs"))["logs"]) == 6


def test_the_same_seed_strikes_the_same() -> None:
    async def struck(seed: int) -> list[bool]:
        async with local(admin=True) as server:
            rule = PUBLISHES | {"do": "answer", "probability": 0.3, "seed": seed}
            await server.admin("POST", "rules", rule)
            return [(await server.http.post(f"/v2/publish/{URL}")).status_code == 500 for _ in range(60)]

    outcomes: list[list[bool]] = []

    @run
    async def body() -> None:
        outcomes.extend([await struck(1), await struck(1), await struck(2)])

    body()
    first, again, other = outcomes
    assert first == again != other
    assert 8 <= sum(first) <= 28  # 18 of 60 expected; beyond it is less likely than 1 in 1,000


@run
async def test_of_several_rules_the_first_that_strikes_is_the_one() -> None:
    async with local(admin=True) as server:
        rules = [PUBLISHES | {"do": "answer", "status": status, "count": 1} for status in (501, 502)]
        await server.admin("POST", "rules", rules)
        for status in (501, 502, 200):
            await server.publish(expect=status)
        assert await server.admin("DELETE", "rules") == {"dropped": 2}


@run
async def test_time_is_put_forward_on_command() -> None:
    async with local(*[httpx.Response(500)] * 3, admin=True) as server:
        message = await server.publish()
        status = await server.admin("POST", "clock", {"advance_s": 7 * 86_400})
        assert status["now_ms"] == int((START_S + 7 * 86_400) * 1000)
        assert (status["messages"], status["under_way"]) == (0, 0)
        assert (await server.states(message["messageId"]))[-1] == "DELIVERED"
        assert [round(at) for at in server.destination.times] == [0, 12, 161, 1_969]
        await server.admin("POST", "clock", {"advance_s": -1}, expect=400)
        await server.admin("POST", "clock", {}, expect=400)


@run
async def test_an_account_has_as_many_attempts_at_a_time_as_it_is_given() -> None:
    async def silent(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with local(admin=True, default=silent) as server:
        await server.admin("POST", "parallelism", {"places": 1})
        for _ in range(3):
            await server.publish()
        assert (await server.admin("GET", "status"))["under_way"] == 1
        await server.admin("POST", "parallelism", {"places": 2})
        await all_idle()
        assert (await server.admin("GET", "status"))["under_way"] == 2
        await server.admin("POST", "parallelism", {"places": 0}, expect=400)


def test_over_the_wire_a_day_of_retries_passes_in_a_moment_and_a_dropped_call_gets_no_answer() -> None:
    """A clock that runs can be put forward as well; it waits for destinations at each step."""
    with running_qstash("--admin") as facts, httpx.Client(base_url=facts.url) as client:
        user, admin = ({"Authorization": f"Bearer {token}"} for token in (facts.token, facts.admin_token))
        begun = time.monotonic()
        message = client.post("/v2/publish/http://127.0.0.1:9/x", headers=user).json()["messageId"]
        assert client.post("/admin/clock", json={"advance_s": 86_400}, headers=admin).status_code == 200
        rows = client.get("/v2/logs", params={"messageId": message, "order": "earliestFirst"}, headers=user).json()
        states = [row["state"] for row in rows["logs"]]
        assert states == ["CREATED", *["ACTIVE", "ERROR", "RETRY"] * 3, "ACTIVE", "ERROR", "FAILED"]
        assert 1_950_000 < rows["logs"][-1]["time"] - rows["logs"][0]["time"] < 2_100_000
        assert time.monotonic() - begun < 10
        for do in ("drop", "void", "hang"):
            rule = PUBLISHES | {"do": do, "count": 1, "seconds": 0.1}
            assert client.post("/admin/rules", json=rule, headers=admin).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                client.post("/v2/publish/http://127.0.0.1:9/x", headers=user)
            assert client.get("/v2/keys", headers=user).status_code == 200


def test_a_clock_put_forward_waits_for_a_destination_that_answers() -> None:
    """Else its attempt would meet its timeout, which is over in no time at all."""
    with running_qstash("--admin") as facts, httpx.Client(base_url=facts.url) as client, Destinations() as there:
        user, admin = ({"Authorization": f"Bearer {token}"} for token in (facts.token, facts.admin_token))
        url = there.behave("slow", Behaviour(delay_s=0.1))
        settings = {"Upstash-Timeout": "30s", "Upstash-Retries": "0"}
        message = client.post(f"/v2/publish/{url}", headers=user | settings).json()["messageId"]
        assert client.post("/admin/clock", json={"advance_s": 86_400}, headers=admin).status_code == 200
        rows = client.get("/v2/logs", params={"messageId": message}, headers=user).json()["logs"]
        assert rows[0]["state"] == "DELIVERED"


def test_a_clock_that_runs_is_put_forward_past_what_waits() -> None:
    woken: list[float] = []

    @run
    async def body() -> None:
        clock = Clock()
        begun = clock.now()
        clock.call_later(3_600, lambda: woken.append(clock.now() - begun))
        clock.call_later(7_200, lambda: woken.append(clock.now() - begun))
        cancel = clock.call_later(10, lambda: woken.append(0))
        cancel()
        clock.call_later(0.01, lambda: woken.append(clock.now() - begun))
        await clock.sleep(0.02)
        await clock.advance(5_000)
        await all_idle()
        assert 5_000 < clock.now() - begun < 5_010

    body()
    assert [round(at) for at in woken] == [0, 3_600]
