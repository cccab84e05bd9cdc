"""SDKs that look for an HMAC of the body in a header, Standard Webhooks among them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from tests.gate.provider_sdks.asking import Request, oracle

REPLICATE_TOLERANCE_S = 300
"""Replicate's SDK looks at the age only if it is told a limit."""


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
