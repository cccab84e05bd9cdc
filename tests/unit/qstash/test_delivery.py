"""Deliveries: what is sent and how it is signed, retries, callbacks, dead letters, cancelling, the log."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
from typing import Any

import aiohttp
import httpx
import jwt
import pytest

from infra.local.qstash.clock import Clock, all_idle
from infra.local.qstash.state import Settings

from .fakes import START_S, URL, USERS, local, run

CALLBACK = "https://callback.test/done?a=1"
FAILURE = "https://failure.test/dead"
DAY_S = 86_400.0


def fail(status: int = 500, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def claims(request: httpx.Request, key: str = USERS[0].current_key, at_s: float = START_S) -> dict[str, Any]:
    """Check a delivery's signature with PyJWT, as a receiver does, and return what it claims."""
    found: dict[str, Any] = jwt.decode(
        request.headers["Upstash-Signature"],
        key,
        algorithms=["HS256"],
        issuer="Upstash",
        options={"verify_exp": False, "verify_iat": False, "require": ["exp", "nbf", "sub"]},
    )
    assert found["iat"] == math.floor(at_s)
    return found


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
        assert len((await server.get("/v2/logs"))["logs"]) == 3


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
