"""Each handshake's exact answer, and that none can be had for less than it takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from infra.config.schemes import built_in_schemes
from relay.errors import SignatureError
from relay.verification.handshakes import NAMES, HandshakeAnswer
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.signatures import check_signature
from relay.verification.verify import WebhookInfo, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_795_435_200
URL = "https://relay.example.com/webhooks/x"
ROWS = {name: Row.of(it.row()) for name, it in built_in_schemes().items()}
JSON = "application/json"


def asked(
    scheme: str,
    *,
    method: str = "POST",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    secret: str | dict[str, Any] | None = "s",
) -> HandshakeAnswer | WebhookInfo:
    request = InboundRequest(
        method=method,
        urls=[URL + (f"?{query}" if query else "")],
        headers={name.lower(): it for name, it in (headers or {}).items()},
        body=body,
    )
    return verify(ROWS[scheme], request, [] if secret is None else [Secret(secret)], at=NOW)


def hexed(body: bytes, prefix: str = "", algorithm: str = "sha256") -> str:
    return prefix + hmac.digest(b"s", body, algorithm).hex()


def signed(scheme: str, body: bytes) -> dict[str, str]:
    """Return the headers with which *scheme* signs *body* under the secret `s`."""
    stamp = str(NOW)
    match scheme:
        case "slack":
            mac = hexed(f"v0:{stamp}:".encode() + body, "v0=")
            return {"X-Slack-Signature": mac, "X-Slack-Request-Timestamp": stamp}
        case "zoom":
            mac = hexed(f"v0:{stamp}:".encode() + body, "v0=")
            return {"x-zm-signature": mac, "x-zm-request-timestamp": stamp}
        case "twitch-eventsub":
            at = "2026-11-23T12:00:00Z"
            mac = hexed(f"id-1{at}".encode() + body, "sha256=")
            return {
                "Twitch-Eventsub-Message-Id": "id-1",
                "Twitch-Eventsub-Message-Timestamp": at,
                "Twitch-Eventsub-Message-Signature": mac,
            }
        case "xero":
            return {"x-xero-signature": base64.b64encode(hmac.digest(b"s", body, "sha256")).decode()}
        case "line":
            return {"X-Line-Signature": base64.b64encode(hmac.digest(b"s", body, "sha256")).decode()}
    assert scheme == "asana"
    return {"X-Hook-Signature": hexed(body)}


# -- unsigned ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["trello", "intercom", "mandrill"])
def test_a_head_probe_is_answered(scheme: str) -> None:
    assert asked(scheme, method="HEAD", secret=None) == HandshakeAnswer(200)


def test_dropboxs_challenge_comes_back_as_plain_text() -> None:
    answer = asked("dropbox", method="GET", query="challenge=a%20b%2Bc", secret=None)

    assert answer == HandshakeAnswer(200, "a b+c", "text/plain", {"x-content-type-options": "nosniff"})


def test_microsoft_graphs_token_comes_back_decoded() -> None:
    answer = asked("ms-graph", query="validationToken=Validation%3a+Testing+Request-Id%3a+1", secret=None)

    assert answer == HandshakeAnswer(
        200, "Validation: Testing Request-Id: 1", "text/plain", {"x-content-type-options": "nosniff"}
    )


META = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="


@pytest.mark.parametrize("secret", ["meatyhamhock", {"app_secret": "s", "verify_token": "meatyhamhock"}])
def test_metas_challenge_comes_back_for_our_token(secret: str | dict[str, Any]) -> None:
    answer = asked("meta", method="GET", query=META + "meatyhamhock", secret=secret)

    assert answer == HandshakeAnswer(200, "1158201444", "text/plain", {"x-content-type-options": "nosniff"})


def test_another_token_than_ours_is_forbidden() -> None:
    with pytest.raises(SignatureError) as refused:
        asked("meta", method="GET", query=META + "guess", secret={"app_secret": "s", "verify_token": "meatyhamhock"})

    assert refused.value.status == 403


def test_a_token_of_meta_that_isnt_set_lets_nobody_in() -> None:
    for guess in ("", "s", "None"):
        with pytest.raises(SignatureError):
            asked("meta", method="GET", query=META + guess, secret={"app_secret": "s"})


def test_xs_challenge_is_answered_with_its_mac() -> None:
    mac = base64.b64encode(hmac.digest(b"s", b"token-1", "sha256")).decode()

    answer = asked("x-twitter", method="GET", query="crc_token=token-1")

    assert answer == HandshakeAnswer(200, f'{{"response_token":"sha256={mac}"}}', JSON)


@pytest.mark.parametrize("token", ['{"tweet_create_events":[]}', "[]", '"text"', "a b", "x" * 201])
def test_xs_challenge_signs_nothing_that_could_be_a_webhook(token: str) -> None:
    """X signs webhooks by the same HMAC: whoever got one of a JSON body could send it."""
    with pytest.raises(SignatureError):
        asked("x-twitter", method="GET", query=f"crc_token={quote(token)}")


def test_braintrees_challenge_is_answered_with_public_key_and_mac() -> None:
    key = hashlib.sha1(b"private").digest()  # noqa: S324  # Braintree's derivation
    challenge = "20f9f8ed05f77439fe955c977e4c8a53"

    answer = asked(
        "braintree",
        method="GET",
        query=f"bt_challenge={challenge}",
        secret={"public_key": "public", "private_key": "private"},
    )

    assert answer == HandshakeAnswer(200, f"public|{hmac.digest(key, challenge.encode(), 'sha1').hex()}", "text/plain")


@pytest.mark.parametrize("challenge", ["short", "20f9f8ed05f77439fe955c977e4c8a5G", "a" * 33, "<script>"])
def test_braintrees_key_signs_nothing_but_challenges(challenge: str) -> None:
    """Else anybody could have it sign a payload."""
    with pytest.raises(SignatureError):
        asked(
            "braintree",
            method="GET",
            query=f"bt_challenge={challenge}",
            secret={"public_key": "public", "private_key": "private"},
        )


def test_asanas_hook_secret_comes_back_in_its_header() -> None:
    answer = asked("asana", headers={"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"}, secret=None)

    assert answer == HandshakeAnswer(200, headers={"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"})


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "a b", "ü", "x" * 201])
def test_no_header_can_be_smuggled_through_asanas_handshake(value: str) -> None:
    with pytest.raises(SignatureError):
        asked("asana", headers={"X-Hook-Secret": value}, secret=None)


def test_notions_token_is_kept_for_its_owner() -> None:
    answer = asked("notion", body=b'{"verification_token":"secret_abc"}', secret=None)

    assert answer == HandshakeAnswer(200, keep={"verification_token": "secret_abc"})


def test_a_signed_request_of_notion_is_no_handshake() -> None:
    """An event may hold a field of that name, and a signature that is wrong stays wrong."""
    body = b'{"verification_token":"secret_abc"}'

    assert isinstance(asked("notion", body=body, headers={"X-Notion-Signature": hexed(body, "sha256=")}), WebhookInfo)
    with pytest.raises(SignatureError):
        asked("notion", body=body, headers={"X-Notion-Signature": "sha256=" + "0" * 64})


def test_a_challenge_without_end_isnt_sent_back() -> None:
    with pytest.raises(SignatureError):
        asked("dropbox", method="GET", query=f"challenge={'x' * 1001}", secret=None)


# -- signed -----------------------------------------------------------------------------------------------------------

SIGNED = [
    ("slack", b'{"type":"url_verification","challenge":"3eZbrw1a"}', {}, HandshakeAnswer),
    ("zoom", b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZ"}}', {}, HandshakeAnswer),
    (
        "twitch-eventsub",
        b'{"challenge":"pogchamp-kappa"}',
        {"Twitch-Eventsub-Message-Type": "webhook_callback_verification"},
        HandshakeAnswer,
    ),
    ("xero", b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3"}', {}, HandshakeAnswer),
    ("asana", b'{"events":[]}', {}, HandshakeAnswer),
    ("line", b'{"destination":"U1","events":[]}', {}, HandshakeAnswer),
    ("slack", b'{"type":"event_callback","event":{"type":"message"}}', {}, WebhookInfo),
    ("zoom", b'{"event":"meeting.started","payload":{"plainToken":"x"}}', {}, WebhookInfo),
    ("twitch-eventsub", b'{"challenge":"x"}', {"Twitch-Eventsub-Message-Type": "notification"}, WebhookInfo),
    ("xero", b'{"events":[{"eventType":"UPDATE"}]}', {}, WebhookInfo),
    ("line", b'{"destination":"U1","events":[],"other":1}', {}, WebhookInfo),
]


@pytest.mark.parametrize(("scheme", "body", "headers", "kind"), SIGNED)
def test_a_signed_handshake_is_told_from_an_event(
    scheme: str, body: bytes, headers: dict[str, str], kind: type[HandshakeAnswer | WebhookInfo]
) -> None:
    assert isinstance(asked(scheme, headers={**signed(scheme, body), **headers}, body=body), kind)


@pytest.mark.parametrize(("scheme", "body", "headers"), [it[:3] for it in SIGNED])
def test_an_unsigned_one_is_refused(scheme: str, body: bytes, headers: dict[str, str]) -> None:
    """Whoever asks must be the provider: the answer of some is made with the secret."""
    with pytest.raises(SignatureError):
        asked(scheme, headers={**signed(scheme, body + b" "), **headers}, body=body)


def answer_to(index: int) -> HandshakeAnswer:
    scheme, body, headers, _ = SIGNED[index]
    answer = asked(scheme, headers={**signed(scheme, body), **headers}, body=body)
    assert isinstance(answer, HandshakeAnswer)
    return answer


def test_slacks_challenge_comes_back_as_plain_text() -> None:
    assert answer_to(0) == HandshakeAnswer(200, "3eZbrw1a", "text/plain", {"x-content-type-options": "nosniff"})


def test_zooms_token_comes_back_with_its_mac() -> None:
    mac = hmac.digest(b"s", b"qgg8vlvZ", "sha256").hex()

    assert answer_to(1) == HandshakeAnswer(200, f'{{"plainToken":"qgg8vlvZ","encryptedToken":"{mac}"}}', JSON)


def test_twitchs_challenge_comes_back_raw() -> None:
    assert answer_to(2) == HandshakeAnswer(200, "pogchamp-kappa", "text/plain", {"x-content-type-options": "nosniff"})


@pytest.mark.parametrize("index", [3, 4, 5])
def test_a_request_without_events_is_answered_with_nothing(index: int) -> None:
    """Xero wants an empty body for its intent to receive, and 401 for those that it signs wrongly."""
    assert answer_to(index) == HandshakeAnswer(200)


def test_oktas_challenge_comes_back_to_who_knows_the_key() -> None:
    headers = {"Authorization": "key-1", "X-Okta-Verification-Challenge": "my challenge"}

    assert asked("okta", method="GET", headers=headers, secret="key-1") == HandshakeAnswer(
        200, '{"verification":"my challenge"}', JSON
    )
    with pytest.raises(SignatureError):
        asked("okta", method="GET", headers=headers, secret="key-2")


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"type":1,"id":"2","application_id":"1","token":"t","version":1}', HandshakeAnswer(200, '{"type":1}', JSON)),
        (b'{"type":0,"version":1,"application_id":"1"}', HandshakeAnswer(204, content_type=JSON)),
        (b'{"type":1,"version":1,"event":{"type":"ENTITLEMENT_CREATE"}}', None),
        (b'{"type":2,"id":"3"}', None),
        (b'{"type":true}', None),
        (b"[1]", None),
    ],
)
def test_discords_pings_are_answered_as_each_wants(body: bytes, answer: HandshakeAnswer | None) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    headers = {"X-Signature-Timestamp": str(NOW), "X-Signature-Ed25519": key.sign(f"{NOW}".encode() + body).hex()}

    said = asked("discord", headers=headers, body=body, secret=key.public_key().public_bytes_raw().hex())

    assert said == answer if answer else isinstance(said, WebhookInfo)
    with pytest.raises(SignatureError):
        asked("discord", headers=headers, body=body + b" ", secret=key.public_key().public_bytes_raw().hex())


# -- Amazon SNS -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn&Token=2336412f", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/?Action=ConfirmSubscription", True),
        ("http://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription", False),
        ("https://sns.eu-central-1.amazonaws.com.evil.example/?Action=ConfirmSubscription", False),
        ("https://evil.example/?https://sns.eu-central-1.amazonaws.com/", False),
        ("https://sns.eu-central-1.amazonaws.com@evil.example/?Action=ConfirmSubscription", False),
        ("https://sns.eu-central-1.amazonaws.com:8443/?Action=ConfirmSubscription", False),
        ("https://sqs.eu-central-1.amazonaws.com/?Action=ConfirmSubscription", False),
        ("https://169.254.169.254/latest/meta-data/", False),
        ("", False),
    ],
)
def test_a_subscription_is_confirmed_at_amazons_url_only(url: str, good: bool) -> None:  # noqa: FBT001
    """The URL stands in the request: else a stranger has the relay fetch what it likes."""
    from relay.verification.handshakes import sns

    body = json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url}).encode()
    request = InboundRequest(method="POST", urls=[URL], headers={}, body=body)

    if good:
        assert sns(request, []) == HandshakeAnswer(200, confirm=url)
    else:
        with pytest.raises(SignatureError) as refused:
            sns(request, [])
        assert refused.value.reason == "untrusted_certificate"


def test_every_handshake_belongs_to_a_scheme() -> None:
    assert {row.handshake for row in ROWS.values()} - {None} == set(NAMES)


def test_a_handshake_opens_nothing_else() -> None:
    """What is no handshake is verified, whatever the row answers."""
    for name, row in ROWS.items():
        if row.handshake:
            request = InboundRequest(method="POST", urls=[URL], headers={}, body=b'{"a": 1}')
            with pytest.raises(SignatureError):
                check_signature(row, request, [Secret("s")], at=NOW)
            with pytest.raises(SignatureError):
                verify(row, request, [Secret("s")], at=NOW)
            assert name
