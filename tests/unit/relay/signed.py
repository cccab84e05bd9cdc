"""Schemes' rows, requests that are signed by them, and texts and JSON such as strangers send."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import strategies as st

from infra.config.schemes import built_in_schemes
from relay.errors import SignatureError
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.signatures import check_signature

NOW = 1_795_435_200
ROWS = {name: Row.of(it.row()) for name, it in built_in_schemes().items()}
GITHUB = ROWS["github"]
STRIPE = ROWS["stripe"]
ACME = Row.of(
    {
        "signature": "X-Acme-Signature: {base64}",
        "algorithm": "hmac-sha512",
        "id": "body:order.id",
        "type": "body:kind",
        "timeout_s": 5,
    }
)
URL = "https://relay.example.com/webhooks/acme"
SCRAPS = st.sampled_from(
    [
        *("", ",", "=", "t=", "v1=", "v1,", "v0=", "sha256=", "Bearer ", "JWT ", "Basic ", "t=1795435200,v1=aa", "1"),
        *("1795435200", "1795435200000", "2026-11-23T12:00:00Z", "9" * 40, "1e400", "nan", "\x00", "\ud800", "é"),
        *("eyJhbGciOiJIUzI1NiJ9.e30.AA", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "SHA256withRSA", "HmacSHA256"),
        *("https://sns.us-east-1.amazonaws.com/x.pem", "https://api.paypal.com/x", "https://[", "AAAA", "aa" * 32),
        *(
            "application/json",
            "multipart/form-data; boundary=x",
            "multipart/mixed",
            "application/x-www-form-urlencoded",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=30), st.lists(SCRAPS, max_size=4).map("".join))
JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda it: st.one_of(st.lists(it, max_size=3), st.dictionaries(TEXTS, it, max_size=3)),
    max_leaves=6,
)


def received(headers: dict[str, str], body: bytes = b"{}", url: str = URL, method: str = "POST") -> InboundRequest:
    return InboundRequest(
        method=method, urls=[url], headers={name.lower(): it for name, it in headers.items()}, body=body
    )


def refusal(row: Row, request: InboundRequest, *secrets: str | dict[str, Any], at: float = NOW) -> SignatureError:
    with pytest.raises(SignatureError) as refused:
        check_signature(row, request, list(map(Secret, secrets)), at=at)
    return refused.value


def github(body: bytes, secret: str = "It's a Secret to Everybody") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "x-github-event": "push", "x-github-delivery": "d-1"}


def stripe(body: bytes, *secrets: str, at: int = NOW, version: str = "v1") -> str:
    macs = [hmac.new(it.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() for it in secrets]
    return ",".join([f"t={at}", *(f"{version}={it}" for it in macs)])


def acme(body: bytes, secret: str) -> dict[str, str]:
    return {"X-Acme-Signature": base64.b64encode(hmac.digest(secret.encode(), body, "sha512")).decode()}
