"""The engine over scheme rows: what it accepts, and that it refuses everything else in one way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.config import built_in_schemes
from infra.local.made_up import made_up
from infra.local.sources import Request as SourceRequest
from infra.local.sources import signed as signed_request
from relay.errors import SignatureError, UnusableSecret
from relay.judgement import Described, describe, judge
from relay.received import Received
from relay.scheme import Row
from relay.secret import Secret
from relay.signatures import moment_of, verify

if TYPE_CHECKING:
    from relay.handshakes import Answer

NOW = 1_795_435_200
ROWS = {name: Row.of(it.row()) for name, it in built_in_schemes().items()}
GITHUB = ROWS["github"]
STRIPE = ROWS["stripe"]
ACME = Row.of(
    {
        "signature": "X-Acme-Signature: {base64}",
        "algorithm": "hmac-sha512",
        "id": "body:order.id",
        "type": "body:kind",
        "timeout_s": 5,
    }
)
URL = "https://relay.example.com/webhooks/acme"


def received(headers: dict[str, str], body: bytes = b"{}", url: str = URL, method: str = "POST") -> Received:
    return Received(method=method, urls=[url], headers={name.lower(): it for name, it in headers.items()}, body=body)


def refusal(row: Row, request: Received, *secrets: str | dict[str, Any], at: float = NOW) -> SignatureError:
    with pytest.raises(SignatureError) as refused:
        verify(row, request, list(map(Secret, secrets)), at=at)
    return refused.value


def github(body: bytes, secret: str = "It's a Secret to Everybody") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "x-github-event": "push", "x-github-delivery": "d-1"}


def stripe(body: bytes, *secrets: str, at: int = NOW, version: str = "v1") -> str:
    macs = [hmac.new(it.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() for it in secrets]
    return ",".join([f"t={at}", *(f"{version}={it}" for it in macs)])


def acme(body: bytes, secret: str) -> dict[str, str]:
    return {"X-Acme-Signature": base64.b64encode(hmac.digest(secret.encode(), body, "sha512")).decode()}


# -- what is accepted -------------------------------------------------------------------------------------------------


def test_githubs_published_example_is_accepted() -> None:
    """The vector of GitHub's own documentation: https://docs.github.com/en/webhooks."""
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}

    verify(GITHUB, received(headers, b"Hello, World!"), [Secret("It's a Secret to Everybody")], at=NOW)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_signed(body: bytes) -> None:
    """A signature covers bytes, not text."""
    verify(GITHUB, received(github(body, "s"), body), [Secret("other"), Secret("s")], at=NOW)
    verify(ACME, received(acme(body, "s"), body), [Secret("s")], at=NOW)


def test_any_of_several_secrets_and_any_of_several_signatures_may_match() -> None:
    """Both ends rotate: the source signs with old and new, and we hold old and new."""
    request = received({"Stripe-Signature": stripe(b"{}", "older", "newer")})

    verify(STRIPE, request, [Secret("newest"), Secret("newer")], at=NOW)
    assert refusal(STRIPE, request, "newest").reason == "bad_signature"


def test_items_that_the_scheme_doesnt_know_are_ignored() -> None:
    header = f"v0=aa,{stripe(b'{}', 's')},v2=??"

    verify(STRIPE, received({"Stripe-Signature": header}), [Secret("s")], at=NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_signed_time_within_the_tolerance_is_accepted(age: int) -> None:
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - age)})

    verify(STRIPE, request, [Secret("s")], at=NOW)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "reason"), [(301, "expired_timestamp"), (-301, "future_timestamp")])
def test_a_signed_time_out_of_the_tolerance_is_refused(age: int, reason: str) -> None:
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - age)})

    error = refusal(STRIPE, request, "s")

    assert error.reason == reason
    assert "301 s" in str(error)


def test_a_time_that_nobody_signed_says_nothing_of_staleness() -> None:
    """Else a stranger's request would look like a slow clock."""
    request = received({"Stripe-Signature": stripe(b"{}", "stranger", at=NOW - 9999)})

    assert refusal(STRIPE, request, "s").reason == "bad_signature"


def test_the_right_mac_under_another_version_is_refused() -> None:
    """A request never chooses its algorithm."""
    request = received({"Stripe-Signature": stripe(b"{}", "s", version="v0")})

    assert refusal(STRIPE, request, "s").reason == "malformed_header"


def test_a_weaker_signature_beside_doesnt_count() -> None:
    """GitHub sends SHA-1, too."""
    mac = hmac.new(b"s", b"{}", hashlib.sha1).hexdigest()

    assert refusal(GITHUB, received({"X-Hub-Signature": f"sha1={mac}"}), "s").reason == "missing_header"
    assert refusal(GITHUB, received({"X-Hub-Signature-256": f"sha1={mac}"}), "s").reason == "malformed_header"
    assert refusal(GITHUB, received({"X-Hub-Signature-256": f"sha256={mac}"}), "s").reason == "bad_signature"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "missing"),
        ({"x-hub-signature-256": ""}, "missing"),
        ({"x-hub-signature-256": "sha1=00"}, "malformed"),
        ({"x-hub-signature-256": "sha256="}, "malformed"),
        ({"x-hub-signature-256": "sha256=0 0"}, "malformed"),
        ({"x-hub-signature-256": "sha256=zz"}, "malformed"),
        ({"x-hub-signature-256": "sha256=0"}, "malformed"),
        ({"x-hub-signature-256": "sha256=\u0661\u0661"}, "malformed"),
        ({"x-hub-signature-256": "sha256=00"}, "doesn't match"),
        (github(b"other"), "doesn't match"),
        (github(b"{}", "wrong"), "doesn't match"),
    ],
)
def test_a_refusal_names_the_failed_check_and_nothing_else(headers: dict[str, str], said: str) -> None:
    """No expected value, no body."""
    error = refusal(GITHUB, received(headers), "It's a Secret to Everybody")

    assert str(error) in {f"X-Hub-Signature-256 is {said}", f"X-Hub-Signature-256 {said}"}


@pytest.mark.parametrize("flipped", ["+", "/", "A"])
def test_a_signature_has_one_spelling(flipped: str) -> None:
    """The last digit of base64 has bits that decoding drops: whoever changed them changed the signature."""
    given = acme(b"{}", "s")["X-Acme-Signature"]

    error = refusal(ACME, received({"X-Acme-Signature": given[:-3] + flipped + "=="}), "s")

    assert error.reason in {"malformed_header", "bad_signature"}


def test_without_a_secret_nothing_is_accepted() -> None:
    error = refusal(GITHUB, received(github(b"{}", "")))

    assert (type(error), error.status, error.reason) == (UnusableSecret, 503, "no_secret")


@pytest.mark.parametrize("value", ["not base64!", "whsec_"])
def test_a_secret_that_cant_be_a_key_is_its_owners_to_mend(value: str) -> None:
    headers = {"webhook-id": "a", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"}

    assert refusal(ROWS["standard-webhooks"], received(headers), value).status == 503


def test_the_refusal_that_says_most_is_told_of_several_secrets() -> None:
    """One secret signed it, too long ago; the other isn't of this world."""
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - 999)})
    standard = received({"webhook-id": "a", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"})

    assert refusal(STRIPE, request, "s", "other").reason == "expired_timestamp"
    assert refusal(STRIPE, request, "other", "s").reason == "expired_timestamp"
    assert refusal(ROWS["standard-webhooks"], standard, "whsec_AAAA", "not base64!").reason == "bad_signature"
    assert refusal(ROWS["standard-webhooks"], standard, "not base64!", "whsec_AAAA").reason == "bad_signature"


def test_a_secret_that_lacks_a_part_doesnt_keep_another_from_counting() -> None:
    body = b'{"time_ms":%d}' % (NOW * 1000)
    headers = {"X-Pusher-Key": "k", "X-Pusher-Signature": hmac.digest(b"s", body, "sha256").hex()}

    for order in ((0, 1), (1, 0)):
        held = [Secret("plain"), Secret({"key": "k", "secret": "s"})]
        verify(ROWS["pusher"], received(headers, body), [held[it] for it in order], at=NOW)


def test_the_first_of_two_times_counts() -> None:
    header = stripe(b"{}", "s") + f",t={NOW + 1}"

    verify(STRIPE, received({"Stripe-Signature": header}), [Secret("s")], at=NOW)


def test_no_more_than_a_hundred_signatures_are_looked_at() -> None:
    """Each costs a comparison, and a stranger may send as many as fit."""
    right = hmac.new(b"s", f"{NOW}.".encode() + b"{}", hashlib.sha256).hexdigest()
    many = ",".join([f"t={NOW}", *["v1=" + "0" * 64] * 200, f"v1={right}"])

    assert refusal(STRIPE, received({"Stripe-Signature": many}), "s").reason == "bad_signature"


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orb writes none; the zone of the machine is nobody's business."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment_of("2026-11-23T12:00:00.000000", "iso-utc") == NOW
        assert moment_of("2026-11-23T12:00:00.000000", "iso") is None
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_key_of_another_curve_counts_for_nothing() -> None:
    """The algorithm says P-256; a key that is stronger is none of the scheme's, either."""
    body = b"[]"
    for curve, good in ((ec.SECP256R1(), True), (ec.SECP384R1(), False)):
        key = ec.generate_private_key(curve)
        shown = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        signature = key.sign(f"{NOW}".encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": str(NOW),
        }
        secrets = [Secret(base64.b64encode(shown).decode())]
        if good:
            verify(ROWS["sendgrid"], received(headers, body), secrets, at=NOW)
        else:
            with pytest.raises(SignatureError):
                verify(ROWS["sendgrid"], received(headers, body), secrets, at=NOW)


@pytest.mark.parametrize("scheme", ["square", "trello", "qstash"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_any_of_the_relays_own_urls_may_be_the_one_that_was_signed(scheme: str, order: tuple[int, int]) -> None:
    """With a domain in front both that URL and the API's own are registered somewhere."""
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    sent = signed_request(row, SourceRequest("POST", URL, {"content-type": "application/json"}, b"{}"), held, NOW)
    urls = [URL, "https://hooks.example.com/webhooks/acme"]

    for known, good in (([urls[it] for it in order], True), ([urls[1]], False)):
        request = Received(method="POST", urls=known, headers=sent.headers, body=sent.body)
        if good:
            verify(ROWS[scheme], request, [held], at=NOW)
        else:
            with pytest.raises(SignatureError):
                verify(ROWS[scheme], request, [held], at=NOW)


# -- total, and quiet -------------------------------------------------------------------------------------------------


def _names(row: Row) -> list[str]:
    """Return the headers that *row* looks at."""
    known = {
        *("content-type", "authorization", "x-hook-secret", "x-okta-verification-challenge", "x-pusher-key"),
        *("paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-cert-url"),
        *("paypal-auth-algo", "x-contentful-signed-headers", "box-signature-version", "box-signature-algorithm"),
        *("x-plivo-signature-v3-nonce", "x-plivo-signature-v2-nonce", "twitch-eventsub-message-type"),
    }
    return sorted({it.place.rstrip("*").lower() for it in row.spots if ":" not in it.place} | row.headers | known)


SCRAPS = st.sampled_from(
    [
        *("", ",", "=", "t=", "v1=", "v1,", "v0=", "sha256=", "Bearer ", "JWT ", "Basic ", "t=1795435200,v1=aa", "1"),
        *("1795435200", "1795435200000", "2026-11-23T12:00:00Z", "9" * 40, "1e400", "nan", "\x00", "\ud800", "é"),
        *("eyJhbGciOiJIUzI1NiJ9.e30.AA", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "SHA256withRSA", "HmacSHA256"),
        *("https://sns.us-east-1.amazonaws.com/x.pem", "https://api.paypal.com/x", "https://[", "AAAA", "aa" * 32),
        *(
            "application/json",
            "multipart/form-data; boundary=x",
            "multipart/mixed",
            "application/x-www-form-urlencoded",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=30), st.lists(SCRAPS, max_size=4).map("".join))
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda it: st.one_of(st.lists(it, max_size=3), st.dictionaries(TEXTS, it, max_size=3)),
    max_leaves=6,
)
KEYS = (
    *(
        "notificationItems",
        "NotificationRequestItem",
        "additionalData",
        "hmacSignature",
        "value",
        "clientState",
        "Type",
    ),
    *("Message", "MessageId", "Timestamp", "TopicArn", "Signature", "SigningCertURL", "SignatureVersion", "signature"),
    *("timestamp", "token", "type", "event", "events", "webhookTimestamp", "time_ms", "challenge", "id", "payload"),
)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSONS.map(lambda it: repr(it).encode(errors="replace")),
    st.dictionaries(st.sampled_from(KEYS), JSONS, max_size=8).map(lambda it: json.dumps(it).encode()),
    st.sampled_from(
        [
            b"--x\r\nContent-Disposition: form-data; name=json\r\n\r\n{}\r\n--x--",
            b"--x\r\nContent-Disposition\r\n\r\n",
            b"bt_signature=a%7C00&bt_payload=AA==",
            b"timestamp=1&token=&signature=00",
            b"&" * 300,
            b"[" * 100_000,
            b"1" * 5000,
            b'{"value":[{"clientState":"\\ud800"}]}',
            b"\x1f\x8b\x08\x00rest",
        ]
    ),
)
SECRETS = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["whsec_AAAA", "aa" * 32, "[", "{", "{}", '{"a": 1}', "AAAA"]),
    st.dictionaries(
        st.sampled_from(
            [
                *(
                    "public_key",
                    "private_key",
                    "client_state",
                    "topic_arn",
                    "signing_cert_pem",
                    "cert_pem",
                    "webhook_id",
                ),
                *("jwk", "client_id", "secret", "username", "password", "primary", "current", "api_key", "api_secret"),
            ]
        ),
        st.one_of(TEXTS, JSONS),
        max_size=4,
    ),
)


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=40)  # of each scheme
@given(data=st.data())
def test_every_input_is_answered_or_refused_with_the_one_error(name: str, data: st.DataObject) -> None:
    """For every scheme, whatever anybody sends, and whatever the secret is."""
    row = ROWS[name]
    request = Received(
        method=data.draw(st.sampled_from(["POST", "GET", "HEAD", "PUT", ""])),
        urls=data.draw(st.lists(st.one_of(st.just(URL + "?a=1&challenge=x"), TEXTS), max_size=2)),
        headers=data.draw(st.dictionaries(st.sampled_from(_names(row)), TEXTS, max_size=6)),
        body=data.draw(BODIES),
    )
    secrets = [Secret(it) for it in data.draw(st.lists(SECRETS, max_size=2))]
    said: Answer | Described | SignatureError
    try:
        said = judge(row, request, secrets, at=NOW)
    except SignatureError as error:
        said = error
    assert not isinstance(said, SignatureError) or (said.status in {401, 403, 503} and len(str(said)) < 200)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("part", [None, "client_state", "clientState", "private_key", "secret", "username"])
def test_half_a_character_is_no_secret(name: str, part: str | None) -> None:
    """JSON may hold one, and no bytes are it: nothing is signed by it, and nothing breaks."""
    held = "\ud800" if part is None else {part: "\ud800"}
    request = received({}, b'{"value":[{"clientState":"\\ud800"}]}')

    with pytest.raises(SignatureError):
        judge(ROWS[name], request, [Secret(held)], at=NOW)


@given(value=st.text(max_size=40), body=st.binary(max_size=40))
def test_a_refusal_repeats_nothing_of_the_secret_or_the_request(value: str, body: bytes) -> None:
    for row in ROWS.values():
        request = received(dict.fromkeys(_names(row), f"Bearer {value}canary"), body)
        said = ""
        try:
            judge(row, request, [Secret("hush-hush")], at=NOW)
        except SignatureError as error:
            said = str(error)
        assert "canary" not in said
        assert "hush-hush" not in said


def test_a_secret_doesnt_show() -> None:
    assert "hush" not in f"{Secret('hush')} {Secret('hush')!r}"


# -- what a verified request says of itself ---------------------------------------------------------------------------


def test_id_and_type_come_from_where_the_row_says() -> None:
    said = describe(GITHUB, received(github(b"") | {"accept": "*/*"}, b'{"action":"opened"}'))

    assert (said.idempotency_key, said.event_type) == ("d-1", "push.opened")
    assert set(said.headers) == {"x-github-event", "x-github-delivery", "x-hub-signature-256"}


def test_without_an_id_the_bodys_hash_is_the_key() -> None:
    said = describe(ACME, received({}, b"{}"))

    assert said.idempotency_key == "sha256:" + hashlib.sha256(b"{}").hexdigest()
    assert not said.has_id


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, b"1" * 5000, b'{"kind":["a"]}'])
def test_a_body_that_isnt_what_it_should_be_has_an_unknown_type(body: bytes) -> None:
    assert describe(ACME, received({}, body)).event_type == "unknown"


def test_a_form_has_the_type_that_its_headers_say() -> None:
    """GitHub can be set to send forms; what isn't meant as JSON isn't broken JSON."""
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


# -- what a stranger could make of a secret's other uses, and of one request -------------------------------------------


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
    request = signed_request(row, SourceRequest("POST", URL, headers, body), held, NOW).received()

    said = judge(ROWS[scheme], request, [held], at=NOW)

    assert isinstance(said, Described)
    assert (said.signed_sha256 is not None) == signed


def test_a_braintree_payload_is_a_notification_and_stands_alone() -> None:
    """Its challenge, which anybody may ask for, is signed by the same key; and what stands beside isn't signed."""
    row, key = ROWS["braintree"], hashlib.sha1(b"private").digest()  # noqa: S324  # Braintree's derivation
    held = Secret({"public_key": "pub", "private_key": "private"})
    xml = base64.b64encode(b"<notification><kind>check</kind></notification>")

    def form(payload: bytes, more: bytes = b"") -> Received:
        mac = hmac.digest(key, payload, "sha1").hex().encode()
        fields = b"bt_signature=pub%7C" + mac + b"&bt_payload=" + quote(payload).encode() + more
        return received({"content-type": "application/x-www-form-urlencoded"}, fields)

    verify(row, form(xml), [held], at=NOW)
    for request in (
        form(b"0123456789abcdef0123456789abcdef"),
        form(xml, b"&extra=1"),
        form(xml, b"&bt_payload=" + quote(xml).encode()),
    ):
        with pytest.raises(SignatureError):
            verify(row, request, [held], at=NOW)


@pytest.mark.parametrize("scheme", ["x-twitter", "hubspot-v1", "hubspot-v2"])
@pytest.mark.parametrize("body", [b"crc-token", b"12345", b'{"a":1}\x80\x00tail'])
def test_where_bodies_are_always_json_nothing_else_is_one(scheme: str, body: bytes) -> None:
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    headers = {"content-type": "application/json"}
    request = signed_request(row, SourceRequest("POST", URL, headers, body), held, NOW).received()

    with pytest.raises(SignatureError) as refused:
        verify(ROWS[scheme], request, [held], at=NOW)
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
    request = Received(
        method="POST", urls=[empty.url], headers={**empty.headers, "content-type": content_type}, body=body
    )

    with pytest.raises(SignatureError):
        verify(ROWS[scheme], request, [held], at=NOW)


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
        judge(ROWS[scheme], received(headers, body), [Secret(made_up(row))], at=NOW)

    assert time.process_time() - began < 4


def test_letters_that_only_look_like_base64_are_refused() -> None:
    """Case folding takes a long s for an s."""
    for text in ("\u017f\u017f\u017f\u017f", "\u212aAAA"):
        assert refusal(ROWS["basic"], received({"Authorization": f"Basic {text}"}), "u:p").status == 401


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


def test_json_is_parsed_once_at_most_and_only_if_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def loads(text: bytes) -> Any:
        parsed.append(text)
        return json.JSONDecoder().decode(text.decode())

    monkeypatch.setattr("relay.received.json", type("Json", (), {"loads": staticmethod(loads)}))
    body = b'{"id":"evt_1","type":"t","webhookTimestamp":1795435200000,"action":"a"}'
    headers = {"Linear-Signature": hmac.digest(b"s", body, "sha256").hex(), "X-Shopify-Topic": "t"}

    judge(ROWS["linear"], received(headers, body), [Secret("s")], at=NOW)
    assert len(parsed) == 1

    shopify = {**headers, "X-Shopify-Hmac-SHA256": base64.b64encode(hmac.digest(b"s", body, "sha256")).decode()}
    judge(ROWS["shopify"], received(shopify, body), [Secret("s")], at=NOW)
    assert len(parsed) == 1
