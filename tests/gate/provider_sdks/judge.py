"""Have the Python SDKs of webhook providers judge requests: JSON lines of cases in, JSON lines of verdicts out.

Runs in ``.venv-sdks`` (``python -m tests.gate.provider_sdks.judge < cases.jsonl``), where the SDKs are.  Each function
below is the way one SDK wants to be asked, and nothing else: what is true of a request is for the SDK to say.  An SDK
that raises, whatever it raises, has said "invalid"; except that "valid" with an error is what it says of a good
signature over a body that, only then, it could not parse.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPLICATE_TOLERANCE_S = 300
"""Replicate's SDK looks at the age only if it is told a limit."""
PLAID_TOLERANCE_S = 300


@dataclass(frozen=True)
class Request:
    """One case as an SDK's caller has it: ``headers`` finds a name in whatever case it is written."""

    scheme: str
    secret: Any
    method: str
    url: str
    headers: Any
    body: bytes
    now: int

    @classmethod
    def of(cls, case: dict[str, Any]) -> Request:
        """Return the request that *case* describes."""
        return cls(
            scheme=case["scheme"],
            secret=case["secret"],
            method=case["method"],
            url=case["url"],
            headers=import_module("requests.structures").CaseInsensitiveDict(case["headers"]),
            body=base64.b64decode(case["body"]),
            now=case["now"],
        )

    @property
    def text(self) -> str:
        """The body for an SDK that wants text; bytes that are no UTF-8 cannot be given to such an SDK."""
        return self.body.decode()

    @property
    def lowercase(self) -> dict[str, str]:
        """The headers as a plain mapping with lower-case names."""
        return {name.lower(): value for name, value in self.headers.items()}

    @property
    def form(self) -> Any:
        """The form fields of the body, urlencoded or multipart, as Django reads them."""
        return self.django.POST

    @property
    def django(self) -> Any:
        """The request as Django would hand it to a view."""
        factory = _django().RequestFactory()
        parts = urlsplit(self.url)
        return factory.generic(
            self.method,
            parts.path + (f"?{parts.query}" if parts.query else ""),
            data=self.body,
            content_type=self.headers.get("Content-Type", "application/octet-stream"),
            secure=parts.scheme == "https",
            headers={name: value for name, value in self.headers.items() if name.lower() != "content-type"},
        )


@cache
def _django() -> Any:
    """Return ``django.test`` with the least of settings."""
    settings = import_module("django.conf").settings
    settings.configure(ALLOWED_HOSTS=["*"], ANYMAIL={}, SECRET_KEY="made up", DATA_UPLOAD_MAX_MEMORY_SIZE=None)
    return import_module("django.test")


Ask = Callable[[Request], Any]


@dataclass(frozen=True)
class Oracle:
    """An SDK, the schemes that it knows, and how it is asked: a true answer means that the request is authentic."""

    name: str
    distribution: str
    schemes: tuple[str, ...]
    ask: Ask
    parses_last: bool
    """The SDK parses the body as JSON once the signature is found good, and not before."""

    @property
    def sdk(self) -> str:
        """Its name and its version, as verdicts carry it."""
        return f"{self.name} (Python) {metadata.version(self.distribution)}"


ORACLES: list[Oracle] = []


def oracle(name: str, distribution: str, *schemes: str, parses_last: bool = False) -> Callable[[Ask], Ask]:
    """Register the decorated function as what *name* says about requests of *schemes*."""

    def register(ask: Ask) -> Ask:
        ORACLES.append(Oracle(name, distribution, schemes, ask, parses_last))
        return ask

    return register


# Standard Webhooks and the SDKs built on it


@oracle("standardwebhooks", "standardwebhooks", "standard-webhooks", "svix-unbranded", "gitlab-signing-token")
def _standardwebhooks(request: Request) -> Any:
    import_module("standardwebhooks").Webhook(request.secret).verify(
        request.body, dict(request.headers), json_parse=False
    )
    return True


@oracle("svix", "svix", "svix", "svix-unbranded", "clerk")
def _svix(request: Request) -> Any:
    import_module("svix.webhooks").Webhook(request.secret).verify(request.body, dict(request.headers))
    return True


@cache
def _client(module: str, name: str, **arguments: str) -> Any:
    """Return the client *name* of *module*; it opens no connection."""
    return getattr(import_module(module), name)(**arguments)


@oracle("openai", "openai", "openai")
def _openai(request: Request) -> Any:
    client = _client("openai", "OpenAI", api_key="made-up")
    client.webhooks.verify_signature(request.body, dict(request.headers), secret=request.secret, tolerance=300)
    return True


@oracle("anthropic", "anthropic", "anthropic", parses_last=True)
def _anthropic(request: Request) -> Any:
    client = _client("anthropic", "Anthropic", api_key="made-up")
    client.beta.webhooks.unwrap(request.text, headers=dict(request.headers), key=request.secret)
    return True


@oracle("increase", "increase", "increase", parses_last=True)
def _increase(request: Request) -> Any:
    client = _client("increase", "Increase", api_key="made-up")
    client.events.unwrap(request.text, headers=dict(request.headers), key=request.secret)
    return True


@oracle("lithic", "lithic", "lithic", parses_last=True)
def _lithic(request: Request) -> Any:
    client = _client("lithic", "Lithic", api_key="made-up")
    client.webhooks.verify_signature(request.body, dict(request.headers), secret=request.secret)
    return True


@oracle("finch-api", "finch-api", "finch")
def _finch(request: Request) -> Any:
    client = _client("finch", "Finch", access_token="made-up")
    client.webhooks.verify_signature(request.body, dict(request.headers), secret=request.secret)
    return True


@oracle("liveblocks", "liveblocks", "liveblocks", parses_last=True)
def _liveblocks(request: Request) -> Any:
    """Ask for the signature only: which event types it knows is no matter of authenticity."""
    handler = import_module("liveblocks.webhooks").WebhookHandler(request.secret)
    handler._verify_event_type = lambda _event: None  # noqa: SLF001 - the stage after the signature
    handler.verify_request(headers=dict(request.headers), raw_body=request.text)
    return True


@oracle("polar-sdk", "polar-sdk", "polar")
def _polar(request: Request) -> Any:
    """Ask for the signature only: the public call goes on to the models of its own event types."""
    import_module("polar.webhooks")._verify_signature(request.text, dict(request.headers), request.secret)  # noqa: SLF001
    return True


@oracle("replicate", "replicate", "replicate")
def _replicate(request: Request) -> Any:
    webhook = import_module("replicate.webhook")
    webhook.Webhooks.validate(
        headers=dict(request.headers),
        body=request.text,
        secret=webhook.WebhookSigningSecret(key=request.secret),
        tolerance=REPLICATE_TOLERANCE_S,
    )
    return True


@oracle("resend", "resend", "resend", parses_last=True)
def _resend(request: Request) -> Any:
    import_module("resend").Webhooks.verify(
        {
            "payload": request.text,
            "headers": {part: request.headers.get(f"svix-{part}") for part in ("id", "timestamp", "signature")},
            "webhook_secret": request.secret,
        }
    )
    return True


# An HMAC in a header


@oracle("stripe", "stripe", "stripe")
def _stripe(request: Request) -> Any:
    return import_module("stripe").WebhookSignature.verify_header(
        request.body,
        request.headers.get("Stripe-Signature"),
        request.secret,
        import_module("stripe").Webhook.DEFAULT_TOLERANCE,
    )


@oracle("slack_sdk", "slack_sdk", "slack")
def _slack(request: Request) -> Any:
    return (
        import_module("slack_sdk.signature")
        .SignatureVerifier(request.secret)
        .is_valid_request(request.body, dict(request.headers))
    )


@oracle("gidgethub", "gidgethub", "github")
def _gidgethub(request: Request) -> Any:
    signature = request.headers.get("X-Hub-Signature-256")
    import_module("gidgethub.sansio").validate_event(request.body, signature=signature, secret=request.secret)
    return True


@oracle("razorpay", "razorpay", "razorpay")
def _razorpay(request: Request) -> Any:
    utility = import_module("razorpay").Client(auth=("made", "up")).utility
    return utility.verify_webhook_signature(request.text, request.headers.get("X-Razorpay-Signature"), request.secret)


@oracle("gocardless_pro", "gocardless_pro", "gocardless", parses_last=True)
def _gocardless(request: Request) -> Any:
    webhooks = import_module("gocardless_pro.webhooks")
    webhooks.parse(request.body, request.secret, request.headers.get("Webhook-Signature"))
    return True


@oracle("coinbase-commerce", "coinbase-commerce", "coinbase-commerce")
def _coinbase(request: Request) -> Any:
    webhook = import_module("coinbase_commerce.webhook").Webhook
    webhook.construct_event(request.text, request.headers.get("X-CC-Webhook-Signature"), request.secret)
    return True


@oracle("line-bot-sdk", "line-bot-sdk", "line")
def _line(request: Request) -> Any:
    validator = import_module("linebot.v3.webhook").SignatureValidator(request.secret)
    return validator.validate(request.text, request.headers.get("X-Line-Signature"))


@oracle("modern-treasury", "modern-treasury", "modern-treasury")
def _modern_treasury(request: Request) -> Any:
    client = _client("modern_treasury", "ModernTreasury", api_key="made-up", organization_id="made-up")
    return client.webhooks.validate_signature(request.text, dict(request.headers), key=request.secret)


@oracle("onfido-python", "onfido-python", "onfido", parses_last=True)
def _onfido(request: Request) -> Any:
    verifier = import_module("onfido").WebhookEventVerifier(request.secret)
    verifier.read_payload(request.text, request.headers.get("X-SHA2-Signature"))
    return True


@oracle("stream-chat", "stream-chat", "stream")
def _stream(request: Request) -> Any:
    webhook = import_module("stream_chat.webhook")
    body = webhook.gunzip_payload(request.body)
    return webhook.verify_signature(body, request.headers.get("X-Signature"), request.secret)


@oracle("easypost", "easypost", "easypost", parses_last=True)
def _easypost(request: Request) -> Any:
    import_module("easypost.util").validate_webhook(request.body, request.headers, request.secret)
    return True


@oracle("workos", "workos", "workos")
def _workos(request: Request) -> Any:
    import_module("workos.webhooks._verification").verify_header(
        event_body=request.body, event_signature=request.headers.get("WorkOS-Signature"), secret=request.secret
    )
    return True


@oracle("orb-billing", "orb-billing", "orb")
def _orb(request: Request) -> Any:
    client = _client("orb", "Orb", api_key="made-up")
    client.webhooks.verify_signature(request.body, dict(request.headers), secret=request.secret)
    return True


@oracle("paddle-python-sdk", "paddle-python-sdk", "paddle")
def _paddle(request: Request) -> Any:
    notifications = import_module("paddle_billing.Notifications")
    wire = SimpleNamespace(headers=request.headers, body=request.body)
    return notifications.Verifier().verify(wire, notifications.Secret(request.secret))


@oracle("box-sdk-gen", "box-sdk-gen", "box")
def _box(request: Request) -> Any:
    return import_module("box_sdk_gen.managers.webhooks").WebhooksManager.validate_message(
        request.text, request.lowercase, request.secret["primary"], secondary_key=request.secret["secondary"]
    )


@oracle("pusher", "pusher", "pusher")
def _pusher(request: Request) -> Any:
    client = import_module("pusher").Pusher(app_id="1", key=request.secret["key"], secret=request.secret["secret"])
    signed = request.headers.get("X-Pusher-Key"), request.headers.get("X-Pusher-Signature")
    return client.validate_webhook(*signed, request.text) is not None


@oracle("adyen", "Adyen", "adyen-balance-platform")
def _adyen_payload(request: Request) -> Any:
    util = import_module("Adyen.util")
    return util.is_valid_hmac_payload(request.headers.get("HmacSignature"), request.secret, request.body)


# Signatures that cover the URL


@oracle("twilio", "twilio", "twilio", "twilio-shared-key")
def _twilio(request: Request) -> Any:
    """A form is given as its fields, anything else as its text: as the SDK documents it."""
    module = import_module("twilio.request_validator")
    is_form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    params: Any = None if request.method == "GET" else request.form if is_form else request.text
    algorithm = None
    if request.scheme == "twilio-shared-key":
        algorithm = module.get_signature_algorithm(request.headers.get(module.SIGNATURE_SETTINGS_HEADER))
    signature = request.headers.get(module.SIGNATURE_HEADER)
    return module.RequestValidator(request.secret).validate(request.url, params, signature, algorithm)


@oracle("squareup", "squareup", "square")
def _square(request: Request) -> Any:
    return import_module("square.utils.webhooks_helper").verify_signature(
        request_body=request.text,
        signature_header=request.headers.get("x-square-hmacsha256-signature"),
        signature_key=request.secret,
        notification_url=request.url,
    )


@oracle("hubspot-api-client", "hubspot-api-client", "hubspot-v1", "hubspot-v2", "hubspot-v3")
def _hubspot(request: Request) -> Any:
    version = request.scheme.removeprefix("hubspot-")
    return import_module("hubspot.utils.signature").Signature.is_valid(
        request.headers.get("X-HubSpot-Signature-v3" if version == "v3" else "X-HubSpot-Signature"),
        request.secret,
        request.text,
        http_uri=request.url,
        http_method=request.method,
        signature_version=version,
        timestamp=request.headers.get("X-HubSpot-Request-Timestamp"),
    )


@oracle("plivo", "plivo", "plivo-v2")
def _plivo_v2(request: Request) -> Any:
    nonce, signature = (request.headers.get(f"X-Plivo-Signature-V2{part}") for part in ("-Nonce", ""))
    return import_module("plivo.utils").validate_signature(request.url, nonce, signature, request.secret)


@oracle("plivo", "plivo", "plivo-v3")
def _plivo_v3(request: Request) -> Any:
    nonce, signature = (request.headers.get(f"X-Plivo-Signature-V3{part}") for part in ("-Nonce", ""))
    params: dict[str, Any] = {}
    if request.method == "POST":
        fields = parse_qs(request.text, keep_blank_values=True)
        params = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
    return import_module("plivo.utils").validate_v3_signature(
        request.method, request.url, nonce, request.secret, signature, params
    )


@oracle("django-anymail", "django-anymail", "mandrill")
def _mandrill(request: Request) -> Any:
    wire = request.django
    view = import_module("anymail.webhooks.mandrill").MandrillCombinedWebhookView(
        webhook_key=request.secret, webhook_url=request.url
    )
    view.validate_request(wire)
    return True


# Signatures in the body


@oracle("adyen", "Adyen", "adyen")
def _adyen_notification(request: Request) -> Any:
    return import_module("Adyen.util").is_valid_hmac_notification(json.loads(request.body), request.secret)


@oracle("mailgun", "mailgun", "mailgun")
def _mailgun(request: Request) -> Any:
    signed = json.loads(request.body)["signature"]
    return import_module("mailgun.security").SecurityGuard.verify_webhook(
        request.secret, signed["token"], signed["timestamp"], signed["signature"]
    )


@oracle("mailgun", "mailgun", "mailgun-inbound-form")
def _mailgun_form(request: Request) -> Any:
    form = request.form
    return import_module("mailgun.security").SecurityGuard.verify_webhook(
        request.secret, form["token"], form["timestamp"], form["signature"]
    )


@oracle("django-anymail", "django-anymail", "mailgun", "mailgun-inbound-form")
def _anymail_mailgun(request: Request) -> Any:
    wire = request.django
    view = import_module("anymail.webhooks.mailgun").MailgunTrackingWebhookView(webhook_signing_key=request.secret)
    view.validate_request(wire)
    return True


@oracle("dropbox-sign", "dropbox-sign", "dropbox-sign")
def _dropbox_sign(request: Request) -> Any:
    module = import_module("dropbox_sign")
    callback = module.EventCallbackRequest.init(json.loads(request.form["json"]))
    return module.EventCallbackHelper.is_valid(request.secret, callback)


@oracle("braintree", "braintree", "braintree")
def _braintree(request: Request) -> Any:
    """Ask about a notification, or, for a GET, about the challenge that a new webhook begins with."""
    module = import_module("braintree")
    gateway = module.BraintreeGateway(module.Configuration(module.Environment.Sandbox, **request.secret))
    if request.method == "GET":
        challenge = parse_qs(urlsplit(request.url).query)["bt_challenge"][0]
        return gateway.webhook_notification.verify(challenge)
    form = request.form
    return gateway.webhook_notification.parse(form.get("bt_signature"), form.get("bt_payload"))


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


def judge(case: dict[str, Any], by: Oracle) -> dict[str, str | None]:
    """Return what *by* says of *case* with the clock at the case's ``now``; what it prints is dropped."""
    clock = import_module("time_machine").travel(case["now"], tick=False)
    error = None
    valid: Any = False
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), clock:
        try:
            valid = by.ask(Request.of(case))
        except Exception as raised:  # noqa: BLE001 - an SDK that raises anything has refused
            error = type(raised).__name__
            valid = by.parses_last and isinstance(raised, json.JSONDecodeError)
    return {"id": case["id"], "sdk": by.sdk, "verdict": "valid" if valid else "invalid", "error": error}


def main() -> None:
    """Judge the cases of standard input by every SDK that knows their scheme."""
    os.environ.pop("TEST_MODE", None)  # with it, Paddle's SDK looks at no age
    for line in sys.stdin:
        case = json.loads(line)
        for by in ORACLES:
            if case["scheme"] in by.schemes:
                sys.stdout.write(json.dumps(judge(case, by)) + "\n")


if __name__ == "__main__":
    main()
