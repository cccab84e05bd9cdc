"""Special schemes: what no row can say of them, each an entry of `SPECIALS` that a row names.

An entry says what is signed, and the engine compares; or it verifies a whole request by itself; or it finds the public
key of a JWT.  It also says what the signature covers, and which form the secret has.  Loaded only for a row that names
one: the other schemes' cold start doesn't pay for this.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from relay.errors import SignatureError
from relay.verification.items import CLIENT_STATE, verify_adyen, verify_ms_graph
from relay.verification.plaid import plaid_jwk
from relay.verification.request import braintree_kind
from relay.verification.secret import KEY_FORMS, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from relay.model.content import Pairs
    from relay.verification.request import InboundRequest
    from relay.verification.secret import Secret

    Fetch = Callable[..., bytes]

_BRAINTREE_PAYLOAD = re.compile(r"[A-Za-z0-9+/=\n]+")
_HUBSPOT_DECODES = {
    *("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B"),
}
_TWILIO_SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
_PORTS = {"https": 443, "http": 80}


def twilio(request: InboundRequest, _: Secret, __: str) -> Iterator[bytes]:
    """Yield the URL and, of a form, every parameter by name.  The URL holds the hash of any other body.

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
    """Yield what `twilio` yields, if the request names HMAC-SHA256 as its algorithm: a weaker one is refused."""
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
    """Yield the form's payload as it is, and with the line end that some frameworks strip.

    The handshake's challenge is signed with the same key, so nothing that could be a challenge counts as a payload.
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
    """Yield the URL without its query, and the nonce.  The signature covers neither parameters nor body."""
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
    """Yield each URL as it came, and with those escapes decoded that the documentation lists."""
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
    """Return a nonce.  Nothing parts it from the text before it, so it may hold letters, digits and hyphens only."""
    value = _header(request, name)
    if not re.fullmatch("[A-Za-z0-9-]{1,200}", value):
        raise SignatureError(f"{name} is malformed", reason="malformed_header")
    return value


def _form(request: InboundRequest) -> Pairs:
    """Return the fields of the form; refuse a body without a readable field, since the signature wouldn't cover it."""
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


def _verify_aws_sns(request: InboundRequest, secret: Secret, at: float, fetch: Fetch | None) -> None:
    from relay.verification.certificates import verify_sns

    verify_sns(request, secret, at, fetch)


def _verify_paypal(request: InboundRequest, secret: Secret, at: float, fetch: Fetch | None) -> None:
    from relay.verification.certificates import verify_paypal

    verify_paypal(request, secret, at, fetch)


# -- the registry -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SecretForm:
    """The form of a signing secret, where the kind of key doesn't say it.

    Attributes:
        fits: Whether a secret has it.
        words: "it must be …", for a person.
    """

    fits: Callable[[Secret], bool]
    words: str


@dataclass(frozen=True)
class Special:
    """What is special about a scheme.  Exactly one of *signs*, *verify* and *find_jwk* is there.

    Attributes:
        name: As a row has it: in `signs`, `algorithm` or `key`, by which of the three functions there is.
        signs: Yields the bytes that may have been signed, of a request, the secret and the text of the key.
        verify: Raises `SignatureError` unless a request is right, by a secret, at an epoch second; the last argument
            fetches certificates.
        find_jwk: Returns the JSON Web Key of a JWT, by its header, the secret, the epoch second and what fetches.
        signs_body: Whether the proof covers the body.
        signs_url: Whether it covers the URL.
        shows_secret: Whether the secret itself stands in the request's body.
        needs_public_keys: Whether it takes `cryptography`.
        secret: The form of the secret; None: what the row's `key` says.
        signs_with: The algorithm, for a person, where the row names none.
    """

    name: str
    signs: Callable[[InboundRequest, Secret, str], Iterator[bytes]] | None = None
    verify: Callable[[InboundRequest, Secret, float, Fetch | None], None] | None = None
    find_jwk: Callable[[Mapping[str, Any], Secret, float, Fetch | None], Mapping[str, Any]] | None = None
    signs_body: bool = True
    signs_url: bool = False
    shows_secret: bool = False
    needs_public_keys: bool = False
    secret: SecretForm | None = None
    signs_with: str = ""


def _are_hex(secret: Secret) -> bool:
    texts = [text for _, text in secret.key_texts(())]
    return bool(texts) and all(key_of("hex", text) for text in texts)


_ENTRIES = (
    Special(
        "@adyen",
        verify=lambda request, secret, _at, _fetch: verify_adyen(request, secret),
        signs_body=False,  # eight fields of each item
        secret=SecretForm(_are_hex, KEY_FORMS["hex"]),
        signs_with="HMAC-SHA-256 of each item",
    ),
    Special(
        "@aws-sns",
        verify=_verify_aws_sns,
        needs_public_keys=True,
        secret=SecretForm(
            lambda secret: (secret.text or secret.part("topic_arn") or "").startswith("arn:"),
            "the topic's ARN, which begins with arn:",
        ),
        signs_with="RSA",
    ),
    Special("@braintree", signs=braintree),
    Special("@contentful", signs=contentful, signs_url=True),
    Special("@hubspot-v2", signs=hubspot_v2, signs_url=True),
    Special("@hubspot-v3", signs=hubspot_v3, signs_url=True),
    Special("@mandrill", signs=mandrill, signs_url=True),
    Special(
        "@ms-graph",
        verify=lambda request, secret, _at, _fetch: verify_ms_graph(request, secret),
        signs_body=False,
        shows_secret=True,
        secret=SecretForm(
            lambda secret: bool(secret.key_texts(CLIENT_STATE)), "the subscription's clientState, one text"
        ),
        signs_with="clientState of each item",
    ),
    Special(
        "@paypal",
        verify=_verify_paypal,
        needs_public_keys=True,
        secret=SecretForm(lambda secret: bool(secret.text or secret.part("webhook_id")), "the webhook's id, one text"),
        signs_with="RSA",
    ),
    Special("@plivo-v2", signs=plivo_v2, signs_body=False, signs_url=True),
    Special("@plivo-v3", signs=plivo_v3, signs_url=True),
    Special("@twilio", signs=twilio, signs_url=True),
    Special("@twilio-shared-key", signs=twilio_shared_key, signs_url=True),
    Special(
        "plaid",
        find_jwk=plaid_jwk,
        secret=SecretForm(
            lambda secret: (
                isinstance(secret.parts.get("jwk"), dict) or bool(secret.part("client_id") and secret.part("secret"))
            ),
            'a JSON object like {"client_id": "…", "secret": "…"}',
        ),
    ),
)
SPECIALS: Mapping[str, Special] = {entry.name: entry for entry in _ENTRIES}
