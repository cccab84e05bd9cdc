"""The signers of special schemes: what each provider adds to a request, and the secret that it shows its customer.

An entry of `SIGNERS` is the other side of one of `relay.verification.custom.SPECIALS`, by the same name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.local.sources.private_key import PRIVATE, signed_privately
from infra.local.sources.request import CannotSign, json_of, put, set_at, time_text, with_json
from relay.verification.items import CLIENT_STATE
from relay.verification.secret import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.sources.request import SourceRequest
    from relay.verification.scheme import Row
    from relay.verification.secret import Secret

SNS_KEY = "SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:orders"
PAYPAL_NAME = "messageverificationcerts.paypal.com"
PAYPAL_CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"


@dataclass(frozen=True)
class Signer:
    """How a provider signs, where the scheme's row doesn't say it.

    Attributes:
        adds: Returns the request with everything that is signed and may not be there, like a nonce.
        sign: Returns the request with its whole proof, by a secret at an epoch second; None: the row's signature.
        place: Where that proof stands.
        made_up: Returns a made-up secret: a text, or parts by name; None: what the row says.
    """

    adds: Callable[[SourceRequest], SourceRequest] = lambda request: request
    sign: Callable[[SourceRequest, Secret, float], SourceRequest] | None = None
    place: str = ""
    made_up: Callable[[], str | Mapping[str, object]] | None = None


def signer_of(row: Row) -> Signer:
    """Return the signer of the scheme *row*; one that does nothing where nothing is special about it."""
    return SIGNERS.get(row.special.name, _PLAIN) if row.special is not None else _PLAIN


# -- what is added to a request -----------------------------------------------------------------------------------


def _with_body_hash(request: SourceRequest) -> SourceRequest:
    """Return Twilio's request: of a body that isn't a form, the URL has the hash."""
    if not request.body or "x-www-form-urlencoded" in request.headers.get("content-type", "").lower():
        return request
    return put(request, "query:bodySHA256", hashlib.sha256(request.body).hexdigest())


def _with_signed_headers(request: SourceRequest) -> SourceRequest:
    names = {it for it in request.headers if it.startswith("x-contentful-")} | {"x-contentful-signed-headers"}
    return put(request, "X-Contentful-Signed-Headers", ",".join(sorted(names)))


def _with_algorithm(request: SourceRequest) -> SourceRequest:
    settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    return _with_body_hash(put(request, "X-Twilio-Webhooks-Signature-Settings", settings))


def _nonce() -> str:
    return str(secrets.randbelow(10**20))


# -- whole proofs -------------------------------------------------------------------------------------------------


def _adyen(request: SourceRequest, secret: Secret, _: float) -> SourceRequest:
    from relay.verification.items import adyen_signed

    key = next((key for _, text in secret.key_texts(()) if (key := key_of("hex", text))), None)
    if key is None:
        raise CannotSign("the signing secret isn't of the form that the scheme wants (hex): set it again")
    held = json_of(request)
    for item in _items(held, "notificationItems"):
        notification = item.get("NotificationRequestItem")
        if not isinstance(notification, dict):
            raise CannotSign("a notification item has no NotificationRequestItem: mend the file")
        mac = hmac.digest(key, adyen_signed(notification), "sha256")
        set_at(notification, ["additionalData", "hmacSignature"], base64.b64encode(mac).decode())
    return with_json(request, held)


def _ms_graph(request: SourceRequest, secret: Secret, _: float) -> SourceRequest:
    texts = secret.key_texts(CLIENT_STATE)
    if not texts:
        raise CannotSign("the signing secret has no client_state: set it again")
    held = json_of(request)
    for item in _items(held, "value"):
        item["clientState"] = texts[0][1]
    return with_json(request, held)


def _aws_sns(request: SourceRequest, secret: Secret, at: float) -> SourceRequest:
    from relay.verification.certificates import sns_message, sns_signed

    held = json_of(request)
    topic = secret.text if secret.text is not None else secret.part("topic_arn")
    if topic is not None:
        held["TopicArn"] = topic
        request = put(request, "x-amz-sns-topic-arn", topic)
    region = (str(held.get("TopicArn")).split(":") + [""] * 3)[3] or "us-east-1"
    url = f"https://sns.{region}.amazonaws.com/{SNS_KEY}"
    held |= {"Timestamp": time_text("iso", at), "SignatureVersion": "2", "SigningCertURL": url, "Signature": ""}
    message = sns_signed(sns_message(with_json(request, held).inbound()))
    held["Signature"] = base64.b64encode(signed_privately(secret, message)).decode()
    return with_json(request, held)


def _paypal(request: SourceRequest, secret: Secret, at: float) -> SourceRequest:
    from relay.verification.certificates import PAYPAL_ALGORITHM, paypal_signed

    webhook_id = secret.text if secret.text is not None else secret.part("webhook_id")
    if not webhook_id:
        raise CannotSign("the signing secret has no webhook_id: set it again")
    time = time_text("iso", at)
    transmission = request.headers.get("paypal-transmission-id") or str(uuid4())
    signature = signed_privately(secret, paypal_signed(transmission, time, webhook_id, request.body))
    headers = {
        "paypal-transmission-id": transmission,
        "paypal-transmission-time": time,
        "paypal-transmission-sig": base64.b64encode(signature).decode(),
        "paypal-cert-url": PAYPAL_CERTIFICATE,
        "paypal-auth-algo": PAYPAL_ALGORITHM,
    }
    return replace(request, headers={**request.headers, **headers})


def _items(held: Any, name: str) -> list[dict[str, Any]]:
    items = held.get(name)
    if not isinstance(items, list) or not all(isinstance(it, dict) for it in items):
        raise CannotSign(f"the body has no list {name}: mend the file")
    return items


# -- made-up secrets ----------------------------------------------------------------------------------------------


def _made_up_aws_sns() -> dict[str, object]:
    from infra.local.sources.keys import new_certificate

    private, certificate = new_certificate("sns.amazonaws.com")
    return {"topic_arn": TOPIC_ARN, "signing_cert_pem": certificate, PRIVATE: private}


def _made_up_paypal() -> dict[str, object]:
    from infra.local.sources.keys import new_certificate

    private, certificate = new_certificate(PAYPAL_NAME)
    return {"webhook_id": secrets.token_hex(9).upper(), "cert_pem": certificate, PRIVATE: private}


def _made_up_plaid() -> dict[str, object]:
    from infra.local.sources import keys

    pair = keys.new_p256()
    return {"jwk": keys.public_jwk(pair.private_pem, secrets.token_hex(16)), PRIVATE: pair.private_pem}


_PLAIN = Signer()
SIGNERS: Mapping[str, Signer] = {
    "@adyen": Signer(
        sign=_adyen,
        place="body:notificationItems.0.NotificationRequestItem.additionalData.hmacSignature",
        made_up=lambda: secrets.token_hex(32).upper(),
    ),
    "@aws-sns": Signer(sign=_aws_sns, place="body:Signature", made_up=_made_up_aws_sns),
    "@contentful": Signer(adds=_with_signed_headers),
    "@ms-graph": Signer(sign=_ms_graph, place="body:value.0.clientState", made_up=lambda: secrets.token_urlsafe(24)),
    "@paypal": Signer(sign=_paypal, place="PAYPAL-TRANSMISSION-SIG", made_up=_made_up_paypal),
    "@plivo-v2": Signer(adds=lambda request: put(request, "X-Plivo-Signature-V2-Nonce", _nonce())),
    "@plivo-v3": Signer(adds=lambda request: put(request, "X-Plivo-Signature-V3-Nonce", _nonce())),
    "@twilio": Signer(adds=_with_body_hash),
    "@twilio-shared-key": Signer(adds=_with_algorithm),
    "plaid": Signer(made_up=_made_up_plaid),
}
