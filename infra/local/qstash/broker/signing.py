"""QStash's signature: a JWT over the URL and the body of one attempt.

Source: https://upstash.com/docs/qstash/features/security#claims
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import secrets

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LIFETIME_S = 300
# Go's zero time: what the real service sends since it dropped "not before".
NOT_BEFORE_S = -62_135_596_800


def random_id() -> str:
    """Return the 28 characters that every id of QStash ends in."""
    return _base58(b"\x01" + secrets.token_bytes(20))


def message_id() -> str:
    """Return a new message id: base58 of a protobuf that holds a shard's name and a random id."""
    shard, inner = b"qstash-shard-0", random_id().encode()
    return "msg_" + _base58(bytes([0x0A, len(shard)]) + shard + bytes([0x12, len(inner)]) + inner)


def sign(*, key: str, url: str, body: bytes, now_s: float) -> str:
    """Return the ``Upstash-Signature`` of one attempt.

    Args:
        key: The current signing key, whole (``sig_…``).
        url: The destination as it was given, query included.
        body: Exactly what is sent.
        now_s: Unix seconds; floored, because receivers refuse an ``iat`` in the future.
    """
    issued = math.floor(now_s)
    claims = {
        "aud": "",
        "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        "exp": issued + LIFETIME_S,
        "iat": issued,
        "iss": "Upstash",
        "jti": f"jwt_{random_id()}",
        "nbf": NOT_BEFORE_S,
        "sub": url,
    }
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    mac = hmac.digest(key.encode(), signed.encode(), "sha256")
    return f"{signed}.{_unpadded(mac)}"


def _part(value: dict[str, object]) -> str:
    return _unpadded(json.dumps(value, separators=(",", ":")).encode())


def _unpadded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _base58(value: bytes) -> str:
    number, text = int.from_bytes(value), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text
