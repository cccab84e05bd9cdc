"""What the server shows: redaction, labels, log rows, dead letters, and what callbacks report."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import httpx

from .fakes import START_S, URL, Local, local, run
from .steps import call, each

NOW_MS = int(START_S * 1000)
CALLBACK, FAILURE = "https://callback.test/done", "https://failure.test/dead"
BODY, TEA = b"a secret \xff", b"I'm a teapot"
SECRETS = {"forward_authorization": "Bearer 1", "forward_x_a": "2", "forward_content_type": "text/x"}
HEADER = {"Authorization": ["Bearer 1"], "X-A": ["2"], "Content-Type": ["text/x"]}
TEA_HEADER = {"X-A": ["1", "2"], "Content-Type": ["text/plain"], "Content-Length": ["12"]}
JSON_HEADER = {"Content-Type": ["application/json"]}


def in_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def hidden(value: bytes) -> str:
    return f"REDACTED:{hashlib.sha256(value).hexdigest()}"


async def log_rows(server: Local, **filters: str) -> list[Any]:
    rows: list[Any] = (await server.get("/v2/logs", order="earliestFirst", **filters))["logs"]
    return rows


@each(
    "fields names",
    ("body", ["body"]),
    ("header", [*HEADER]),
    ("headers", [*HEADER]),
    ("header[authorization]", ["Authorization"]),
    ("headers[X-A] ,body, header[ Content-Type ]", ["X-A", "body", "Content-Type"]),
    ("header[X-A],header", [*HEADER]),
    ("header[X-Absent]", []),
)
async def test_what_is_redacted_is_not_shown_of_messages_log_rows_dead_letters_and_schedules(
    fields: str, names: list[str]
) -> None:
    """Names of headers stay; the marker in the log is not in base64, as a body there is."""
    async with local(httpx.Response(500), httpx.Response(500)) as server:
        options = {"redact_fields": fields, **SECRETS}
        published = await call(server, "POST", f"publish/{URL}", BODY, retries="1", **options)
        shown = [await server.get(f"/v2/messages/{published['messageId']}")]
        await server.clock.advance(60)
        shown += await server.dead_letters()
        await call(server, "POST", f"schedules/{URL}", BODY, cron="@daily", **options)
        shown += await server.get("/v2/schedules")
        header = {name: [hidden(it[0].encode())] if name in names else it for name, it in HEADER.items()}
        body = {"body": hidden(BODY)} if "body" in names else {"bodyBase64": in_base64(BODY)}
        assert len(shown) == 3
        for one in shown:
            assert {name: one[name] for name in one if name.startswith(("body", "header"))} == {
                "header": header,
                **body,
            }
        rows = await log_rows(server)
        assert {row["state"] for row in rows} == {"CREATED", "ACTIVE", "ERROR", "RETRY", "FAILED"}
        for row in rows:
            assert (row["header"], row["body"]) == (header, *body.values())


@run
async def test_what_is_redacted_is_delivered_retried_from_the_dlq_and_reported_in_the_clear() -> None:
    async with local(httpx.Response(500)) as server:
        options = {"callback": CALLBACK, "failure_callback": FAILURE, "retries": "0", **SECRETS}
        await call(server, "POST", f"publish/{URL}", BODY, redact_fields="body,header", **options)
        dead = (await server.dead_letters())[0]
        again = await call(server, "POST", f"dlq/retry/{dead['dlqId']}")
        deliveries = server.destination.to("destination.test")
        reports = [*server.destination.to("callback.test"), *server.destination.to("failure.test")]
        assert (len(deliveries), len(reports)) == (2, 3)
        for request in deliveries:
            assert request.content == BODY
            assert [request.headers.get_list(name) for name in HEADER] == [*HEADER.values()]
        for report in (json.loads(request.content) for request in reports):
            assert (report["sourceBody"], report["sourceHeader"]) == (in_base64(BODY), HEADER)
        assert {row["body"] for row in await log_rows(server, messageId=again["messageId"])} == {hidden(BODY)}


@each("given labels", ("one", ["one"]), (" l 1 ,l2,, l3", ["l 1", "l2", "l3"]), ("", []), (" , ", []))
async def test_labels_are_shown_everywhere_and_the_first_by_itself(given: str, labels: list[str]) -> None:
    async with local(default=lambda _: httpx.Response(500)) as server:
        published = await server.publish(label=given, retries="1")
        shown = [await server.get(f"/v2/messages/{published['messageId']}")]
        await server.clock.advance(60)
        await call(server, "POST", f"schedules/{URL}", cron="@daily", label=given)
        shown += [*await server.dead_letters(), *await log_rows(server), *await server.get("/v2/schedules")]
        assert len(shown) == 1 + 1 + 7 + 1
        expected = {"label": labels[0], "labels": labels} if labels else {}
        assert [{k: it for k, it in one.items() if k.startswith("label")} for one in shown] == [expected] * 10
        for label in labels:
            found = await log_rows(server, label=label), await server.dead_letters(label=label)
            assert [len(rows) for rows in found] == [7, 1]


async def die(server: Local) -> tuple[Any, dict[str, Any]]:
    """Publish with every option there is to a destination that fails.

    Return the dead letter, and the fields that it has in common with its message and its log rows.
    """
    await server.group("g", ("ledger", URL))
    server.http.headers["Content-Type"] = "text/x"
    headers = [("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/plain")]
    server.destination.answers = [httpx.Response(418, headers=headers, content=TEA)]
    options = {"method": "PATCH", "retries": "0", "retry_delay": "1 * retried", "timeout": "1h30s", "label": "l1,l2"}
    options |= {"callback": CALLBACK, "callback_forward_c": "3", "failure_callback": FAILURE}
    options |= {"flow_control_key": "k", "flow_control_value": "parallelism=3, rate=4, period=2m"}
    await call(server, "POST", "enqueue/q/g", b"payload", **options)
    dead = (await server.dead_letters())[0]
    common: dict[str, Any] = {"messageId": dead["messageId"], "url": URL, "method": "PATCH", "maxRetries": 0}
    common |= {"header": {"Content-Type": ["text/x"]}, "retryDelayExpression": "1 * retried"}
    common |= {"topicName": "g", "endpointName": "ledger", "queueName": "q", "label": "l1", "labels": ["l1", "l2"]}
    common |= {"flowControlKey": "k", "parallelism": 3, "rate": 4, "period": 120}
    return dead, common | {"callback": CALLBACK, "failureCallback": FAILURE}


@run
async def test_a_dead_letter_shows_its_message_and_the_last_response() -> None:
    async with local() as server:
        dead, common = await die(server)
        own: dict[str, Any] = {"dlqId": dead["dlqId"], "notBefore": NOW_MS, "createdAt": NOW_MS, "body": "payload"}
        own |= {
            "callerIP": "127.0.0.1",
            "callbackHeader": {**JSON_HEADER, "C": ["3"]},
            "failureCallbackHeader": JSON_HEADER,
        }
        own |= {"responseStatus": 418, "responseHeader": TEA_HEADER, "responseBody": TEA.decode()}
        assert dead == common | own
        assert [part.isdecimal() for part in dead["dlqId"].split("-")] == [True, True]
        server.destination.answers = [httpx.Response(500, content=b"\xff")]
        await server.publish("https://other.test", retries="0")
        binary = (await server.dead_letters())[1]
        assert (binary.get("responseBody"), binary["responseBodyBase64"]) == (None, "/w==")


@run
async def test_a_log_row_has_every_field_and_both_of_the_names_that_clients_read() -> None:
    """Timeouts are in milliseconds there."""
    async with local() as server:
        _, common = await die(server)
        common |= {"time": NOW_MS, "body": in_base64(b"payload"), "timeout": 3_630_000, "retryDelayExpr": "1 * retried"}
        common |= {"callbackHeaders": {**JSON_HEADER, "C": ["3"]}, "failureCallbackHeaders": JSON_HEADER}
        response: dict[str, Any] = {"responseStatus": 418, "responseBody": in_base64(TEA)}
        response |= {"responseHeader": TEA_HEADER, "responseHeaders": TEA_HEADER}
        rows = [common | {"state": state} for state in ("CREATED", "ACTIVE", "ERROR", "FAILED")]
        assert await log_rows(server, messageId=common["messageId"]) == [*rows[:2], rows[2] | response, rows[3]]


@run
async def test_a_log_row_says_what_went_wrong_and_when_it_is_tried_again_and_leaves_out_what_is_empty() -> None:
    async with local(OSError("no route")) as server:
        published = await server.publish(body=b"", retry_delay="7000")
        created, _, error, retry = await log_rows(server)
        assert "no route" in error["error"]
        assert retry["nextDeliveryTime"] == NOW_MS + 7_000
        least = {"time", "messageId", "state", "url", "method", "maxRetries"}
        assert created.keys() == least | {"retryDelayExpression", "retryDelayExpr"}
        assert retry.keys() == created.keys() | {"nextDeliveryTime"}
        message = await server.get(f"/v2/messages/{published['messageId']}")
        assert message.keys() == least - {"time", "state"} | {
            "notBefore",
            "createdAt",
            "callerIP",
            "retryDelayExpression",
        }


@run
async def test_a_callback_says_of_a_scheduled_delivery_to_a_group_where_it_came_from() -> None:
    """Times are whole milliseconds, headers arrays, and `retried` is there from the first retry on."""
    async with local(httpx.Response(503), httpx.Response(200)) as server:
        await server.group("g", ("ledger", URL))
        options = {"retries": "1", "retry_delay": "1000", "delay": "10s", "method": "GET", "callback": CALLBACK}
        made = await call(server, "POST", "schedules/g", b"\xff", cron="0 * * * *", **options)
        server.destination.answers.append(httpx.Response(201, headers=[("X-A", "1"), ("X-A", "2")], content=b"\x00"))
        await server.clock.advance(3_700)
        message_id = server.destination.to("destination.test")[0].headers["Upstash-Message-Id"]
        always: dict[str, Any] = {
            "sourceMessageId": message_id,
            "url": URL,
            "method": "GET",
            "sourceHeader": {},
            "sourceBody": "/w==",
        }
        always |= {"maxRetries": 1, "createdAt": NOW_MS + 3_600_000, "notBefore": NOW_MS + 3_610_000}
        always |= {"scheduleId": made["scheduleId"], "topicName": "g", "endpointName": "ledger"}
        first = {"status": 503, "header": {}, "body": "", "callerIP": "127.0.0.1"}
        header = {"X-A": ["1", "2"], "Content-Length": ["1"]}
        last = {"status": 201, "header": header, "body": "AA==", "callerIP": "127.0.0.1", "retried": 1}
        reports = [json.loads(request.content) for request in server.destination.to("callback.test")]
        assert reports == [always | first, always | last]


@run
async def test_only_a_failure_callback_names_the_dead_letter_and_a_callback_has_a_log_of_its_own() -> None:
    async with local() as server:
        dead, _ = await die(server)
        requests = [server.destination.to(f"{name}.test")[0] for name in ("callback", "failure")]
        report, last = (json.loads(request.content) for request in requests)
        assert "dlqId" not in report
        assert last == report | {"dlqId": dead["dlqId"]}
        assert (last["status"], last["body"], last["header"]) == (418, in_base64(TEA), TEA_HEADER)
        for request in requests:
            rows = await log_rows(server, messageId=request.headers["Upstash-Message-Id"])
            assert [row["state"] for row in rows] == ["CREATED", "ACTIVE", "DELIVERED"]
            assert {row["url"] for row in rows} == {str(request.url)}


@run
async def test_a_callbacks_own_log_row_does_not_show_what_it_reports_redacted() -> None:
    async with local() as server:
        await server.publish(body=b"secret", redact_fields="body", callback="https://callback.test/")
        await server.publish(body=b"public", callback="https://callback.test/")
        rows = (await server.get("/v2/logs", url="https://callback.test/", state="DELIVERED"))["logs"]
        assert [row["body"].startswith("REDACTED:") for row in rows] == [False, True]
        reports = [json.loads(it.content)["sourceBody"] for it in server.destination.to("callback.test")]
        assert reports == [base64.b64encode(body).decode() for body in (b"secret", b"public")]


@run
async def test_a_cursor_may_be_a_time_and_takes_in_the_rows_of_its_millisecond() -> None:
    async with local() as server:
        await server.publish()
        await server.clock.advance(1)
        await server.publish()
        now_ms = str(int(server.clock.now() * 1000))
        for order, rows in (("latestFirst", 6), ("earliestFirst", 3)):
            assert len((await server.get("/v2/logs", cursor=now_ms, order=order))["logs"]) == rows
