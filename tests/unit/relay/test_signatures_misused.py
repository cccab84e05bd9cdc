"""The engine over scheme rows: what a stranger could make of a secret's other uses, and of one request."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
from urllib.parse import quote

import pytest

from infra.config.schemes import built_in_schemes
from infra.local.sources.request import SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import signed as signed_request
from relay.errors import SignatureError
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.signatures import check_signature
from relay.verification.verify import WebhookInfo, describe, verify
from tests.unit.relay.signed import NOW, ROWS, URL, received, refusal


@pytest.mark.parametrize(
    ("scheme", "signed"),
    [
        *(("github", True), ("shopify", True), ("sanity", True), ("mailgun", True), ("linear", True)),
        *(("stripe", False), ("standard-webhooks", False), ("twitch-eventsub", False), ("gitlab-token", False)),
        ("onfido", False),
    ],
)
def test_what_was_signed_is_told_where_the_id_isnt_part_of_it(scheme: str, signed: bool) -> None:  # noqa: FBT001
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    body = b'{"id":"1","webhookTimestamp":0,"signature":{"token":"t"},"event-data":{"id":"1"}}'
    headers = {it.lower(): "1" for it in ROWS[scheme].headers} | {"content-type": "application/json"}
    headers = {name: it for name, it in headers.items() if name not in {s.place.lower() for s in ROWS[scheme].spots}}
    request = signed_request(row, SourceRequest("POST", URL, headers, body), held, NOW).inbound()

    said = verify(ROWS[scheme], request, [held], at=NOW)

    assert isinstance(said, WebhookInfo)
    assert (said.signed_sha256 is not None) == signed


def test_a_braintree_payload_is_a_notification_and_stands_alone() -> None:
    """Its challenge, which anybody may ask for, is signed by the same key; and what stands beside isn't signed."""
    row, key = ROWS["braintree"], hashlib.sha1(b"private").digest()  # noqa: S324  # Braintree's derivation
    held = Secret({"public_key": "pub", "private_key": "private"})
    xml = base64.b64encode(b"<notification><kind>check</kind></notification>")

    def form(payload: bytes, more: bytes = b"") -> InboundRequest:
        mac = hmac.digest(key, payload, "sha1").hex().encode()
        fields = b"bt_signature=pub%7C" + mac + b"&bt_payload=" + quote(payload).encode() + more
        return received({"content-type": "application/x-www-form-urlencoded"}, fields)

    check_signature(row, form(xml), [held], at=NOW)
    for request in (
        form(b"0123456789abcdef0123456789abcdef"),
        form(xml, b"&extra=1"),
        form(xml, b"&bt_payload=" + quote(xml).encode()),
    ):
        with pytest.raises(SignatureError):
            check_signature(row, request, [held], at=NOW)


@pytest.mark.parametrize("scheme", ["x-twitter", "hubspot-v1", "hubspot-v2"])
@pytest.mark.parametrize("body", [b"crc-token", b"12345", b'{"a":1}\x80\x00tail'])
def test_where_bodies_are_always_json_nothing_else_is_one(scheme: str, body: bytes) -> None:
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    headers = {"content-type": "application/json"}
    request = signed_request(row, SourceRequest("POST", URL, headers, body), held, NOW).inbound()

    with pytest.raises(SignatureError) as refused:
        check_signature(ROWS[scheme], request, [held], at=NOW)
    assert refused.value.reason == "malformed_header"


@pytest.mark.parametrize("scheme", ["twilio", "mandrill", "plivo-v3"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 5001)),
        ("multipart/x-www-form-urlencoded; boundary=z", b"anything"),
        ("multipart/form-data", b"anything"),
    ],
)
def test_a_form_that_cant_be_read_isnt_taken_for_an_empty_one(scheme: str, content_type: str, body: bytes) -> None:
    """Else the signature of a request without fields would do for any body."""
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    empty = signed_request(row, SourceRequest("POST", URL, {}, b""), held, NOW)
    request = InboundRequest(
        method="POST", urls=[empty.url], headers={**empty.headers, "content-type": content_type}, body=body
    )

    with pytest.raises(SignatureError):
        check_signature(ROWS[scheme], request, [held], at=NOW)


def test_a_token_is_kept_from_destinations_however_wide_the_patterns_are() -> None:
    row = Row.of({"signature": "X-Acme-Token: {text}", "algorithm": "token", "forward": ["X-Acme-*"]})

    kept = describe(row, received({"X-Acme-Token": "hush", "X-Acme-Kind": "k"})).headers

    assert kept == {"x-acme-kind": "k"}


def test_an_id_one_of_whose_places_isnt_signed_isnt() -> None:
    row = Row.of({"signature": "X-Sig: {hex}", "id": "body:id|X-Event-Id"})

    assert not row.signs_id


def test_batches_that_share_ids_are_told_apart() -> None:
    """An id stands for its item: what several have in common stands as often."""
    adyen, hubspot = ROWS["adyen"], ROWS["hubspot-v3"]
    names = ("pspReference", "eventCode", "success")

    def captured(*items: tuple[str, str, object]) -> str:
        held = [{"NotificationRequestItem": dict(zip(names, it, strict=True))} for it in items]
        return describe(adyen, received({}, json.dumps({"notificationItems": held}).encode())).idempotency_key

    def batch(*items: tuple[int, int]) -> str:
        held = [{"eventId": a, "subscriptionId": b, "portalId": 7} for a, b in items]
        return describe(hubspot, received({}, json.dumps(held).encode())).idempotency_key

    assert captured(("p1", "CAPTURE", "true"), ("p2", "REFUND", "false")) != captured(
        ("p1", "CAPTURE", "true"), ("p2", "REFUND", "true"), ("p2", "CAPTURE", "false")
    )
    assert captured(("p1", "CAPTURE", True)) != captured(("p1", "CAPTURE", False))
    assert batch((1, 10), (2, 11)) != batch((1, 10), (2, 10), (2, 11))


@pytest.mark.parametrize(
    ("scheme", "content_type", "body"),
    [
        ("mailgun-inbound-form", "multipart/form-data; boundary=b", b"--b\n\nx\n" * 450_000),
        ("mailgun-inbound-form", "multipart/form-data; boundary=b", b"\r\n--b\r\n\r\nx" * 300_000),
        ("mailgun-inbound-form", "multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: " + b'a="' * 10**6),
        ("box", "application/json", b"\x01" * 4_000_000),
        ("notion", "application/json", gzip.compress(b"[" + b"0," * 8_000_000 + b"0]")),
    ],
)
def test_what_a_stranger_sends_is_bounded_before_it_is_looked_at(scheme: str, content_type: str, body: bytes) -> None:
    """Each of these took seconds or half a gigabyte once; the bound is wide, so that no slow machine meets it."""
    row = built_in_schemes()[scheme].row()
    headers = {"content-type": content_type, "box-signature-version": "1", "box-signature-algorithm": "HmacSHA256"}
    headers |= {"box-signature-primary": "AAAA", "box-delivery-timestamp": "2026-11-23T12:00:00Z"}
    began = time.process_time()

    with pytest.raises(SignatureError):
        verify(ROWS[scheme], received(headers, body), [Secret(made_up(row))], at=NOW)

    assert time.process_time() - began < 4


def test_letters_that_only_look_like_base64_are_refused() -> None:
    """Case folding takes a long s for an s."""
    for text in ("\u017f\u017f\u017f\u017f", "\u212aAAA"):
        assert refusal(ROWS["basic"], received({"Authorization": f"Basic {text}"}), "u:p").status == 401
