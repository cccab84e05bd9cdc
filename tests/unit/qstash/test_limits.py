"""Limits: what each plan refuses, what is answered with 429, what only waits, and what a read-only token may do."""

from __future__ import annotations

from typing import Any

import httpx

from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import PLANS, Limits

from .fakes import START_S, URL, USERS, local, run
from .steps import arrived, call, each, refused, slow

MIDNIGHT_S = 1_800_057_600  # the end of the day in UTC that it is at the start
MIB = 1024 * 1024
ITEM = {"destination": URL}


def plan(name: str) -> Settings:
    return Settings(limits=PLANS[name])


def figures(response: httpx.Response) -> dict[str, str]:
    """Return the headers that tell of a rate limit, of a call that ran into it."""
    assert (response.status_code, [*response.json()]) == (429, ["error"])
    return {name: value for name, value in response.headers.items() if "ratelimit" in name}


@each(
    "name setting most more text",
    ("free", "delay", "7d", "7d1s", "quota maxDelay exceeded, current limit: 604800"),
    ("free", "not_before", f"{START_S + 604_800:.0f}", "1800604801", "quota maxDelay exceeded, current limit: 604800"),
    ("payg", "delay", "365d", "366d", "quota maxDelay exceeded, current limit: 31536000"),
    ("free", "timeout", "15m", "15m1s", "quota maxTimeout exceeded, current limit: 900"),
    ("payg", "timeout", "2h", "2h1s", "quota maxTimeout exceeded, current limit: 7200"),
    ("free", "retries", "999", "1000", "quota maxRetries exceeded, current limit: 999"),
)
async def test_a_setting_above_the_plan_is_refused(name: str, setting: str, most: str, more: str, text: str) -> None:
    """A batch with one such item sends nothing."""
    async with local(settings=plan(name)) as server:
        accepted = await call(server, "POST", f"publish/{URL}", **{"delay": "1h", setting: most})
        batch = [ITEM, ITEM | {"headers": {f"Upstash-{setting.replace('_', '-')}": more}}]
        assert await refused(server, 412, "POST", f"publish/{URL}", **{setting: more}) == text
        assert await refused(server, 412, "POST", "batch", batch) == text
        assert await refused(server, 412, "POST", f"schedules/{URL}", **{"cron": "@daily", setting: more}) == text
        assert {row["messageId"] for row in (await server.get("/v2/logs"))["logs"]} == {accepted["messageId"]}


@each("name", ["1m"], ["10m"])
async def test_the_delay_is_unlimited_in_a_fixed_plan(name: str) -> None:
    async with local(settings=plan(name)) as server:
        await server.publish(delay="4000d")


@each("name mib parallelism at_once", ("free", 1, 2, 10), ("payg", 10, 100, 100), ("1m", 50, 200, 200))
async def test_a_body_or_a_parallelism_above_the_plan_is_refused(
    name: str, mib: int, parallelism: int, at_once: int
) -> None:
    async with local(settings=plan(name)) as server:
        await call(server, "POST", f"publish/{URL}", b"x" * mib * MIB, delay="1h")
        text = await refused(server, 412, "POST", f"publish/{URL}", b"x" * (mib * MIB + 1))
        assert text == f"quota maxMessageSize exceeded, current limit: {mib * MIB}"
        await call(server, "POST", "queues", {"queueName": "q", "parallelism": parallelism})
        text = await refused(server, 412, "POST", "queues", {"queueName": "q", "parallelism": parallelism + 1})
        assert text == f"quota maxParallelism exceeded, current limit: {parallelism}"
        assert (await server.get("/v2/globalParallelism"))["parallelismMax"] == at_once


@each(
    "name kind most",
    *(("free", "Topics", 1), ("free", "EndpointsPerTopic", 100), ("free", "Queues", 10), ("free", "Schedules", 10)),
    *(("payg", "Topics", 100), ("payg", "EndpointsPerTopic", 100), ("payg", "Queues", 100)),
)
async def test_a_plan_has_so_many_of_a_kind_and_what_is_there_may_still_be_changed(
    name: str, kind: str, most: int
) -> None:
    async with local(settings=plan(name)) as server:
        for number in (*range(most), most, 0):
            wanted: tuple[str, Any, dict[str, str]] = {
                "Topics": (f"topics/g{number}/endpoints", {"endpoints": [{"url": URL}]}, {}),
                "EndpointsPerTopic": ("topics/g/endpoints", {"endpoints": [{"url": f"{URL}/{number}"}]}, {}),
                "Queues": ("queues", {"queueName": f"q{number}"}, {}),
                "Schedules": (f"schedules/{URL}", None, {"cron": "@daily", "schedule_id": f"s{number}"}),
            }[kind]
            await server.clock.advance(0.02)
            if number < most:
                await call(server, "POST", wanted[0], wanted[1], **wanted[2])
            else:
                text = await refused(server, 412, "POST", wanted[0], wanted[1], **wanted[2])
                assert text == f"quota max{kind} exceeded, current limit: {most}"


@run
async def test_the_messages_of_a_day_are_limited_however_they_are_sent_until_midnight_in_utc() -> None:
    async with local(settings=Settings(limits=Limits(messages_per_day=4))) as server:

        async def check() -> None:
            expected = {"ratelimit-limit": "4", "ratelimit-remaining": "0", "ratelimit-reset": str(MIDNIGHT_S)}
            for path in (f"publish/{URL}", f"enqueue/q/{URL}"):
                assert figures(await server.http.post(f"/v2/{path}")) == expected
            assert figures(await server.http.post("/v2/batch", json=[ITEM])) == expected

        await server.group("g", ("a", "https://a.test"), ("b", "https://b.test"))
        for path in ("publish/g", f"publish/{URL}", f"enqueue/q/{URL}"):
            await call(server, "POST", path)
        await check()
        await server.clock.advance(MIDNIGHT_S - START_S - 1)
        await check()
        assert len(server.destination.requests) == 4
        await server.clock.advance(1)
        await call(server, "POST", "batch", [ITEM] * 4)
        await refused(server, 429, "POST", f"publish/{URL}")


@run
async def test_what_is_above_the_rest_of_the_day_is_refused_as_a_whole() -> None:
    async with local(settings=Settings(limits=Limits(messages_per_day=2))) as server:
        await server.group("g", ("a", "https://a.test"), ("b", "https://b.test"))
        await server.publish()
        await refused(server, 429, "POST", "publish/g")
        await refused(server, 429, "POST", "batch", [ITEM, ITEM])
        assert len(server.destination.requests) == 1
        await server.publish()


@run
async def test_duplicates_retries_and_callbacks_are_no_messages_of_the_day() -> None:
    async with local(httpx.Response(500), settings=Settings(limits=Limits(messages_per_day=2))) as server:
        await server.publish(deduplication_id="d", retry_delay="1000", callback="https://callback.test")
        await server.clock.advance(10)
        assert len(server.destination.requests) == 4
        await server.publish(deduplication_id="e")
        await server.publish(deduplication_id="d", expect=202)
        await server.publish(expect=429)


@run
async def test_a_duplicate_within_a_batch_is_no_message_of_the_day() -> None:
    async with local(settings=Settings(limits=Limits(messages_per_day=1))) as server:
        item = ITEM | {"headers": {"Upstash-Deduplication-Id": "d"}}
        first, second = await call(server, "POST", "batch", [item, item])
        assert second == first | {"deduplicated": True}


@each(
    "method path",
    *(("GET", "logs"), ("GET", "events"), ("GET", "dlq"), ("GET", "messages/msg_x"), ("GET", "topics")),
    *(("GET", "queues"), ("POST", "queues"), ("DELETE", "queues/q"), ("GET", "schedules")),
    *(("PATCH", "schedules/s/pause"), ("GET", "flowControl"), ("POST", "flowControl/k/pause"), ("DELETE", "messages")),
)
async def test_calls_that_manage_are_limited_in_a_second_and_sending_is_not(method: str, path: str) -> None:
    async with local(settings=Settings(limits=Limits(calls_per_s=3))) as server:
        for reset in ("1800000001", "1800000002"):
            for _ in range(3):
                assert (await server.http.request(method, f"/v2/{path}")).status_code != 429
            expected = {"burst-ratelimit-limit": "3", "burst-ratelimit-remaining": "0", "burst-ratelimit-reset": reset}
            assert figures(await server.http.request(method, f"/v2/{path}")) == expected
            for _ in range(4):
                await call(server, "POST", f"publish/{URL}")
                await call(server, "POST", f"enqueue/q/{URL}")
                await call(server, "POST", "batch", [ITEM])
            await server.clock.advance(1)


@run
async def test_the_free_plan_has_a_thousand_messages_a_day_and_a_hundred_calls_a_second() -> None:
    async with local(settings=plan("free")) as server:
        await call(server, "POST", "batch", [ITEM | {"headers": {"Upstash-Delay": "1d"}}] * 1_000)
        assert figures(await server.http.post(f"/v2/publish/{URL}"))["ratelimit-limit"] == "1000"
        statuses = [(await server.http.get("/v2/queues")).status_code for _ in range(102)]
        assert statuses == [200] * 100 + [429] * 2


@run
async def test_of_all_deliveries_of_an_account_so_many_are_under_way_and_more_wait_in_order() -> None:
    async with local(settings=plan("free")) as server:
        server.destination.default = slow(server, 10)
        for number in range(12):
            last = await server.publish(f"https://destination.test/{number}")
        assert await server.get("/v2/globalParallelism") == {"parallelismMax": 10, "parallelismCount": 10}
        assert await server.states(last["messageId"]) == ["CREATED"]
        server.http.headers["Authorization"] = f"Bearer {USERS[1].token}"
        await server.publish("https://destination.test/other")
        await server.clock.advance(100)
        expected = [*((str(number), 0) for number in range(10)), ("other", 0), ("10", 10), ("11", 10)]
        assert arrived(server) == expected


@run
async def test_a_read_only_token_reads_what_its_user_has_and_changes_nothing() -> None:
    async with local(httpx.Response(500)) as server:
        await server.publish(retries="0", flow_control_key="k", flow_control_value="rate=1")
        held = await call(server, "POST", f"enqueue/q/{URL}", delay="1d")
        await server.group("g", ("a", URL))
        await call(server, "POST", f"schedules/{URL}", cron="@daily", schedule_id="s")
        dead = (await server.dead_letters())[0]["dlqId"]
        lists = ["logs", "events", "dlq", "topics", "queues", "schedules", "flowControl", "globalParallelism"]
        ones = [f"dlq/{dead}", "topics/g", "queues/q", "schedules/s", "flowControl/k", f"messages/{held['messageId']}"]
        before = [await call(server, "GET", path) for path in lists + ones]
        server.http.headers["Authorization"] = f"Bearer {USERS[0].read_only_token}"
        assert [await call(server, "GET", path) for path in lists + ones] == before
        posts = [f"publish/{URL}", f"enqueue/q/{URL}", "batch", "keys/rotate", f"dlq/retry/{dead}", "queues/q/pause"]
        posts += ["flowControl/k/pin?rate=9", f"schedules/{URL}", "schedules/s/pause", "topics/g/endpoints"]
        for method, paths in (("POST", posts), ("DELETE", ["messages", "dlq", *ones[:4]]), ("PATCH", ones[1:2])):
            for path in paths:
                await refused(server, 403, method, path)
        del server.http.headers["Authorization"]
        await refused(server, 403, "POST", f"publish/{URL}?qstash_token={USERS[0].read_only_token}")
        server.http.headers["Authorization"] = f"Bearer {USERS[1].read_only_token}"
        assert await call(server, "GET", "queues") == []
        server.http.headers["Authorization"] = f"Bearer {USERS[0].token}"
        assert [await call(server, "GET", path) for path in lists + ones] == before


@each("name dlq_days log_days", ("free", 3, 3), ("payg", 7, 14), ("1m", 30, 14), ("10m", 90, 14))
async def test_dead_letters_and_log_rows_are_kept_as_long_as_the_plan_says(
    name: str, dlq_days: int, log_days: int
) -> None:
    async with local(settings=plan(name), default=lambda _: httpx.Response(500)) as server:
        await server.publish(retries="0")
        (dead,) = await server.dead_letters()
        for seconds in sorted({days * 86_400 + more for days in (dlq_days, log_days) for more in (0, 1)}):
            await server.clock.advance(START_S + seconds - server.clock.now())
            assert bool(await server.dead_letters()) == (seconds <= dlq_days * 86_400)
            assert bool((await server.get("/v2/logs"))["logs"]) == (seconds <= log_days * 86_400)
        assert (await server.http.get(f"/v2/dlq/{dead['dlqId']}")).status_code == 404
