"""What plays a source sends what the relay takes: every sample of every scheme, with a secret made up for it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.samples import read
from infra.config.schemes import Scheme, built_in_schemes
from infra.local.sources.request import CannotSign, SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import needs_signature, proofs, signed, stale_by_s, tampered
from relay.errors import SignatureError
from relay.model.event import EVENT_TYPE_UNKNOWN
from relay.verification.handshakes import HandshakeAnswer
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify

EVENTS = Path(__file__).parents[3] / "events"
NOW = 1_795_510_800.25
FORGED = "github/pull_request.opened.forged"
SAMPLES = {
    f"{file.parent.name}/{file.stem}": file
    for file in sorted(EVENTS.glob("*/*.json"))
    if file.parent.name in built_in_schemes()
}
UNSIGNED_HANDSHAKES = {
    "asana/x-hook-secret",
    "braintree/bt_challenge",
    "dropbox/challenge",
    "intercom/head",
    "mandrill/head",
    "meta/hub.challenge",
    "ms-graph/validation",
    "notion/verification_token",
    "trello/head",
    "x-twitter/crc",
}
SIGNED_HANDSHAKES = {
    "aws-sns/subscription_confirmation",
    "discord/ping",
    "okta/verification",
    "slack/url_verification",
    "twitch-eventsub/webhook_callback_verification",
    "xero/intent_to_receive",
    "zoom/endpoint.url_validation",
}
WITHOUT_ID = {"discord/application_authorized"}  # it gives only some of its events one
EVENT_SAMPLES = SAMPLES.keys() - UNSIGNED_HANDSHAKES - SIGNED_HANDSHAKES - {FORGED}
SIGNED = sorted(EVENT_SAMPLES | SIGNED_HANDSHAKES)
SECRET = "It's a Secret to Everybody"


def row_of(sample: str) -> dict[str, Any]:
    """Return the row of the scheme that *sample* is of."""
    return built_in_schemes()[sample.partition("/")[0]].row()


@cache
def _made_up(scheme: str, _: int) -> Secret:
    return Secret(made_up(built_in_schemes()[scheme].row()))


def secret_of(scheme: str, number: int = 0) -> Secret:
    """Return the *number*th secret made up for *scheme*, always the same: an RSA key takes its time."""
    return _made_up(scheme, number)


def request_of(sample: str) -> SourceRequest:
    """Return *sample* as it stands in its file."""
    read_sample = read(SAMPLES[sample])
    query = f"?{read_sample.query}" if read_sample.query else ""
    url = f"https://relay.example.com/webhooks/{read_sample.source}{query}"
    return SourceRequest(read_sample.method, url, read_sample.headers, read_sample.body)


def sent(sample: str, *, at: float | None = None) -> SourceRequest:
    """Return *sample* as its source would send it."""
    secret = secret_of(sample.partition("/")[0])
    return signed(row_of(sample), request_of(sample), secret, now() if at is None else at)


@cache
def now() -> float:
    """Return the time of these tests, always the same; certificates that they make are valid then."""
    return time.time()


def verified(row: dict[str, Any], request: SourceRequest, secret: Secret) -> WebhookInfo | HandshakeAnswer:
    """Return what the relay makes of *request*."""
    return verify(Row.of(row), request.inbound(), [secret], at=now())


def refusal(sample: str, request: SourceRequest, number: int = 0) -> str:
    """Return for what reason the relay refuses *request*."""
    with pytest.raises(SignatureError) as told:
        verified(row_of(sample), request, secret_of(sample.partition("/")[0], number))
    return told.value.reason


# -- every sample -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", sorted(EVENT_SAMPLES))
def test_a_signed_sample_is_taken_for_an_event(sample: str) -> None:
    """It has the id and the type that its scheme finds."""
    row = Row.of(row_of(sample))

    info = verified(row_of(sample), sent(sample), secret_of(sample.partition("/")[0]))

    assert isinstance(info, WebhookInfo)
    assert info.has_id == (bool(row.id) and sample not in WITHOUT_ID)
    assert (info.event_type != EVENT_TYPE_UNKNOWN) == bool(row.type)


@pytest.mark.parametrize("sample", sorted(UNSIGNED_HANDSHAKES | SIGNED_HANDSHAKES))
def test_a_handshake_is_answered(sample: str) -> None:
    """Signed where its scheme wants that, and with the token that is the secret's."""
    answer = verified(row_of(sample), sent(sample), secret_of(sample.partition("/")[0]))

    assert isinstance(answer, HandshakeAnswer)
    assert answer.status in {200, 204}


@pytest.mark.parametrize("sample", SIGNED)
def test_a_tampered_sample_is_refused(sample: str) -> None:
    """One byte is another one, of what is signed or of the signature."""
    right = sent(sample)

    wrong = tampered(Row.of(row_of(sample)), right)

    assert refusal(sample, wrong) in {"bad_signature", "body_mismatch", "wrong_token", "wrong_issuer"}
    assert wrong.method == right.method
    assert len(wrong.body) == len(right.body)
    changed = sum(a != b for a, b in zip(wrong.body, right.body, strict=True))
    assert changed == (0 if wrong.headers != right.headers else 1)


@pytest.mark.parametrize("sample", SIGNED)
def test_another_secret_is_refused(sample: str) -> None:
    """Else anybody could sign."""
    assert refusal(sample, sent(sample), number=1) in {
        "bad_signature",
        "wrong_token",
        "wrong_issuer",
        "malformed_header",
        "untrusted_certificate",
    }


@pytest.mark.parametrize("sample", [it for it in SIGNED if stale_by_s(Row.of(row_of(it))) is not None])
def test_a_stale_sample_is_refused_and_a_minute_before_it_isnt(sample: str) -> None:
    """It is signed, and as of a time that is too old."""
    age_s = stale_by_s(Row.of(row_of(sample)))
    assert age_s is not None

    assert refusal(sample, sent(sample, at=now() - age_s)) == "expired_timestamp"
    assert verified(row_of(sample), sent(sample, at=now() - age_s + 62), secret_of(sample.partition("/")[0]))


def test_every_scheme_with_a_time_can_be_made_stale() -> None:
    """What has a tolerance has a time; so has a token that expires."""
    timed = {name for name, it in built_in_schemes().items() if it.tolerance_s or "exp" in it.needs}

    assert {name for name, it in built_in_schemes().items() if stale_by_s(Row.of(it.row())) is not None} == timed


@pytest.mark.parametrize("sample", sorted(SAMPLES))
def test_what_is_signed_already_is_sent_as_it_is(sample: str) -> None:
    once = sent(sample)

    assert signed(row_of(sample), once, secret_of(sample.partition("/")[0]), now() + 60) == once


@pytest.mark.parametrize("sample", sorted(UNSIGNED_HANDSHAKES - {"meta/hub.challenge"}))
def test_a_handshake_before_there_is_a_secret_needs_none(sample: str) -> None:
    """Notion and Asana give theirs in it."""
    request = request_of(sample)

    assert not needs_signature(Row.of(row_of(sample)), request)
    assert signed(row_of(sample), request, None, NOW) == request
    with pytest.raises(CannotSign, match="nobody signs"):
        tampered(Row.of(row_of(sample)), request)


@pytest.mark.parametrize("sample", SIGNED)
def test_without_a_secret_nothing_else_can_be_sent(sample: str) -> None:
    assert needs_signature(Row.of(row_of(sample)), request_of(sample))
    with pytest.raises(CannotSign, match="no signing secret"):
        signed(row_of(sample), request_of(sample), None, NOW)


@pytest.mark.parametrize("sample", SIGNED)
def test_nothing_else_of_a_sample_changes(sample: str) -> None:
    """A body keeps its bytes, unless something of the proof stands in it; no header is lost."""
    before, after = request_of(sample), sent(sample)
    row = Row.of(row_of(sample))

    in_body = any(it.startswith(("body:", "form:")) for it in [*proofs(row, after), row.time or ""])
    assert in_body or after.body == before.body
    assert before.headers.keys() <= after.headers.keys()
    assert all(it == it.lower() for it in after.headers)


# -- secrets that are made up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", sorted(built_in_schemes()))
def test_a_made_up_secret_is_one_that_could_be_set(scheme: str) -> None:
    """Text of one line and of the length that `relay secret set` takes; parts are texts, but for a JSON Web Key."""
    row = built_in_schemes()[scheme].row()

    one, another = made_up(row), made_up(row)

    assert one != another
    assert one.isprintable()
    assert one.isascii()
    assert len(one) <= 4096
    for name, part in Secret(one).parts.items():
        assert isinstance(part, dict) if name == "jwk" else isinstance(part, str) and part


def test_the_made_up_secrets_of_all_schemes_fit_into_one_secret() -> None:
    """That is where the relay has them, and Secrets Manager takes 64 KiB."""
    held = {name: [{"value": made_up(it.row()), "created_at": "x" * 32}] for name, it in built_in_schemes().items()}

    assert len(json.dumps(held)) < 65_536


def test_a_scheme_with_one_key_gets_a_text_and_one_with_parts_each_of_them() -> None:
    parts = {name: set(secret_of(name).parts) for name in ("github", "okta", "basic", "livekit", "meta", "aws-sns")}

    assert parts == {
        "github": set(),
        "okta": set(),
        "basic": {"username", "password"},
        "livekit": {"api_key", "api_secret"},
        "meta": {"app_secret", "verify_token"},
        "aws-sns": {"topic_arn", "signing_cert_pem", "private_key"},
    }
    assert Secret(made_up(OWN["parts"])).parts.keys() == {"id", "secret"}


# -- what has no sample -------------------------------------------------------------------------------------------

OWN: dict[str, dict[str, Any]] = {
    "query": {"signature": "query:sig: {base64url}"},
    "url": {"signature": "X-Sig: {HEX}", "signs": "{method} {url} {body}"},
    "field": {"signature": "form:sig: {hex}", "signs": "{X-Nonce}"},
    "parts": {"signature": "X-Sig: {hex}", "requires": {"X-Key": "{secret:id}"}},
    "nonce": {"signature": "X-Sig: {hex}", "signs": "{X-Nonce}.{body}"},
    "item": {"signature": "X-Sig: id={secret:id}|{hex}", "separator": ","},
    "es256": {
        "signature": "Authorization: Bearer {jwt}",
        "algorithm": "jwt-es256",
        "secret": "public_key",
        "needs": ["exp", "sub"],
        "id": "claim:jti",
    },
    "hs512": {"signature": "Authorization: {jwt}", "algorithm": "jwt-hs512", "claims": {"h": "{body_sha256_hex}"}},
}


@pytest.mark.parametrize(
    "row", [*OWN.values(), *(built_in_schemes()[it].row() for it in ("hmac", "basic", "token", "jwt"))]
)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": 1}'),
        ("application/x-www-form-urlencoded", b"order=1&b=%20"),
        (
            "multipart/form-data; boundary=xx",
            b'--xx\r\nContent-Disposition: form-data; name="order"\r\n\r\n\xff1\r\n--xx--\r\n',
        ),
    ],
)
def test_an_own_scheme_is_signed_as_its_row_says(row: dict[str, Any], content_type: str, body: bytes) -> None:
    """A signature may stand in a header, in the query or in a form."""
    wanted = Scheme.model_validate(row).row()
    request = SourceRequest("POST", "https://relay.example.com/webhooks/own", {"content-type": content_type}, body)
    secret = Secret(made_up(wanted))

    after = signed(wanted, request, secret, now())

    assert isinstance(verified(wanted, after, secret), WebhookInfo)
    with pytest.raises(SignatureError):
        verified(wanted, tampered(Row.of(wanted), after), secret)
    with pytest.raises(SignatureError):
        verified(wanted, after, Secret(made_up(wanted)))


def test_a_signature_in_the_query_stands_beside_what_is_there() -> None:
    row = {"signature": "query:sig: {base64}", "signs": "{body}"}
    request = SourceRequest("POST", "https://relay.example.com/webhooks/own?b=%20&a=1", {}, b"{}")

    after = signed(row, request, Secret("key"), NOW)

    assert re.fullmatch(r"https://relay\.example\.com/webhooks/own\?b=%20&a=1&sig=[A-Za-z0-9%]+", after.url)
    assert verified(row, after, Secret("key"))


@given(st.binary(max_size=200))
def test_any_body_can_be_signed_and_tampered_with(body: bytes) -> None:
    request = SourceRequest("POST", "https://relay.example.com/webhooks/own", {}, body)
    row = built_in_schemes()["hmac"].row()

    right = signed(row, request, Secret("key"), NOW)

    assert verified(row, right, Secret("key"))
    with pytest.raises(SignatureError):
        verified(row, tampered(Row.of(row), right), Secret("key"))


def test_githubs_published_example() -> None:
    """Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    request = SourceRequest("POST", "https://relay.example.com/webhooks/github", {}, b"Hello, World!")

    headers = signed(row_of("github/"), request, Secret(SECRET), NOW).headers

    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert headers == {"x-hub-signature-256": expected}


def test_slacks_published_example() -> None:
    """Source: https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.4744"
        b"5629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    request = SourceRequest("POST", "https://relay.example.com/webhooks/slack", {}, body)

    headers = signed(row_of("slack/"), request, Secret("8f742231b10e8888abcd99yyyzzz85a5"), 1531420618.9).headers

    assert headers == {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }


# -- what special ones add ----------------------------------------------------------------------------------------


def test_adyens_items_each_have_a_signature() -> None:
    item = {"NotificationRequestItem": {"pspReference": "1", "eventCode": "A", "success": "true"}}
    body = json.dumps({"notificationItems": [item, item]}).encode()
    request = SourceRequest("POST", "https://relay.example.com/webhooks/adyen", {}, body)

    after = signed(row_of("adyen/"), request, secret_of("adyen"), NOW)

    items = json.loads(after.body)["notificationItems"]
    assert all(it["NotificationRequestItem"]["additionalData"]["hmacSignature"] for it in items)
    assert verified(row_of("adyen/"), after, secret_of("adyen"))


def test_twilios_json_body_is_in_the_url_as_its_hash() -> None:
    request = SourceRequest(
        "POST", "https://relay.example.com/webhooks/twilio", {"content-type": "application/json"}, b"{}"
    )

    after = signed(row_of("twilio/"), request, secret_of("twilio"), NOW)

    assert after.url.endswith(f"?bodySHA256={hashlib.sha256(b'{}').hexdigest()}")
    assert verified(row_of("twilio/"), after, secret_of("twilio"))


def test_both_of_boxs_keys_sign() -> None:
    after = sent("box/FILE.UPLOADED")

    for kept in ("primary", "secondary"):
        secret = Secret({kept: str(secret_of("box").part(kept))})
        assert verified(row_of("box/"), after, secret)


def test_headers_that_say_how_it_was_signed() -> None:
    """The relay doesn't read them; a request without them isn't what a provider sends."""
    assert sent("hubspot-v1/contact.creation").headers["x-hubspot-signature-version"] == "v1"
    assert sent("hubspot-v2/company.propertyChange").headers["x-hubspot-signature-version"] == "v2"
    assert "x-hubspot-signature-version" not in sent("hubspot-v3/contact.propertyChange").headers
    event = "adyen-balance-platform/balancePlatform.accountHolder.updated"
    assert sent(event).headers["protocol"] == "HmacSHA256"


def test_dropbox_signs_form_keeps_its_other_parts() -> None:
    before, after = request_of("dropbox-sign/signature_request_sent"), sent("dropbox-sign/signature_request_sent")

    event = json.loads(dict(after.inbound().form)["json"])
    assert event["event"].pop("event_hash")
    assert event == json.loads(dict(before.inbound().form)["json"])
    assert [name for name, _ in after.inbound().form] == [name for name, _ in before.inbound().form]


def test_a_header_that_may_end_in_anything_ends_in_a_number() -> None:
    assert "x-docusign-signature-1" in sent("docusign/envelope-completed").headers


def test_a_time_in_a_body_is_of_the_type_that_its_source_gives_it_and_all_else_stays_in_its_place() -> None:
    """In milliseconds a number, in seconds a text."""
    before, after = request_of("linear/Issue.create").body, sent("linear/Issue.create").body
    mailgun = json.loads(sent("mailgun/delivered").body)["signature"]

    assert after == before[:-1] + b',"webhookTimestamp":%d}' % (now() * 1000)
    assert mailgun["timestamp"] == str(int(now()))
    assert mailgun.keys() == {"timestamp", "token", "signature"}


def test_a_field_of_a_form_of_parts_is_a_part() -> None:
    """As Mailgun sends mail with attachments."""
    head = {"content-type": 'multipart/form-data; boundary="xx"'}
    body = b'--xx\r\nContent-Disposition: form-data; name="Message-Id"\r\n\r\n<1@example.com>\r\n--xx--\r\n'
    request = SourceRequest("POST", "https://relay.example.com/webhooks/mail", head, body)

    after = signed(row_of("mailgun-inbound-form/"), request, secret_of("mailgun-inbound-form"), now())

    assert after.body.endswith(body)
    assert {name for name, _ in after.inbound().form} == {"Message-Id", "timestamp", "token", "signature"}
    assert verified(row_of("mailgun-inbound-form/"), after, secret_of("mailgun-inbound-form"))


def test_sns_sends_from_the_topic_that_the_secret_names() -> None:
    topic = "arn:aws:sns:us-west-2:210987654321:payments"
    secret = Secret({**secret_of("aws-sns").parts, "topic_arn": topic})

    after = signed(row_of("aws-sns/"), request_of("aws-sns/notification"), secret, now())

    assert after.headers["x-amz-sns-topic-arn"] == json.loads(after.body)["TopicArn"] == topic
    assert json.loads(after.body)["SigningCertURL"].startswith("https://sns.us-west-2.amazonaws.com/")
    assert verified(row_of("aws-sns/"), after, secret)


def test_a_token_has_no_hash_of_a_body_that_there_isnt() -> None:
    request = SourceRequest("GET", "https://relay.example.com/webhooks/bird", {}, b"")

    after = signed(row_of("messagebird/"), request, secret_of("messagebird"), now())

    claims = json.loads(base64.b64decode(after.headers["messagebird-signature-jwt"].split(".")[1] + "=="))
    assert claims.keys() == {"iss", "url_hash", "iat", "nbf", "exp", "jti"}
    assert verified(row_of("messagebird/"), after, secret_of("messagebird"))


def test_a_place_where_two_kinds_of_signature_may_stand_is_one_place() -> None:
    row = built_in_schemes()["token"].row()
    request = SourceRequest("POST", "https://relay.example.com/webhooks/own", {}, b"1")

    assert proofs(Row.of(row), signed(row, request, Secret("key"), NOW)) == ["Authorization"]


# -- what can't be signed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ("discord/ping", "ab" * 32),
        ("telnyx/message.received", base64.b64encode(b"k" * 32).decode()),
        ("sendgrid/delivered", base64.b64encode(b"k" * 91).decode()),
        ("aws-sns/notification", "arn:aws:sns:eu-central-1:123456789012:orders"),
        ("paypal/PAYMENT.CAPTURE.COMPLETED", "WH-1"),
        ("plaid/TRANSACTIONS.SYNC_UPDATES_AVAILABLE", '{"client_id":"a","secret":"b"}'),
    ],
)
def test_what_only_the_provider_can_sign_is_told_with_what_to_do(sample: str, value: str) -> None:
    with pytest.raises(CannotSign, match=r"only the provider can sign that.*relay dev"):
        signed(row_of(sample), request_of(sample), Secret(value), NOW)


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        ("finch/directory.updated", "no base64!"),
        ("adyen/AUTHORISATION", "no hex"),
        ("box/FILE.UPLOADED", '{"other":"1","another":"2"}'),
        ("pusher/client_event", "only the secret"),
        ("chargebee-basic/subscription_created", "nocolon"),
        ("paypal/PAYMENT.CAPTURE.COMPLETED", '{"private_key":"1"}'),
        ("discord/ping", '{"key":"ab","private_key":"no PEM"}'),
        ("plaid/TRANSACTIONS.SYNC_UPDATES_AVAILABLE", '{"jwk":{"kid":"1"},"private_key":"no PEM"}'),
        ("okta/user.lifecycle.create", "gr\u00fc\u00df"),
    ],
)
def test_a_secret_of_another_form_is_told(sample: str, value: str) -> None:
    with pytest.raises(CannotSign, match=r"set it again|signing secret again"):
        signed(row_of(sample), request_of(sample), Secret(value), NOW)


BODIES = [b"", b"[]", b"{", b'{"value":1}', b'{"notificationItems":[1]}', b"\xff", b"[" * 99_999]
ANY_OBJECT_WILL_DO = {"linear", "mailgun"}


@pytest.mark.parametrize(
    ("scheme", "body"),
    [
        (scheme, body)
        for scheme in ("adyen", "aws-sns", "ms-graph", "mailgun", "linear", "dropbox-sign", "braintree")
        for body in BODIES
        if not (scheme in ANY_OBJECT_WILL_DO and body.startswith(b'{"'))
    ],
    ids=lambda it: it if isinstance(it, str) else it[:9].decode(errors="replace"),
)
def test_a_body_without_what_is_signed_is_told(scheme: str, body: bytes) -> None:
    request = SourceRequest("POST", "https://relay.example.com/webhooks/it", {}, body)

    with pytest.raises(CannotSign):
        signed(row_of(f"{scheme}/"), request, secret_of(scheme), NOW)
