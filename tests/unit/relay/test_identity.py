"""Events of a source that gives no ids: what makes two of them one, and what of a request reaches destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.schemes import built_in_schemes
from relay.ingest.accept import accept
from relay.ingest.webhook import Webhook
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.verify import QUERY_MAX_BYTES, WebhookInfo, describe
from tests.unit.relay.signed import ROWS
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from tests.unit.relay.world import World

URL = "https://relay.example.com/webhooks/sms"
TOKEN = Row.of({"algorithm": "token", "signature": ["X-Token: {text}", "query:token: {text}"]})
NONCED = Row.of(
    {
        "signature": "query:signature: {hex}",
        "signs": "{query:nonce}{time}{body}",
        "time": "query:timestamp",
        "requires": {"query:key": "{secret:key}", "query:version": "2"},
    }
)


def said(query: str = "", body: bytes = b"", method: str = "POST", row: Row = TOKEN, **headers: str) -> WebhookInfo:
    """Return what a request says of itself; headers in Python spelling."""
    named = {name.replace("_", "-"): it for name, it in headers.items()}
    url = f"{URL}?{query}" if query else URL
    return describe(row, InboundRequest(method=method, urls=[url], headers=named, body=body))


def is_one(first: WebhookInfo, second: WebhookInfo) -> bool:
    return first.idempotency_key == second.idempotency_key


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"query": "msisdn=491&text=one"}, {"query": "msisdn=492&text=two"}),
        ({"query": "a=1&b=2"}, {"query": "b=2&a=1"}),
        ({"query": "a=1"}, {"query": "a=1&a=1"}),
        ({"query": "a=b%26c"}, {"query": "a=b&c"}),
        ({"method": "GET"}, {"method": "POST"}),
        ({"body": b"{}"}, {"body": b"{} "}),
        ({"body": b"{}", "x_event_type": "order.paid"}, {"body": b"{}", "x_event_type": "order.sent"}),
        ({"query": "a=1", "body": b"2"}, {"query": "a=12", "body": b""}),
    ],
    ids=str,
)
def test_what_says_something_else_is_another_event(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert not is_one(said(**first), said(**second))


@pytest.mark.parametrize(
    "again",
    [
        {"x_delivery_attempt": "2"},
        {"user_agent": "Hooks/2", "traceparent": "00-ab-cd-01", "x_forwarded_for": "192.0.2.1"},
        {"x_token": "another secret"},
        {"date": "Mon, 30 Nov 2026 09:00:00 GMT", "x_signature": "t=2"},
    ],
    ids=str,
)
def test_what_differs_each_time_it_is_sent_makes_no_other_event(again: dict[str, Any]) -> None:
    first = said("a=1", b"{}", x_token="secret", x_delivery_attempt="1")

    assert is_one(first, said("a=1", b"{}", **again))


def test_what_the_scheme_names_in_the_query_makes_no_other_event_and_the_rest_does() -> None:
    """Signature, secret, time and nonce; a version that it asks for is the same anyway."""
    first = "key=k1&signature=ab&timestamp=1&nonce=x&version=2&order=7"

    assert is_one(said(first, row=NONCED), said("version=2&order=7", row=NONCED))
    assert not is_one(said(first, row=NONCED), said(first.replace("order=7", "order=8"), row=NONCED))


def test_where_the_relay_stands_makes_no_other_event() -> None:
    """A base mapping, or a slash at the end, would double what is sent again over it."""
    urls = [f"https://{at}?a=1" for at in ("one.example.com/webhooks/sms", "two.example.com/in/webhooks/sms/")]

    first, second = (describe(TOKEN, InboundRequest(method="GET", urls=[it], headers={}, body=b"")) for it in urls)

    assert is_one(first, second)


def test_two_calls_by_get_are_two_events_and_each_says_what_it_said(world: World) -> None:
    """The first is sent, and so is the second; sent again within the source's retries it is a duplicate."""
    flat = FLAT | {"sources": {"sms": FLAT["sources"]["github"] | {"scheme": "token", "row": built_in_row("github")}}}
    world.deploy(flat)

    def take(query: str) -> Any:
        with world.acting("ingest"):
            return accept(
                world.settings.sources["sms"],
                Webhook("sms", world.clock.at, said(query, method="GET"), None, b""),
                settings=world.settings,
                store=world.store,
                publisher=lambda: world.publisher,
                paused=dict,
            )

    first, second = take("msisdn=491&text=one"), take("msisdn=492&text=two")
    again = take("msisdn=491&text=one")

    assert (first.duplicate, second.duplicate, again.duplicate) == (False, False, True)
    assert again.event.id == first.event.id
    asked = {
        (request.headers["Upstash-Forward-Relay-Method"], request.headers["Upstash-Forward-Relay-Query"])
        for request in world.wire.published
    }
    assert asked == {("GET", "msisdn=491&text=one"), ("GET", "msisdn=492&text=two")}
    kept = world.store.event(second.event.id)
    assert kept is not None
    assert (kept.method, kept.raw_query, kept.query) == ("GET", "msisdn=492&text=two", {"msisdn": "492", "text": "two"})


def built_in_row(name: str) -> dict[str, Any]:
    row: dict[str, Any] = built_in_schemes()[name].row()
    return row


def test_a_header_that_holds_a_part_of_the_secret_is_nobodys_though_a_pattern_names_it() -> None:
    row = Row.of(
        {
            "signature": "X-Signature: {hex}",
            "requires": {"X-Key|X-Old-Key": "{secret:key}", "X-Version": "2"},
            "forward": ["X-*"],
        }
    )

    kept = said(row=row, x_key="s3cret", x_old_key="s3cret", x_version="2", x_signature="ab", x_more="a").headers

    assert kept == {"x-version": "2", "x-signature": "ab", "x-more": "a"}


@pytest.mark.parametrize(
    ("row", "query"), [(TOKEN, "token=s3cret&a=1&%74oken=s3cret"), (NONCED, "key=s3cret&a=1&signature=s3cret")]
)
def test_nothing_secret_of_the_query_is_kept(row: Row, query: str) -> None:
    """Neither the proof nor what the scheme asks for of the secret, however it is spelt."""
    info = said(query, row=row)

    assert (info.raw_query, info.query) == ("a=1", {"a": "1"})


def test_a_query_too_long_for_a_header_is_left_out_and_that_is_told() -> None:
    long = said("a=" + "x" * QUERY_MAX_BYTES)
    fits = said("a=" + "x" * (QUERY_MAX_BYTES - 2))

    assert (long.raw_query, long.query_left_out) == ("", True)
    assert (len(fits.raw_query), fits.query_left_out) == (QUERY_MAX_BYTES, False)
    assert not is_one(long, said("a=" + "y" * QUERY_MAX_BYTES))


@given(query=st.text(max_size=60), body=st.binary(max_size=10), method=st.text(max_size=30))
def test_whatever_is_asked_a_header_can_carry_it(query: str, body: bytes, method: str) -> None:
    info = said(query.replace("#", ""), body, method)

    assert info.raw_query.isascii()
    assert not set(info.raw_query) & set(" \r\n\0")
    info.idempotency_key.encode("ascii")


@pytest.mark.parametrize("name", sorted(name for name, row in ROWS.items() if not row.id))
def test_every_scheme_without_ids_tells_two_queries_apart(name: str) -> None:
    """And two bodies; and not two secrets."""
    row = ROWS[name]
    secret = "&".join(f"{quote(it)}=" for it in sorted(row.passing_parameters))

    first = said(urlencode({"n": 1}) + f"&{secret}", b"{}", row=row)

    assert not is_one(first, said(urlencode({"n": 2}) + f"&{secret}", b"{}", row=row))
    assert not is_one(first, said(urlencode({"n": 1}) + f"&{secret}", b"[]", row=row))
    assert is_one(first, said(urlencode({"n": 1}) + "&" + secret.replace("=", "=x"), b"{}", row=row))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("order ", "order"), (" order\n", "order"), ("a\r\nb", "a b"), ("\t", "unknown"), ("é\u0000", "é\u0000")],
)
def test_an_event_type_begins_and_ends_with_no_blank(given: str, kept: str) -> None:
    """No HTTP client sends a header that does."""
    assert said(x_event_type=given).event_type == kept
