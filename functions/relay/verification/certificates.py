"""Amazon SNS and PayPal: they sign with a certificate, whose URL is in the request: its host is checked first."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from relay.errors import SignatureError, UnusableSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.verification.public_keys import Certificate
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret

# A region, and nothing that merely begins like one: sns.s3-us-west-2.amazonaws.com is a bucket.
SNS_HOST = re.compile(r"sns\.[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
PAYPAL_HOST = re.compile(r"([a-zA-Z0-9-]+\.)*paypal\.com")
SNS_REQUIRED = (
    "Message",
    "MessageId",
    "Timestamp",
    "TopicArn",
    "Type",
    "Signature",
    "SigningCertURL",
    "SignatureVersion",
)
SNS_SIGNED = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SNS_DIGESTS = {"1": "sha1", "2": "sha256"}
SNS_CONTROL = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
SNS_TYPES = ("Notification", *SNS_CONTROL)
PAYPAL_ALGORITHM = "SHA256withRSA"
PAYPAL_HEADERS = ("TRANSMISSION-ID", "TRANSMISSION-TIME", "TRANSMISSION-SIG", "CERT-URL", "AUTH-ALGO")


def verify_sns(request: InboundRequest, secret: Secret, at: float, fetch: Callable[..., bytes] | None) -> None:
    """Raise unless Amazon SNS sent *request*, for the topic that *secret* names.

    Any AWS account can have SNS sign a message, so a secret of this scheme is the ARN of the topic.

    Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
    """
    message = sns_message(request)
    digest = SNS_DIGESTS.get(message["SignatureVersion"])
    if digest is None:
        raise SignatureError("SignatureVersion is neither 1 nor 2", reason="wrong_algorithm")
    url = message["SigningCertURL"]
    if not is_pinned(url, SNS_HOST) or not url.endswith(".pem"):
        raise SignatureError("SigningCertURL isn't Amazon's", reason="untrusted_certificate")
    topic = secret.text if secret.text is not None else secret.part("topic_arn")
    if topic is None and secret.part("signing_cert_pem") is None:
        raise UnusableSecret("the signing secret names no topic_arn: set it again")
    if topic is not None and topic != message["TopicArn"]:
        raise SignatureError("TopicArn isn't the topic that was set as the secret", reason="wrong_issuer")
    certificate = _certificate(secret.part("signing_cert_pem"), url, fetch, at)
    if not certificate.signed(sns_signed(message), _unbase64(message["Signature"]), digest=digest):
        raise SignatureError("Signature doesn't match")


def sns_message(request: InboundRequest) -> dict[str, str]:
    """Return the texts of the SNS message in the body.

    Raises:
        SignatureError: The body is no SNS message, or lacks a field.
    """
    body = request.json
    if not isinstance(body, dict):
        raise SignatureError("the body is no SNS message", reason="malformed_header")
    if body.get("Type") not in SNS_TYPES:  # it ends what is signed: another text could stand for several fields
        raise SignatureError("Type is none of SNS's", reason="malformed_header")
    required = (*SNS_REQUIRED, "SubscribeURL", "Token") if body.get("Type") in SNS_CONTROL else SNS_REQUIRED
    for name in required:
        if not isinstance(body.get(name), str):
            raise SignatureError(f"{name} is missing", reason="missing_header")
    if any(name in body and not isinstance(body[name], str | None) for name in SNS_SIGNED):
        raise SignatureError("a signed field is no text", reason="malformed_header")
    return {name: value for name, value in body.items() if isinstance(value, str)}


def sns_signed(message: dict[str, str]) -> bytes:
    """Return what SNS signs of *message*: a line with the name and one with the value, of each that is there."""
    names = [it for it in SNS_SIGNED if it != "Token" or message.get("Type") in SNS_CONTROL]
    return "".join(f"{it}\n{message[it]}\n" for it in names if it in message).encode(errors="replace")


def verify_paypal(request: InboundRequest, secret: Secret, at: float, fetch: Callable[..., bytes] | None) -> None:
    """Raise unless PayPal sent *request* to the webhook that *secret* names by its id.

    Source: https://developer.paypal.com/api/rest/webhooks/rest/
    """
    given = {name: request.find(f"PAYPAL-{name}") for name in PAYPAL_HEADERS}
    missing = next((name for name, value in given.items() if value is None), None)
    if missing:
        raise SignatureError(f"PAYPAL-{missing} is missing", reason="missing_header")
    transmission_id, time, signature, url, algorithm = (str(it) for it in given.values())
    if algorithm != PAYPAL_ALGORITHM:
        raise SignatureError(f"PAYPAL-AUTH-ALGO isn't {PAYPAL_ALGORITHM}", reason="wrong_algorithm")
    if not is_pinned(url, PAYPAL_HOST):
        raise SignatureError("PAYPAL-CERT-URL isn't PayPal's", reason="untrusted_certificate")
    webhook_id = secret.text if secret.text is not None else secret.part("webhook_id")
    if not webhook_id:
        raise UnusableSecret("the signing secret has no webhook_id: set it again")
    certificate = _certificate(secret.part("cert_pem"), url, fetch, at)
    if not certificate.common_name.endswith(".paypal.com"):
        raise SignatureError("the certificate isn't PayPal's", reason="untrusted_certificate")
    message = paypal_signed(transmission_id, time, webhook_id, request.body)
    if not certificate.signed(message, _unbase64(signature), digest="sha256"):
        raise SignatureError("PAYPAL-TRANSMISSION-SIG doesn't match")


def paypal_signed(transmission_id: str, time: str, webhook_id: str, body: bytes) -> bytes:
    """Return what PayPal signs: of the body no more than its CRC32."""
    return f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}".encode(errors="replace")


def is_sns_url(url: str) -> bool:
    """Tell whether *url*, at which a subscription is confirmed, is Amazon SNS's own."""
    base, _, query = url.partition("?")
    return is_pinned(base, SNS_HOST) and re.fullmatch(r"[\x21-\x7e]*", query) is not None and "#" not in url


def is_pinned(url: str, host: re.Pattern[str]) -> bool:
    """Tell whether *url* is https at a host that *host* matches, without a port, a name or a trick."""
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+/[\x21-\x7e]*", url) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and host.fullmatch(parts.netloc)) and not parts.query and not parts.fragment
    except ValueError:
        return False


def _certificate(pem: str | None, url: str, fetch: Callable[..., bytes] | None, at: float) -> Certificate:
    from relay.verification.public_keys import Certificate

    if pem is None and fetch is None:
        raise SignatureError("the certificate can't be fetched here", reason="untrusted_certificate")
    data: Any = pem.encode() if pem is not None else fetch(url) if fetch is not None else b""
    try:
        certificate = Certificate(data)
        valid = certificate.is_valid_at(at)
    except (ValueError, OverflowError, OSError):
        raise SignatureError("the certificate can't be read", reason="untrusted_certificate") from None
    if not valid:
        raise SignatureError("the certificate isn't valid now", reason="untrusted_certificate")
    return certificate


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise SignatureError("the signature is not base64", reason="malformed_header") from None
