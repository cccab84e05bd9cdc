"""Plays a source: adds to a request whatever proves who sent it, as the provider would.

It reads a scheme's row the other way round: the templates that say where a signature stands are filled in.  The bytes
that are signed are the engine's own, so this shows nothing about a scheme; the providers' SDKs do that.  Odd schemes
have a function here, by the name of what is odd about them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus
from uuid import uuid4

from infra.local.sources.secrets import ASYMMETRIC, PRIVATE
from relay.errors import SignatureError
from relay.model.content import BROKEN
from relay.verification.handshakes import UNSIGNED
from relay.verification.request import InboundRequest
from relay.verification.scheme import HASHES, HMACS, JWTS, PLACE, WHOLE, Row
from relay.verification.secret import key_of
from relay.verification.templates import rendered_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relay.verification.secret import Secret

TOKEN_LIFETIME_S = 300  # of a JWT
STALER_BY_S = 60  # than what is just too old
SNS_KEY = "SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
PAYPAL_CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
_OWN_FIELDS = {"body", "time", "url", "method", "secret"}  # of templates: anything else that looks like a place is one


class CannotSign(Exception):
    """This request can't be signed with this secret; the message says why, and what to do."""


@dataclass(frozen=True)
class SourceRequest:
    """One HTTP request.

    Attributes:
        url: Whole, as the source was told it.
        headers: Names in lower case.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    def inbound(self) -> InboundRequest:
        """Return it as the relay gets it."""
        return InboundRequest(method=self.method, urls=[self.url], headers=self.headers, body=self.body)


def signed(row: Mapping[str, Any], request: SourceRequest, secret: Secret | None, at: float) -> SourceRequest:
    """Return *request* with everything that its source would add to prove itself.

    One that already carries its scheme's signature, or that no source signs, is returned as it is.

    Args:
        row: The source's scheme, as it stands in the flat configuration.
        secret: None: there is none yet.
        at: When it is signed, in epoch seconds.

    Raises:
        CannotSign: The secret isn't of the scheme's form or lacks the private key, or the request lacks what is signed.
    """
    scheme = Row.of(row)
    if secret is not None and scheme.handshake == "meta":
        request = _with_verify_token(request, secret)
    if not needs_signature(scheme, request, secret):
        return request
    if secret is None:
        raise CannotSign("there is no signing secret yet")
    with _telling():
        if scheme.algorithms[0] in WHOLE:
            return _WHOLES[scheme.algorithms[0]](request, secret, at)
        time = _time_text(scheme.time_format, at)
        request = _completed(scheme, request, secret, time)
        templates = [row["signature"]] if isinstance(row["signature"], str) else row["signature"]
        for index, key_text in _key_texts(scheme, secret):
            signature = _signature(scheme, request, secret, key_text, time, at)
            place, _, template = templates[index].partition(": ")
            request = _put(request, place.replace("*", "1"), _filled(template, signature, time, secret))
        return request


def needs_signature(row: Row, request: SourceRequest, secret: Secret | None = None) -> bool:
    """Tell whether *request* carries no signature, and isn't a handshake that comes before there are any."""
    if proofs(row, request):
        return False
    inbound = request.inbound()
    try:
        held = [] if secret is None else [secret]
        return all(it(inbound, held) is None for it in UNSIGNED.get(row.handshake or "", ()))
    except SignatureError:  # a handshake, and a wrong one
        return False


def proofs(row: Row, request: SourceRequest) -> list[str]:
    """Return the places of *request* where a signature stands."""
    inbound = request.inbound()
    if row.algorithms[0] in WHOLE:
        places = [_PLACES[row.algorithms[0]]]
    else:
        places = [
            place
            for it in row.spots
            for place in (
                [it.place]
                if not it.place.endswith("*")
                else [name for name in request.headers if fnmatchcase(name, it.place.lower())]
            )
        ]
    return [place for place in dict.fromkeys(places) if inbound.find(place) is not None]


def tampered(row: Row, request: SourceRequest) -> SourceRequest:
    """Return the signed *request* with one byte changed: of the body, else of the signature.

    Raises:
        CannotSign: It has no signature.
    """
    places = proofs(row, request)
    if not places:
        raise CannotSign("nobody signs this request, so that nothing in it can be tampered with")
    if row.signs_body and request.body and not any(it.startswith(("body:", "form:")) for it in places):
        return replace(request, body=_changed(request.body))
    inbound = request.inbound()
    for place in places:
        # Not at its end: there base64 has bits that mean nothing.
        head, tail = (inbound.find(place) or "")[:-8], (inbound.find(place) or "")[-8:]
        other = _changed(head.encode()).decode() + tail if head else _changed(tail.encode()).decode()
        request = _put(request, place, other)
    return request


def stale_by_s(row: Row) -> float | None:
    """Return how long ago a request must have been signed to be refused as stale; None: it never is."""
    if row.tolerance_s is not None:
        return row.tolerance_s[0] + STALER_BY_S
    if "exp" in row.needs and row.algorithms[0] in JWTS:
        return TOKEN_LIFETIME_S + row.leeway_s + STALER_BY_S
    return None


def _changed(data: bytes) -> bytes:
    """Return *data* with one byte changed: its last digit, so that it still reads like before; else its last byte."""
    for pattern in (rb"[0-9](?=[^0-9]*\Z)", rb"[a-z](?=[^a-z]*\Z)"):
        if found := re.search(pattern, data):
            other = (b"1" if found[0] == b"0" else b"0") if found[0].isdigit() else (b"b" if found[0] == b"a" else b"a")
            return data[: found.start()] + other + data[found.end() :]
    return data[:-1] + bytes([data[-1] ^ 1])


@contextmanager
def _telling() -> Iterator[None]:
    """Translate what the engine says of a request or a secret that can't be used."""
    try:
        yield
    except SignatureError as error:
        raise CannotSign(str(error)) from error


# -- what is signed, and with what --------------------------------------------------------------------------------


def _key_texts(row: Row, secret: Secret) -> list[tuple[int, str]]:
    """Return the index of each spot that is to be filled, and the text of the key that does it."""
    if row.is_secret_itself:
        return [(0, next((text for _, text in secret.key_texts(row.parts)), ""))]
    found = secret.key_texts(row.parts)
    if not found and row.algorithms[0] in ASYMMETRIC:
        return [(0, "")]
    if not found:
        raise CannotSign("the signing secret hasn't the parts that the scheme wants: set it again")
    return found if len(row.spots) == len(row.parts) > 1 else [(0, found[0][1])]


def _completed(row: Row, request: SourceRequest, secret: Secret, time: str) -> SourceRequest:
    """Return *request* with whatever is signed or required and may not be there: times, ids, nonces, versions."""
    for place, template in row.requires:
        (wanted, *_) = rendered_for(template, request.inbound(), secret)
        request = _put(request, place, wanted.decode())
    if row.time and not row.time.startswith("claim:"):
        request = _put(request, row.time.partition("|")[0], time, number=row.time_format == "ms")
    for field in (field for it in row.signs[:1] for field in it.fields):
        if field not in _OWN_FIELDS and PLACE.fullmatch(field) and request.inbound().find(field) is None:
            request = _put(request, field.partition("|")[0], uuid4().hex)
    if row.odd in _ODD:
        request = _ODD[row.odd](request)
    for place, name, value in _UNSIGNED_HEADERS:
        if row.spots[0].place == place:
            request = _put(request, name, value(row))
    return request


def _signature(row: Row, request: SourceRequest, secret: Secret, key_text: str, time: str, at: float) -> bytes:
    algorithm = row.algorithms[0]
    if algorithm in JWTS:
        return _token(row, request, secret, key_text, at).encode()
    message = _message(row, request, secret, key_text, time)
    if row.is_secret_itself:
        return message
    if algorithm in HASHES:
        return HASHES[algorithm](message).digest()
    if algorithm not in HMACS:
        return _privately(secret, message)
    key = key_of(row.key, key_text)
    if key is None:
        raise CannotSign(f"the signing secret isn't of the form that the scheme wants ({row.key}): set it again")
    return hmac.digest(key, message, HMACS[algorithm])


def _message(row: Row, request: SourceRequest, secret: Secret, key_text: str, time: str) -> bytes:
    if row.odd:
        from relay.verification.custom import SIGNS

        return next(SIGNS[row.odd](request.inbound(), secret, key_text))
    return next(rendered_for(row.signs[0], request.inbound(), secret, key_text=key_text, time=time))


def _privately(secret: Secret, message: bytes) -> bytes:
    from infra.local.sources import keys

    try:
        return keys.sign(_private_key(secret), message)
    except ValueError as error:
        raise CannotSign(f"the signing secret's {PRIVATE} isn't a private key in PEM: set it again") from error


def _private_key(secret: Secret) -> str:
    pem = secret.part(PRIVATE)
    if pem is None:
        raise CannotSign(
            "only the provider can sign that, whose private key nobody else has: have it send a test webhook, or try"
            " this in `relay dev`, which makes up a key pair"
        )
    return pem


def _token(row: Row, request: SourceRequest, secret: Secret, key_text: str, at: float) -> str:
    """Return the JWT with the claims that *row* wants."""
    import jwt

    claims: dict[str, Any] = {}
    for claim, template in row.claims:
        if request.body or not any("body" in field for field in template.fields):
            claims[claim] = next(rendered_for(template, request.inbound(), secret)).decode()
    places = [it for place in (*row.id, row.time or "") for it in place.split("|") if it.startswith("claim:")]
    now = int(at)
    times = {"iat": now, "nbf": now, "exp": now + TOKEN_LIFETIME_S}
    for name in ("iat", *row.needs, *(it.partition(":")[2] for it in places)):
        claims.setdefault(name, times.get(name) or uuid4().hex)
    algorithm = JWTS[row.algorithms[0]]
    jwk = secret.parts.get("jwk")
    kid = {"kid": str(jwk.get("kid"))} if row.key == "plaid" and isinstance(jwk, dict) else {}
    key = _private_key(secret) if algorithm == "ES256" else key_text
    try:
        with warnings.catch_warnings():  # how long the key is, the provider decided
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
            return jwt.encode(claims, key, algorithm=algorithm, headers=kid)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise CannotSign("the signing secret isn't of the form that the scheme wants: set it again") from error


def _time_text(time_format: str, at: float) -> str:
    if time_format.startswith("iso"):
        return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(int(at * 1000 if time_format == "ms" else at))


def _filled(template: str, signature: bytes, time: str, secret: Secret) -> str:
    """Return the signature template *template* with its fields filled in."""

    def value(field: re.Match[str]) -> str:
        name = field[1]
        if name == "time":
            return time
        if name.startswith("secret:"):
            return secret.part(name.partition(":")[2]) or ""
        return _ENCODED[name](signature)

    return re.sub(r"\{([^{}]+)\}", value, template)


_ENCODED: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "HEX": lambda it: it.hex().upper(),
    "base64": lambda it: base64.b64encode(it).decode(),
    "base64url": lambda it: base64.urlsafe_b64encode(it).rstrip(b"=").decode(),
    "text": bytes.decode,
    "jwt": bytes.decode,
}


# -- odd schemes: what else they put into a request -----------------------------------------------------------------


def _with_verify_token(request: SourceRequest, secret: Secret) -> SourceRequest:
    """Return Meta's GET with the token that its owner typed there."""
    token = secret.part("verify_token") or secret.text
    is_one = request.method == "GET" and request.inbound().find("query:hub.mode") == "subscribe"
    return _put(request, "query:hub.verify_token", token) if is_one and token else request


def _with_body_hash(request: SourceRequest) -> SourceRequest:
    """Return Twilio's request: of a body that isn't a form, the URL has the hash."""
    if not request.body or "x-www-form-urlencoded" in request.headers.get("content-type", "").lower():
        return request
    return _put(request, "query:bodySHA256", hashlib.sha256(request.body).hexdigest())


def _with_signed_headers(request: SourceRequest) -> SourceRequest:
    names = {it for it in request.headers if it.startswith("x-contentful-")} | {"x-contentful-signed-headers"}
    return _put(request, "X-Contentful-Signed-Headers", ",".join(sorted(names)))


_ODD: dict[str, Callable[[SourceRequest], SourceRequest]] = {
    "@contentful": _with_signed_headers,
    "@plivo-v2": lambda it: _put(it, "X-Plivo-Signature-V2-Nonce", str(secrets.randbelow(10**20))),
    "@plivo-v3": lambda it: _put(it, "X-Plivo-Signature-V3-Nonce", str(secrets.randbelow(10**20))),
    "@twilio": _with_body_hash,
    "@twilio-shared-key": lambda it: _with_body_hash(
        _put(it, "X-Twilio-Webhooks-Signature-Settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256")
    ),
}
# Where the signature stands -> a header beside it that says how it was made.  Nothing signs it, and the relay never
# reads it.
_UNSIGNED_HEADERS: Sequence[tuple[str, str, Callable[[Row], str]]] = (
    ("X-HubSpot-Signature", "X-HubSpot-Signature-Version", lambda row: "v2" if row.odd else "v1"),
    ("HmacSignature", "Protocol", lambda _: "HmacSHA256"),
)


# -- schemes that sign in a way of their own -----------------------------------------------------------------------


def _adyen(request: SourceRequest, secret: Secret, _: float) -> SourceRequest:
    from relay.verification.custom import adyen_signed

    key = next((key for _, text in secret.key_texts(()) if (key := key_of("hex", text))), None)
    if key is None:
        raise CannotSign("the signing secret isn't of the form that the scheme wants (hex): set it again")
    held = _json(request)
    for item in _items(held, "notificationItems"):
        notification = item.get("NotificationRequestItem")
        if not isinstance(notification, dict):
            raise CannotSign("a notification item has no NotificationRequestItem: mend the file")
        mac = hmac.digest(key, adyen_signed(notification), "sha256")
        _set(notification, ["additionalData", "hmacSignature"], base64.b64encode(mac).decode())
    return _with_json(request, held)


def _ms_graph(request: SourceRequest, secret: Secret, _: float) -> SourceRequest:
    texts = secret.key_texts(("client_state", "clientState"))
    if not texts:
        raise CannotSign("the signing secret has no client_state: set it again")
    held = _json(request)
    for item in _items(held, "value"):
        item["clientState"] = texts[0][1]
    return _with_json(request, held)


def _aws_sns(request: SourceRequest, secret: Secret, at: float) -> SourceRequest:
    from relay.verification.certificates import sns_message, sns_signed

    held = _json(request)
    topic = secret.text if secret.text is not None else secret.part("topic_arn")
    if topic is not None:
        held["TopicArn"] = topic
        request = _put(request, "x-amz-sns-topic-arn", topic)
    region = (str(held.get("TopicArn")).split(":") + [""] * 3)[3] or "us-east-1"
    url = f"https://sns.{region}.amazonaws.com/{SNS_KEY}"
    held |= {"Timestamp": _time_text("iso", at), "SignatureVersion": "2", "SigningCertURL": url, "Signature": ""}
    message = sns_signed(sns_message(_with_json(request, held).inbound()))
    held["Signature"] = base64.b64encode(_privately(secret, message)).decode()
    return _with_json(request, held)


def _paypal(request: SourceRequest, secret: Secret, at: float) -> SourceRequest:
    from relay.verification.certificates import PAYPAL_ALGORITHM, paypal_signed

    webhook_id = secret.text if secret.text is not None else secret.part("webhook_id")
    if not webhook_id:
        raise CannotSign("the signing secret has no webhook_id: set it again")
    time = _time_text("iso", at)
    transmission = request.headers.get("paypal-transmission-id") or str(uuid4())
    signature = _privately(secret, paypal_signed(transmission, time, webhook_id, request.body))
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


_WHOLES: dict[str, Callable[[SourceRequest, Secret, float], SourceRequest]] = {
    "@adyen": _adyen,
    "@aws-sns": _aws_sns,
    "@ms-graph": _ms_graph,
    "@paypal": _paypal,
}
_PLACES = {
    "@adyen": "body:notificationItems.0.NotificationRequestItem.additionalData.hmacSignature",
    "@aws-sns": "body:Signature",
    "@ms-graph": "body:value.0.clientState",
    "@paypal": "PAYPAL-TRANSMISSION-SIG",
}


# -- putting a value at its place ---------------------------------------------------------------------------------


def _put(request: SourceRequest, place: str, value: str, *, number: bool = False) -> SourceRequest:
    """Return *request* with *value* at *place*; nothing else of it changes, but that JSON is written anew."""
    kind, colon, rest = place.partition(":")
    if not colon:
        if not value.isascii():
            raise CannotSign(f"{place} would hold what no header can (ASCII only): set the signing secret again")
        return replace(request, headers={**request.headers, place.lower(): value})
    if kind == "query":
        base, _, query = request.url.partition("?")
        return replace(request, url=f"{base}?{_with_pair(query, rest, value)}")
    if kind == "body":
        held = _json(request)
        _set(held, rest.split("."), int(value) if number else value)
        return _with_json(request, held)
    return _with_field(request, rest, value)


def _with_pair(text: str, name: str, value: str) -> str:
    """Return the urlencoded *text* in which *name* has *value*, and nothing else."""
    others = [it for it in text.split("&") if it and unquote_plus(it.partition("=")[0]) != name]
    return "&".join([*others, f"{quote(name, safe='')}={quote(value, safe='')}"])


def _with_field(request: SourceRequest, place: str, value: str) -> SourceRequest:
    """Return *request* with *value* in the field *place* of its form, or at a path of the JSON in that field."""
    name, dot, path = place.partition(".")
    old = next((it for key, it in request.inbound().form if key == name), None)
    if dot:
        try:
            held = json.loads(old or "")
        except (ValueError, RecursionError) as error:
            raise CannotSign(f"the form has no JSON in its field {name}: mend the file") from error
        _set(held, path.split("."), value)
        value = _json_text(held)
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().lstrip().startswith("multipart/"):
        return replace(request, body=_with_pair(request.body.decode(), name, value).encode())
    if old is not None:
        return replace(request, body=request.body.replace(old.encode(), value.encode(), 1))
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if boundary is None:
        raise CannotSign("the form has no boundary: mend the file's content-type")
    part = f'--{boundary[1].strip()}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    return replace(request, body=part.encode() + request.body)


def _json(request: SourceRequest) -> Any:
    """Return the JSON object in the body, anew each time."""
    held = request.inbound().json
    if held is BROKEN or not isinstance(held, dict):
        raise CannotSign("the body isn't the JSON object that the scheme signs: mend the file")
    return held


def _with_json(request: SourceRequest, held: object) -> SourceRequest:
    return replace(request, body=_json_text(held).encode(errors="surrogatepass"))


def _json_text(held: object) -> str:
    return json.dumps(held, ensure_ascii=False, separators=(",", ":"))


def _set(held: Any, path: Sequence[str], value: object) -> None:
    """Put *value* at *path* in *held*, making objects on the way."""
    for step in path[:-1]:
        held = held[int(step)] if isinstance(held, list) and step.isdigit() else _inner(held, step)
    if not isinstance(held, dict):
        raise CannotSign(f"the body has something else where {path[-1]} belongs: mend the file")
    held[path[-1]] = value


def _inner(held: Any, step: str) -> Any:
    if not isinstance(held, dict):
        raise CannotSign(f"the body has something else where {step} belongs: mend the file")
    return held.setdefault(step, {})
