"""The odd parts of odd schemes: what a provider signs that no template can say.  Each is a function that a row names.

`SIGNS` yield the bytes that may have been signed; the engine compares.  `WHOLES` judge a request by themselves, since
they have a signature for each of its items, or none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from relay.errors import SignatureError, UnusableSecret
from relay.model.content import BROKEN
from relay.verification.request import braintree_kind
from relay.verification.secret import is_one_of, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.model.content import Pairs
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret

_BRAINTREE_PAYLOAD = re.compile(r"[A-Za-z0-9+/=\n]+")
_ADYEN_FIELDS = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
_HUBSPOT_DECODES = {
    *("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B"),
}
_TWILIO_SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
_PORTS = {"https": 443, "http": 80}


def twilio(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the URL and, of a form, every parameter by name; of any other body the URL holds the hash.

    Source: https://www.twilio.com/docs/usage/security#validating-requests
    """
    signed = ""
    if request.body and request.media_type == "application/x-www-form-urlencoded":
        signed = "".join(name + value for name, value in sorted(set(_form(request))))
    else:
        _check_twilio_body(request)
    for url in request.urls:
        for spelling in dict.fromkeys((url, *_with_and_without_port(url))):
            yield (spelling + signed).encode(errors="replace")


def twilio_shared_key(request: InboundRequest, secret: Secret, key: str) -> Iterator[bytes]:
    """Yield what `twilio` does, where the request says that it is signed with HMAC-SHA256: nothing weaker counts."""
    items = [it.partition("=") for it in _header(request, _TWILIO_SETTINGS).split(",")]
    named = [value.strip() for name, _, value in items if name.strip() == "algorithm" and value.strip()]
    if not named or named[0].upper() != "HMAC_SHA256":
        raise SignatureError(f"{_TWILIO_SETTINGS} names another algorithm", reason="wrong_algorithm")
    yield from twilio(request, secret, key)


def _check_twilio_body(request: InboundRequest) -> None:
    hashes = [value for name, value in request.query if name == "bodySHA256"]
    if not hashes and not request.body:
        return
    if not hashes:
        raise SignatureError("bodySHA256 is missing: the body isn't signed", reason="missing_header")
    if not hmac.compare_digest(hashes[0].encode(errors="replace"), hashlib.sha256(request.body).hexdigest().encode()):
        raise SignatureError("bodySHA256 doesn't match the body", reason="body_mismatch")


def _with_and_without_port(url: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.netloc
    except ValueError:
        return ()
    if port:
        return (urlunsplit(parts._replace(netloc=host.rpartition(":")[0])),)
    return (urlunsplit(parts._replace(netloc=f"{host}:{_PORTS.get(parts.scheme, 443)}")),)


def mandrill(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the URL and every parameter of the form, sorted by name."""
    signed = "".join(name + value for name, value in sorted(_form(request), key=lambda it: it[0]))
    for url in request.urls:
        yield (url + signed).encode(errors="replace")


def braintree(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the payload as it stands in the form, and with the line end that some frameworks strip.

    The challenge of the handshake is signed by the same key: nothing that it could be is a payload.
    """
    payload = request.find("form:bt_payload")
    if payload is None:
        raise SignatureError("form:bt_payload is missing", reason="missing_header")
    names = sorted(name for name, _ in request.form)
    if not _BRAINTREE_PAYLOAD.fullmatch(payload) or [it for it in names if it != "bt_signature"] != ["bt_payload"]:
        raise SignatureError("form:bt_payload is malformed", reason="malformed_header")
    if braintree_kind(request) is None:
        raise SignatureError("form:bt_payload holds no notification", reason="malformed_header")
    yield payload.encode()
    yield payload.encode() + b"\n"


def plivo_v2(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the URL without its query, and the nonce: neither parameters nor body are covered."""
    nonce = _nonce(request, "X-Plivo-Signature-V2-Nonce")
    for url in request.urls:
        yield (url.partition("#")[0].partition("?")[0] + nonce).encode(errors="replace")


def plivo_v3(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the URL with its parameters sorted, those of the form, and the nonce."""
    nonce = _nonce(request, "X-Plivo-Signature-V3-Nonce")
    if request.method == "GET" and request.body:
        raise SignatureError("the body of a GET isn't signed", reason="body_mismatch")
    form = _form(request)
    for url in request.urls:
        base, query = [*url.partition("#")[0].split("?", 1), ""][:2]
        asked = "&".join(f"{name}={value}" for name, value in _sorted(_query(query)))
        signed = base + ("?" + asked if asked or form else "") + ("." if asked and form else "")
        signed += "".join(name + value for name, value in _sorted(form))
        yield f"{signed}.{nonce}".encode(errors="replace")


def hubspot_v2(request: InboundRequest, _: Secret, key: str) -> Iterator[bytes]:
    """Yield secret, method, URL and body."""
    for url in _hubspot_urls(request):
        yield f"{key}{request.method}{url}".encode(errors="replace") + request.body


def hubspot_v3(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield method, URL, body and timestamp.

    Source: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
    """
    timestamp = _header(request, "X-HubSpot-Request-Timestamp").encode(errors="replace")
    for url in _hubspot_urls(request):
        yield f"{request.method}{url}".encode(errors="replace") + request.body + timestamp


def _hubspot_urls(request: InboundRequest) -> Iterator[str]:
    """Yield each URL as it came, and with the escapes decoded that the documentation lists."""
    for url in request.urls:
        decoded = re.sub(
            "%[0-9A-Fa-f]{2}",
            lambda it: chr(int(it[0][1:], 16)) if it[0].upper() in _HUBSPOT_DECODES else it[0],
            url,
        )
        yield from dict.fromkeys((url, decoded))


def contentful(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the canonical request: method, encoded path, the signed headers, body."""
    listed = {it.strip().lower() for it in _header(request, "X-Contentful-Signed-Headers").split(",")}
    stamp = _header(request, "X-Contentful-Timestamp")
    names = {name for name in listed if name in request.headers}
    names |= {"x-contentful-signed-headers", "x-contentful-timestamp"}
    own = {"x-contentful-signed-headers": ",".join(sorted(names)), "x-contentful-timestamp": stamp}
    headers = ";".join(f"{name}:{own.get(name, request.headers.get(name, '').strip())}" for name in sorted(names))
    for url in request.urls:
        parts = urlsplit(url.partition("#")[0]) if _is_url(url) else None
        if parts is None:
            continue
        search = quote(parts.query.partition("?")[0], safe="-_.!~*'()")
        path = quote(parts.path + (f"?{search}" if search else ""), safe=";,/?:@&=+$-_.!~*'()#")
        yield "\n".join((request.method, path, headers, "")).encode(errors="replace") + request.body


def query_string_hash(method: str, url: str) -> str:
    """Return Atlassian's hash of a request: method, path and sorted query, without the token itself.

    Source: https://developer.atlassian.com/cloud/bitbucket/query-string-hash/
    """
    parts = urlsplit(url) if _is_url(url) else urlsplit("")
    path = "/" + parts.path.strip("/").replace("&", "%26")
    values: dict[str, list[str]] = {}
    for name, value in _query(parts.query):
        if name != "jwt":
            values.setdefault(name, []).append(value)
    canonical = sorted(
        f"{quote(name, safe='~')}={','.join(quote(it, safe='~') for it in sorted(held))}"
        for name, held in values.items()
    )
    return hashlib.sha256(f"{method}&{path}&{'&'.join(canonical)}".encode(errors="replace")).hexdigest()


def _is_url(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        return False
    return True


def _header(request: InboundRequest, name: str) -> str:
    value = request.find(name)
    if value is None:
        raise SignatureError(f"{name} is missing", reason="missing_header")
    return value


def _nonce(request: InboundRequest, name: str) -> str:
    """Return a nonce, which nothing separates from what is signed before it: it may look like nothing of that."""
    value = _header(request, name)
    if not re.fullmatch("[A-Za-z0-9-]{1,200}", value):
        raise SignatureError(f"{name} is malformed", reason="malformed_header")
    return value


def _form(request: InboundRequest) -> Pairs:
    """Return the fields of the form; a body in which none can be read isn't covered by their signature."""
    if request.body and not request.form:
        raise SignatureError("the body is no form that can be read", reason="malformed_header")
    return request.form


def _query(text: str) -> Pairs:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=1000, errors="replace")
    except ValueError:
        return []


def _sorted(pairs: Pairs) -> Iterator[tuple[str, str]]:
    """Yield *pairs* by name, the values of each sorted too."""
    for name, group in groupby(sorted(pairs), key=lambda it: it[0]):
        for _, value in group:
            yield name, value


# -- places -------------------------------------------------------------------------------------------------------


# -- what was signed ----------------------------------------------------------------------------------------------

SIGNS: dict[str, Callable[[InboundRequest, Secret, str], Iterator[bytes]]] = {
    "@braintree": braintree,
    "@contentful": contentful,
    "@hubspot-v2": hubspot_v2,
    "@hubspot-v3": hubspot_v3,
    "@mandrill": mandrill,
    "@plivo-v2": plivo_v2,
    "@plivo-v3": plivo_v3,
    "@twilio": twilio,
    "@twilio-shared-key": twilio_shared_key,
}


# -- judges of the whole request ----------------------------------------------------------------------------------


def adyen(request: InboundRequest, secret: Secret, _: float, __: Any) -> None:
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


def ms_graph(request: InboundRequest, secret: Secret, _: float, __: Any) -> None:
    """Raise unless every notification carries the clientState of the subscription.

    Source: https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks
    """
    wanted = [text.encode() for _, text in secret.key_texts(("client_state", "clientState"))]
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


def _aws_sns(request: InboundRequest, secret: Secret, at: float, fetch: Any) -> None:
    from relay.verification.certificates import verify_sns

    verify_sns(request, secret, at, fetch)


def _paypal(request: InboundRequest, secret: Secret, at: float, fetch: Any) -> None:
    from relay.verification.certificates import verify_paypal

    verify_paypal(request, secret, at, fetch)


WHOLES: dict[str, Callable[[InboundRequest, Secret, float, Any], None]] = {
    "@adyen": adyen,
    "@aws-sns": _aws_sns,
    "@ms-graph": ms_graph,
    "@paypal": _paypal,
}
