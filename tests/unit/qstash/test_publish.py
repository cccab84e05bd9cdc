"""Publishing: who may, to where, with what; URL groups; deduplication; batches."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.local.qstash.broker.clock import all_idle
from infra.local.qstash.broker.state import Settings, documented_users
from infra.local.qstash.language.limits import Limits

from .fakes import START_S, TOKEN, URL, USERS, Local, local, run

A, B, C = ("https://a.test/1", "https://b.test/2", "https://c.test/3")


@run
async def test_a_call_needs_a_known_token() -> None:
    async with local() as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
            server.http.headers.pop("Authorization", None)
            response = await server.http.post(f"/v2/publish/{URL}", headers=headers)
            assert response.status_code == 401
            assert response.json() == {"error": "unable to authenticate: invalid token"}
        await all_idle()
        assert server.destination.requests == []


@run
async def test_a_token_may_come_in_the_query_and_goes_no_further() -> None:
    async with local() as server:
        del server.http.headers["Authorization"]
        response = await server.http.post(f"/v2/publish/{URL}?a=1&qstash_token={TOKEN}&b=2")
        await all_idle()
        assert response.status_code == 200
        assert str(server.destination.requests[0].url) == f"{URL}?a=1&b=2"


@run
async def test_users_see_nothing_of_each_other() -> None:
    async with local(default=lambda _: httpx.Response(500)) as server:
        await server.group("g", ("a", A))
        mine = await server.publish(retries="0", deduplication_id="d")
        held = await server.publish(delay="1h")
        server.http.headers["Authorization"] = f"Bearer {USERS[2].token}"
        assert await server.get("/v2/topics") == []
        assert await server.dead_letters() == []
        assert (await server.get("/v2/logs"))["logs"] == []
        assert (await server.http.delete("/v2/messages")).json() == {"cancelled": 0}
        assert (await server.http.get(f"/v2/messages/{held['messageId']}")).status_code == 404
        assert (await server.publish(deduplication_id="d"))["messageId"] != mine["messageId"]


def test_the_environment_replaces_the_first_user_only() -> None:
    users = documented_users({"QSTASH_TOKEN": "t", "QSTASH_NEXT_SIGNING_KEY": "n", "QSTASH_CURRENT_SIGNING_KEY": "c"})
    assert (users[0].token, users[0].current_key, users[0].next_key) == ("t", "c", "n")
    assert [user.token for user in users[1:]] == [user.token for user in USERS[1:]]


@pytest.mark.parametrize(
    ("tail", "url"),
    [
        ("https://x.test//a//b", "https://x.test//a//b"),
        ("https://x.test/a%20b?x=1&y=%20&upstash-retries=0&y=%2B+", "https://x.test/a%20b?x=1&y=%20&y=%2B+"),
        ("https://x.test/?Upstash-Label=l", "https://x.test/"),
        ("https://x.test/p/?q", "https://x.test/p/?q"),
        ("https%3A%2F%2Fx.test%2Fa%3Fb=c", "https://x.test/a?b=c"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_a_destination_is_kept_byte_for_byte(tail: str, url: str) -> None:
    @run
    async def body() -> None:
        async with local() as server:
            published = await server.publish(tail, delay="1h")
            assert (await server.get(f"/v2/messages/{published['messageId']}"))["url"] == url

    body()


@run
async def test_settings_may_come_in_the_query_and_a_header_wins() -> None:
    async with local() as server:
        await server.publish(f"{URL}?upstash-forward-x=q%20q&upstash-forward-y=q", forward_y="h")
        headers = server.destination.requests[0].headers
        assert (headers["X"], headers["Y"]) == ("q q", "h")


@pytest.mark.parametrize(
    ("tail", "status", "text"),
    [
        ("", 400, "a non-empty destination must be provided"),
        ("ftp://x.test", 400, "add http:// or https://"),
        ("http://", 400, "invalid destination url"),
        ("https://x.test:port/", 400, "invalid destination url"),
        ("nobody", 404, "topic nobody not found"),
    ],
)
def test_a_destination_that_is_none_is_refused(tail: str, status: int, text: str) -> None:
    @run
    async def body() -> None:
        async with local() as server:
            assert text in (await server.publish(tail, expect=status))["error"]

    body()


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("retries", "-1", 400),
        ("retries", "many", 400),
        ("retries", "1000", 412),
        ("delay", "30", 400),
        ("delay", "366d", 412),
        ("not_before", "soon", 400),
        ("not_before", "1999999999", 412),
        ("retry_delay", "eval(1)", 400),
        ("timeout", "1", 400),
        ("timeout", "3h", 412),
        ("method", "BREW", 400),
        ("deduplication_id", "a:b", 400),
        ("content_based_deduplication", "maybe", 400),
        ("callback", "nowhere", 400),
        ("failure_callback", "ftp://x", 400),
        ("flow_control_key", "k", 400),
        ("flow_control_value", "rate=1", 400),
        ("redact_fields", "everything", 400),
        ("cron", "* * *", 400),
        ("schedule_id", "s", 400),
        ("queue_name", "q", 400),
    ],
)
def test_a_setting_that_cannot_be_honoured_is_refused_by_name(name: str, value: str, status: int) -> None:
    @run
    async def body() -> None:
        async with local() as server:
            error = (await server.publish(URL, b"", status, **{name: value}))["error"]
            words = error.lower().replace("-", "").replace(" ", "")
            meant = {"delay": "maxdelay", "not_before": "maxdelay", "retries": "maxretries", "timeout": "maxtimeout"}
            assert name.replace("_", "") in words or meant[name] in words
            assert server.destination.requests == []

    body()


@run
async def test_a_delayed_callback_is_refused() -> None:
    async with local() as server:
        await server.publish(callback=A, callback_delay="1s", expect=400)
        await server.publish(callback=A, callback_retries="x", expect=400)


@run
async def test_a_body_over_the_limit_is_refused() -> None:
    async with local(settings=Settings(limits=Limits(message_bytes=10, request_bytes=20))) as server:
        await server.publish(body=b"x" * 10)
        assert "maxMessageSize" in (await server.publish(body=b"x" * 11, expect=412))["error"]
        await server.publish(body=b"x" * 21, expect=413)


@run
async def test_a_delayed_message_waits_and_not_before_overrides_delay() -> None:
    async with local() as server:
        await server.publish(delay="1h")
        await server.publish(delay="1h", not_before=str(int(START_S) + 60))
        await server.clock.advance(59)
        assert server.destination.times == []
        await server.clock.advance(7_200)
        assert server.destination.times == [60, 3_600]


@run
async def test_a_duplicate_gets_202_and_the_first_id_for_ten_minutes() -> None:
    async with local() as server:
        first = await server.publish(deduplication_id="d")
        again = await server.publish("https://elsewhere.test", b"other", deduplication_id="d", expect=202)
        assert again == {"messageId": first["messageId"], "deduplicated": True}
        await server.clock.advance(599)
        await server.publish(deduplication_id="d", expect=202)
        await server.clock.advance(1)
        assert (await server.publish(deduplication_id="d"))["messageId"] != first["messageId"]
        assert len(server.destination.requests) == 2


@run
async def test_a_duplicate_by_content_has_the_same_destination_body_and_headers() -> None:
    async with local() as server:
        await server.publish(content_based_deduplication="true", forward_x="1")
        await server.publish(content_based_deduplication="True", forward_x="1", retries="9", expect=202)
        await server.publish(content_based_deduplication="true", forward_x="2")
        await server.publish(content_based_deduplication="true", forward_x="1", body=b"other")
        await server.publish("https://x.test", content_based_deduplication="true", forward_x="1")
        await server.publish(content_based_deduplication="false", forward_x="1")


@run
async def test_a_cancelled_original_is_still_remembered() -> None:
    async with local() as server:
        first = await server.publish(deduplication_id="d", delay="1m")
        assert (await server.http.delete(f"/v2/messages/{first['messageId']}")).status_code == 200
        await server.publish(deduplication_id="d", expect=202)


@run
async def test_what_is_refused_is_no_original() -> None:
    """Whatever it is refused for: its id is as new as before, and the next publish of it is taken."""
    limits = Limits(messages_per_day=1)
    settings = Settings(limits=limits, unresolvable_hosts=["gone.test"])
    async with local(settings=settings) as server:
        server.http.headers["Authorization"] = f"Bearer {USERS[0].read_only_token}"
        await server.publish(deduplication_id="d", expect=403)
        server.http.headers["Authorization"] = f"Bearer {TOKEN}"
        await server.publish("nobody", deduplication_id="d", expect=404)
        await server.publish("https://gone.test", deduplication_id="d", expect=400)
        await server.publish(deduplication_id="d", retries="-1", expect=400)
        ours = {"destination": URL, "headers": {"Upstash-Deduplication-Id": "d"}}
        for other in ({"destination": "nobody"}, {"destination": B}):  # the second is one more than the day's quota
            assert (await server.http.post("/v2/batch", json=[ours, other])).status_code in {404, 429}
        assert (await server.get("/v2/logs"))["logs"] == []
        assert [*await server.publish(deduplication_id="d")] == ["messageId"]
        assert len(server.destination.requests) == 1


@run
async def test_an_item_that_is_refused_is_no_original_either() -> None:
    async with local(settings=Settings(batch_refused="by_item")) as server:
        items = [{"destination": it, "headers": {"Upstash-Deduplication-Id": "d"}} for it in ("nobody", URL)]
        answers = (await server.http.post("/v2/batch", json=items)).json()
        await all_idle()
        assert [[*entry] for entry in answers] == [["error"], ["messageId"]]
        assert len(server.destination.requests) == 1


@run
async def test_a_batch_answers_item_by_item() -> None:
    async with local() as server:
        await server.group("g", ("a", A), ("b", B))
        items = [
            {
                "destination": C,
                "headers": {"Upstash-Method": "PUT", "upstash-forward-h": "v"},
                "body": "é",
                "queue": None,
            },
            {"destination": "g"},
            {"destination": C, "headers": {"Upstash-Deduplication-Id": "d"}},
            {"destination": C, "headers": {"Upstash-Deduplication-Id": "d"}},
        ]
        response = await server.http.post("/v2/batch", json=items)
        answers = response.json()
        await all_idle()
        assert response.status_code == 200
        assert [item["url"] for item in answers[1]] == [A, B]
        assert answers[3] == answers[2] | {"deduplicated": True}
        first = server.destination.to("c.test")[0]
        assert (first.method, first.headers["H"], first.content) == ("PUT", "v", "é".encode())
        assert len(server.destination.requests) == 4


MALFORMED: list[Any] = [{"destination": 5}, 7, {"destination": A, "body": 1}, {"destination": A, "queue": "no name"}]
UNSENDABLE: list[Any] = [{"destination": "nobody"}, {}, {"destination": A, "headers": {"Upstash-Delay": 5}}]


@run
async def test_an_item_that_cannot_be_sent_has_an_entry_that_says_why_and_the_others_are_sent() -> None:
    async with local(settings=Settings(batch_refused="by_item")) as server:
        items = [{"destination": B}, *UNSENDABLE, {"destination": B}]
        response = await server.http.post("/v2/batch", json=items)
        await all_idle()
        assert response.status_code == 200
        assert [[*entry] for entry in response.json()] == [["messageId"], *[["error"]] * 3, ["messageId"]]
        assert response.json()[1] == {"error": "topic nobody not found"}
        assert len(server.destination.requests) == 2


@pytest.mark.parametrize(("refused", "wrong"), [("whole", [*MALFORMED, *UNSENDABLE]), ("by_item", MALFORMED)])
def test_a_batch_with_one_wrong_item_sends_nothing(refused: Any, wrong: list[Any]) -> None:
    """For its form in either way; for one that can't be sent only where it is refused whole."""

    @run
    async def body() -> None:
        async with local(settings=Settings(batch_refused=refused)) as server:
            for item in wrong:
                response = await server.http.post("/v2/batch", json=[{"destination": A}, item])
                assert 400 <= response.status_code < 500
                assert set(response.json()) == {"error"}
            await all_idle()
            assert server.destination.requests == []

    body()


@run
async def test_keys_rotate() -> None:
    async with local() as server:
        before = await server.get("/v2/keys")
        assert before == {"current": USERS[0].current_key, "next": USERS[0].next_key}
        after = (await server.http.post("/v2/keys/rotate")).json()
        assert after["current"] == before["next"]
        assert after["next"] not in before.values()
        assert await server.get("/v2/keys") == after


@run
async def test_an_unknown_route_is_404_in_json() -> None:
    async with local() as server:
        for method, path in (("GET", "/v2/queue"), ("POST", "/v2/publish"), ("GET", "/"), ("GET", "/v2/batch")):
            response = await server.http.request(method, path)
            assert response.status_code in (404, 405)
            assert set(response.json()) == {"error"}


_SETTING = st.sampled_from(
    [
        "retries",
        "delay",
        "not-before",
        "timeout",
        "retry-delay",
        "method",
        "label",
        "callback",
        "callback-retries",
        "forward-a",
        "header-forward",
        "deduplication-id",
        "content-based-deduplication",
        "failure-callback-forward-b",
    ]
)
_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12) | st.sampled_from(["1s", "true", A])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([A, "g"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["destination", "headers", "body", "endpoints", "url", "name", "messageIds", "dlqIds", "count"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_PATHS = ["topics", "topics/g", "topics/g/endpoints", "batch", "messages", "messages/x"]
_PATHS += ["dlq", "dlq/retry", "dlq/1-0", "events", "logs", "keys"]
_FILTERS = ["count", "cursor", "order", "state", "label", "fromDate", "toDate", "messageIds", "dlqIds", "url", "host"]
_CALL = st.tuples(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    st.sampled_from(_PATHS),
    st.dictionaries(st.sampled_from([*_FILTERS, "nonsense"]), _VALUE, max_size=2),
    st.one_of(st.just(b""), st.binary(max_size=9), st.lists(_JSON, max_size=3).map(lambda v: json.dumps(v).encode()))
    | _JSON.map(lambda v: json.dumps(v).encode()),
)


@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    calls=st.lists(_CALL, max_size=12),
    publishes=st.lists(
        st.tuples(_VALUE | _VALUE.map(f"{URL}?upstash-label=".__add__), st.dictionaries(_SETTING, _VALUE, max_size=3)),
        max_size=6,
    ),
)
def test_no_request_gets_a_500(calls: list[Any], publishes: list[tuple[str, dict[str, str]]]) -> None:
    """Whatever is asked, the answer is a 2xx, or a 4xx with an ``error``, and the server lives on."""

    def check(response: httpx.Response) -> None:
        assert response.status_code < 500
        if response.status_code >= 400:
            assert set(response.json()) == {"error"}

    async def all_of_it(server: Local) -> None:
        await server.group("g", ("a", A))
        for method, path, params, body in calls:
            check(await server.http.request(method, f"/v2/{path}", params=params, content=body))
        for tail, given_settings in publishes:
            headers = {f"Upstash-{name}": value.strip() for name, value in given_settings.items()}
            escaped = tail.replace("#", "%23")
            check(await server.http.post(f"/v2/publish/{escaped}", headers=headers))
        await server.clock.advance(100)
        check(await server.http.get("/v2/logs"))

    @run
    async def body() -> None:
        async with local() as server:
            await all_of_it(server)

    body()


@run
async def test_fixed_parts_of_a_path_may_be_in_any_case_and_a_listing_may_end_in_a_slash() -> None:
    async with local() as server:
        made = await server.http.post(f"/v2/Schedules/{URL}", headers={"Upstash-Cron": "@daily"})
        assert (await server.get(f"/v2/Schedules/{made.json()['scheduleId']}"))["destination"] == URL
        assert await server.get("/v2/flowcontrol/") == await server.get("/v2/queues/") == []


@run
async def test_upstashs_language_model_is_a_destination() -> None:
    async with local() as server:
        await server.publish("api/llm", body=b'{"model": "x"}')
        assert server.destination.requests[0].url.host == "qstash.upstash.io"
