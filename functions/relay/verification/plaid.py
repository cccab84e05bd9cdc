"""Plaid: the public key of its JWTs, which each names by an id and Plaid's API hands out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from relay.errors import SignatureError, UnusableSecret
from relay.model.content import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.verification.secret import Secret

PLAID_HOSTS = {"production": "https://production.plaid.com", "sandbox": "https://sandbox.plaid.com"}


def plaid_jwk(
    header: Mapping[str, Any], secret: Secret, at: float, fetch: Callable[..., bytes] | None
) -> Mapping[str, Any]:
    """Return the JSON Web Key that *header* names: the secret's own, else what Plaid's API has under its id.

    Args:
        header: The JWT's, unverified.
        at: Now, in epoch seconds.
        fetch: Returns the bytes at an https URL, to which its second argument is posted as JSON.

    Raises:
        SignatureError: The header names no key of Plaid's that is valid now.

    Source: https://plaid.com/docs/api/webhooks/webhook-verification/
    """
    kid = _kid(header)
    key = secret.parts.get("jwk")
    if not isinstance(key, dict):
        key = _fetched(kid, secret, fetch)
    expired = key.get("expired_at")
    if key.get("kid") != kid or key.get("alg") != "ES256":
        raise SignatureError("Plaid-Verification: unknown key", reason="untrusted_certificate")
    if isinstance(expired, int | float) and expired <= at:
        raise SignatureError("Plaid-Verification: the key has expired", reason="untrusted_certificate")
    return key


def _kid(header: Mapping[str, Any]) -> str:
    """Return the key's id that *header* names, once its algorithm is the right one: else no key is looked for."""
    if header.get("alg") != "ES256":
        raise SignatureError("Plaid-Verification: another algorithm than the scheme's", reason="wrong_algorithm")
    kid = header.get("kid")
    if not isinstance(kid, str) or not re.fullmatch(r"[\w.-]{1,100}", kid):
        raise SignatureError("Plaid-Verification names no key", reason="malformed_header")
    return kid


def _fetched(kid: str, secret: Secret, fetch: Callable[..., bytes] | None) -> dict[str, Any]:
    host = PLAID_HOSTS.get(secret.part("environment") or "production")
    asked = {"client_id": secret.part("client_id"), "secret": secret.part("secret"), "key_id": kid}
    if host is None or not all(asked.values()):
        raise UnusableSecret("the signing secret must hold client_id and secret of Plaid's API: set it again")
    if fetch is None:
        raise SignatureError("Plaid's key can't be fetched here", reason="untrusted_certificate")
    answer = parsed(fetch(f"{host}/webhook_verification_key/get", asked))
    key = answer.get("key") if isinstance(answer, dict) else None
    if not isinstance(key, dict):
        raise SignatureError("Plaid-Verification: unknown key", reason="untrusted_certificate")
    return key
