"""The DLQ: what is in it, and what a retry or a deletion makes of it."""

from __future__ import annotations

from infra.local.qstash.broker.clock import all_idle

from .fakes import START_S, URL, local, run
from .steps import fail

DAY_S = 86_400.0


@run
async def test_a_dead_letter_is_retried_as_a_new_message_with_all_its_retries() -> None:
    async with local(default=lambda _: fail()) as server:
        await server.group("g", ("ledger", URL))
        old = (await server.publish("g", retries="1", retry_delay="0", deduplication_id="d", delay="1s"))[0]
        await server.clock.advance(1)
        dead = (await server.dead_letters())[0]
        response = await server.http.post(f"/v2/dlq/retry/{dead['dlqId']}")
        await all_idle()
        new = response.json()["messageId"]
        assert response.status_code == 201
        assert new != old["messageId"]
        again = server.destination.requests[2]
        assert again.headers["Upstash-Message-Id"] == new
        assert (again.headers["Upstash-Retried"], again.content) == ("0", b"body")
        assert again.headers["Upstash-Topic-Name"] == "g"
        assert len(server.destination.requests) == 4
        assert [row["messageId"] for row in await server.dead_letters()] == [new]
        assert (await server.http.post(f"/v2/dlq/retry/{dead['dlqId']}")).status_code == 404


@run
async def test_a_retry_of_a_dead_letter_may_override_its_settings() -> None:
    async with local(default=lambda _: fail()) as server:
        await server.publish(retries="0")
        dead = (await server.dead_letters())[0]
        bad = await server.http.post(f"/v2/dlq/retry/{dead['dlqId']}", headers={"Upstash-Retries": "x"})
        assert bad.status_code == 400
        await server.http.post(f"/v2/dlq/retry/{dead['dlqId']}", headers={"Upstash-Retries": "2"})
        await server.clock.advance(DAY_S)
        assert len(server.destination.requests) == 1 + 3


@run
async def test_the_dlq_is_filtered_and_paged() -> None:
    async with local(default=lambda r: fail(404 if r.url.path == "/b" else 500)) as server:
        for path in ("/a", "/b", "/a", "/b", "/a"):
            await server.publish(f"https://x.test{path}", retries="0", label=f"l{path[1]}, all")
            await server.clock.advance(1)
        every = await server.dead_letters()
        assert [row["url"][-1] for row in every] == list("ababa")
        assert every[0]["labels"] == ["la", "all"]
        assert every[0]["label"] == "la"
        for filters in ({"label": "lb"}, {"url": "https://x.test/b"}, {"responseStatus": "404"}):
            assert await server.dead_letters(**filters) == [every[1], every[3]]
        assert await server.dead_letters(fromDate=str(int(START_S + 1) * 1000), label="la") == [every[2], every[4]]
        assert await server.dead_letters(order="latestFirst", count="2") == [every[4], every[3]]
        first = await server.get("/v2/dlq", count="2")
        second = await server.get("/v2/dlq", count="3", cursor=first["cursor"])
        assert first["messages"] + second["messages"] == every
        assert "cursor" not in second
        assert await server.get(f"/v2/dlq/{every[0]['dlqId']}") == every[0]
        for wrong in ("labeel=x", "host=x", "count=x", "cursor=x", "order=x"):
            assert (await server.http.get(f"/v2/dlq?{wrong}")).status_code == 400


@run
async def test_dead_letters_are_deleted_and_retried_in_bulk() -> None:
    async with local(*[fail() for _ in range(5)]) as server:
        for label in "abbcc":
            await server.publish(retries="0", label=label)
        ids = [row["dlqId"] for row in await server.dead_letters()]
        assert (await server.http.delete(f"/v2/dlq/{ids[0]}")).status_code == 200
        assert (await server.http.delete(f"/v2/dlq/{ids[0]}")).status_code == 404
        assert (await server.http.delete("/v2/dlq?label=nobody")).json() == {"deleted": 0}
        by_body = await server.http.request("DELETE", "/v2/dlq", json={"dlqIds": [ids[1], "9-9"]})
        assert by_body.json() == {"deleted": 1}
        retried = await server.http.post("/v2/dlq/retry?label=c&count=1")
        assert retried.status_code == 201
        assert len(retried.json()["responses"]) == 1
        assert retried.json()["cursor"]
        retried = await server.http.post(f"/v2/dlq/retry?dlqIds={ids[2]}&dlqIds={ids[4]}")
        assert len(retried.json()["responses"]) == 2
        assert await server.dead_letters() == []
        await all_idle()
        assert len(server.destination.requests) == 5 + 3
