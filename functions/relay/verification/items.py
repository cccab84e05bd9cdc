"""Adyen and Microsoft Graph: each item of the body has a proof of its own, and every one of them must be right."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any

from relay.errors import SignatureError, UnusableSecret
from relay.model.content import BROKEN
from relay.verification.secret import is_one_of, key_of

if TYPE_CHECKING:
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret

_ADYEN_FIELDS = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
CLIENT_STATE = ("client_state", "clientState")  # the part of Microsoft Graph's secret, by either name


def verify_adyen(request: InboundRequest, secret: Secret) -> None:
    """Raise unless every notification item carries a signature over its eight fields.

    Source: https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures
    """
    keys = [key for _, text in secret.key_texts(()) if (key := key_of("hex", text))]
    if not keys:
        raise UnusableSecret("the signing secret isn't of the form that the scheme wants (hex): set it again")
    for item in _items(request, "notificationItems"):
        held = item.get("NotificationRequestItem")
        extra = held.get("additionalData") if isinstance(held, dict) else None
        given = extra.get("hmacSignature") if isinstance(extra, dict) else None
        if not isinstance(held, dict) or not isinstance(given, str) or not given:
            raise SignatureError("additionalData.hmacSignature is missing", reason="missing_header")
        signed = adyen_signed(held)
        macs = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
        if not is_one_of(given.encode(errors="replace"), macs):
            raise SignatureError("additionalData.hmacSignature doesn't match")


def adyen_signed(item: dict[str, Any]) -> bytes:
    """Return what Adyen signs of a notification item: eight fields, joined by colons, absent ones empty."""
    amount = item.get("amount")
    amount = amount if isinstance(amount, dict) else {}
    values = [item.get(name) for name in _ADYEN_FIELDS]
    values += [amount.get("value"), amount.get("currency"), item.get("eventCode"), item.get("success")]
    return ":".join(map(_adyen_text, values)).encode(errors="replace")


def _adyen_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return str(value) if isinstance(value, str | int | float) else ""
    except ValueError:  # a number with more digits than Python writes
        return ""


def verify_ms_graph(request: InboundRequest, secret: Secret) -> None:
    """Raise unless every notification carries the clientState of the subscription.

    Source: https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
    """
    wanted = [text.encode() for _, text in secret.key_texts(CLIENT_STATE)]
    if not wanted:
        raise UnusableSecret("the signing secret has no client_state: set it again")
    for item in _items(request, "value"):
        state = item.get("clientState")
        if not isinstance(state, str):
            raise SignatureError("clientState is missing", reason="missing_header")
        if not is_one_of(state.encode(errors="replace"), wanted):
            raise SignatureError("clientState doesn't match", reason="wrong_token")


def _items(request: InboundRequest, name: str) -> list[dict[str, Any]]:
    held = request.json
    items = held.get(name) if held is not BROKEN and isinstance(held, dict) else None
    if not isinstance(items, list) or not items or not all(isinstance(it, dict) for it in items):
        raise SignatureError(f"the body has no {name}", reason="malformed_header")
    return items
