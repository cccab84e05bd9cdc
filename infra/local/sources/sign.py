"""Plays a source: adds to a request the proof of who sent it, as the provider would.

It reads a scheme's row the other way round: it fills in the templates of the signatures.  It signs the bytes that the
engine itself makes, so it proves nothing about a scheme; the providers' SDKs do that.  What no row can say is in
`special`.
"""

from __future__ import annotations

import base64
import hmac
import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from infra.local.sources.private_key import private_key, signed_privately
from infra.local.sources.request import CannotSign, put, time_text
from infra.local.sources.secrets import ASYMMETRIC
from infra.local.sources.special import signer_of
from relay.errors import SignatureError
from relay.verification.handshakes import UNSIGNED
from relay.verification.language import PLACE
from relay.verification.scheme import HASHES, HMACS, JWTS, Row
from relay.verification.secret import key_of
from relay.verification.templates import rendered_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from infra.local.sources.request import SourceRequest
    from relay.verification.secret import Secret

TOKEN_LIFETIME_S = 300  # of a JWT
STALER_BY_S = 60  # than what is just too old
_OWN_FIELDS = {"body", "time", "url", "method", "secret"}  # of templates: anything else that looks like a place is one


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
        if (sign := signer_of(scheme).sign) is not None:
            return sign(request, secret, at)
        time = time_text(scheme.time_format, at)
        request = _completed(scheme, request, secret, time)
        templates = [row["signature"]] if isinstance(row["signature"], str) else row["signature"]
        for index, key_text in _key_texts(scheme, secret):
            signature = _signature(scheme, request, secret, key_text, time, at)
            place, _, template = templates[index].partition(": ")
            request = put(request, place.replace("*", "1"), _filled(template, signature, time, secret))
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
    places: list[str] = []
    for place in [spot.place for spot in row.spots] or [signer_of(row).place]:
        if place.endswith("*"):
            places += [name for name in request.headers if fnmatchcase(name, place.lower())]
        else:
            places.append(place)
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
        request = put(request, place, other)
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
        request = put(request, place, wanted.decode())
    if row.time and not row.time.startswith("claim:"):
        request = put(request, row.time.partition("|")[0], time, number=row.time_format == "ms")
    for field in (field for it in row.signs[:1] for field in it.fields):
        if field not in _OWN_FIELDS and PLACE.fullmatch(field) and request.inbound().find(field) is None:
            request = put(request, field.partition("|")[0], uuid4().hex)
    request = signer_of(row).adds(request)
    for place, name, value in _UNSIGNED_HEADERS:
        if row.spots[0].place == place:
            request = put(request, name, value(row))
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
        return signed_privately(secret, message)
    key = key_of(row.key, key_text)
    if key is None:
        raise CannotSign(f"the signing secret isn't of the form that the scheme wants ({row.key}): set it again")
    return hmac.digest(key, message, HMACS[algorithm])


def _message(row: Row, request: SourceRequest, secret: Secret, key_text: str, time: str) -> bytes:
    if row.special is not None and row.special.signs is not None:
        return next(iter(row.special.signs(request.inbound(), secret, key_text)))
    return next(rendered_for(row.signs[0], request.inbound(), secret, key_text=key_text, time=time))


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
    kid = {"kid": str(jwk.get("kid"))} if isinstance(jwk, dict) else {}
    key = private_key(secret) if algorithm == "ES256" else key_text
    try:
        with warnings.catch_warnings():  # how long the key is, the provider decided
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
            return jwt.encode(claims, key, algorithm=algorithm, headers=kid)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise CannotSign("the signing secret isn't of the form that the scheme wants: set it again") from error


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


# -- what nothing signs -------------------------------------------------------------------------------------------


def _with_verify_token(request: SourceRequest, secret: Secret) -> SourceRequest:
    """Return Meta's GET with the token that its owner typed there."""
    token = secret.part("verify_token") or secret.text
    is_one = request.method == "GET" and request.inbound().find("query:hub.mode") == "subscribe"
    return put(request, "query:hub.verify_token", token) if is_one and token else request


# Where the signature stands -> a header beside it that says how it was made.  Nothing signs it, and the relay never
# reads it.
_UNSIGNED_HEADERS: Sequence[tuple[str, str, Callable[[Row], str]]] = (
    ("X-HubSpot-Signature", "X-HubSpot-Signature-Version", lambda row: "v2" if row.special else "v1"),
    ("HmacSignature", "Protocol", lambda _: "HmacSHA256"),
)
