"""Proves that QStash sent a request: checks its JWT over the exact body and URL against both signing keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from relay.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Collection

ISSUER = "Upstash"


@dataclass(frozen=True)
class SigningKeys:
    """QStash's two signing keys: *current* signs now, *following* after the next roll."""

    current: str
    following: str


def verify_qstash(
    signature: str | None, *, body: bytes, urls: Collection[str], keys: SigningKeys, leeway_s: int = 5
) -> None:
    """Raise unless QStash signed exactly *body* for exactly one of *urls*.

    Args:
        signature: The `Upstash-Signature` header: a JWT, three base64url parts.
        body: The request body as it came: bytes, undecoded, possibly none.
        urls: The relay's own public URLs of this request, whole, one for each of its base URLs.
        keys: The two signing keys, either of which may have signed.
        leeway_s: Clock difference to forgive on `exp`, `nbf` and `iat`, in seconds.

    Raises:
        SignatureError: For every other input; the message names the failed check.  No other error leaves this function.

    Source: https://upstash.com/docs/qstash/features/security#claims
    """
    if not signature:
        raise SignatureError("Upstash-Signature is missing")
    claims = _claims(signature, keys, leeway_s)
    if claims.get("iss") != ISSUER:
        raise SignatureError("Upstash-Signature: claim iss is wrong")
    if claims.get("sub") not in urls:
        raise SignatureError("Upstash-Signature: claim sub is not this URL")
    given = claims.get("body")
    expected = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=")
    if not isinstance(given, str) or not hmac.compare_digest(given.rstrip("=").encode(errors="replace"), expected):
        raise SignatureError("Upstash-Signature: claim body doesn't match the body")


def _claims(signature: str, keys: SigningKeys, leeway_s: int) -> dict[str, Any]:
    for key in (keys.current, keys.following):
        try:
            return jwt.decode(
                signature,
                key,
                algorithms=["HS256"],
                leeway=leeway_s,
                options={
                    "require": ["iss", "sub", "exp", "nbf", "body"],
                    "verify_iss": False,
                    "verify_sub": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.ExpiredSignatureError:
            raise SignatureError("Upstash-Signature: claim exp is past") from None
        except jwt.ImmatureSignatureError:
            raise SignatureError("Upstash-Signature: claim nbf or iat is in the future") from None
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
            raise SignatureError("Upstash-Signature is malformed") from None
    raise SignatureError("Upstash-Signature: neither signing key made it")
