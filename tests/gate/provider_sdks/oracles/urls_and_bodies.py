"""SDKs that look for signatures that cover the URL, and for those that stand in the body."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.gate.provider_sdks.asking import Request, oracle

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
