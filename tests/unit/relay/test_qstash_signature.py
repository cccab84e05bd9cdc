"""Proof that QStash sent a request, and that nothing else passes for it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import SignatureError
from relay.qstash.signature import SigningKeys, verify_qstash

KEYS = SigningKeys("sig_current_current_current_current", "sig_next_next_next_next_next_next")
URL = "https://relay.example.com/qstash/callback/a/b/c/d"
BODY = b'{"status": 200}'


def body_hash(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode()


def token(key: str = KEYS.current, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "Upstash",
        "sub": URL,
        "aud": "",
        "exp": now + 300,
        "iat": now,
        "nbf": -62135596800,
        "jti": "jwt_1",
        "body": body_hash(BODY),
    }
    claims |= changes
    return jwt.encode({name: it for name, it in claims.items() if it is not ...}, key, algorithm="HS256")


def check(signature: str | None, body: bytes = BODY, url: str = URL) -> None:
    verify_qstash(signature, body=body, urls=["https://other.example.com/x", url], keys=KEYS)


@pytest.mark.parametrize("key", [KEYS.current, KEYS.following])
def test_either_key_may_have_signed(key: str) -> None:
    """Always both keys: QStash rolls them."""
    check(token(key))


def test_the_body_hash_may_lack_its_padding() -> None:
    """Real tokens have it, the documentation doesn't say."""
    check(token(body=body_hash(b"").rstrip("=")), body=b"")
    check(token(body=body_hash(b"")), body=b"")


@pytest.mark.parametrize("signature", [None, ""])
def test_a_missing_signature_is_refused(signature: str | None) -> None:
    """Never open."""
    with pytest.raises(SignatureError, match="missing"):
        check(signature)


def test_an_unsigned_token_is_refused() -> None:
    """The header chooses no algorithm."""
    with pytest.raises(SignatureError, match="malformed"):
        check(jwt.encode({"iss": "Upstash"}, "", algorithm="none"))


def test_somebody_elses_token_is_refused() -> None:
    """Signed, but by neither key."""
    with pytest.raises(SignatureError, match="neither signing key"):
        check(token("sig_somebody_elses_somebody_elses_key"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iss": "Downstash"}, "iss"),
        ({"sub": URL + "/"}, "sub"),
        ({"sub": "https://relay.example.com/qstash/failure/a/b/c/d"}, "sub"),
        ({"body": body_hash(b"other")}, "body"),
        ({"exp": -60}, "exp"),
        ({"nbf": 60}, "nbf"),
        ({"iat": 60}, "iat"),
        ({"sub": ...}, "malformed"),
        ({"exp": ...}, "malformed"),
        ({"nbf": ...}, "malformed"),
    ],
)
def test_a_refusal_names_the_failed_check(changes: dict[str, Any], says: str) -> None:
    """Exact URL, exact body, in time, by QStash.  Numbers are seconds from now."""
    now = int(time.time())
    changes = {name: it + now if isinstance(it, int) else it for name, it in changes.items()}

    with pytest.raises(SignatureError, match=says):
        check(token(**changes))


def test_another_body_is_refused() -> None:
    """The hash covers the bytes."""
    with pytest.raises(SignatureError, match="body"):
        check(token(), body=BODY + b" ")


def test_a_small_clock_difference_is_forgiven() -> None:
    """Clocks differ by seconds."""
    check(token(exp=int(time.time()) - 2, iat=int(time.time()) + 2))


any_value = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(
    st.dictionaries(st.sampled_from(["iss", "sub", "exp", "nbf", "iat", "body", "aud", "jti"]), any_value, min_size=1)
)
def test_odd_claims_raise_the_one_error_or_none(claims: dict[str, Any]) -> None:
    """A signed claim of a wrong type must not become a stack trace."""
    now = int(time.time())
    plain = {"iss": "Upstash", "sub": URL, "exp": now + 300, "nbf": 0, "body": "x"} | claims
    signed = jwt.api_jws.encode(json.dumps(plain).encode(), KEYS.current, algorithm="HS256")

    with pytest.raises(SignatureError):
        check(signed)


@given(st.text())
def test_any_text_raises_the_one_error(text: str) -> None:
    """The header is anybody's to write."""
    with pytest.raises(SignatureError):
        check(text)
