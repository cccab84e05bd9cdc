"""Messages that wait or are over: reading, cancelling, the log, and how much of it is kept."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from infra.local.qstash.broker.state import Settings

from .fakes import START_S, URL, local, run
from .steps import fail

if TYPE_CHECKING:
    import httpx

CALLBACK = "https://callback.test/done?a=1"
FAILURE = "https://failure.test/dead"
DAY_S = 86_400.0


@run
async def test_a_message_is_readable_while_it_waits_and_a_moment_after() -> None:
    async with local(fail(), settings=Settings(grace_s=5)) as server:
        published = await server.publish(
            retry_delay="1000", label="l", forward_x="1", callback=CALLBACK, callback_forward_z="3"
        )
        path = f"/v2/messages/{published['messageId']}"
        message = await server.get(path)
        assert message == {
            "messageId": published["messageId"],
            "url": URL,
            "method": "POST",
            "maxRetries": 3,
            "notBefore": int(START_S * 1000),
            "createdAt": int(START_S * 1000),
            "header": {"X": ["1"]},
            "body": "body",
            "callback": CALLBACK,
            "callbackHeader": {"Content-Type": ["application/json"], "Z": ["3"]},
            "callerIP": "127.0.0.1",
            "retryDelayExpression": "1000",
            "label": "l",
            "labels": ["l"],
        }
        await server.clock.advance(5.9)
        assert await server.get(path) == message
        await server.clock.advance(0.1)
        response = await server.http.get(path)
        assert (response.status_code, response.json()["error"]) == (404, f"message {published['messageId']} not found")


@run
async def test_a_body_that_is_no_text_is_shown_in_base64() -> None:
    async with local() as server:
        published = await server.publish(body=b"\xff", delay="1m")
        message = await server.get(f"/v2/messages/{published['messageId']}")
        assert (message["bodyBase64"], "body" in message) == ("/w==", False)


@run
async def test_a_cancelled_message_is_not_sent_and_leaves_no_dead_letter() -> None:
    async with local(fail()) as server:
        waiting = await server.publish(failure_callback=FAILURE)
        delayed = await server.publish(delay="1h")
        for published in (waiting, delayed):
            path = f"/v2/messages/{published['messageId']}"
            assert (await server.http.delete(path)).json() == {"cancelled": 1}
            assert (await server.http.delete(path)).status_code == 404
            assert (await server.http.get(path)).status_code == 404
        await server.clock.advance(5 * DAY_S)
        assert len(server.destination.requests) == 1
        assert await server.dead_letters() == []
        assert await server.states(delayed["messageId"]) == ["CREATED", "CANCEL_REQUESTED", "CANCELED"]


@run
async def test_an_attempt_under_way_ends_but_is_the_last() -> None:
    async with local() as server:

        async def slow(_: httpx.Request) -> httpx.Response:
            await server.clock.sleep(10)
            return fail()

        server.destination.default = slow
        published = await server.publish(failure_callback=FAILURE)
        await server.http.delete(f"/v2/messages/{published['messageId']}")
        await server.clock.advance(DAY_S)
        assert len(server.destination.requests) == 1
        states = ["CREATED", "ACTIVE", "CANCEL_REQUESTED", "ERROR", "CANCELED"]
        assert await server.states(published["messageId"]) == states
        assert await server.dead_letters() == []


@run
async def test_messages_are_cancelled_in_bulk_exactly() -> None:
    async with local() as server:
        ids = [(await server.publish(f"https://h{n}.test/p{n}", delay="1h"))["messageId"] for n in range(6)]

        async def cancel(query: str = "", **body: Any) -> Any:
            content = json.dumps(body) if body else ""
            response = await server.http.request("DELETE", f"/v2/messages{query}", content=content)
            assert response.status_code == 200, response.text
            return response.json()["cancelled"]

        assert await cancel(messageIds=[ids[0], "unknown"]) == 1
        assert await cancel(f"?messageIds={ids[0]}&messageIds={ids[1]}") == 1
        assert await cancel("?host=h2.test&path=/nope") == 0
        assert await cancel("?host=h2.test&path=/p2") == 1
        assert await cancel("?count=1") == 1
        assert await cancel("?queueName=q") == 0
        assert await cancel(messageIds=[]) == 2
        assert await cancel() == 0
        assert (await server.http.delete("/v2/messages?nonsense=1")).status_code == 400


@run
async def test_the_log_is_filtered_ordered_and_paged() -> None:
    async with local(fail(404)) as server:
        failed = await server.publish(retries="0", label="one", retry_delay="5", timeout="7s")
        delivered = await server.publish(label="two")
        log = await server.get("/v2/events")
        assert log["events"] == log["logs"]
        assert [row["state"] for row in log["logs"]] == [
            *("DELIVERED", "ACTIVE", "CREATED"),
            *("FAILED", "ERROR", "ACTIVE", "CREATED"),
        ]
        one = (await server.get("/v2/logs", state="DELIVERED", messageId=delivered["messageId"]))["logs"]
        assert one == [log["logs"][0]]
        assert (await server.get("/v2/logs", label="one", state="FAILED"))["logs"] == [log["logs"][3]]
        assert len((await server.get("/v2/logs", state="IN_PROGRESS"))["logs"]) == 3
        assert (await server.get("/v2/logs", state="CANCELLED"))["logs"] == []
        pages, cursor = list[Any](), dict[str, str]()
        while True:
            page = await server.get("/v2/logs", count="3", **cursor)
            pages += page["logs"]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
        assert pages == log["logs"]
        error = log["logs"][4]
        assert error == error | {
            "messageId": failed["messageId"],
            "time": int(START_S * 1000),
            "responseStatus": 404,
            "body": base64.b64encode(b"body").decode(),
            "retryDelayExpr": "5",
            "retryDelayExpression": "5",
            "timeout": 7_000,
            "labels": ["one"],
            "maxRetries": 0,
        }
        for wrong in ("state=GONE", "label2=x", "fromDate=today"):
            assert (await server.http.get(f"/v2/logs?{wrong}")).status_code == 400


@run
async def test_histories_are_bounded() -> None:
    async with local(default=lambda _: fail(), settings=Settings(history=5)) as server:
        for _ in range(9):
            await server.publish(retries="0")
        assert len(await server.dead_letters()) == 5
        assert len((await server.get("/v2/logs"))["logs"]) == 5
    async with local(default=lambda _: fail(), settings=Settings(history_bytes=35)) as server:
        for _ in range(9):
            await server.publish(body=b"ten bytes!", retries="0")
        assert len(await server.dead_letters()) == 3
        # A message's four lines share its body: three messages whole, and of another all but its first line.
        assert len((await server.get("/v2/logs"))["logs"]) == 3 * 4 + 3
