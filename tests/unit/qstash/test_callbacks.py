"""Callbacks and failure callbacks: when they are sent, what they say, and how they are delivered."""

from __future__ import annotations

import base64
import json

import httpx

from .fakes import START_S, URL, local, run
from .steps import claims, fail

CALLBACK = "https://callback.test/done?a=1"
FAILURE = "https://failure.test/dead"
DAY_S = 86_400.0


@run
async def test_a_callback_reports_every_attempt() -> None:
    async with local() as server:
        await server.group("g", ("ledger", URL))
        server.destination.answers = [fail(500, X_A="1")]
        server.http.headers["Content-Type"] = "application/json"
        published = await server.publish("g", b"\xff{}", callback=CALLBACK, retries="2", retry_delay="5000")
        await server.clock.advance(5)
        first, second = server.destination.to("callback.test")
        assert json.loads(first.content) == {
            "status": 500,
            "header": {"X-A": ["1"]},
            "body": "",
            "sourceMessageId": published[0]["messageId"],
            "url": URL,
            "method": "POST",
            "sourceHeader": {"Content-Type": ["application/json"]},
            "sourceBody": base64.b64encode(b"\xff{}").decode(),
            "maxRetries": 2,
            "notBefore": int(START_S * 1000),
            "createdAt": int(START_S * 1000),
            "topicName": "g",
            "endpointName": "ledger",
            "callerIP": "127.0.0.1",
        }
        report = json.loads(second.content)
        assert (report["status"], report["retried"]) == (200, 1)
        assert claims(first)["sub"] == CALLBACK
        assert first.headers["Upstash-Message-Id"] != published[0]["messageId"]
        assert first.headers["Content-Type"] == "application/json"
        assert "dlqId" not in report


@run
async def test_a_failure_callback_reports_the_dead_letter_once() -> None:
    async with local(default=lambda r: httpx.Response(200 if "failure" in r.url.host else 404, text="gone")) as server:
        await server.publish(failure_callback=FAILURE, retries="2", retry_delay="1000")
        await server.clock.advance(1)
        assert server.destination.to("failure.test") == []
        await server.clock.advance(DAY_S)
        report = json.loads(server.destination.to("failure.test")[0].content)
        dead = (await server.dead_letters())[0]
        assert len(server.destination.to("failure.test")) == 1
        assert report["dlqId"] == dead["dlqId"]
        assert (report["retried"], report["maxRetries"], report["status"]) == (2, 2, 404)
        assert base64.b64decode(report["body"]) == b"gone"
        assert dead["responseBody"] == "gone"


@run
async def test_both_callbacks_come_after_the_last_attempt() -> None:
    async with local(fail()) as server:
        await server.publish(callback=CALLBACK, failure_callback=FAILURE, retries="0")
        assert len(server.destination.to("callback.test")) == 1
        assert len(server.destination.to("failure.test")) == 1


@run
async def test_no_failure_callback_follows_a_success() -> None:
    async with local(fail()) as server:
        await server.publish(failure_callback=FAILURE, retry_delay="0")
        await server.clock.advance(1)
        assert server.destination.to("failure.test") == []
        assert len(server.destination.requests) == 2


@run
async def test_a_callback_is_delivered_as_its_own_settings_say() -> None:
    async with local(httpx.Response(200), default=lambda _: fail()) as server:
        await server.publish(
            callback=CALLBACK,
            callback_method="PUT",
            callback_forward_x="1",
            callback_retries="1",
            callback_retry_delay="2000",
            forward_y="2",
        )
        await server.clock.advance(DAY_S)
        reports = server.destination.to("callback.test")
        assert [request.headers["Upstash-Retried"] for request in reports] == ["0", "1"]
        assert (reports[0].method, reports[0].headers["X"]) == ("PUT", "1")
        assert "Y" not in reports[0].headers
        assert server.destination.times[-1] == 2
        assert [row["url"] for row in await server.dead_letters()] == [CALLBACK]


@run
async def test_a_callback_has_the_retries_of_its_message() -> None:
    async with local(httpx.Response(200), default=lambda _: fail()) as server:
        await server.publish(callback=CALLBACK, retries="1")
        await server.clock.advance(DAY_S)
        assert len(server.destination.to("callback.test")) == 2
