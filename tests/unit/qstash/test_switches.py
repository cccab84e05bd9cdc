"""What the real service was seen to do, or may: shapes of answers, partial batches, calls half heard, slow keys."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from .fakes import URL, Local, local, run
from .steps import arrived, call, refused

CALLBACK = "https://callback.test/"
HOUR_S = 3_600


async def fault(server: Local, **rule: Any) -> None:
    await server.admin("POST", "rules", rule)


async def hits(server: Local) -> int:
    struck: int = (await server.admin("GET", "rules"))["rules"][0]["hits"]
    return struck


# -- shapes ---------------------------------------------------------------------------------------------------------


async def shown_of_little(server: Local) -> dict[str, Any]:
    """Have a few things, each with as little as it can have, and return what is shown of them, and of nothing."""
    await call(server, "POST", "queues", {"queueName": "q"})
    await call(server, "POST", f"publish/{URL}", delay="1h", flow_control_key="k", flow_control_value="rate=1")
    server.destination.answers.append(ConnectionRefusedError("nobody there"))
    await server.publish(body=b"", retries="0")
    paths = ("queues", "flowControl", "topics", "schedules", "dlq", "logs?state=FAILED", "logs?label=none")
    return {path: (await server.http.get(f"/v2/{path}")).json() for path in paths}


@pytest.mark.parametrize(
    ("shape", "none", "no_rows", "lacks"),
    [("sparse", [], {}, "left out"), ("null", None, {"events": None, "logs": None, "cursor": None}, None)],
)
def test_what_is_empty_is_left_out_or_null(shape: str, none: object, no_rows: object, lacks: object) -> None:
    """Ids and names are always there; of the rest only what says something."""

    @run
    async def body() -> None:
        async with local(admin=True) as server:
            await fault(server, on="call", do=shape, match={"method": "GET", "path": "/v2/*"})
            shown = await shown_of_little(server)
        (queue,), (key,), (dead,) = shown["queues"], shown["flowControl"], shown["dlq"]["messages"]
        (failed,) = shown["logs?state=FAILED"]["logs"]
        assert (shown["topics"], shown["schedules"], shown["logs?label=none"]) == (none, none, no_rows)
        assert (queue["name"], key["flowControlKey"]) == ("q", "k")
        assert (dead["url"], failed["state"], failed["messageId"]) == (URL, "FAILED", dead["messageId"])
        empty = [(queue, "lag"), (queue, "paused"), (key, "parallelismMax"), (dead, "responseStatus")]
        empty += [(dead, "maxRetries"), (dead, "body"), (dead, "failureCallback"), (dead, "labels"), (failed, "label")]
        assert [it.get(name, "left out") for it, name in empty] == [lacks] * len(empty)

    body()


@run
async def test_a_shape_is_of_the_answers_that_it_strikes_alone() -> None:
    async with local(admin=True) as server:
        before = await server.get("/v2/queues")
        await call(server, "POST", "queues", {"queueName": "q"})
        await fault(server, on="call", do="sparse", count=1)
        assert "lag" not in (await server.get("/v2/queues"))[0]
        assert (before, (await server.get("/v2/queues"))[0]["lag"]) == ([], 0)


@pytest.mark.parametrize("shape", ["sparse", "null"])
def test_a_callback_can_lack_what_is_empty(shape: str) -> None:
    @run
    async def body() -> None:
        async with local(ConnectionRefusedError("nobody there"), admin=True) as server:
            await fault(server, on="callback", do=shape)
            sent = await server.publish(body=b"", retries="0", failure_callback=CALLBACK)
            (report,) = (json.loads(it.content) for it in server.destination.to("callback.test"))
            assert (report["sourceMessageId"], report["url"]) == (sent["messageId"], URL)
            names = ("status", "body", "sourceBody", "maxRetries", "retried", "topicName")
            assert {it: report[it] for it in names if it in report} == (
                {} if shape == "sparse" else dict.fromkeys(names)
            )

    body()


@run
async def test_a_queue_can_say_that_nothing_waits_in_it_while_something_does() -> None:
    async with local(admin=True) as server:
        await call(server, "POST", "queues", {"queueName": "q", "paused": True})
        await call(server, "POST", f"enqueue/q/{URL}")
        await fault(server, on="call", do="lagless", match={"path": "/v2/queues*"})
        lags = [(await server.get("/v2/queues"))[0]["lag"], (await server.get("/v2/queues/q"))["lag"]]
        await server.admin("DELETE", "rules")
        assert lags == [0, 0]
        assert (await server.get("/v2/queues/q"))["lag"] == 1


# -- calls ----------------------------------------------------------------------------------------------------------


@run
async def test_an_item_of_a_batch_is_refused_on_command_and_no_publish_alone_is() -> None:
    async with local(admin=True) as server:
        await server.group("g", ("a", "https://a.test/"), ("b", "https://b.test/"))
        match = {"destination": "https://b.test/*", "group": "g", "label": "x"}
        await fault(server, on="item", do="answer", status=503, match=match)
        await server.admin("PATCH", "settings", {"batch_refused": "by_item"})
        items = [{"destination": it, "headers": {"Upstash-Label": label}} for it in ("g", URL) for label in "xy"]
        answers = await call(server, "POST", "batch", items)
        await server.publish("g", label="x")
        assert answers[0] == {"error": "fault on command: 503"}
        assert "error" not in json.dumps(answers[1:])
        assert len(server.destination.to("b.test")) == 2
        await server.admin("PATCH", "settings", {"batch_refused": "whole"})
        assert await refused(server, 503, "POST", "batch", items) == "fault on command: 503"
        assert len(server.destination.to("b.test")) == 2


@run
async def test_a_bulk_delete_whose_body_is_not_read_deletes_what_is_anybodys() -> None:
    async with local(default=lambda _: httpx.Response(500), admin=True) as server:
        for _ in range(3):
            await server.publish(retries="0")
        first, second, _ = [it["dlqId"] for it in await server.dead_letters()]
        await call(server, "DELETE", "dlq", {"dlqIds": [first]})
        assert len(await server.dead_letters()) == 2
        await fault(server, on="call", do="bodiless", match={"method": "DELETE", "path": "/v2/dlq*"})
        await call(server, "DELETE", f"dlq/{second}")
        assert len(await server.dead_letters()) == 1
        assert await call(server, "DELETE", "dlq", {"dlqIds": [first]}) == {"deleted": 1}
        assert await server.dead_letters() == []


# -- schedules ------------------------------------------------------------------------------------------------------


async def hourly(server: Local, path: str, *, paused: bool = False) -> None:
    await call(server, "POST", f"schedules/https://a.test/{path}", cron="0 * * * *", schedule_id="s")
    if paused:
        await call(server, "POST", "schedules/s/pause")


async def shown(server: Local) -> list[tuple[str, bool]]:
    return [(it["destination"], it["isPaused"]) for it in await server.get("/v2/schedules")]


@run
async def test_a_new_schedule_is_gone_again() -> None:
    async with local(admin=True) as server:
        await fault(server, on="call", do="revert", seconds=60.0)
        await hourly(server, "new")
        there = await shown(server)
        await server.clock.advance(60)
        assert (there, await shown(server)) == ([("https://a.test/new", False)], [])
        await server.clock.advance(2 * HOUR_S)
        assert arrived(server) == []


@run
async def test_a_changed_schedule_rolls_back_and_publishes_what_it_did_before() -> None:
    async with local(admin=True) as server:
        await hourly(server, "old")
        await fault(server, on="call", do="revert", match={"path": "/v2/schedules*"}, seconds=1.5 * HOUR_S, count=1)
        await hourly(server, "new")
        await server.clock.advance(3 * HOUR_S)
        assert arrived(server) == [("new", HOUR_S), ("old", 2 * HOUR_S), ("old", 3 * HOUR_S)]


@run
async def test_a_deleted_schedule_comes_back_as_it_was_and_others_stay_as_they_are() -> None:
    async with local(admin=True) as server:
        await hourly(server, "old", paused=True)
        await call(server, "POST", f"schedules/{URL}", cron="0 0 * * *", schedule_id="other")
        await fault(server, on="call", do="revert", match={"method": "DELETE"}, seconds=60.0)
        await call(server, "DELETE", "schedules/s")
        await call(server, "POST", "schedules/other/pause")
        gone = await shown(server)
        await server.clock.advance(60)
        assert gone == [(URL, True)]
        assert sorted(await shown(server)) == [("https://a.test/old", True), (URL, True)]


@run
async def test_a_schedule_that_is_shown_never_fires() -> None:
    async with local(admin=True) as server:
        await hourly(server, "never")
        await fault(server, on="tick", do="lose", match={"schedule": "s"})
        await call(server, "POST", "schedules/https://a.test/other", cron="0 * * * *", schedule_id="t")
        await server.clock.advance(2 * HOUR_S)
        assert arrived(server) == [("other", HOUR_S), ("other", 2 * HOUR_S)]
        assert "lastScheduleTime" not in await server.get("/v2/schedules/s")
        assert await hits(server) == 2


# -- deliveries -----------------------------------------------------------------------------------------------------


@run
async def test_a_slow_key_takes_its_time_between_turns_whatever_its_limits_and_keeps_nobody_else() -> None:
    async with local(admin=True) as server:
        await fault(server, on="turn", do="delay", match={"flow": "slow"}, seconds=600.0, count=2)
        for path, key in [(it, "slow") for it in "abcd"] + [("x", "other"), ("y", "other")]:
            flow = {"flow_control_key": key, "flow_control_value": "rate=100, parallelism=100"}
            await call(server, "POST", f"publish/https://a.test/{path}", **flow)
        waiting = (await server.get("/v2/flowControl/slow"))["waitListSize"]
        await server.clock.advance(HOUR_S)
        assert waiting == 3
        assert arrived(server) == [("a", 0), ("x", 0), ("y", 0), ("b", 600), ("c", 1200), ("d", 1200)]


@run
async def test_a_host_without_an_address_is_refused_with_all_of_its_group_and_cannot_be_reached() -> None:
    async with local(admin=True) as server:
        await server.group("g", ("a", "https://a.test/in"), ("b", "https://gone.test:8443/in"))
        waiting = await server.publish("https://gone.test/", delay="1h", retries="0")
        await server.admin("PATCH", "settings", {"unresolvable_hosts": ["gone.*"], "batch_refused": "by_item"})
        text = "unable to resolve host: lookup gone.test: no such host"
        for to in ("g", "https://gone.test/"):
            assert await refused(server, 400, "POST", f"publish/{to}") == f"invalid destination url: {text}"
        assert await refused(server, 400, "POST", "schedules/g", cron="@daily") == f"invalid destination url: {text}"
        items = await call(server, "POST", "batch", [{"destination": it} for it in ("g", "https://a.test/alone")])
        assert items[0] == {"error": f"invalid destination url: {text}"}
        await server.clock.advance(HOUR_S)
        assert arrived(server) == [("alone", 0)]
        assert [it["responseStatus"] for it in await server.dead_letters(messageId=waiting["messageId"])] == [0]
        await server.admin("PATCH", "settings", {"unresolvable_hosts": []})
        await server.publish("g")
        assert len(server.destination.to("gone.test")) == 1


@run
async def test_all_attempts_of_a_message_that_is_struck_come_from_one_other_address_of_eight() -> None:
    async with local(httpx.Response(500), admin=True) as server:
        await fault(server, on="delivery", do="elsewhere", count=9)
        for _ in range(10):
            await server.publish(retry_delay="1000")
        await server.clock.advance(10)
        addresses = [f"127.0.0.{number}" for number in range(2, 10)]
        assert server.destination.came_from == [*addresses, addresses[0], "", addresses[0]]


# -- what a plan allows ---------------------------------------------------------------------------------------------


@run
async def test_an_account_has_as_many_url_groups_as_it_is_told_and_those_it_has_can_be_changed() -> None:
    async with local(admin=True) as server:
        await call(server, "POST", "topics/one/endpoints", {"endpoints": [{"url": URL}]})
        await server.admin("PATCH", "settings", {"url_groups": 1})
        await refused(server, 412, "POST", "topics/two/endpoints", {"endpoints": [{"url": URL}]})
        await call(server, "POST", "topics/one/endpoints", {"endpoints": [{"url": f"{URL}2"}]})
        await call(server, "DELETE", "topics/one")
        await call(server, "POST", "topics/two/endpoints", {"endpoints": [{"url": URL}]})
        await server.admin("PATCH", "settings", {"url_groups": None})
        await call(server, "POST", "topics/one/endpoints", {"endpoints": [{"url": URL}]})
