"""Cases of the schemes that sign a JSON Web Token."""

from __future__ import annotations

import base64
import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.claims import Changes, about_keys, changed, claim_cases, damaged_tokens, jwt, part, times
from tests.gate.provider_sdks.families import INVALID, JSON_TYPE, NOW, OPEN, VALID, Book, bodies, plain, present
from tests.gate.provider_sdks.urls import other_urls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATLASSIAN = {"client_key": "jira:made-up", "shared_secret": "made-up-secret-of-atlassian-long-enough-012345"}
ATLASSIAN_TARGET = "/in/atlassian?user=admin&b=2&a=1"


def add_all(book: Book) -> None:
    """Add the cases of every scheme of this module."""
    for add_some in (_livekit, _messagebird, _qstash, _vonage, _plaid, _atlassian):
        add_some(book)


def _livekit(book: Book) -> None:
    secret = {"api_key": "madeupkey", "api_secret": "made-up-secret-of-livekit-long-enough-01234"}
    key = secret["api_secret"]

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return {"iss": secret["api_key"], "sha256": digest, "exp": NOW + 300, "nbf": NOW - 10}

    def case(name: str, meant: str, token: str | None, body: bytes) -> None:
        headers = present({"Content-Type": "application/webhook+json", "Authorization": token})
        book.add("livekit", name, meant, secret=secret, headers=headers, body=body)

    body = '{"event":"room_started","room":{"sid":"RM_x","name":"Zoë 100.00"},"id":"EV_1","createdAt":"1"}'.encode()
    claims = claims_of(body)
    right = jwt(claims, key)
    case("valid", VALID, right, body)
    spaced = body.replace(b",", b" ,\r\n")
    case("valid-spaced", VALID, jwt(claims_of(spaced), key), spaced)
    unknown = b'{"event":"made_up","unknown":1}'
    case("valid-unknown-member", VALID, jwt(claims_of(unknown), key), unknown)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("missing-authorization", INVALID, None, body)
    case("bearer", OPEN, f"Bearer {right}", body)
    hashes: Changes = {
        "hash-missing": (INVALID, {"sha256": ...}),
        "hash-empty": (INVALID, {"sha256": ""}),
        "hash-null": (INVALID, {"sha256": None}),
        "hash-number": (INVALID, {"sha256": 1}),
        "hash-in-hex": (INVALID, {"sha256": hashlib.sha256(body).hexdigest()}),
        "hash-unpadded": (OPEN, {"sha256": claims["sha256"].rstrip("=")}),
        "hash-of-other": (INVALID, {"sha256": claims_of(b"other")["sha256"]}),
        "issuer-other": (INVALID, {"iss": "other"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-upper-case": (INVALID, {"iss": "MADEUPKEY"}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = damaged_tokens(right) | about_keys(claims, key) | times(claims, key, 60) | claim_cases(claims, key, hashes)
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)


def _messagebird(book: Book) -> None:
    key = "made-up-secret-of-messagebird-long-enough-012"
    url = "https://relay.example.net/in/messagebird?foo=1&x=%20y"

    def claims_of(body: bytes, target: str = url) -> dict[str, Any]:
        claims = {
            "iss": "MessageBird",
            "nbf": NOW - 5,
            "exp": NOW + 60,
            "jti": "ff9dd2a3",
            "url_hash": hashlib.sha256(target.encode()).hexdigest(),
        }
        return {**claims, "payload_hash": hashlib.sha256(body).hexdigest()} if body else claims

    def case(name: str, meant: str, token: str | None, body: bytes, method: str = "POST", target: str = url) -> None:
        headers = present({**JSON_TYPE, "MessageBird-Signature-JWT": token})
        book.add("messagebird", name, meant, secret=key, headers=headers, body=body, method=method, url=target)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, jwt(claims_of(some), key), some)
    case("valid-get", VALID, jwt(claims_of(b""), key), b"", "GET")
    case("hs512", OPEN, jwt(claims, key, "HS512"), body)
    case("hs384", OPEN, jwt(claims, key, "HS384"), body)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("body-added", INVALID, jwt(claims_of(b""), key), body)
    case("missing-header", INVALID, None, body)
    for name, other in other_urls(url).items():
        case(f"url-{name}", INVALID, right, body, target=other)
    changes: Changes = {
        "issuer-other": (INVALID, {"iss": "Evil"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-lower-case": (INVALID, {"iss": "messagebird"}),
        "url-hash-missing": (INVALID, {"url_hash": ...}),
        "url-hash-empty": (INVALID, {"url_hash": ""}),
        "url-hash-null": (INVALID, {"url_hash": None}),
        "url-hash-upper-case": (OPEN, {"url_hash": claims["url_hash"].upper()}),
        "payload-hash-missing": (INVALID, {"payload_hash": ...}),
        "payload-hash-empty": (INVALID, {"payload_hash": ""}),
        "payload-hash-null": (INVALID, {"payload_hash": None}),
        "payload-hash-number": (INVALID, {"payload_hash": 1}),
        "payload-hash-upper-case": (OPEN, {"payload_hash": claims["payload_hash"].upper()}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = damaged_tokens(right) | about_keys(claims, key) | times(claims, key, 1) | claim_cases(claims, key, changes)
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)
    empty_hash = {**claims_of(b""), "payload_hash": hashlib.sha256(b"").hexdigest()}
    case("empty-body-with-hash", OPEN, jwt(empty_hash, key), b"")


def _qstash(book: Book) -> None:
    secret = {
        "current": "sig_made_up_current_long_enough_0123456789",
        "next": "sig_made_up_next_long_enough_0123456789",
    }
    url = "https://relay.example.net/in/qstash?x=%20y&foo=1"
    key = secret["current"]

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()
        return {
            "iss": "Upstash",
            "sub": url,
            "exp": NOW + 300,
            "nbf": NOW - 5,
            "iat": NOW - 5,
            "jti": "j1",
            "body": digest,
        }

    def case(name: str, meant: str, token: str | None, body: bytes, target: str = url) -> None:
        headers = present({**JSON_TYPE, "Upstash-Signature": token})
        book.add("qstash", name, meant, secret=secret, headers=headers, body=body, url=target)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, jwt(claims_of(some), key), some)
    case("valid-next-key", VALID, jwt(claims, secret["next"]), body)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("body-emptied", INVALID, right, b"")
    case("missing-header", INVALID, None, body)
    for name, other in other_urls(url).items():
        case(f"url-{name}", INVALID, right, body, other)
    changes: Changes = {
        "issuer-other": (INVALID, {"iss": "Evil"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "issuer-list": (INVALID, {"iss": ["Upstash"]}),
        "subject-missing": (INVALID, {"sub": ...}),
        "subject-number": (INVALID, {"sub": 1}),
        "subject-null": (INVALID, {"sub": None}),
        "body-missing": (INVALID, {"body": ...}),
        "body-unpadded": (VALID, {"body": claims["body"].rstrip("=")}),
        "body-in-hex": (INVALID, {"body": hashlib.sha256(body).hexdigest()}),
        "body-number": (INVALID, {"body": 1}),
        "body-null": (INVALID, {"body": None}),
        "body-in-other-alphabet": (OPEN, {"body": base64.b64encode(hashlib.sha256(body).digest()).decode()}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = damaged_tokens(right) | about_keys(claims, key) | times(claims, key, 0) | claim_cases(claims, key, changes)
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, token, body)
    case("bearer", INVALID, f"Bearer {right}", body)


def _vonage(book: Book) -> None:
    key = "made-up-secret-of-vonage-long-enough-0123456789"

    def claims_of(body: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(body).hexdigest()
        return {"iat": NOW - 3, "jti": "c5ba8f24", "iss": "Vonage", "payload_hash": digest, "api_key": "a1b2c3d"}

    def case(name: str, meant: str, authorization: str | None, body: bytes) -> None:
        headers = present({**JSON_TYPE, "Authorization": authorization})
        book.add("vonage", name, meant, secret=key, headers=headers, body=body)

    body = plain()
    claims = claims_of(body)
    right = jwt(claims, key)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, f"Bearer {jwt(claims_of(some), key)}", some)
    case("tampered", INVALID, f"Bearer {right}", body.replace(b"100.00", b"900.00"))
    case("body-emptied", INVALID, f"Bearer {right}", b"")
    case("missing-header", INVALID, None, body)
    case("scheme-lower-case", OPEN, f"bearer {right}", body)
    case("scheme-missing", OPEN, right, body)
    case("scheme-basic", INVALID, f"Basic {right}", body)
    case("scheme-alone", INVALID, "Bearer ", body)
    changes: Changes = {
        "payload-hash-missing": (INVALID, {"payload_hash": ...}),
        "payload-hash-null": (INVALID, {"payload_hash": None}),
        "payload-hash-empty": (INVALID, {"payload_hash": ""}),
        "payload-hash-number": (INVALID, {"payload_hash": 1}),
        "payload-hash-upper-case": (OPEN, {"payload_hash": claims["payload_hash"].upper()}),
        "expired": (INVALID, {"exp": NOW - 3600}),
        "expires-later": (VALID, {"exp": NOW + 3600}),
        "not-before-hour": (INVALID, {"nbf": NOW + 3600}),
        "issued-day-ago": (OPEN, {"iat": NOW - 86400}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-missing": (OPEN, {"iat": ...}),
        "issuer-other": (OPEN, {"iss": "Evil"}),
        "issuer-missing": (OPEN, {"iss": ...}),
        "audience": (OPEN, {"aud": "made-up"}),
    }
    tokens = damaged_tokens(right) | about_keys(claims, key) | claim_cases(claims, key, changes)
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, token) in tokens.items():
        case(f"token-{name}", meant, f"Bearer {token}", body)


def _plaid(book: Book) -> None:
    kid = "bfbd5111-0000-4000-8000-000000000001"
    secret = {"jwk": keys.p256_jwk("plaid", kid)}

    def claims_of(body: bytes) -> dict[str, Any]:
        return {"iat": NOW - 3, "request_body_sha256": hashlib.sha256(body).hexdigest()}

    def token(claims: Mapping[str, Any], head: Mapping[str, Any] | None = None, seed: str = "plaid") -> str:
        return jwt(claims, seed, "ES256", {"kid": kid, **(head or {})})

    def case(name: str, meant: str, text: str | None, body: bytes, keyed: Mapping[str, Any] | None = None) -> None:
        headers = present({**JSON_TYPE, "Plaid-Verification": text})
        book.add("plaid", name, meant, secret=keyed or secret, headers=headers, body=body)

    body = plain()
    claims = claims_of(body)
    right = token(claims)
    for name, some in bodies().items():
        case(f"valid-{name}", VALID, token(claims_of(some)), some)
    case("tampered", INVALID, right, body.replace(b"100.00", b"900.00"))
    case("newline-added", INVALID, right, body + b"\n")
    case("missing-header", INVALID, None, body)
    case("other-key", INVALID, token(claims, seed="other"), body)
    case("other-kid", INVALID, token(claims, {"kid": "other"}), body)
    case("kid-missing", INVALID, token(claims, {"kid": None}), body)
    case("key-expired", INVALID, right, body, {"jwk": {**secret["jwk"], "expired_at": NOW - 60}})
    hs = jwt(claims, keys.p256_public("plaid"), "HS256", {"kid": kid})
    case("algorithm-hs256-of-public-key", INVALID, hs, body)
    case("algorithm-none", INVALID, jwt(claims, "", "none", {"kid": kid}), body)
    der = right.rpartition(".")[0]
    case("signature-der", INVALID, f"{der}.{part(keys.p256_sign('plaid', der.encode()))}", body)
    case("signature-zeros", INVALID, f"{der}.{part(bytes(64))}", body)
    for name, (meant, text) in damaged_tokens(right).items():
        case(f"token-{name}", meant, text, body)
    changes: Changes = {
        "issued-now": (VALID, {"iat": NOW}),
        "issued-inside": (VALID, {"iat": NOW - 299}),
        "issued-at-limit": (OPEN, {"iat": NOW - 300}),
        "issued-outside": (INVALID, {"iat": NOW - 301}),
        "issued-day-ago": (INVALID, {"iat": NOW - 86400}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-missing": (INVALID, {"iat": ...}),
        "issued-word": (INVALID, {"iat": "now"}),
        "issued-null": (INVALID, {"iat": None}),
        "hash-missing": (INVALID, {"request_body_sha256": ...}),
        "hash-null": (INVALID, {"request_body_sha256": None}),
        "hash-upper-case": (OPEN, {"request_body_sha256": claims["request_body_sha256"].upper()}),
        "expired": (INVALID, {"exp": NOW - 3600}),
    }
    for name, (meant, change) in changes.items():
        case(f"claims-{name}", meant, token(changed(claims, change)), body)


def _query_hash(method: str, relative: str) -> str:
    """Hash the method, the path and the query, sorted and escaped, without the token itself."""
    parts = urlsplit(relative)
    fields = {n: v for n, v in parse_qs(parts.query, keep_blank_values=True).items() if n != "jwt"}
    query = "&".join(f"{quote(n, '~')}={','.join(quote(v, '~') for v in sorted(fields[n]))}" for n in sorted(fields))
    return hashlib.sha256(f"{method}&{parts.path.rstrip('/') or '/'}&{query}".encode()).hexdigest()


def _atlassian_claims(relative: str = ATLASSIAN_TARGET, method: str = "POST") -> dict[str, Any]:
    return {"iss": ATLASSIAN["client_key"], "iat": NOW - 5, "exp": NOW + 175, "qsh": _query_hash(method, relative)}


def _atlassian(book: Book) -> None:
    key = ATLASSIAN["shared_secret"]
    body = b'{"webhookEvent":"jira:issue_updated","timestamp":1795435198000}'

    def case(name: str, meant: str, authorization: str | None, relative: str = ATLASSIAN_TARGET, **more: Any) -> None:
        headers = present({**JSON_TYPE, "Authorization": authorization})
        book.add(
            "atlassian-connect",
            name,
            meant,
            secret=ATLASSIAN,
            headers=headers,
            url="https://relay.example.net" + relative,
            **{"body": body, **more},
        )

    claims = _atlassian_claims()
    right = jwt(claims, key)
    case("valid", VALID, f"JWT {right}")
    case("valid-get", VALID, f"JWT {jwt(_atlassian_claims(method='GET'), key)}", method="GET", body=b"")
    case("other-body", OPEN, f"JWT {right}", body=b"{}")
    case("scheme-lower-case", OPEN, f"jwt {right}")
    case("scheme-bearer", INVALID, f"Bearer {right}")
    case("scheme-missing", INVALID, right)
    case("missing-header", INVALID, None)
    case("token-in-query", OPEN, None, f"{ATLASSIAN_TARGET}&jwt={right}")
    case("token-in-both", OPEN, f"JWT {right}", f"{ATLASSIAN_TARGET}&jwt=other")
    _atlassian_urls(case, right)
    case("context-free", OPEN, f"JWT {jwt({**claims, 'qsh': 'context-qsh'}, key)}")
    changes: Changes = {
        "qsh-missing": (INVALID, {"qsh": ...}),
        "qsh-empty": (INVALID, {"qsh": ""}),
        "qsh-null": (INVALID, {"qsh": None}),
        "qsh-upper-case": (OPEN, {"qsh": claims["qsh"].upper()}),
        "issuer-other": (INVALID, {"iss": "jira:other"}),
        "issuer-missing": (INVALID, {"iss": ...}),
        "audience-ours": (OPEN, {"aud": ATLASSIAN["client_key"]}),
        "audience-other": (OPEN, {"aud": "made-up"}),
        "audience-list": (OPEN, {"aud": ["a", "b"]}),
    }
    tokens = (
        damaged_tokens(right) | about_keys(claims, key) | times(claims, key, 90) | claim_cases(claims, key, changes)
    )
    tokens["algorithm-hs512"] = (INVALID, jwt(claims, key, "HS512"))
    for name, (meant, text) in tokens.items():
        case(f"token-{name}", meant, f"JWT {text}")
    module = import_module("atlassian_jwt")
    made = module.encode_token(
        "POST", ATLASSIAN_TARGET, ATLASSIAN["client_key"], key, payload_kwargs={"iat": NOW - 5, "exp": NOW + 175}
    )
    case("signed-by-its-sdk", OPEN, f"JWT {made}")


def _atlassian_urls(case: Callable[..., None], right: str) -> None:
    key = ATLASSIAN["shared_secret"]
    targets = {
        "no-query": "/in/atlassian",
        "slash-at-end": "/in/atlassian/?a=1",
        "root": "/?a=1",
        "repeated": "/in/atlassian?a=2&a=1&b=3",
        "empty-value": "/in/atlassian?a=&b=1",
        "no-equals": "/in/atlassian?a&b=1",
        "escapes": "/in/atlassian?a=%20%2A~%2B&b=x+y",
        "utf8": f"/in/atlassian?a={quote('Zoë')}",
        "upper-and-lower": "/in/atlassian?b=1&B=2&a=3",
        "dots": "/in/a.b/atlassian?a.b=1",
        "comma": "/in/atlassian?a=1%2C2",
    }
    for name, other in targets.items():
        case(f"valid-url-{name}", VALID, f"JWT {jwt(_atlassian_claims(other), key)}", other)
    case("query-reordered", VALID, f"JWT {right}", "/in/atlassian?a=1&b=2&user=admin")
    case("query-altered", INVALID, f"JWT {right}", ATLASSIAN_TARGET.replace("a=1", "a=2"))
    case("query-longer", INVALID, f"JWT {right}", f"{ATLASSIAN_TARGET}&c=1")
    case("path-differs", INVALID, f"JWT {right}", ATLASSIAN_TARGET.replace("atlassian", "other"))
    case("method-differs", INVALID, f"JWT {right}", method="PUT")
