"""Certificates and keys that come from their owner: what is fetched, from where, and what is believed of it."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.config.schemes import built_in_schemes
from infra.local.sources.keys import new_certificate
from infra.local.sources.request import SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import signed
from relay.errors import SignatureError, UpstreamError
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = time.time()
ROWS = {name: built_in_schemes()[name].row() for name in ("aws-sns", "paypal", "plaid")}
SECRETS = {name: json.loads(made_up(row)) for name, row in ROWS.items()}
TOPIC = SECRETS["aws-sns"]["topic_arn"]
MESSAGE = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": TOPIC,
    "Message": "{}",
    "Timestamp": "2026-11-23T12:00:00Z",
}


class Owner:
    """Whoever has the certificates and keys: gives the right one, and remembers what it was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Mapping[str, Any] | None]] = []

    def __call__(self, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        self.asked.append((url, body))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def request_of(scheme: str, **changes: Any) -> SourceRequest:
    """Return a request that *scheme*'s provider signed."""
    body = json.dumps({**MESSAGE, **changes} if scheme == "aws-sns" else {"id": "WH-1", "event_type": "t"}).encode()
    headers = {"content-type": "application/json"}
    return signed(
        ROWS[scheme], SourceRequest("POST", "https://r.example/x", headers, body), Secret(SECRETS[scheme]), NOW
    )


def taken(scheme: str, request: SourceRequest, secret: str | dict[str, Any], owner: Owner | None = None) -> bool:
    return isinstance(
        verify(Row.of(ROWS[scheme]), request.inbound(), [Secret(secret)], at=NOW, fetch=owner), WebhookInfo
    )


def refusal(scheme: str, request: SourceRequest, secret: str | dict[str, Any], owner: Owner | None = None) -> str:
    with pytest.raises(SignatureError) as refused:
        taken(scheme, request, secret, owner)
    return refused.value.reason


def with_field(request: SourceRequest, name: str, value: object) -> SourceRequest:
    return replace(request, body=json.dumps({**json.loads(request.body), name: value}).encode())


# -- Amazon SNS -------------------------------------------------------------------------------------------------------


def test_the_certificate_is_fetched_from_amazon_and_the_secret_is_the_topic() -> None:
    owner = Owner(SECRETS["aws-sns"]["signing_cert_pem"].encode())

    assert taken("aws-sns", request_of("aws-sns"), TOPIC, owner)
    ((url, body),) = owner.asked
    assert (url.startswith("https://sns."), url.endswith(".pem"), body) == (True, True, None)


def test_a_message_for_another_topic_is_refused_though_amazon_signed_it() -> None:
    """Any AWS account can have SNS sign what it likes."""
    owner = Owner(SECRETS["aws-sns"]["signing_cert_pem"].encode())

    assert refusal("aws-sns", request_of("aws-sns"), TOPIC + "2", owner) == "wrong_issuer"
    assert owner.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com/x.txt",
        "https://sns.eu-central-1.amazonaws.com/",
        "https://sns.eu-central-1.amazonaws.com/?x.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/x.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/x.pem",
        "https://user@sns.eu-central-1.amazonaws.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/x.pem",
        "https://sns.evil.example/sns.eu-central-1.amazonaws.com/x.pem",
        "https://s3.amazonaws.com/bucket/x.pem",
        "https://sns.amazonaws.com/x.pem",
        "https://sns.s3-us-west-2.amazonaws.com/x.pem",
        "https://sns.s3-accelerate.amazonaws.com/x.pem",
        "https://sns.elasticbeanstalk.amazonaws.com/x.pem",
        "https://sns.s3.amazonaws.com.cn.example/x.pem",
        "https://evilsns.eu-central-1.amazonaws.com/x.pem",
        "https://sns.eu-central-1.amazonaws.com\\.evil.example/x.pem",
        "https://sns.eu-central-1.amazonaws.com/x.pem\n",
        "https://sns.eu-central-1.amazonaws.com/x.pem#.pem",
        "file:///x.pem",
        "//sns.eu-central-1.amazonaws.com/x.pem",
        "",
    ],
)
def test_a_certificate_elsewhere_is_never_fetched(url: str) -> None:
    owner = Owner(SECRETS["aws-sns"]["signing_cert_pem"].encode())

    assert refusal("aws-sns", with_field(request_of("aws-sns"), "SigningCertURL", url), TOPIC, owner) == (
        "untrusted_certificate"
    )
    assert owner.asked == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Message", "changed", "bad_signature"),
        ("Subject", "added", "bad_signature"),
        ("TopicArn", "arn:other", "wrong_issuer"),
        ("SignatureVersion", "3", "wrong_algorithm"),
        ("SignatureVersion", "1", "bad_signature"),
        ("SignatureVersion", 2, "missing_header"),
        ("Signature", "?", "malformed_header"),
        ("Type", "SubscriptionConfirmation", "missing_header"),
    ],
)
def test_what_amazon_didnt_sign_is_refused(name: str, value: object, reason: str) -> None:
    request = with_field(request_of("aws-sns"), name, value)

    assert refusal("aws-sns", request, SECRETS["aws-sns"]) == reason


def test_a_token_is_signed_in_control_messages_only() -> None:
    assert taken("aws-sns", with_field(request_of("aws-sns"), "Token", "unsigned"), SECRETS["aws-sns"])
    control = request_of("aws-sns", Type="UnsubscribeConfirmation", SubscribeURL="https://x.example", Token="t")
    assert taken("aws-sns", control, SECRETS["aws-sns"])
    assert refusal("aws-sns", with_field(control, "Token", "u"), SECRETS["aws-sns"]) == "bad_signature"


def test_no_text_can_stand_for_several_signed_fields() -> None:
    """What is signed has no frame: an own message to an own topic could be cut into one for the victim's."""
    mine = "arn:aws:sns:eu-central-1:999999999999:mine"
    evil = f"EVIL\nMessageId\nfake\nTimestamp\n2026-11-23T12:00:00Z\nTopicArn\n{TOPIC}\nType\nNotification"
    own = Secret({**SECRETS["aws-sns"], "topic_arn": mine})
    body = json.dumps({**MESSAGE, "TopicArn": mine, "Message": evil}).encode()
    request = signed(ROWS["aws-sns"], SourceRequest("POST", "https://r.example/x", {}, body), own, NOW)
    held = json.loads(request.body)
    rest = {"MessageId": held["MessageId"], "Timestamp": held["Timestamp"], "TopicArn": mine, "Type": "Notification"}
    swallowed = "\n".join(["Notification", *(part for it in rest.items() for part in it)])
    cut = {**held, "Message": "EVIL", "MessageId": "fake", "Timestamp": "2026-11-23T12:00:00Z", "TopicArn": TOPIC}

    forged = replace(request, body=json.dumps({**cut, "Type": swallowed}).encode())

    assert refusal("aws-sns", forged, SECRETS["aws-sns"]) == "malformed_header"


@pytest.mark.parametrize("secret", [{"topicArn": TOPIC}, {"a": "b", "c": "d"}])
def test_a_secret_without_a_topic_opens_nothing(secret: dict[str, str]) -> None:
    assert refusal("aws-sns", request_of("aws-sns"), secret, Owner(b"")) == "unusable_secret"


@pytest.mark.parametrize("value", [1, ["a"], {"a": 1}, True])
def test_a_signed_field_is_a_text_or_isnt_there(value: object) -> None:
    assert refusal("aws-sns", with_field(request_of("aws-sns"), "Subject", value), SECRETS["aws-sns"]) == (
        "malformed_header"
    )
    assert taken("aws-sns", with_field(request_of("aws-sns"), "Subject", None), SECRETS["aws-sns"])


def test_a_certificate_that_has_ended_or_is_another_or_none_is_refused() -> None:
    request = request_of("aws-sns")
    _, another = new_certificate("sns.amazonaws.com")

    for answer in (b"no certificate", b""):
        assert refusal("aws-sns", request, TOPIC, Owner(answer)) == "untrusted_certificate"
    assert refusal("aws-sns", request, TOPIC, Owner(another.encode())) == "bad_signature"
    held = [Secret(SECRETS["aws-sns"])]
    with pytest.raises(SignatureError) as refused:
        verify(Row.of(ROWS["aws-sns"]), request.inbound(), held, at=NOW + 400 * 365 * 86_400)
    assert refused.value.reason == "untrusted_certificate"


def test_a_certificate_that_cant_be_fetched_now_is_no_refusal() -> None:
    """The source is told to send again: 503."""
    with pytest.raises(UpstreamError):
        taken("aws-sns", request_of("aws-sns"), TOPIC, Owner(UpstreamError("sns", "ConnectTimeout")))


# -- PayPal -----------------------------------------------------------------------------------------------------------


def test_paypals_certificate_is_fetched_from_paypal_and_the_secret_is_the_webhooks_id() -> None:
    owner = Owner(SECRETS["paypal"]["cert_pem"].encode())

    assert taken("paypal", request_of("paypal"), SECRETS["paypal"]["webhook_id"], owner)
    assert [url.startswith("https://api.paypal.com/") for url, _ in owner.asked] == [True]
    assert refusal("paypal", request_of("paypal"), "another webhook", owner) == "bad_signature"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/cert",
        "https://api.paypal.com.evil.example/cert",
        "https://evilpaypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
        "https://evil.example/?api.paypal.com",
        "https://evil.example/#.paypal.com/cert",
        "https://api.paypal.com:444/cert",
        "https://api.paypal.com",
    ],
)
def test_a_certificate_of_paypals_elsewhere_is_never_fetched(url: str) -> None:
    owner = Owner(SECRETS["paypal"]["cert_pem"].encode())
    request = request_of("paypal")
    request = replace(request, headers={**request.headers, "paypal-cert-url": url})

    assert refusal("paypal", request, SECRETS["paypal"]["webhook_id"], owner) == "untrusted_certificate"
    assert owner.asked == []


@pytest.mark.parametrize("name", ["evil.example", "paypal.com.evil.example", "xpaypal.com"])
def test_a_certificate_of_somebody_else_is_refused(name: str) -> None:
    """PayPal's host has other people's files, too."""
    private, pem = new_certificate(name)
    held = {**SECRETS["paypal"], "private_key": private, "cert_pem": pem}
    headers = {"content-type": "application/json"}
    request = signed(ROWS["paypal"], SourceRequest("POST", "https://r.example/x", headers, b"{}"), Secret(held), NOW)

    assert refusal("paypal", request, held) == "untrusted_certificate"


@pytest.mark.parametrize("algorithm", ["SHA1withRSA", "sha256withrsa", "none"])
def test_paypals_request_doesnt_choose_its_algorithm(algorithm: str) -> None:
    request = request_of("paypal")
    request = replace(request, headers={**request.headers, "paypal-auth-algo": algorithm})

    assert refusal("paypal", request, SECRETS["paypal"]) == "wrong_algorithm"


# -- Plaid ------------------------------------------------------------------------------------------------------------

API = {"client_id": "id", "secret": "hush"}


def plaid_key(**changes: Any) -> bytes:
    return json.dumps({"key": {**SECRETS["plaid"]["jwk"], **changes}}).encode()


def test_plaids_key_is_asked_for_at_plaid_with_the_owners_credentials() -> None:
    owner = Owner(plaid_key())

    assert taken("plaid", request_of("plaid"), {**API, "environment": "sandbox"}, owner)
    assert taken("plaid", request_of("plaid"), API, owner)

    asked = {**API, "key_id": SECRETS["plaid"]["jwk"]["kid"]}
    assert owner.asked == [
        ("https://sandbox.plaid.com/webhook_verification_key/get", asked),
        ("https://production.plaid.com/webhook_verification_key/get", asked),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (plaid_key(expired_at=NOW - 1), "untrusted_certificate"),
        (plaid_key(kid="another"), "untrusted_certificate"),
        (plaid_key(alg="HS256"), "untrusted_certificate"),
        (b"{}", "untrusted_certificate"),
        (b"no json", "untrusted_certificate"),
        (plaid_key(x="AAAA"), "unusable_secret"),
    ],
)
def test_another_key_of_plaids_is_refused(answer: bytes, reason: str) -> None:
    assert refusal("plaid", request_of("plaid"), API, Owner(answer)) == reason


@pytest.mark.parametrize("head", [{"alg": "HS256", "kid": "a"}, {"alg": "none", "kid": "a"}, {"alg": "ES256"}])
def test_no_key_is_asked_for_by_a_token_that_cant_be_plaids(head: dict[str, str]) -> None:
    """Whoever may make the relay ask, asks with its owner's credentials."""
    text = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=").decode()
    owner = Owner(plaid_key())
    headers = {"plaid-verification": f"{text}.e30.AAAA"}
    request = SourceRequest("POST", "https://r.example/x", headers, b"{}")

    assert refusal("plaid", request, API, owner) in {"wrong_algorithm", "malformed_header"}
    assert owner.asked == []


def test_nothing_is_asked_at_an_environment_that_there_isnt() -> None:
    owner = Owner(plaid_key())

    assert refusal("plaid", request_of("plaid"), {**API, "environment": "evil.example/"}, owner) == "unusable_secret"
    assert owner.asked == []
