"""Refusals: what is kept of a request that a stranger wrote, and what never is."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason, Refusal, Slot
from relay.query.diagnosis import Facts, likely_cause
from relay.storage.items import plain, refusal_item, slot_of, wire
from tests.unit.relay.refusing import BAD, BASE, HEADED, NOW, ROW, World, asked, refused

if TYPE_CHECKING:
    from tests.conftest import Clients

SENDS_SECRET: dict[str, dict[str, Any]] = {  # rows whose senders put the secret itself into the body, or into the URL
    "mail": {"algorithm": "@ms-graph"},
    "bodily": {"algorithm": "token", "signature": ["body:auth.token: {text}"]},
    "formal": {"algorithm": "token", "signature": ["X-Token: {text}", "form:token: {text}"]},
    "queried": {"algorithm": "token", "signature": ["query:token: {text}"]},
    "doubled": ROW | {"requires": {"X-Token|body:token": "{secret:token}"}},
}
ITEM_MAX_BYTES = 4096  # four write units


@pytest.fixture
def world(clients: Clients) -> World:
    return World(clients)


SECRETS = (
    *("x-hub-signature-256", "authorization", "cookie", "x-gitlab-token", "x-api-key", "proxy-authorization"),
    *("stripe-signature", "referer", "x-amz-security-token", "x-secret-timestamp", "x-token-date"),
)


def test_names_of_headers_are_kept_and_values_only_of_harmless_ones() -> None:
    """A value that could open something never reaches the table."""
    harmless = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/1",
        "via": "1.1 proxy",
        "x-slack-request-timestamp": "1769850000",
        "paypal-transmission-time": "2026-01-31T09:00:00Z",
    }

    kept = refused(headers={**harmless, **dict.fromkeys(SECRETS, "t=1769850000,v1=s3cret")}, query_string="key=s3cret")

    assert kept.headers == harmless
    assert set(kept.header_names) == {*harmless, *SECRETS}
    assert kept.path == "/webhooks/github?..."
    assert "s3cret" not in repr(kept)


HARMLESS = {
    *("content-type", "user-agent", "content-length", "content-encoding", "transfer-encoding", "date", "host", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
}


@given(st.sets(st.text(max_size=70).map(str.lower).filter(lambda it: it not in HARMLESS), max_size=30))
def test_no_header_but_the_harmless_ones_keeps_its_value(names: set[str]) -> None:
    """An allow-list: a name that nobody thought of is a secret's."""
    assert refused(headers=dict.fromkeys(names, "s3cret 1769850000")).headers == {}


STRANGE = st.one_of(
    st.text(max_size=400),
    st.text("0123456789T:-.Z", max_size=40),
    st.sampled_from(["t=99999999999", "20" + "9" * 11, "0001-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "\ud800"]),
)
NAMES = st.one_of(
    st.sampled_from(["date", "via", "content-length", "x-forwarded-for", "x-a-timestamp", "b-signature", "c-time"]),
    st.from_regex(r"\A[a-z]{0,50}-(timestamp|date)\Z"),
    st.text(max_size=100),
)


@given(
    headers=st.dictionaries(NAMES, STRANGE, max_size=60),
    body=st.binary(max_size=700),
    texts=st.tuples(STRANGE, STRANGE, STRANGE, STRANGE),
    reason=st.sampled_from(Reason),
)
def test_whatever_a_stranger_sends_is_kept_small_reads_back_and_is_explained(
    headers: dict[str, str], body: bytes, texts: tuple[str, str, str, str], reason: Reason
) -> None:
    """Nothing raises, and no item costs more than four write units."""
    message, method, path, query_string = texts
    refusal = Refusal.of(
        "n" * 64,
        reason,
        message,
        at=NOW,
        method=method,
        path=path,
        query_string=query_string,
        headers=headers,
        source_ip=method,
        body=body,
    )

    item = wire(refusal_item(Slot(4, refusal, 10**9, NOW)))

    assert slot_of(plain(item)).refusal == refusal
    assert size_bytes({"M": item}) <= ITEM_MAX_BYTES
    assert likely_cause(refusal, Facts("twilio", False, ("github",), (BASE,), None, True)).isascii()


def test_a_request_as_large_as_can_be_still_fits() -> None:
    """Hypothesis seldom fills every budget at once."""
    headers = {
        **{f"{n:03}{'x' * 70}": "v" * 500 for n in range(60)},
        **{f"{n:03}-{'y' * 40}-timestamp": "1769850000" for n in range(60)},
        **dict.fromkeys(("content-type", "user-agent", "via", "host", "date", "x-forwarded-for"), "ü" * 5000),
    }

    refusal = refused(headers=headers, body=b"\xff" * 5000, path="/" * 5000, method="M" * 500)

    assert 3000 < size_bytes({"M": wire(refusal_item(Slot(0, refusal, 1, NOW)))}) <= ITEM_MAX_BYTES
    assert (len(refusal.body), refusal.size_bytes) == (512, 5000)
    assert refusal.sha256 == hashlib.sha256(b"\xff" * 5000).hexdigest()


def size_bytes(value: dict[str, Any]) -> int:
    """Return what DynamoDB counts *value* as, at most: names and values in bytes, 3 for a map or a list, 1 an element.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    match value:
        case {"M": items}:
            return 3 + sum(1 + len(name) + size_bytes(it) for name, it in items.items())
        case {"L": items}:
            return 3 + sum(1 + size_bytes(it) for it in items)
        case {"S": text}:
            return len(text.encode())
        case {"B": data}:
            return len(data)
        case {"N": number}:
            return 2 + len(number)
    return 1


def test_the_caller_is_the_address_that_called_the_gateway() -> None:
    """What X-Forwarded-For says is a stranger's word."""
    assert refused(headers={"x-forwarded-for": "10.9.9.9"}, source_ip="203.0.113.9").source_ip == "203.0.113.9"


@pytest.mark.parametrize("source", SENDS_SECRET)
@pytest.mark.parametrize("to", ["it", "a name like its"])
def test_no_body_is_kept_in_which_the_secret_stands(world: World, source: str, to: str) -> None:
    """Of a wrong one, too: it may be right but for a letter, or the one before."""
    world.configure(**{source: SENDS_SECRET[source]})
    body = b'{"value":[{"clientState":"s3cret"}],"token":"s3cret"}'

    world.refuse(BAD, asked(source if to == "it" else "grahp", body))

    (shown,) = world.shown(source if to == "it" else UNKNOWN_SOURCE_NAME)["refusals"]
    assert (shown["body"], shown["body_truncated"], shown["size_bytes"]) == ("", True, len(body))
    assert shown["sha256"] == hashlib.sha256(body).hexdigest()
    assert "s3cret" not in repr(world.items())


@pytest.mark.parametrize("source", ["github", *HEADED, "githb"])
def test_any_other_body_is_kept(world: World, source: str) -> None:
    """It is what tells a broken body; a secret in a header isn't kept anyway."""
    world.configure()

    world.refuse(BAD, asked(source, b'{"a":1}'))

    (shown,) = world.shown(UNKNOWN_SOURCE_NAME if source == "githb" else source)["refusals"]
    assert shown["body"] == '{"a":1}'


@pytest.mark.parametrize(
    "headers",
    [
        {"stripe-signature": "t=1769849600,v1=abc"},
        {"x-slack-request-timestamp": "1769849600"},
        {"x-hook-timestamp": "1769849600000"},
        {"transmission-time": "2026-01-31T08:53:20Z"},
        {"x-signature": "v1=abc; ts=1769849600"},
    ],
)
def test_the_signed_time_is_read_where_it_stands_plainly(headers: dict[str, str]) -> None:
    """Also out of a signature, of which nothing else is kept."""
    assert refused(headers=headers).signed_at == NOW - timedelta(seconds=400)
