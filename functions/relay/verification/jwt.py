"""Schemes that sign with a JWT: which algorithms, whose key, which claims.  Hides PyJWT."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import jwt
from jwt import InsecureKeyLengthWarning

from relay.errors import SignatureError, UnusableSecret
from relay.verification.scheme import JWTS
from relay.verification.secret import is_one_of
from relay.verification.templates import rendered_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.verification.request import InboundRequest
    from relay.verification.scheme import Row
    from relay.verification.secret import Secret

_REASONS = {"sub": "url_mismatch", "url_hash": "url_mismatch", "qsh": "url_mismatch", "iss": "wrong_issuer"}
_BAD_TOKEN = (jwt.PyJWTError, TypeError, ValueError, OverflowError, AttributeError, KeyError, RecursionError)


def verify_token(
    row: Row,
    token: str,
    request: InboundRequest,
    secret: Secret,
    at: float,
    fetch: Callable[..., bytes] | None,
) -> Mapping[str, Any]:
    """Return the claims of *token*, a JWT as it stands in *request*, once everything about it is right.

    Raises:
        SignatureError: Something isn't.
    """
    name = row.spots[0].place
    keys = _keys(row, token, secret, at, fetch)
    if not keys:
        raise UnusableSecret("the signing secret isn't of the form that the scheme wants: set it again")
    algorithms = [JWTS[it] for it in row.algorithms]
    decoded = (_claims(token, key, algorithms, name) for key in keys)
    claims = next((claims for claims in decoded if claims is not None), None)
    if claims is None:
        raise SignatureError(f"{name}: the signing secret didn't make it")
    _check_claims(row, claims, request, secret, name)
    _check_times(row, claims, name, at)
    return claims


def _claims(token: str, key: Any, algorithms: list[str], name: str) -> Mapping[str, Any] | None:
    """Return the claims that *key* signed; None where another key did."""
    try:
        options: Any = {"verify_signature": True, "require": []}
        options |= {f"verify_{it}": False for it in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        with warnings.catch_warnings():  # how long the key is, the provider decided
            warnings.simplefilter("ignore", InsecureKeyLengthWarning)
            return jwt.decode(token, key, algorithms=algorithms, options=options)
    except jwt.InvalidSignatureError:
        return None
    except (jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise SignatureError(f"{name}: another algorithm than the scheme's", reason="wrong_algorithm") from None
    except _BAD_TOKEN:
        raise SignatureError(f"{name} is malformed", reason="malformed_header") from None


def _keys(row: Row, token: str, secret: Secret, at: float, fetch: Callable[..., bytes] | None) -> list[Any]:
    if row.special is None or row.special.find_jwk is None:
        return [text for _, text in secret.key_texts(row.parts)]
    jwk = row.special.find_jwk(_header(token, row.spots[0].place), secret, at, fetch)
    try:
        return [jwt.PyJWK(dict(jwk), algorithm=JWTS[row.algorithms[0]])]
    except _BAD_TOKEN:
        raise UnusableSecret("the provider's public key can't be read: set the secret again") from None


def _header(token: str, name: str) -> Mapping[str, Any]:
    """Return the header of *token*, which nothing has verified yet."""
    try:
        return jwt.get_unverified_header(token)
    except _BAD_TOKEN:
        raise SignatureError(f"{name} is malformed", reason="malformed_header") from None


def _check_claims(row: Row, claims: Mapping[str, Any], request: InboundRequest, secret: Secret, name: str) -> None:
    for needed in row.needs:
        if claims.get(needed) is None:
            raise SignatureError(f"{name}: claim {needed} is missing", reason="malformed_header")
    for claim, template in row.claims:
        value = claims.get(claim)
        of_body = any("body" in field for field in template.fields)
        if value is None and of_body and not request.body:
            continue
        reason = _REASONS.get(claim, "body_mismatch" if of_body else "malformed_header")
        wanted = [it.rstrip(b"=") for it in rendered_for(template, request, secret)]
        given = value.rstrip("=").encode(errors="replace") if isinstance(value, str) else b""
        if not is_one_of(given, wanted):
            raise SignatureError(f"{name}: claim {claim} isn't what it must be", reason=reason)


def _check_times(row: Row, claims: Mapping[str, Any], name: str, at: float) -> None:
    for claim in ("exp", "nbf", "iat"):
        value = claims.get(claim)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SignatureError(f"{name}: claim {claim} is no time", reason="malformed_header")
        if claim == "exp" and at >= value + row.leeway_s:
            raise SignatureError(f"{name}: claim exp is past", reason="expired_timestamp")
        if claim != "exp" and value > at + row.leeway_s:
            raise SignatureError(f"{name}: claim {claim} is in the future", reason="future_timestamp")
