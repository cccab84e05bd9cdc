"""Without a secret that can be used nobody is let in, whatever the scheme is and whatever is sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.schemes import built_in_schemes
from relay.errors import SignatureError
from relay.verification.request import InboundRequest
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify
from tests.unit.relay.signed import NOW, URL

BODY = b'{"id": "1", "type": "a"}'
Held = str | dict[str, Any]
UNUSABLE: list[Held] = ["", "{}", {}, {"other": 7}, {"token": ""}, {"username": "", "password": ""}, "\ud800"]
OF_NOTHING = [  # what a signature, or a token, is where its secret is empty
    "",
    hmac.digest(b"", BODY, "sha256").hex(),
    hmac.digest(b"", BODY, "sha1").hex(),
    base64.b64encode(hmac.digest(b"", BODY, "sha256")).decode(),
    base64.b64encode(hmac.digest(b"", BODY, "sha512")).decode(),
    hashlib.sha256(BODY).hexdigest(),
    base64.b64encode(b":").decode(),
    "None",
]


def asked(row: dict[str, Any], signature: str) -> InboundRequest:
    """Return a request whose headers are what *row* wants around *signature*, with nothing in place of secrets."""
    headers: dict[str, str] = {"content-type": "application/json"}
    query = ""
    given = row.get("signature") or []
    for template in [given] if isinstance(given, str) else given:
        place, _, text = template.partition(": ")
        value = re.sub(r"\{secret[^}]*\}", "", text).replace("{time}", str(int(NOW)))
        value = re.sub(r"\{(hex|HEX|base64|base64url|text|jwt)\}", lambda _: signature, value)
        kind, colon, name = place.partition(":")
        if not colon:
            headers[place.lower().replace("*", "x")] = value
        elif kind == "query":
            query = f"?{name}={value}"
    for place, text in (row.get("requires") or {}).items():
        headers[place.partition("|")[0].lower()] = re.sub(r"\{secret[^}]*\}", "", text)
    if row.get("time") and ":" not in row["time"]:
        headers[row["time"].lower()] = str(int(NOW))
    return InboundRequest(method="POST", urls=[URL + query], headers=headers, body=BODY)


def is_let_in(row: dict[str, Any], request: InboundRequest, held: Held | None) -> bool:
    try:
        said = verify(Row.of(row), request, [] if held is None else [Secret(held)], at=NOW)
    except SignatureError:
        return False
    return isinstance(said, WebhookInfo)


@pytest.mark.parametrize("held", ["{}", '{"other": "x", "more": "y"}', ""])
@pytest.mark.parametrize("sent", ["key=", "key=None", "key"])
def test_a_token_around_a_secret_that_is_not_there_is_nobodys(held: str, sent: str) -> None:
    row = {"algorithm": "token", "signature": "X-Token: {text}", "signs": "key={secret}"}
    request = InboundRequest(method="POST", urls=[URL], headers={"x-token": sent}, body=BODY)

    assert not is_let_in(row, request, held)


@pytest.mark.parametrize("name", sorted(built_in_schemes()))
def test_no_scheme_lets_anybody_in_without_a_usable_secret(name: str) -> None:
    row = built_in_schemes()[name].row()
    if name == "none" or row.get("algorithm") == "none":
        pytest.skip("it asks for no proof, and says so")

    let_in = [
        (signature, held)
        for signature in OF_NOTHING
        for held in (None, *UNUSABLE)
        if is_let_in(row, asked(row, signature), held)
    ]

    assert let_in == []


PIECES = st.sampled_from(["", "key=", "{secret}", "{secret:token}", "{body}", ":", "v1"])
SIGNS = st.lists(PIECES, min_size=1, max_size=4).map("".join).filter(lambda it: "{secret" in it)
ALGORITHMS = st.sampled_from(["token", "sha256", "hmac-sha256", "hmac-sha1", "hmac-sha512"])
ENCODINGS = {"token": "{text}"}


@given(signs=SIGNS, algorithm=ALGORITHMS, held=st.sampled_from([None, *UNUSABLE]), sent=st.sampled_from(OF_NOTHING))
def test_no_row_of_ones_own_does_either(signs: str, algorithm: str, held: Held | None, sent: str) -> None:
    row = {"algorithm": algorithm, "signature": f"X-Token: {ENCODINGS.get(algorithm, '{hex}')}", "signs": signs}
    without = re.sub(r"\{secret[^}]*\}", "", signs).replace("{body}", BODY.decode())
    digest = hashlib.sha256(without.encode()).hexdigest()

    for value in (sent, without, digest):
        request = InboundRequest(method="POST", urls=[URL], headers={"x-token": value}, body=BODY)
        assert not is_let_in(row, request, held)
