"""SDKs that check with public keys and certificates, and those that read JSON Web Tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from tests.gate.provider_sdks.asking import Request, oracle

PLAID_TOLERANCE_S = 300


# Public keys and certificates


@oracle("discord-interactions", "discord-interactions", "discord")
def _discord(request: Request) -> Any:
    signature, timestamp = (request.headers.get(f"X-Signature-{part}") for part in ("Ed25519", "Timestamp"))
    return import_module("discord_interactions").verify_key(request.body, signature, timestamp, request.secret)


@oracle("telnyx", "telnyx", "telnyx")
def _telnyx(request: Request) -> Any:
    verification = import_module("telnyx.lib.webhook_verification")
    verification.verify_webhook_signature(request.body, dict(request.headers), request.secret)
    return True


@oracle("sendgrid", "sendgrid", "sendgrid")
def _sendgrid(request: Request) -> Any:
    signature, timestamp = (
        request.headers.get(f"X-Twilio-Email-Event-Webhook-{part}") for part in ("Signature", "Timestamp")
    )
    webhook = import_module("sendgrid.helpers.eventwebhook").EventWebhook(request.secret)
    return webhook.verify_signature(request.text, signature, timestamp)


@oracle("aws-sns-message-validator", "aws-sns-message-validator", "aws-sns")
def _sns(request: Request) -> Any:
    """The certificate comes from the case instead of from the URL that the validator has looked at."""
    validator = import_module("sns_message_validator").SNSMessageValidator()
    certificate = SimpleNamespace(content=request.secret["signing_cert_pem"].encode())
    validator._cert_session = SimpleNamespace(get=lambda _url: certificate)  # noqa: SLF001 - it has no other way in
    validator.validate_message(json.loads(request.body))
    return True


@oracle("paypalrestsdk", "paypalrestsdk", "paypal")
def _paypal(request: Request) -> Any:
    """The certificate comes from the case and needs no chain to a root; the names it bears and its dates are judged.

    The archived SDK calls ``OpenSSL.crypto.verify``, which pyOpenSSL has dropped since: here it is again.
    """
    crypto: Any = import_module("OpenSSL.crypto")
    padding = import_module("cryptography.hazmat.primitives.asymmetric.padding")
    hashes = import_module("cryptography.hazmat.primitives.hashes")

    def verify(certificate: Any, signature: bytes, data: bytes, digest: str) -> None:
        algorithm = {"sha256WithRSAEncryption": hashes.SHA256, "sha1WithRSAEncryption": hashes.SHA1}[digest]
        certificate.to_cryptography().public_key().verify(signature, data, padding.PKCS1v15(), algorithm())

    crypto.verify = verify
    event = import_module("paypalrestsdk.notifications").WebhookEvent
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, request.secret["cert_pem"])
    event._get_cert = staticmethod(lambda _url: certificate)  # noqa: SLF001 - it has no other way in
    event._verify_certificate_chain = classmethod(lambda _cls, _certificate: True)  # noqa: SLF001
    sent = {part: request.headers.get(f"PAYPAL-{part}") for part in ("CERT-URL", "AUTH-ALGO")}
    transmission = {part: request.headers.get(f"PAYPAL-TRANSMISSION-{part}") for part in ("ID", "TIME", "SIG")}
    return event.verify(
        transmission["ID"],
        transmission["TIME"],
        request.secret["webhook_id"],
        request.text,
        sent["CERT-URL"],
        transmission["SIG"],
        sent["AUTH-ALGO"],
    )


# JSON Web Tokens


@oracle("livekit-api", "livekit-api", "livekit")
def _livekit(request: Request) -> Any:
    api = import_module("livekit.api")
    verifier = api.TokenVerifier(request.secret["api_key"], request.secret["api_secret"])
    api.WebhookReceiver(verifier).receive(request.text, request.headers.get("Authorization"))
    return True


@oracle("messagebird", "messagebird", "messagebird")
def _messagebird(request: Request) -> Any:
    validator = import_module("messagebird.request_validator").RequestValidator(request.secret)
    return validator.validate_signature(request.headers.get("MessageBird-Signature-JWT"), request.url, request.body)


@oracle("qstash", "qstash", "qstash")
def _qstash(request: Request) -> Any:
    receiver = import_module("qstash").Receiver(request.secret["current"], request.secret["next"])
    receiver.verify(signature=request.headers.get("Upstash-Signature"), body=request.text, url=request.url)
    return True


@oracle("vonage-jwt", "vonage-jwt", "vonage")
def _vonage(request: Request) -> Any:
    token = request.headers.get("Authorization").removeprefix("Bearer ")
    return import_module("vonage_jwt.verify_jwt").verify_signature(token, request.secret)


@oracle("atlassian-jwt", "atlassian-jwt", "atlassian-connect")
def _atlassian(request: Request) -> Any:
    """The SDK wants the URL relative to the address of the app; here the app is the whole host."""
    module = import_module("atlassian_jwt")

    def shared_secret(_self: Any, client_key: str) -> str:
        return str({request.secret["client_key"]: request.secret["shared_secret"]}[client_key])

    authenticator = type("App", (module.Authenticator,), {"get_shared_secret": shared_secret})()
    relative = request.url.removeprefix("{0.scheme}://{0.netloc}".format(urlsplit(request.url)))
    return authenticator.authenticate(request.method, relative, dict(request.headers))


@oracle("PyJWT, by the steps of Plaid's documentation", "PyJWT", "plaid")
def _plaid(request: Request) -> Any:
    """Plaid has no verifier of its own; its documentation names these steps."""
    jwt = import_module("jwt")
    token = request.headers.get("Plaid-Verification")
    head = jwt.get_unverified_header(token)
    jwk = request.secret["jwk"]
    if head["alg"] != "ES256" or head["kid"] != jwk["kid"] or jwk["expired_at"] is not None:
        return False
    claims = jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["ES256"], options={"verify_iat": False})
    fresh = request.now - claims["iat"] <= PLAID_TOLERANCE_S
    return fresh and hmac.compare_digest(hashlib.sha256(request.body).hexdigest(), claims["request_body_sha256"])
