"""Flow control: how many deliveries of a key are under way, how many start in a period, and what changes that."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import START_S, Local, local, run
from .steps import arrived, call, each, refused, slow


async def publish(server: Local, value: str, *paths: str, key: str = "k", **settings: str) -> list[str]:
    """Publish to each of the paths, on hosts of their own, and return the ids."""
    flow = {"flow_control_key": key, "flow_control_value": value, **settings}
    return [(await call(server, "POST", f"publish/https://{to}.test/{to}", **flow))["messageId"] for to in paths]


async def shown(server: Local, *names: str) -> list[Any]:
    state = await server.get("/v2/flowControl/k")
    return [state[name] for name in names]


async def counts(server: Local) -> list[Any]:
    return await shown(server, "waitListSize", "parallelismCount", "rateCount")


async def limits(server: Local) -> list[Any]:
    return await shown(server, "parallelismMax", "rateMax", "ratePeriod")


@run
async def test_a_key_is_there_straight_after_its_first_publish_with_all_its_fields() -> None:
    """The period is a second where none is given, even when only the parallelism is."""
    async with local() as server:
        await publish(server, "parallelism=3", "a", delay="1h")
        names = ("parallelismMax", "waitListSize", "parallelismCount", "rateMax", "rateCount", "ratePeriod")
        key: dict[str, object] = dict(zip(names, (3, 0, 0, 0, 0, 1), strict=True))
        key |= {"flowControlKey": "k", "ratePeriodStart": int(START_S)}
        key |= dict.fromkeys(("isPaused", "isPinnedParallelism", "isPinnedRate"), False)
        found = await server.get("/v2/flowControl/k")
        assert found == key
        assert {name: type(value) for name, value in found.items()} == {name: type(it) for name, it in key.items()}


@run
async def test_as_many_deliveries_are_under_way_as_the_parallelism_says_the_others_wait_in_order() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        last = (await publish(server, "parallelism=2", *"abcde"))[-1]
        await publish(server, "parallelism=1", "x", key="other")
        assert (await counts(server))[:2] == [3, 2]
        assert await server.states(last) == ["CREATED"]
        assert await server.get("/v2/globalParallelism") == {"parallelismMax": 100, "parallelismCount": 3}
        await server.clock.advance(10)
        assert (await counts(server))[:2] == [1, 2]
        await server.clock.advance(100)
        assert (await counts(server))[:2] == [0, 0]
        assert arrived(server) == [("a", 0), ("b", 0), ("x", 0), ("c", 10), ("d", 10), ("e", 20)]
        assert server.destination.requests[-1].headers["Upstash-Retried"] == "0"


@run
async def test_as_many_deliveries_start_in_a_period_as_the_rate_says_the_others_wait_in_order() -> None:
    async with local() as server:
        server.destination.default = slow(server, 7)
        last = (await publish(server, "rate=2, period=1m", *"abcde"))[-1]
        await publish(server, "rate=1", *"xy", key="of one a second")
        assert await counts(server) == [3, 2, 2]
        await server.clock.advance(59)
        assert await server.states(last) == ["CREATED"]
        await server.clock.advance(11)
        assert await counts(server) == [1, 0, 2]
        assert await shown(server, "ratePeriodStart") == [int(START_S) + 60]
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 0), ("x", 0), ("y", 1), ("c", 60), ("d", 60), ("e", 120)]


@run
async def test_both_limits_hold() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await publish(server, "period = 25 ,rate=2,  parallelism=1", *"abcd")
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 10), ("c", 25), ("d", 35)]


@run
async def test_the_rate_holds_for_what_waited_for_a_place_of_the_account() -> None:
    async with local(settings=Settings(limits=Limits(global_parallelism=1))) as server:
        server.destination.answers = [slow(server, 10)]
        await server.publish("https://busy.test/busy")
        await publish(server, "rate=1, period=6s", *"ab")
        await server.clock.advance(100)
        busy, first, second = arrived(server)
        assert (busy, first) == (("busy", 0), ("a", 10))
        assert second[1] >= 12, "two started between 6 and 12"


@run
async def test_a_retry_is_a_delivery_like_another_and_its_wait_takes_no_place() -> None:
    async with local(httpx.Response(500)) as server:
        await publish(server, "rate=1, period=1m, parallelism=1", "a", retry_delay="1000")
        await publish(server, "rate=1, period=1m, parallelism=1", "b", delay="30s")
        await server.clock.advance(200)
        assert arrived(server) == [("a", 0), ("a", 60), ("b", 120)]
    async with local(httpx.Response(500)) as server:
        server.destination.default = slow(server, 10)
        await publish(server, "parallelism=1", *"abc", retry_delay="5000")
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 0), ("c", 10), ("a", 20)]


@run
async def test_the_limits_are_those_of_the_newest_publish_and_hold_for_what_waits() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await publish(server, "rate=1, period=1h30m3s", *"ab")
        assert await limits(server) == [0, 1, 5_403]
        await server.clock.advance(3)
        await publish(server, "parallelism=3", "c", delay="4s")
        assert await limits(server) == [3, 0, 1]
        await publish(server, "parallelism=1", "d")
        assert await limits(server) == [1, 0, 1]
        await server.clock.advance(100)
        assert arrived(server) == [("a", 0), ("b", 3), ("d", 13), ("c", 23)]


@run
async def test_a_paused_key_starts_nothing_and_finishes_what_is_under_way() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await publish(server, "parallelism=5", "a")
        await call(server, "POST", "flowControl/k/pause")
        await publish(server, "parallelism=5", *"bc")
        await server.clock.advance(100)
        assert await shown(server, "isPaused", "waitListSize", "parallelismCount") == [True, 2, 0]
        await call(server, "POST", "flowControl/k/resume")
        assert await shown(server, "isPaused", "waitListSize", "parallelismCount") == [False, 0, 2]
        assert arrived(server) == [("a", 0), ("b", 100), ("c", 100)]


@run
async def test_a_pinned_part_holds_against_later_publishes_until_it_is_unpinned() -> None:
    async with local() as server:
        await publish(server, "parallelism=9, rate=9, period=9s", "a")
        for verb, number, parts, pinned in (
            ("pin?parallelism=3&rate=20&period=120", 1, [3, 20, 120], [True, True]),
            ("unpin?parallelism=true&rate=false", 5, [5, 20, 120], [False, True]),
            ("unpin?rate=true", 6, [6, 6, 6], [False, False]),
            ("pin?parallelism=2", 7, [2, 7, 7], [True, False]),
            ("unpin?parallelism=false", 8, [2, 8, 8], [True, False]),
        ):
            await call(server, "POST", f"flowControl/k/{verb}")
            await publish(server, f"parallelism={number}, rate={number}, period={number}s", "b")
            assert await limits(server) == parts
            assert await shown(server, "isPinnedParallelism", "isPinnedRate") == pinned


@run
async def test_a_pin_holds_for_what_waits_already_and_starts_a_period() -> None:
    async with local() as server:
        server.destination.default = slow(server, 10)
        await publish(server, "parallelism=1, rate=1, period=1h", *"abcd")
        await server.clock.advance(3)
        await call(server, "POST", "flowControl/k/pin?parallelism=2&rate=2&period=60")
        assert await counts(server) == [2, 2, 1]
        await publish(server, "parallelism=9, rate=9", "e")
        await server.clock.advance(200)
        assert arrived(server) == [("a", 0), ("b", 3), ("c", 10), ("d", 63), ("e", 63)]


@each("verb", ["resetRate"], ["reset"])
async def test_a_reset_ends_the_period(verb: str) -> None:
    async with local() as server:
        await publish(server, "rate=2, period=1h", *"abcd")
        await server.clock.advance(60)
        await call(server, "POST", f"flowControl/k/{verb}")
        assert await shown(server, "waitListSize", "rateCount", "ratePeriodStart") == [0, 2, int(START_S) + 60]
        await call(server, "POST", "flowControl/k/pause")
        await call(server, "POST", f"flowControl/k/{verb}")
        assert await shown(server, "rateCount") == [0]
        assert arrived(server) == [("a", 0), ("b", 0), ("c", 60), ("d", 60)]


@run
async def test_a_cancelled_message_leaves_the_wait_list_and_takes_no_turn() -> None:
    async with local() as server:
        _, cancelled, _ = await publish(server, "rate=1, period=1m", *"abc")
        await call(server, "DELETE", f"messages/{cancelled}")
        assert await counts(server) == [1, 0, 1]
        await server.clock.advance(60)
        assert arrived(server) == [("a", 0), ("c", 60)]


@run
async def test_keys_are_listed_searched_for_a_part_of_their_names_and_found_whatever_these_are() -> None:
    async with local() as server:
        names = ["alpha", "beta", "team/alpha ?", "BETA"]
        for name in names:
            await publish(server, "rate=1", "a", key=name)
        searches: Any = [
            ("?search=", names),
            ("/?search=alpha", names[::2]),
            ("?search=eta", ["beta"]),
            ("?search=x", []),
        ]
        for query, found in [("", names), ("/", names), *searches]:
            assert [key["flowControlKey"] for key in await call(server, "GET", f"flowControl{query}")] == found
        assert (await server.get("/v2/flowControl/team%2Falpha%20%3F"))["flowControlKey"] == "team/alpha ?"


@run
async def test_an_unknown_key_is_404() -> None:
    async with local() as server:
        await refused(server, 404, "GET", "flowControl/k")
        for verb in ("pause", "resume", "pin?rate=1", "unpin?rate=true", "resetRate", "reset"):
            await refused(server, 404, "POST", f"flowControl/k/{verb}")


@run
async def test_a_wrong_pin_is_refused_and_changes_nothing() -> None:
    pins = ("parallelism=0", "rate=0", "rate=-1", "parallelism=2&rate=", "period=0", "period=60s", "period=604801")
    async with local() as server:
        await publish(server, "parallelism=3, rate=4, period=5s", "a")
        await call(server, "POST", "flowControl/k/pin?parallelism=3")
        before = await server.get("/v2/flowControl/k")
        await server.clock.advance(60)
        for query in [*(f"pin?{pin}" for pin in pins), "unpin?rate=maybe", "unpin?parallelism=true&rate=2"]:
            await refused(server, 400, "POST", f"flowControl/k/{query}")
            assert await server.get("/v2/flowControl/k") == before


@run
async def test_only_the_period_is_limited_to_a_week() -> None:
    async with local() as server:
        await publish(server, "rate=1000000, parallelism=1000000, period=7d", "a")
        assert await limits(server) == [1_000_000, 1_000_000, 604_800]
        await call(server, "POST", "flowControl/k/pin?rate=2000000&parallelism=3000000&period=604800")
        assert await limits(server) == [3_000_000, 2_000_000, 604_800]


@run
async def test_wrong_limits_are_refused_and_make_no_key() -> None:
    wrong = (
        "period=2s",
        "parallelism=0",
        "rate=0",
        "rate=-1",
        "rate=1.5",
        "rate",
        "rate=1, period=0",
        "rate=1, rate=2",
    )
    async with local() as server:
        for value in [*wrong, "rate=1, period=8d", "rate=1, period=1w", "rate=1; parallelism=1", "rate=1, burst=1"]:
            given = {"flow_control_key": "k", "flow_control_value": value}
            assert "Flow-Control-Value" in await refused(server, 400, "POST", "publish/https://x.test", **given)
        assert await server.get("/v2/flowControl") == []
        assert server.destination.requests == []


@run
async def test_a_reset_forgets_the_deliveries_under_way_and_a_reset_of_the_rate_does_not() -> None:
    """Those forgotten end without making more room than there is."""
    async with local() as server:
        server.destination.default = slow(server, 10)
        await publish(server, "parallelism=1", "a", "b")
        await call(server, "POST", "flowControl/k/resetRate")
        assert (await counts(server))[:2] == [1, 1]
        await call(server, "POST", "flowControl/k/reset")
        assert (await counts(server))[:2] == [0, 1]
        await server.clock.advance(5)
        await publish(server, "parallelism=1", "c", "d")
        assert arrived(server) == [("a", 0), ("b", 0)]
        await server.clock.advance(5)
        assert (await counts(server))[:2] == [1, 1]
        await server.clock.advance(30)
        assert [path for path, _ in arrived(server)] == list("abcd")
        assert (await server.get("/v2/globalParallelism"))["parallelismCount"] == 0


@run
async def test_the_rate_of_a_period_that_is_over_is_not_shown() -> None:
    async with local() as server:
        await publish(server, "rate=5, period=10s", "a", "b")
        assert await shown(server, "rateCount") == [2]
        await server.clock.advance(10)
        assert await shown(server, "rateCount") == [0]


@run
async def test_neither_keyed_nor_other_messages_keep_the_others_waiting_for_ever() -> None:
    async with local(settings=Settings(limits=Limits(global_parallelism=1))) as server:
        server.destination.default = slow(server, 10)
        for path in "abc":
            await publish(server, "parallelism=9", f"k{path}")
            await server.publish(f"https://x.test/{path}")
        await server.clock.advance(100)
        paths = [path for path, _ in arrived(server)]
        assert sorted(paths) == ["a", "b", "c", "ka", "kb", "kc"]
        assert all(any(path.startswith("k") for path in pair) for pair in itertools.pairwise(paths))
        assert all(not all(path.startswith("k") for path in pair) for pair in itertools.pairwise(paths))


@run
async def test_keys_are_bounded_and_what_is_in_use_stays() -> None:
    """Of more than are kept the oldest goes that nothing depends on; a message that waits makes its key again."""
    async with local(settings=Settings(history=3)) as server:
        await publish(server, "rate=1, period=1h", "x", key="busy")
        await publish(server, "rate=9", "y", key="pinned")
        await call(server, "POST", "flowControl/pinned/pin?rate=9")
        await publish(server, "parallelism=7", "late", key="late", delay="1m")
        await server.clock.advance(10)
        await publish(server, "rate=9", "z", key="k")
        assert [key["flowControlKey"] for key in await server.get("/v2/flowControl")] == ["busy", "pinned", "k"]
        await server.clock.advance(50)
        assert arrived(server)[-1] == ("late", 60)
        keys = {key["flowControlKey"]: key["parallelismMax"] for key in await server.get("/v2/flowControl")}
        assert keys == {"busy": 0, "pinned": 0, "late": 7}
