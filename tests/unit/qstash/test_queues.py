"""Queues: whose turn it is, pausing, and what a change of a queue does to what waits in it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from infra.local.qstash.broker.clock import all_idle
from infra.local.qstash.broker.line import Line
from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import START_S, Local, local, run
from .steps import arrived, call, each, refused, slow

NOW_MS = int(START_S * 1000)
HOST = "https://destination.test"
REPORT = "https://callback.test/report"


async def enqueue(server: Local, *paths: str, queue: str = "q", **settings: str) -> list[str]:
    """Enqueue to each of the paths, one after another, and return the ids."""
    return [(await call(server, "POST", f"enqueue/{queue}/{HOST}/{to}", b"", **settings))["messageId"] for to in paths]


@run
async def test_the_next_starts_once_the_one_before_was_retried_and_its_callbacks_are_delivered() -> None:
    async with local() as server:
        server.destination.answers = [*map(httpx.Response, (500, 200, 200)), slow(server, 1, 500)]
        await enqueue(server, "a", retry_delay="5000", callback=REPORT, callback_retry_delay="7000")
        await enqueue(server, "b", "c")
        await server.clock.advance(100)
        # The report of the success fails at 6, and so is retried at 13.
        of_a = [("a", 0), ("report", 0), ("a", 5), ("report", 5), ("report", 13)]
        assert arrived(server) == [*of_a, ("b", 13), ("c", 13)]


@run
async def test_the_next_starts_once_the_one_before_is_dead_and_its_failure_callback_delivered() -> None:
    async with local() as server:
        server.destination.answers = [httpx.Response(500), httpx.Response(500), slow(server, 9)]
        await enqueue(server, "a", retries="1", retry_delay="5000", failure_callback=REPORT)
        await enqueue(server, "b")
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("a", 5), ("report", 5), ("b", 14)]


@run
async def test_as_many_are_delivered_at_a_time_as_the_parallelism_says_even_when_it_is_raised() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await call(server, "POST", "queues", {"queueName": "q", "parallelism": 2})
        await enqueue(server, *"abcdef")
        await enqueue(server, "other", queue="other")
        await server.clock.advance(12)
        await call(server, "POST", "queues/", {"queueName": "q", "parallelism": 3})
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 0), ("other", 0), ("c", 10), ("d", 10), ("e", 12), ("f", 20)]


@run
async def test_an_enqueue_makes_a_missing_queue_and_the_lag_is_what_is_not_finished() -> None:
    async with local(httpx.Response(500)) as server:
        await enqueue(server, "a", "b", queue="q%2E1_-", retry_delay="10000")
        await server.publish(delay="1h")
        made = {"name": "q.1_-", "createdAt": NOW_MS, "updatedAt": NOW_MS, "parallelism": 1, "lag": 2, "paused": False}
        assert await server.get("/v2/queues/q.1_-") == made
        assert await server.get("/v2/queues/") == [made]
        server.destination.default = slow(server, 5)
        for seconds, lag in ((14, 2), (2, 1), (5, 0)):
            await server.clock.advance(seconds)
            assert (await server.get("/v2/queues/q.1_-"))["lag"] == lag


@run
async def test_an_upsert_sets_what_it_leaves_out_to_its_default() -> None:
    async with local() as server:
        cases: Any = [({"parallelism": 2, "paused": True}, 2, True), ({"paused": True}, 1, True)]
        for given, parallelism, paused in [*cases, ({"parallelism": 3}, 3, False), ({}, 1, False)]:
            await call(server, "POST", "queues", {"queueName": "q", **given})
            queue = await server.get("/v2/queues/q")
            assert (queue["parallelism"], queue["paused"]) == (parallelism, paused)
            assert (queue["createdAt"], queue["updatedAt"]) == (NOW_MS, int(server.clock.now() * 1000))
            await server.clock.advance(60)


@run
async def test_a_paused_queue_takes_messages_finishes_what_is_under_way_and_goes_on_in_order() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        under_way, waiting = await enqueue(server, "a", "b")
        await call(server, "POST", "queues/q/pause")
        await enqueue(server, "c")
        await server.clock.advance(100)
        assert (await server.states(under_way))[-1] == "DELIVERED"
        assert await server.states(waiting) == ["CREATED"]
        queue = await server.get("/v2/queues/q")
        assert (queue["paused"], queue["lag"]) == (True, 2)
        await call(server, "POST", "queues/q/resume")
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 100), ("c", 110)]


@run
async def test_deleting_a_queue_drops_what_is_pending_and_a_new_one_of_its_name_starts_empty() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        under_way, waiting = await enqueue(server, "a", "b")
        await enqueue(server, "other", "other2", queue="r")
        for _ in range(2):
            await call(server, "DELETE", "queues/q")
        await refused(server, 404, "GET", "queues/q")
        await refused(server, 404, "GET", f"messages/{waiting}")
        await enqueue(server, "c")
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("other", 0), ("c", 0), ("other2", 10)]
        assert "DELIVERED" in await server.states(under_way)
        assert await server.dead_letters() == []


@run
async def test_the_endpoints_of_a_group_and_the_items_of_a_batch_wait_in_the_queue_they_name() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await server.group("g", ("x", f"{HOST}/x"), ("y", f"{HOST}/y"))
        published = await call(server, "POST", "enqueue/q/g")
        assert [item["url"] for item in published] == [f"{HOST}/x", f"{HOST}/y"]
        batch = [{"destination": f"{HOST}/{to}", "queue": queue} for to, queue in (("b", "q"), ("c", None))]
        items = await call(server, "POST", "batch", batch)
        shown = [await server.get(f"/v2/messages/{item['messageId']}") for item in [*published, *items]]
        assert [message.get("queueName") for message in shown] == ["q", "q", "q", None]
        await server.clock.advance(100)
        assert arrived(server) == [("x", 0), ("c", 0), ("y", 10), ("b", 20)]
        assert server.destination.requests[2].headers["Upstash-Message-Id"] == published[1]["messageId"]


@run
async def test_a_cancelled_message_frees_its_place_at_once_unless_it_is_under_way() -> None:
    async with local(httpx.Response(500)) as server:
        to_be_retried, waiting, under_way, _ = await enqueue(server, *"abcd")
        server.destination.default = slow(server, 10, 500)
        await call(server, "DELETE", f"messages/{waiting}")
        await server.clock.advance(1)
        await call(server, "DELETE", f"messages/{to_be_retried}")
        await call(server, "DELETE", f"messages/{under_way}")
        await server.clock.advance(10)
        assert arrived(server) == [("a", 0), ("c", 1), ("d", 11)]


@each("name escaped", ("q 1", "q%201"), ("ü", "%C3%BC"), ("a/b", "a%2Fb"), ("a:b", "a%3Ab"))
async def test_a_name_with_other_characters_is_refused(name: str, escaped: str) -> None:
    async with local() as server:
        await refused(server, 400, "POST", f"enqueue/{escaped}/{HOST}")
        await refused(server, 400, "POST", "batch", [{"destination": HOST, "queue": name}])
        await refused(server, 400, "POST", "queues", {"queueName": name})
        assert await server.get("/v2/queues") == []


@run
async def test_a_wrong_queue_is_refused_and_changes_nothing() -> None:
    wrong: list[Any] = [{"parallelism": value} for value in (0, -1, "2", 1.5, True)] + [{"paused": 1}]
    async with local() as server:
        await call(server, "POST", "queues", {"queueName": "q", "parallelism": 2, "paused": True})
        before = await server.get("/v2/queues")
        await server.clock.advance(1)
        for body in [*({"queueName": "q", **fields} for fields in wrong), {}, {"queueName": None}, [], b"{"]:
            await refused(server, 400, "POST", "queues", body)
        for verb in ("pause", "resume"):
            await refused(server, 404, "POST", f"queues/nobody/{verb}")
        assert await server.get("/v2/queues") == before


@run
async def test_more_queues_than_the_plan_has_are_refused_however_they_come() -> None:
    """One that is there already may still be changed."""
    async with local(settings=Settings(limits=Limits(queues=1, parallelism=2))) as server:
        await enqueue(server, "a", "b")
        await call(server, "POST", "queues", {"queueName": "q", "parallelism": 2})
        text = "quota maxQueues exceeded, current limit: 1"
        assert await refused(server, 412, "POST", "queues", {"queueName": "r"}) == text
        assert await refused(server, 412, "POST", f"enqueue/r/{HOST}") == text
        assert await refused(server, 412, "POST", "batch", [{"destination": HOST, "queue": "r"}]) == text
        assert [(queue["name"], queue["parallelism"]) for queue in await server.get("/v2/queues")] == [("q", 2)]


@run
async def test_a_batch_that_would_make_too_many_queues_is_refused_as_a_whole() -> None:
    async with local(settings=Settings(limits=Limits(queues=1))) as server:
        await refused(server, 412, "POST", "batch", [{"destination": HOST, "queue": queue} for queue in "qr"])
        assert await server.get("/v2/queues") == []
        assert server.destination.requests == []


@run
async def test_a_place_that_comes_when_nobody_waits_for_it_any_more_is_given_on() -> None:
    """Cancelled in the moment between getting a place and knowing of it."""
    line, served = Line(1), list[str]()

    async def wait(name: str) -> None:
        async with line:
            served.append(name)

    async with line:
        first, _ = (asyncio.create_task(wait(name)) for name in ("first", "second"))
        await all_idle()
    first.cancel()
    await all_idle()
    assert (served, line.taken, line.waiting) == (["second"], 0, 0)
