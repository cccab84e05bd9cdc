"""Deliveries: what is sent and how it is signed, attempts, retries, test hosts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math

import aiohttp
import httpx
import jwt
import pytest

from infra.local.qstash.broker.clock import Clock, all_idle

from .fakes import START_S, URL, USERS, local, run
from .steps import claims, fail

CALLBACK = "https://callback.test/done?a=1"
FAILURE = "https://failure.test/dead"
DAY_S = 86_400.0


@run
async def test_a_delivery_carries_the_published_bytes_and_headers() -> None:
    body = bytes(range(256))
    async with local() as server:
        given = {"Content-Type": "application/x-odd", "X-Not-Forwarded": "1", "Upstash-Telemetry-Sdk": "x"}
        server.http.headers.update(given)
        published = await server.publish(body=body, method="PUT", forward_x_github_event="push", forward_host="evil")
        request = server.destination.requests[0]
        assert (request.method, str(request.url), request.content) == ("PUT", URL, body)
        assert sorted(request.headers.raw) == sorted(
            [
                (b"Host", b"destination.test"),
                (b"Accept-Encoding", b"gzip"),
                (b"Content-Length", b"256"),
                (b"Content-Type", b"application/x-odd"),
                (b"X-Github-Event", b"push"),
                (b"User-Agent", b"Upstash-QStash"),
                (b"Upstash-Message-Id", published["messageId"].encode()),
                (b"Upstash-Retried", b"0"),
                (b"Upstash-Signature", request.headers["Upstash-Signature"].encode()),
                (b"Upstash-Caller-Ip", b"127.0.0.1"),
            ]
        )


@run
async def test_header_forward_forwards_all_but_the_callers_own() -> None:
    async with local() as server:
        await server.http.post(f"/v2/publish/{URL}", headers={"X-A": "1", "Upstash-Header-Forward": "true"})
        await all_idle()
        headers = server.destination.requests[0].headers
        assert headers["X-A"] == "1"
        assert "Authorization" not in headers
        assert "Upstash-Header-Forward" not in headers


@run
async def test_a_delivery_cannot_be_given_a_false_signature() -> None:
    async with local() as server:
        await server.publish(forward_upstash_signature="forged")
        assert server.destination.requests[0].headers.get_list("Upstash-Signature") != ["forged"]
        claims(server.destination.requests[0])


@run
async def test_every_attempt_is_signed_anew_with_the_current_key() -> None:
    url = f"{URL}?b=%20&a=1"
    async with local(fail(), default=lambda _: httpx.Response(204)) as server:
        await server.clock.advance(0.9)
        await server.publish(url, b"payload")
        await server.clock.advance(13)
        first, second = server.destination.requests
        found = claims(first)
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"payload").digest()).decode()
        assert found == found | {"aud": "", "iss": "Upstash", "sub": url, "body": digest, "exp": found["iat"] + 300}
        assert found["nbf"] <= 0
        assert found["jti"].startswith("jwt_")
        again = claims(second, at_s=START_S + 0.9 + math.exp(2.5))
        assert again["jti"] != found["jti"]
        assert first.headers["Upstash-Message-Id"] == second.headers["Upstash-Message-Id"]
        assert jwt.get_unverified_header(first.headers["Upstash-Signature"]) == {"alg": "HS256", "typ": "JWT"}
        with pytest.raises(jwt.InvalidSignatureError):
            claims(first, USERS[0].next_key)


@run
async def test_an_empty_body_has_the_hash_of_nothing() -> None:
    async with local() as server:
        await server.publish(body=b"")
        assert claims(server.destination.requests[0])["body"] == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="


@run
async def test_retries_back_off_as_documented() -> None:
    async with local(default=lambda _: fail()) as server:
        await server.publish(retries="6")
        await server.clock.advance(5 * DAY_S)
        waits = [b - a for a, b in zip(server.destination.times, server.destination.times[1:], strict=False)]
        expected = [12.18, 148.41, 1_808.04, 22_026.47, DAY_S, DAY_S]
        assert waits == pytest.approx(expected, abs=0.01)
        assert [r.headers["Upstash-Retried"] for r in server.destination.requests] == list("0123456")
        assert len(await server.dead_letters()) == 1


@run
async def test_a_message_is_retried_three_times_by_default_and_never_after_success() -> None:
    async with local(fail(), fail()) as server:
        published = await server.publish()
        await server.clock.advance(5 * DAY_S)
        assert len(server.destination.requests) == 3
        assert await server.dead_letters() == []
        rows = ["CREATED", "ACTIVE", "ERROR", "RETRY", "ACTIVE", "ERROR", "RETRY", "ACTIVE", "DELIVERED"]
        assert await server.states(published["messageId"]) == rows
    async with local(default=lambda _: fail()) as server:
        await server.publish()
        await server.clock.advance(5 * DAY_S)
        assert len(server.destination.requests) == 4


@pytest.mark.parametrize(
    ("answer", "retry_delay", "wait_s"),
    [
        (fail(), "pow(2, retried) * 1000 + 7000", 8),
        (fail(503, Retry_After="30"), "1000", 30),
        (fail(400, Retry_After="0"), "1000", 0),
        (fail(429, X_RateLimit_Reset="6m5s"), "1000", 365),
        (fail(429, X_RateLimit_Reset_Tokens="1s"), "5000", 1),
        (fail(503, Retry_After="86401"), "1000", 1),
        (fail(503, Retry_After="Fri, 15 Jan 2027 08:01:00 GMT"), "1000", 60),
    ],
)
def test_the_destination_and_then_the_publisher_say_when_to_retry(
    answer: httpx.Response, retry_delay: str, wait_s: float
) -> None:
    @run
    async def body() -> None:
        async with local(answer) as server:
            await server.publish(retry_delay=retry_delay)
            await server.clock.advance(2 * DAY_S)
            assert server.destination.times == [0, wait_s]

    body()


@pytest.mark.parametrize("status", [301, 304, 400, 404, 489, 500])
def test_whatever_is_not_2xx_failed(status: int) -> None:
    @run
    async def body() -> None:
        async with local(default=lambda _: fail(status, Location="https://elsewhere.test/")) as server:
            await server.publish(retries="1", retry_delay="1000")
            await server.clock.advance(1)
            assert len(server.destination.requests) == 2
            assert server.destination.to("elsewhere.test") == []
            assert [row["responseStatus"] for row in await server.dead_letters()] == [status]

    body()


@run
async def test_489_with_its_header_is_not_retried() -> None:
    async with local(fail(489, Upstash_NonRetryable_Error="true")) as server:
        published = await server.publish(failure_callback=FAILURE)
        await server.clock.advance(2 * DAY_S)
        assert len(server.destination.to("destination.test")) == 1
        assert len(server.destination.to("failure.test")) == 1
        assert await server.states(published["messageId"]) == ["CREATED", "ACTIVE", "ERROR", "FAILED"]


@pytest.mark.parametrize(
    "error",
    [aiohttp.ClientConnectionError("refused"), aiohttp.ClientPayloadError(), OSError("x"), UnicodeError("idna")],
)
def test_an_attempt_without_a_response_failed(error: Exception) -> None:
    @run
    async def body() -> None:
        async with local(error) as server:
            published = await server.publish(retries="0", callback=CALLBACK)
            dead = (await server.dead_letters())[0]
            assert (dead["messageId"], dead["responseStatus"]) == (published["messageId"], 0)
            row = (await server.get("/v2/logs", state="ERROR"))["logs"][0]
            assert type(error).__name__ in row["error"]
            assert json.loads(server.destination.to("callback.test")[0].content)["status"] == 0

    body()


@run
async def test_an_attempt_ends_after_its_timeout() -> None:
    async with local() as server:

        async def hang(_: httpx.Request) -> httpx.Response:
            await server.clock.sleep(3_600)
            return httpx.Response(200)

        server.destination.default = hang
        await server.publish(timeout="30s", retries="0")
        await server.clock.advance(29)
        assert await server.dead_letters() == []
        await server.clock.advance(1)
        assert (await server.dead_letters())[0]["responseStatus"] == 0
        assert "deadline" in (await server.get("/v2/logs", state="ERROR"))["logs"][0]["error"]


@run
async def test_many_deliveries_are_under_way_at_once() -> None:
    async with local() as server:
        under_way = 0

        async def slow(_: httpx.Request) -> httpx.Response:
            nonlocal under_way
            under_way += 1
            await server.clock.sleep(10)
            return httpx.Response(200)

        server.destination.default = slow
        for _ in range(50):
            await server.publish()
        assert under_way == 50


@run
async def test_what_is_pending_ends_with_the_server() -> None:
    async with local(default=lambda _: fail()) as server:
        await server.publish()
        await server.publish(delay="1h")
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.mark.parametrize(
    ("method", "url", "status", "text"),
    [
        ("POST", "https://mock.httpstatus.io/404", 404, "404 Not Found"),
        ("POST", "https://httpbin.org/status/503", 503, "503 Service Unavailable"),
        ("POST", "https://example.com/", 405, "405 Method Not Allowed"),
        ("GET", "https://example.org/other", 404, "404 Not Found"),
    ],
)
def test_test_hosts_are_answered_inside(method: str, url: str, status: int, text: str) -> None:
    @run
    async def body() -> None:
        async with local(test_hosts=True) as server:
            await server.publish(url, method=method, retries="0")
            dead = (await server.dead_letters())[0]
            assert (dead["responseStatus"], dead["responseBody"]) == (status, text)
            await server.publish("https://a.requestcatcher.com/x", retries="0")
            assert len(await server.dead_letters()) == 1
            assert server.destination.requests == []

    body()


@run
async def test_a_test_host_sleeps_when_asked() -> None:
    async with local(test_hosts=True) as server:
        published = await server.publish("https://mock.httpstatus.io/200?sleep=30000")
        await server.clock.advance(29)
        assert await server.states(published["messageId"]) == ["CREATED", "ACTIVE"]
        await server.clock.advance(1)
        assert (await server.states(published["messageId"]))[-1] == "DELIVERED"


def test_a_clock_that_stands_still_wakes_sleepers_in_order() -> None:
    """Every figure above rests on it."""

    @run
    async def body() -> None:
        clock, woken = Clock(START_S), list[tuple[int, float]]()

        async def sleeper(seconds: int) -> None:
            await clock.sleep(seconds)
            woken.append((seconds, clock.now() - START_S))

        tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3, 1, 2)]
        await clock.advance(2)
        assert woken == [(1, 1), (2, 2)]
        await clock.advance(1)
        await asyncio.gather(*tasks)

    body()
