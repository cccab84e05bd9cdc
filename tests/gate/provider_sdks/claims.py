"""JSON Web Tokens of whatever claims, keys and times."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.gate.provider_sdks import keys
from tests.gate.provider_sdks.families import INVALID, NOW, OPEN, VALID, base64_mac

if TYPE_CHECKING:
    from collections.abc import Mapping

Changes = dict[str, tuple[str, dict[str, Any]]]
"""What a case of a token is meant to be, and the claims that make it so, by name."""


def part(data: bytes) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(
    claims: Mapping[str, Any], key: str | bytes, algorithm: str = "HS256", head: Mapping[str, Any] | None = None
) -> str:
    """Return a token, by whatever algorithm and of whatever claims."""
    header = {"alg": algorithm, "typ": "JWT", **(head or {})}
    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    if algorithm == "none":
        return f"{signed}."
    if algorithm == "ES256":
        return f"{signed}.{part(keys.p256_sign_raw(str(key), signed.encode()))}"
    secret = key.encode() if isinstance(key, str) else key
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    return f"{signed}.{part(base64.b64decode(base64_mac(secret, signed.encode(), digest)))}"


def damaged_tokens(token: str) -> dict[str, tuple[str, str]]:
    """Return *token* in ways that are no longer it."""
    head, claims, signature = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    return {
        "signature-changed": (INVALID, f"{head}.{claims}.{other}{signature[1:]}"),
        "signature-missing": (INVALID, f"{head}.{claims}."),
        "signature-dot-missing": (INVALID, f"{head}.{claims}"),
        "signature-truncated": (INVALID, f"{head}.{claims}.{signature[:-4]}"),
        "claims-changed": (INVALID, f"{head}.{claims[:-4]}AAAA.{signature}"),
        "four-parts": (INVALID, f"{token}.AAAA"),
        "padded": (OPEN, f"{token}="),
        "not-a-token": (INVALID, "not a token"),
        "not-ascii": (INVALID, f"é{token}"),
        "dots-alone": (INVALID, ".."),
        "empty": (INVALID, ""),
        "newline-after": (OPEN, f"{token}\n"),
    }


def about_keys(claims: Mapping[str, Any], key: str) -> dict[str, tuple[str, str]]:
    """Return tokens of other keys and algorithms."""
    return {
        "wrong-secret": (INVALID, jwt(claims, "made-up-other-secret-long-enough-0123456789")),
        "algorithm-none": (INVALID, jwt(claims, key, "none")),
        "algorithm-none-with-mac": (INVALID, f"{jwt(claims, key, 'none')}{jwt(claims, key).rpartition('.')[2]}"),
        "algorithm-None": (INVALID, jwt(claims, key, head={"alg": "None"})),
        "algorithm-lower-case": (INVALID, jwt(claims, key, head={"alg": "hs256"})),
        "algorithm-es256": (INVALID, jwt(claims, "made up", "ES256")),
        "algorithm-missing": (INVALID, jwt(claims, key, head={"alg": None})),
        "type-missing": (OPEN, jwt(claims, key, head={"typ": None})),
        "critical-header": (INVALID, jwt(claims, key, head={"crit": ["made-up"], "made-up": 1})),
        "unencoded-header": (INVALID, jwt(claims, key, head={"b64": False})),
        "key-in-header": (INVALID, jwt(claims, "attacker", head={"jwk": {"kty": "oct", "k": part(b"attacker")}})),
        "key-with-newline": (INVALID, jwt(claims, key + "\n")),
        "key-empty": (INVALID, jwt(claims, "")),
    }


def times(claims: Mapping[str, Any], key: str, leeway_s: int) -> dict[str, tuple[str, str]]:
    """Return tokens of other times: of ``exp`` and ``nbf``, missing, of other types, and at the ends of *leeway_s*."""
    changes: Changes = {
        "expired-inside-leeway": (OPEN, {"exp": NOW - max(leeway_s - 1, 0)}),
        "expired-at-leeway": (OPEN, {"exp": NOW - leeway_s}),
        "expired-beyond-leeway": (INVALID, {"exp": NOW - leeway_s - 6}),
        "expired-hour": (INVALID, {"exp": NOW - 3600}),
        "expires-now": (OPEN, {"exp": NOW}),
        "expires-next": (VALID, {"exp": NOW + 1}),
        "expires-in-a-century": (OPEN, {"exp": NOW + 3153600000}),
        "exp-missing": (OPEN, {"exp": ...}),
        "exp-text": (OPEN, {"exp": str(NOW + 300)}),
        "exp-word": (INVALID, {"exp": "later"}),
        "exp-null": (INVALID, {"exp": None}),
        "exp-list": (INVALID, {"exp": [NOW + 300]}),
        "exp-fraction": (OPEN, {"exp": NOW + 300.5}),
        "not-before-inside-leeway": (OPEN, {"nbf": NOW + max(leeway_s - 1, 0)}),
        "not-before-beyond-leeway": (INVALID, {"nbf": NOW + leeway_s + 6}),
        "not-before-hour": (INVALID, {"nbf": NOW + 3600}),
        "not-before-missing": (OPEN, {"nbf": ...}),
        "not-before-word": (INVALID, {"nbf": "earlier"}),
        "issued-in-an-hour": (OPEN, {"iat": NOW + 3600}),
        "issued-word": (OPEN, {"iat": "earlier"}),
        "issued-missing": (OPEN, {"iat": ...}),
    }
    return claim_cases(claims, key, changes)


def changed(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims with *changes*, of which ``...`` takes a claim away."""
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def claim_cases(claims: Mapping[str, Any], key: str, changes: Changes) -> dict[str, tuple[str, str]]:
    """Return a token for each of *changes*, by name."""
    return {name: (meant, jwt(changed(claims, change), key)) for name, (meant, change) in changes.items()}
