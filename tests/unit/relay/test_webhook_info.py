"""What a verified request says of itself, from one redelivery to the next, and what reading it costs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given

from relay.verification.secret import Secret
from relay.verification.verify import describe, verify
from tests.unit.relay.signed import ACME, GITHUB, JSONS, NOW, ROWS, github, received


def test_id_and_type_come_from_where_the_row_says() -> None:
    said = describe(GITHUB, received(github(b"") | {"accept": "*/*"}, b'{"action":"opened"}'))

    assert (said.idempotency_key, said.event_type) == ("d-1", "push.opened")
    assert set(said.headers) == {"x-github-event", "x-github-delivery", "x-hub-signature-256"}


def test_without_an_id_a_hash_is_the_key() -> None:
    said = describe(ACME, received({}, b"{}"))

    assert re.fullmatch("sha256:[0-9a-f]{64}", said.idempotency_key)
    assert not said.has_id


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, b"1" * 5000, b'{"kind":["a"]}'])
def test_a_body_that_isnt_what_it_should_be_has_an_unknown_type(body: bytes) -> None:
    assert describe(ACME, received({}, body)).event_type == "unknown"


def test_a_form_without_a_payload_has_the_type_that_its_headers_say() -> None:
    """What isn't meant as JSON isn't broken JSON."""
    headers = {**github(b""), "content-type": "application/x-www-form-urlencoded"}

    assert describe(GITHUB, received(headers, b"payload=%7B%7D")).event_type == "push"


def test_a_long_id_is_hashed_and_a_long_type_is_cut() -> None:
    said = describe(ACME, received({}, b'{"order":{"id":"%s"},"kind":"%s"}' % (b"x" * 301, b"y" * 300)))

    assert said.idempotency_key == "sha256:" + hashlib.sha256(b"x" * 301).hexdigest()
    assert said.event_type == "y" * 200


@given(JSONS)
def test_any_json_is_described(value: Any) -> None:
    body = json.dumps({"order": {"id": value}, "kind": value}).encode()

    said = describe(ACME, received({}, body))

    said.idempotency_key.encode()
    said.event_type.encode()


def test_a_header_that_is_a_secret_is_never_kept() -> None:
    """GitLab's token, basic auth, a bearer's JWT: destinations and records don't get them."""
    for name, row in ROWS.items():
        headers = {it.place.lower().rstrip("*"): "secret" for it in row.spots if ":" not in it.place}
        kept = describe(row, received({**headers, "authorization": "secret", "cookie": "secret"})).headers
        assert "authorization" not in kept, name
        assert "cookie" not in kept, name
        if row.is_secret_itself:
            assert "secret" not in kept.values(), name


# -- redeliveries, and what reading costs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "first", "again", "same"),
    [
        ("github", {"X-GitHub-Delivery": "1"}, {"X-GitHub-Delivery": "1"}, True),
        ("box", {"BOX-DELIVERY-ID": "1"}, {"BOX-DELIVERY-ID": "2"}, True),
        ("shopify", {"X-Shopify-Webhook-Id": "1", "X-Shopify-Event-Id": "9"}, {"X-Shopify-Webhook-Id": "1"}, True),
        (
            "shopify",
            {"X-Shopify-Webhook-Id": "1", "X-Shopify-Event-Id": "9"},
            {"X-Shopify-Webhook-Id": "2", "X-Shopify-Event-Id": "9"},
            False,
        ),
        ("zendesk", {"X-Zendesk-Webhook-Id": "1", "X-Zendesk-Webhook-Invocation-Id": "5"}, {}, False),
        ("gitlab-token", {"Idempotency-Key": "1"}, {"Idempotency-Key": "1"}, True),
        ("standard-webhooks", {"webhook-id": "1", "webhook-timestamp": "1"}, {"webhook-id": "1"}, True),
        ("linear", {"Linear-Delivery": "1"}, {"Linear-Delivery": "2"}, False),
    ],
)
def test_a_redelivery_keeps_the_key_and_another_event_has_another(
    scheme: str,
    first: dict[str, str],
    again: dict[str, str],
    same: bool,  # noqa: FBT001
) -> None:
    """What changes from attempt to attempt is no part of it, and what several subscriptions share isn't enough."""
    body = b'{"id":"eb0c4e06","trigger":"FILE.UPLOADED"}'

    keys = [describe(ROWS[scheme], received(headers, body)).idempotency_key for headers in (first, again)]

    assert (keys[0] == keys[1]) == same


def test_a_batch_of_events_is_known_by_all_their_ids() -> None:
    body = (
        b'[{"sg_event_id":"a","event":"open"},{"sg_event_id":"b","event":"click"},{"sg_event_id":"c","event":"open"}]'
    )

    said = describe(ROWS["sendgrid"], received({}, body))

    assert (said.idempotency_key, said.event_type) == ("a,b,c", "open,click")


def test_json_is_parsed_once_and_once_before_where_the_signature_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[bytes] = []

    def loads(text: bytes) -> Any:
        parsed.append(text)
        return json.JSONDecoder().decode(text.decode())

    monkeypatch.setattr("relay.model.content.json", type("Json", (), {"loads": staticmethod(loads)}))
    body = b'{"id":"evt_1","type":"t","webhookTimestamp":1795435200000,"action":"a"}'
    headers = {"Linear-Signature": hmac.digest(b"s", body, "sha256").hex(), "X-Shopify-Topic": "t"}

    verify(ROWS["linear"], received(headers, body), [Secret("s")], at=NOW)
    assert len(parsed) == 2

    shopify = {**headers, "X-Shopify-Hmac-SHA256": base64.b64encode(hmac.digest(b"s", body, "sha256")).decode()}
    verify(ROWS["shopify"], received(shopify, body), [Secret("s")], at=NOW)
    assert len(parsed) == 2  # nothing of Shopify's stands in the body
