"""URL groups: fan-out, deduplication, default headers, endpoints."""

from __future__ import annotations

from typing import Any

from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import local, run

A, B, C = ("https://a.test/1", "https://b.test/2", "https://c.test/3")


@run
async def test_a_group_fans_out_in_the_order_of_its_endpoints() -> None:
    async with local() as server:
        await server.group("g", ("a", A), ("b", B))
        published = await server.publish("g", forward_x="1")
        assert [item["url"] for item in published] == [A, B]
        for request, item in zip(server.destination.requests, published, strict=True):
            assert request.headers["Upstash-Message-Id"] == item["messageId"]
            assert request.headers["Upstash-Topic-Name"] == "g"
        row = (await server.get("/v2/logs", messageId=published[1]["messageId"], state="CREATED"))["logs"][0]
        assert (row["topicName"], row["endpointName"]) == ("g", "b")


@run
async def test_a_group_deduplicates_for_each_endpoint_by_itself() -> None:
    async with local() as server:
        await server.group("g", ("a", A), ("b", B))
        first = await server.publish("g", deduplication_id="d")
        again = await server.publish("g", deduplication_id="d", expect=202)
        assert again == [item | {"deduplicated": True} for item in first]
        await server.group("g", ("c", C))
        mixed = await server.publish("g", deduplication_id="d")
        assert [item.get("deduplicated") for item in mixed] == [True, True, None]
        assert [str(request.url) for request in server.destination.requests] == [A, B, C]


@run
async def test_a_group_that_is_made_anew_swallows_nothing() -> None:
    """What was refused while it was gone is new; what it had sent before, each endpoint has once."""
    async with local() as server:
        await server.group("g", ("a", A), ("b", B))
        first = await server.publish("g", deduplication_id="before", delay="1m")
        assert (await server.http.delete("/v2/topics/g")).status_code == 200
        await server.publish("g", deduplication_id="gone", expect=404)
        await server.group("g", ("a", A), ("b", B), ("c", C))
        new = await server.publish("g", deduplication_id="gone")
        again = await server.publish("g", deduplication_id="before")
        await server.clock.advance(60)
        assert [item.get("deduplicated") for item in new] == [None] * 3
        assert [item["messageId"] for item in again[:2]] == [item["messageId"] for item in first]
        assert [item.get("deduplicated") for item in again] == [True, True, None]
        assert sorted(str(request.url) for request in server.destination.requests) == sorted([A, B, C] * 2)


@run
async def test_a_group_keeps_defaults_that_a_publish_overrides() -> None:
    async with local() as server:
        await server.group("g", ("a", A))
        body = {"headers": {"Upstash-Retries": "7", "Upstash-Forward-X": ["group"]}}
        assert (await server.http.patch("/v2/topics/g", json=body)).status_code == 200
        await server.publish("g")
        await server.publish("g", forward_x="mine")
        assert [request.headers["X"] for request in server.destination.requests] == ["group", "mine"]
        assert (await server.http.patch("/v2/topics/g", json={"headers": {"Upstash-Delay": "x"}})).status_code == 400
        assert (await server.http.patch("/v2/topics/g", json={"headers": {"Upstash-Delay": 3}})).status_code == 400


@run
async def test_endpoints_are_added_changed_and_removed_and_the_last_takes_the_group_along() -> None:
    async with local() as server:
        await server.http.post("/v2/topics/g/endpoints", json={"endpoints": [{"url": A}]})
        await server.group("g", ("a", A), ("b", B))
        await server.group("g", ("b", C))
        group = await server.get("/v2/topics/g")
        assert group["endpoints"] == [{"url": A, "name": "a"}, {"url": C, "name": "b"}]
        assert await server.get("/v2/topics") == [group]
        body = {"endpoints": [{"name": "a"}]}
        await server.http.request("DELETE", "/v2/topics/g/endpoints", json=body)
        assert (await server.get("/v2/topics/g"))["endpoints"] == [{"url": C, "name": "b"}]
        await server.http.request("DELETE", "/v2/topics/g/endpoints", json={"endpoints": [{"url": C}]})
        assert (await server.http.get("/v2/topics/g")).status_code == 404
        assert (await server.http.delete("/v2/topics/g")).status_code == 200


@run
async def test_a_wrong_endpoint_changes_nothing() -> None:
    async with local(settings=Settings(limits=Limits(endpoints=2, groups=1))) as server:
        wrong: list[Any] = [
            None,
            [],
            {"url": "x"},
            [{"name": "n"}],
            [{"url": A}, {"url": "x"}],
            [{"url": A, "name": "ü"}],
        ]
        for endpoints in wrong:
            response = await server.http.post("/v2/topics/g/endpoints", json={"endpoints": endpoints})
            assert response.status_code == 400
        three = {"endpoints": [{"url": A}, {"url": B}, {"url": C}]}
        assert (await server.http.post("/v2/topics/g/endpoints", json=three)).status_code == 412
        assert (await server.http.post("/v2/topics/g%20h/endpoints", json=three)).status_code == 400
        assert await server.get("/v2/topics") == []
        await server.group("g", ("a", A))
        assert (await server.http.post("/v2/topics/h/endpoints", json={"endpoints": [{"url": A}]})).status_code == 412


@run
async def test_an_endpoints_name_may_have_blanks_and_its_url_removes_it() -> None:
    async with local() as server:
        await server.group("g", ("First endpoint", A), ("b", B))
        assert (await server.get("/v2/topics/g"))["endpoints"][0] == {"url": A, "name": "First endpoint"}
        await server.http.request("DELETE", "/v2/topics/g/endpoints", json={"endpoints": [{"url": A}]})
        assert (await server.get("/v2/topics/g"))["endpoints"] == [{"url": B, "name": "b"}]
