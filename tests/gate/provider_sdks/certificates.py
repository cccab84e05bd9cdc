"""Cases of the schemes whose key is a certificate that the request names."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.families import (
    INVALID,
    JSON_TYPE,
    OPEN,
    VALID,
    Book,
    bodies,
    made_up,
    plain,
    present,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SNS_HOST, SNS_PATH = "sns.us-east-1.amazonaws.com", "/SimpleNotificationService-0000000000000000000000.pem"
SNS_CERT_URL = f"https://{SNS_HOST}{SNS_PATH}"
SNS_TOPIC = "arn:aws:sns:us-east-1:123456789012:MadeUp"
NOTIFICATION: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "22b80b92-0000-4000-8000-000000000001",
    "TopicArn": SNS_TOPIC,
    "Message": 'Zoë ✓\n"100.00"',
    "Timestamp": "2026-11-23T11:59:58.000Z",
    "SigningCertURL": SNS_CERT_URL,
    "UnsubscribeURL": f"https://{SNS_HOST}/?Action=Unsubscribe",
}
CONFIRMATION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "22b80b92-0000-4000-8000-000000000002",
    "Token": made_up("sns token", 40).hex(),
    "TopicArn": SNS_TOPIC,
    "Message": "You have chosen to subscribe.",
    "SubscribeURL": f"https://{SNS_HOST}/?Action=ConfirmSubscription&Token=x",
    "Timestamp": "2026-11-23T11:59:58.000Z",
    "SigningCertURL": SNS_CERT_URL,
}
CONFIRMING = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
NOTIFYING = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")

PAYPAL_CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-made-up"


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    _sns(book)
    _paypal(book)


def _signed(
    message: Mapping[str, Any], version: str = "1", pem: str = keys.RSA_PEM, digest: str | None = None
) -> dict[str, Any]:
    names = NOTIFYING if message["Type"] == "Notification" else CONFIRMING
    text = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
    made = keys.rsa_sign(pem, text.encode(), digest or {"1": "SHA1", "2": "SHA256"}.get(version, "SHA256"))
    return {**message, "SignatureVersion": version, "Signature": made}


def _without(message: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != left_out}


def _sns(book: Book) -> None:
    secret = {"signing_cert_pem": keys.certificate(keys.RSA_PEM, "sns.amazonaws.com"), "signing_cert_url": SNS_CERT_URL}

    def case(name: str, meant: str, message: Any) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message, indent=2).encode()
        kind = message.get("Type", "") if isinstance(message, dict) else "Notification"
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "x-amz-sns-message-type": str(kind),
            "x-amz-sns-topic-arn": SNS_TOPIC,
        }
        book.add("aws-sns", name, meant, secret=secret, headers=headers, body=body)

    _sns_versions(case)
    _sns_fields(case)
    _sns_signatures(case)
    _sns_bodies(case)
    _sns_cert_urls(case)
    lambda_message = {name.replace("URL", "Url"): value for name, value in _signed(NOTIFICATION).items()}
    case("field-names-of-lambda", OPEN, lambda_message)


def _sns_versions(case: Callable[[str, str, Any], None]) -> None:
    for version in ("1", "2"):
        case(f"valid-notification-v{version}", VALID, _signed(NOTIFICATION, version))
        case(f"valid-subject-v{version}", VALID, _signed({**NOTIFICATION, "Subject": "Made up"}, version))
        case(f"valid-subscription-v{version}", VALID, _signed(CONFIRMATION, version))
        case(
            f"valid-unsubscription-v{version}",
            VALID,
            _signed({**CONFIRMATION, "Type": "UnsubscribeConfirmation"}, version),
        )
        case(f"other-key-v{version}", INVALID, _signed(NOTIFICATION, version, pem=keys.OTHER_RSA_PEM))
        for name in ("Message", "MessageId", "Timestamp", "TopicArn"):
            case(
                f"tampered-{name.lower()}-v{version}",
                INVALID,
                {**_signed(NOTIFICATION, version), name: NOTIFICATION[name] + "x"},
            )
        case(f"subject-added-v{version}", INVALID, {**_signed(NOTIFICATION, version), "Subject": "x"})
        case(f"empty-subject-signed-v{version}", OPEN, _signed({**NOTIFICATION, "Subject": ""}, version))
        removed = _without(_signed({**NOTIFICATION, "Subject": "x"}, version), "Subject")
        case(f"subject-removed-v{version}", INVALID, removed)


def _sns_fields(case: Callable[[str, str, Any], None]) -> None:
    case("valid-ascii-json", VALID, json.dumps(_signed(NOTIFICATION), ensure_ascii=False).encode())
    case("subject-null", OPEN, {**_signed(NOTIFICATION), "Subject": None})
    case("token-altered", INVALID, {**_signed(CONFIRMATION), "Token": "x"})
    case("subscribe-url-altered", INVALID, {**_signed(CONFIRMATION), "SubscribeURL": "https://evil.example/"})
    case("unsigned-field-altered", VALID, {**_signed(NOTIFICATION), "UnsubscribeURL": "https://other.example/"})
    case("version-1-labelled-2", INVALID, {**_signed(NOTIFICATION, "1"), "SignatureVersion": "2"})
    case("version-2-labelled-1", INVALID, {**_signed(NOTIFICATION, "2"), "SignatureVersion": "1"})
    case("version-3", INVALID, _signed(NOTIFICATION, "3"))
    case("version-number", OPEN, {**_signed(NOTIFICATION), "SignatureVersion": 1})
    case("version-missing", INVALID, _without(_signed(NOTIFICATION), "SignatureVersion"))
    case("type-other", INVALID, {**_signed(NOTIFICATION), "Type": "Other"})
    case("type-missing", INVALID, _without(_signed(NOTIFICATION), "Type"))
    case("type-confirmation-of-notification", INVALID, {**_signed(NOTIFICATION), "Type": "SubscriptionConfirmation"})


def _sns_signatures(case: Callable[[str, str, Any], None]) -> None:
    case("signature-missing", INVALID, _without(_signed(NOTIFICATION), "Signature"))
    case("signature-empty", INVALID, {**_signed(NOTIFICATION), "Signature": ""})
    case("signature-not-base64", INVALID, {**_signed(NOTIFICATION), "Signature": "!!!"})
    case("signature-number", INVALID, {**_signed(NOTIFICATION), "Signature": 1})
    right = _signed(NOTIFICATION)["Signature"]
    case("signature-truncated", INVALID, {**_signed(NOTIFICATION), "Signature": right[:-8]})
    case(
        "signature-last-byte-changed",
        INVALID,
        {**_signed(NOTIFICATION), "Signature": right[:-4] + ("AA==" if right[-4:] != "AA==" else "BB==")},
    )


def _sns_bodies(case: Callable[[str, str, Any], None]) -> None:
    case("fields-missing", INVALID, _without(_signed(NOTIFICATION), "MessageId"))
    case("message-empty", VALID, _signed({**NOTIFICATION, "Message": ""}))
    case(
        "newlines-confused",
        INVALID,
        {**_signed(NOTIFICATION), "Message": NOTIFICATION["Message"] + "\nMessageId\n" + NOTIFICATION["MessageId"]},
    )
    case("not-json", INVALID, b"not json")
    case("empty-body", INVALID, b"")
    case("list", INVALID, b"[]")


def _sns_cert_urls(case: Callable[[str, str, Any], None]) -> None:
    urls = {
        "http": (INVALID, SNS_CERT_URL.replace("https:", "http:")),
        "other-host": (INVALID, f"https://evil.example{SNS_PATH}"),
        "host-with-suffix": (INVALID, f"https://{SNS_HOST}.evil.example{SNS_PATH}"),
        "host-with-prefix": (INVALID, f"https://evil{SNS_HOST}{SNS_PATH}"),
        "host-in-path": (INVALID, f"https://evil.example/{SNS_HOST}{SNS_PATH}"),
        "host-in-query": (INVALID, f"https://evil.example{SNS_PATH}?{SNS_HOST}"),
        "user": (INVALID, f"https://{SNS_HOST}@evil.example{SNS_PATH}"),
        "user-of-good-host": (INVALID, f"https://user@{SNS_HOST}{SNS_PATH}"),
        "user-with-slash": (INVALID, f"https://evil.example\\@{SNS_HOST}{SNS_PATH}"),
        "backslash": (INVALID, f"https://evil.example\\.{SNS_HOST}{SNS_PATH}"),
        "hash": (INVALID, f"https://evil.example#{SNS_HOST}{SNS_PATH}"),
        "other-port": (INVALID, f"https://{SNS_HOST}:8443{SNS_PATH}"),
        "default-port": (OPEN, f"https://{SNS_HOST}:443{SNS_PATH}"),
        "other-path": (INVALID, f"https://{SNS_HOST}/cert.txt"),
        "path-parent": (OPEN, f"https://{SNS_HOST}/x/..{SNS_PATH}"),
        "bucket-host": (INVALID, f"https://sns.s3.amazonaws.com{SNS_PATH}"),
        "other-service": (INVALID, f"https://s3.us-east-1.amazonaws.com{SNS_PATH}"),
        "other-region": (VALID, f"https://sns.eu-central-1.amazonaws.com{SNS_PATH}"),
        "china": (VALID, f"https://sns.cn-north-1.amazonaws.com.cn{SNS_PATH}"),
        "government": (VALID, f"https://sns.us-gov-west-1.amazonaws.com{SNS_PATH}"),
        "no-region": (INVALID, f"https://sns.amazonaws.com{SNS_PATH}"),
        "two-regions": (INVALID, f"https://sns.evil.us-east-1.amazonaws.com{SNS_PATH}"),
        "upper-case-host": (OPEN, f"https://{SNS_HOST.upper()}{SNS_PATH}"),
        "upper-case-ending": (OPEN, f"https://{SNS_HOST}{SNS_PATH.replace('.pem', '.PEM')}"),
        "query": (OPEN, f"{SNS_CERT_URL}?x=1"),
        "trailing-dot": (OPEN, f"https://{SNS_HOST}.{SNS_PATH}"),
        "newline": (INVALID, f"{SNS_CERT_URL}\n"),
        "leading-blank": (INVALID, f" {SNS_CERT_URL}"),
        "no-scheme": (INVALID, f"//{SNS_HOST}{SNS_PATH}"),
        "file": (INVALID, f"file://{SNS_HOST}{SNS_PATH}"),
        "empty": (INVALID, ""),
        "number": (INVALID, 1),
        "null": (INVALID, None),
    }
    for name, (meant, url) in urls.items():
        case(f"cert-url-{name}", meant, {**_signed(NOTIFICATION), "SigningCertURL": url})
    case("cert-url-missing", INVALID, _without(_signed(NOTIFICATION), "SigningCertURL"))


def _paypal(book: Book) -> None:
    usual = {
        "PAYPAL-TRANSMISSION-ID": "69cd13f0-0000-4000-8000-000000000001",
        "PAYPAL-TRANSMISSION-TIME": "2026-11-23T11:59:58Z",
        "PAYPAL-CERT-URL": PAYPAL_CERT_URL,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }
    name_of_paypal = "messageverificationcerts.paypal.com"
    secret = {"webhook_id": "1JE4MADEUP", "cert_pem": keys.certificate(keys.RSA_PEM, name_of_paypal)}

    def case(
        name: str,
        meant: str,
        body: bytes,
        changes: Mapping[str, str | None] | None = None,
        *,
        signed_body: bytes | None = None,
        pem: str = keys.RSA_PEM,
        webhook: str = secret["webhook_id"],
        digest: str = "SHA256",
        cert: str | None = None,
        signed_sum: str | None = None,
        signed_time: str = usual["PAYPAL-TRANSMISSION-TIME"],
    ) -> None:
        sum_of = signed_sum or binascii.crc32(body if signed_body is None else signed_body)
        data = f"{usual['PAYPAL-TRANSMISSION-ID']}|{signed_time}|{webhook}|{sum_of}"
        made = keys.rsa_sign(pem, data.encode(), digest)
        headers = present({**JSON_TYPE, **usual, "PAYPAL-TRANSMISSION-SIG": made, **(changes or {})})
        book.add(
            "paypal", name, meant, secret={**secret, "cert_pem": cert or secret["cert_pem"]}, headers=headers, body=body
        )

    body = plain()
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, some)
    case("tampered", INVALID, body.replace(b"100.00", b"900.00"), signed_body=body)
    case("newline-added", INVALID, body + b"\n", signed_body=body)
    case("other-key", INVALID, body, pem=keys.OTHER_RSA_PEM)
    case("other-webhook-id", INVALID, body, webhook="2JE4MADEUP")
    case("id-altered", INVALID, body, {"PAYPAL-TRANSMISSION-ID": "69cd13f0-0000-4000-8000-000000000002"})
    case("time-altered", INVALID, body, {"PAYPAL-TRANSMISSION-TIME": "2026-11-23T11:59:59Z"})
    old = "2020-01-01T00:00:00Z"
    case("time-old", OPEN, body, {"PAYPAL-TRANSMISSION-TIME": old}, signed_time=old)
    case("sum-in-hex", INVALID, body, signed_sum=f"{binascii.crc32(body):x}")
    negative = next(plain() + b" " * n for n in range(64) if binascii.crc32(plain() + b" " * n) >= 2**31)
    case("valid-large-sum", VALID, negative)
    case("sum-signed-as-negative", INVALID, negative, signed_sum=str(binascii.crc32(negative) - 2**32))
    case("hash-sha1", INVALID, body, digest="SHA1")
    case("hash-sha1-declared", OPEN, body, {"PAYPAL-AUTH-ALGO": "SHA1withRSA"}, digest="SHA1")
    case("algorithm-unknown", INVALID, body, {"PAYPAL-AUTH-ALGO": "none"})
    case("algorithm-lower-case", OPEN, body, {"PAYPAL-AUTH-ALGO": "sha256withrsa"})
    case("algorithm-missing", OPEN, body, {"PAYPAL-AUTH-ALGO": None})
    for name in ("TRANSMISSION-ID", "TRANSMISSION-TIME", "TRANSMISSION-SIG"):
        case(f"{name.lower()}-missing", INVALID, body, {f"PAYPAL-{name}": None})
        case(f"{name.lower()}-empty", INVALID, body, {f"PAYPAL-{name}": ""})
    case("signature-not-base64", INVALID, body, {"PAYPAL-TRANSMISSION-SIG": "!!!"})
    case("signature-of-zeros", INVALID, body, {"PAYPAL-TRANSMISSION-SIG": base64.b64encode(bytes(256)).decode()})
    case(
        "cert-expired",
        INVALID,
        body,
        cert=keys.certificate(keys.RSA_PEM, name_of_paypal, first_year=2020, last_year=2025),
    )
    case("cert-of-other-name", INVALID, body, cert=keys.certificate(keys.RSA_PEM, "paypal.com.evil.example"))
    case("cert-of-suffix-name", INVALID, body, cert=keys.certificate(keys.RSA_PEM, "evilpaypal.com"))
    case("cert-of-bare-name", OPEN, body, cert=keys.certificate(keys.RSA_PEM, "paypal.com"))
    case("cert-not-a-cert", INVALID, body, cert="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    _paypal_cert_urls(case, body)


def _paypal_cert_urls(case: Callable[..., None], body: bytes) -> None:
    urls = {
        "sandbox": (VALID, PAYPAL_CERT_URL.replace("api.", "api.sandbox.")),
        "http": (INVALID, PAYPAL_CERT_URL.replace("https:", "http:")),
        "other-host": (INVALID, "https://evil.example/v1/notifications/certs/CERT-1"),
        "host-with-suffix": (INVALID, "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1"),
        "host-with-prefix": (INVALID, "https://evilpaypal.com/v1/notifications/certs/CERT-1"),
        "user": (INVALID, "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1"),
        "other-port": (INVALID, "https://api.paypal.com:8443/v1/notifications/certs/CERT-1"),
        "other-path": (INVALID, "https://api.paypal.com/redirect?to=https://evil.example/"),
        "other-paypal-host": (OPEN, "https://www.paypal.com/v1/notifications/certs/CERT-1"),
        "missing": (INVALID, None),
    }
    for name, (meant, url) in urls.items():
        case(f"cert-url-{name}", meant, body, {"PAYPAL-CERT-URL": url})
