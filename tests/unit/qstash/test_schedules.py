"""Schedules: when they publish, what they publish, and how they are changed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import httpx

from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import START_S, URL, Local, local, run
from .steps import arrived, call, each, refused, slow

NOW_MS = int(START_S * 1000)  # Friday, 15 January 2027, 08:00 UTC
HOUR_S, DAY_S = 3_600, 86_400
HOURLY, CALLBACK = "0 * * * *", "https://callback.test/done"
JSON, ADDRESS = {"Content-Type": ["application/json"]}, {"callerIP": "127.0.0.1", "callerIp": "127.0.0.1"}
NEW_YORK, BERLIN = "CRON_TZ=America/New_York", "CRON_TZ=Europe/Berlin"


async def schedule(server: Local, cron: str = HOURLY, to: str = URL, body: bytes = b"", **settings: str) -> str:
    """Make a schedule, and return its id."""
    return str((await call(server, "POST", f"schedules/{to}", body, **settings, cron=cron))["scheduleId"])


async def view(server: Local, schedule_id: str) -> Any:
    return await server.get(f"/v2/schedules/{schedule_id}")


@run
async def test_a_message_is_published_at_every_time_of_the_expression() -> None:
    async with local() as server:
        server.http.headers["Content-Type"] = "text/x"
        schedule_id = await schedule(server, " 0 */6 * * * ", body=b"\xff", method="PUT", forward_x="1", retries="7")
        assert schedule_id.startswith("scd_")
        await server.clock.advance(DAY_S)
        assert server.destination.times == [4 * HOUR_S, 10 * HOUR_S, 16 * HOUR_S, 22 * HOUR_S]
        expected = {"X": "1", "Content-Type": "text/x", "Upstash-Schedule-Id": schedule_id, "Upstash-Retried": "0"}
        expected |= {"Upstash-Caller-Ip": "127.0.0.1"}
        for request in server.destination.requests:
            assert (request.method, str(request.url), request.content) == ("PUT", URL, b"\xff")
            assert {name: request.headers[name] for name in expected} == expected
            assert "Upstash-Cron" not in request.headers
        created = (await server.get("/v2/logs", scheduleId=schedule_id, state="CREATED"))["logs"]
        ids = {request.headers["Upstash-Message-Id"] for request in server.destination.requests}
        assert {(row["messageId"], row["maxRetries"]) for row in created} == {(one, 7) for one in ids}
        assert len(ids) == 4


@each(
    "cron day expected",
    (f"{NEW_YORK} 0 4 * * *", "2027-03-13", ["13T09:00", "14T08:00", "15T08:00"]),
    (f"{NEW_YORK} 0 4 * * *", "2027-11-06", ["06T08:00", "07T09:00", "08T09:00"]),
    (f"{NEW_YORK} 30 2 * * *", "2027-03-13", ["13T07:30", "15T06:30"]),
    (f"{BERLIN} 0 9 * * *", "2027-03-27", ["27T08:00", "28T07:00", "29T07:00"]),
    (f"{BERLIN} 0 9 * * *", "2027-10-30", ["30T07:00", "31T08:00", "01T08:00"]),
    (f"{BERLIN} 30 2 * * *", "2027-10-30", ["30T00:30", "31T00:30", "31T01:30", "01T01:30"]),
)
async def test_a_schedule_keeps_to_the_clocks_of_its_zone_over_their_change(
    cron: str, day: str, expected: list[str]
) -> None:
    """A time that spring skips has no run that day, and one that autumn repeats has two."""
    async with local() as server:
        await server.clock.advance(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() - START_S)
        await schedule(server, cron)
        await server.clock.advance(3 * DAY_S)
        found = [datetime.fromtimestamp(START_S + at_s, UTC) for at_s in server.destination.times]
        assert [f"{run_at:%dT%H:%M}" for run_at in found] == expected


@run
async def test_a_schedule_is_shown_with_all_it_was_made_with() -> None:
    async with local() as server:
        server.http.headers["Content-Type"] = "application/json"
        options = {"delay": "10s", "timeout": "30s", "retries": "1", "method": "PUT", "forward_x": "1"}
        options |= {"callback": CALLBACK, "callback_forward_c": "2", "failure_callback": f"{CALLBACK}?failed"}
        options |= {"flow_control_key": "k", "flow_control_value": "parallelism=2, rate=3, period=1m"}
        options |= {"queue_name": "q", "label": "l1, l2", "retry_delay": "1000", "schedule_id": "my.own_id-1"}
        assert await schedule(server, f" {NEW_YORK} 0 4 * * * ", body=b"{}", **options) == "my.own_id-1"
        bare = await schedule(server, "@every 90s")
        shown = {"scheduleId": "my.own_id-1", "cron": f"{NEW_YORK} 0 4 * * *", "destination": URL, "createdAt": NOW_MS}
        shown |= {"method": "PUT", "isPaused": False, "retries": 1, "header": {**JSON, "X": ["1"]}, "body": "{}"}
        shown |= {"delay": 10, "timeout": 30, "callback": CALLBACK, "callbackHeader": {**JSON, "C": ["2"]}}
        shown |= {"failureCallback": f"{CALLBACK}?failed", "failureCallbackHeader": JSON, "queueName": "q"}
        shown |= {"label": "l1", "labels": ["l1", "l2"], "retryDelayExpression": "1000"}
        shown |= {"flowControlKey": "k", "parallelism": 2, "rate": 3, "period": 60}
        shown |= {"nextScheduleTime": NOW_MS + HOUR_S * 1000, **ADDRESS}
        least = {"scheduleId": bare, "cron": "@every 90s", "destination": URL, "createdAt": NOW_MS, "method": "POST"}
        least |= {"isPaused": False, "retries": 3, "header": JSON, "nextScheduleTime": NOW_MS + 90_000, **ADDRESS}
        assert await server.get("/v2/schedules") == [shown, least]
        assert await view(server, "my.own_id-1") == shown


@run
async def test_overwriting_replaces_all_but_the_age_and_the_pause() -> None:
    async with local() as server:
        options = {"method": "PUT", "retries": "1", "label": "l", "delay": "5s", "forward_x": "1", "callback": CALLBACK}
        await schedule(server, body=b"old", schedule_id="s", **options)
        await call(server, "PATCH", "schedules/s/pause")
        await server.clock.advance(60)
        assert await schedule(server, "30 * * * *", "https://new.test/", schedule_id="s") == "s"
        shown = {"scheduleId": "s", "cron": "30 * * * *", "destination": "https://new.test/", "createdAt": NOW_MS}
        shown |= {"method": "POST", "isPaused": True, "retries": 3, "nextScheduleTime": NOW_MS + 1_800_000, **ADDRESS}
        assert await view(server, "s") == shown
        await call(server, "PATCH", "schedules/s/resume")
        await server.clock.advance(2 * HOUR_S)
        await schedule(server, "45 * * * *", "https://new.test/", schedule_id="s")
        await server.clock.advance(HOUR_S)
        assert arrived(server) == [("", HOUR_S * at_h) for at_h in (0.5, 1.5, 2.75)]
        assert {request.content for request in server.destination.to("new.test")} == {b""}


@each("method", ["PATCH"], ["POST"])
async def test_a_paused_schedule_publishes_nothing_and_makes_up_for_nothing(method: str) -> None:
    """What it has published already goes on."""
    async with local() as server:
        schedule_id = await schedule(server, delay="10m")
        for verb, seconds in (("resume", HOUR_S), ("pause", 2.5 * HOUR_S), ("resume", HOUR_S)):
            for _ in range(2):
                await call(server, method, f"schedules/{schedule_id}/{verb}")
            assert (await view(server, schedule_id))["isPaused"] is (verb == "pause")
            await server.clock.advance(seconds)
            await refused(server, 404, method, f"schedules/nobody/{verb}")
        assert server.destination.times == [HOUR_S + 600, 4 * HOUR_S + 600]


@run
async def test_the_last_run_is_shown_with_what_became_of_it_and_the_next() -> None:
    async with local() as server:
        await server.group("g", ("a", "https://a.test/"), ("b", "https://b.test/"))
        schedule_id = await schedule(server, to="g", retries="0")
        assert not {"lastScheduleTime", "lastScheduleStates"} & (await view(server, schedule_id)).keys()
        server.destination.answers, server.destination.default = [httpx.Response(500)], slow(server, 9)
        await server.clock.advance(HOUR_S)
        failed, under_way = [request.headers["Upstash-Message-Id"] for request in server.destination.requests]
        for state in ("IN_PROGRESS", "SUCCESS"):
            shown = await view(server, schedule_id)
            assert shown["lastScheduleStates"] == {failed: "FAIL", under_way: state}
            assert (shown["lastScheduleTime"] - NOW_MS, shown["nextScheduleTime"] - NOW_MS) == (3_600_000, 7_200_000)
            await server.clock.advance(9)
        await server.clock.advance(HOUR_S)
        shown = await view(server, schedule_id)
        assert len(shown["lastScheduleStates"].keys() - {failed, under_way}) == 2
        assert shown["lastScheduleTime"] == NOW_MS + 7_200_000


@run
async def test_a_group_gets_each_run_at_the_endpoints_it_then_has_and_one_that_is_gone_is_an_error() -> None:
    async with local() as server:
        await refused(server, 404, "POST", "schedules/g", cron=HOURLY)
        await server.group("g", ("a", "https://a.test/a"))
        schedule_id = await schedule(server, to="g")
        await server.group("g", ("b", "https://b.test/b"))
        await server.clock.advance(HOUR_S)
        assert arrived(server) == [("a", HOUR_S), ("b", HOUR_S)]
        for request in server.destination.requests:
            assert (request.headers["Upstash-Topic-Name"], request.headers["Upstash-Schedule-Id"]) == ("g", schedule_id)
        await call(server, "DELETE", "topics/g")
        await server.clock.advance(HOUR_S)
        shown = await view(server, schedule_id)
        assert (shown["error"], shown.get("lastScheduleStates")) == ("topic g not found", None)
        await server.group("g", ("c", "https://c.test/c"))
        await server.clock.advance(HOUR_S)
        assert arrived(server)[2:] == [("c", 3 * HOUR_S)]
        assert "error" not in await view(server, schedule_id)


@run
async def test_runs_are_enqueued_and_leave_the_queue_as_it_is() -> None:
    async with local() as server:
        await call(server, "POST", "queues", {"queueName": "q", "parallelism": 2})
        for path in "abc":
            await schedule(server, to=f"https://destination.test/{path}", queue_name="q")
        await schedule(server, "@every 3605s", "https://destination.test/d", queue_name="new")
        server.destination.default = slow(server, 10)
        await server.clock.advance(HOUR_S)
        queue = await server.get("/v2/queues/q")
        assert (queue["parallelism"], queue["lag"], queue["paused"]) == (2, 3, False)
        await server.clock.advance(20)
        assert arrived(server) == [("a", HOUR_S), ("b", HOUR_S), ("d", HOUR_S + 5), ("c", HOUR_S + 10)]
        assert (await server.get("/v2/queues/new"))["parallelism"] == 1


@run
async def test_a_publish_with_a_cron_makes_a_schedule_and_sends_nothing_yet() -> None:
    async with local() as server:
        assert await server.publish(cron=HOURLY, schedule_id="s") == {"scheduleId": "s"}
        by_query = await server.publish(f"{URL}?upstash-cron=30+*+*+*+*&upstash-schedule-id=t&a=1")
        assert by_query == {"scheduleId": "t"}
        await server.clock.advance(HOUR_S)
        requests = zip(server.destination.requests, server.destination.times, strict=True)
        expected = [(f"{URL}?a=1", b"body", HOUR_S / 2), (URL, b"body", HOUR_S)]
        assert [(str(request.url), request.content, at_s) for request, at_s in requests] == expected


@run
async def test_a_deleted_schedule_is_gone_but_for_what_it_has_published() -> None:
    async with local() as server:
        schedule_id = await schedule(server, delay="10m")
        await server.clock.advance(HOUR_S)
        await call(server, "DELETE", f"schedules/{schedule_id}")
        for method in ("DELETE", "GET"):
            await refused(server, 404, method, f"schedules/{schedule_id}")
        await server.clock.advance(DAY_S)
        assert server.destination.times == [HOUR_S + 600]


@run
async def test_the_deduplication_id_of_a_schedule_suppresses_runs_for_ten_minutes() -> None:
    async with local() as server:
        await schedule(server, "*/4 * * * *", deduplication_id="d")
        await server.clock.advance(1_000)
        assert server.destination.times == [240, 960]


@run
async def test_a_redacted_schedule_is_not_shown_but_delivered_in_the_clear() -> None:
    async with local() as server:
        options = {"redact_fields": "body, header[X-Secret]", "forward_x_secret": "abc", "forward_x": "1"}
        schedule_id = await schedule(server, body=b"hidden", **options)
        body, header = (f"REDACTED:{hashlib.sha256(value).hexdigest()}" for value in (b"hidden", b"abc"))
        shown = await view(server, schedule_id)
        assert (shown["body"], shown["header"]) == (body, {"X-Secret": [header], "X": ["1"]})
        assert await server.get("/v2/schedules") == [shown]
        await server.clock.advance(HOUR_S)
        request = server.destination.requests[0]
        assert (request.content, request.headers["X-Secret"]) == (b"hidden", "abc")


@each(
    "to settings why",
    (URL, {}, "Invalid cron expression empty spec string"),
    (URL, {"cron": " "}, "Invalid cron expression empty spec string"),
    (URL, {"cron": "60 * * * *"}, "Invalid cron expression"),
    (URL, {"cron": HOURLY, "schedule_id": "a b"}, "Schedule-Id"),
    (URL, {"cron": HOURLY, "schedule_id": "a:b"}, "Schedule-Id"),
    (URL, {"cron": HOURLY, "queue_name": "a b"}, "Queue-Name"),
    (URL, {"cron": HOURLY, "delay": "10"}, "Upstash-Delay"),
    ("ftp://x.test", {"cron": HOURLY}, "invalid destination url"),
    ("", {"cron": HOURLY}, "a non-empty destination must be provided"),
)
async def test_a_wrong_schedule_is_refused_and_replaces_none(to: str, settings: dict[str, str], why: str) -> None:
    async with local() as server:
        await schedule(server, schedule_id="s")
        before = await server.get("/v2/schedules")
        assert why in await refused(server, 400, "POST", f"schedules/{to}", b"new", **{"schedule_id": "s", **settings})
        assert await server.get("/v2/schedules") == before


@run
async def test_more_schedules_than_the_plan_has_are_refused_but_one_may_be_replaced() -> None:
    async with local(settings=Settings(limits=Limits(schedules=1))) as server:
        await schedule(server, schedule_id="s")
        await schedule(server, "30 * * * *", schedule_id="s")
        for path in (f"schedules/{URL}", f"publish/{URL}"):
            text = await refused(server, 412, "POST", path, cron=HOURLY)
            assert text == "quota maxSchedules exceeded, current limit: 1"
        assert [one["cron"] for one in await server.get("/v2/schedules")] == ["30 * * * *"]
        await call(server, "DELETE", "schedules/s")
        await schedule(server)
