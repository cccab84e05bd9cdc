"""The engine over scheme rows: total over every input, and quiet about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import SignatureError
from relay.verification.request import InboundRequest
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify
from tests.examples import examples
from tests.unit.relay.signed import JSONS, NOW, ROWS, TEXTS, URL, received

if TYPE_CHECKING:
    from relay.verification.handshakes import HandshakeAnswer
    from relay.verification.scheme import Row


def _names(row: Row) -> list[str]:
    """Return the headers that *row* looks at."""
    known = {
        *("content-type", "authorization", "x-hook-secret", "x-okta-verification-challenge", "x-pusher-key"),
        *("paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-cert-url"),
        *("paypal-auth-algo", "x-contentful-signed-headers", "box-signature-version", "box-signature-algorithm"),
        *("x-plivo-signature-v3-nonce", "x-plivo-signature-v2-nonce", "twitch-eventsub-message-type"),
    }
    return sorted({it.place.rstrip("*").lower() for it in row.spots if ":" not in it.place} | row.headers | known)


KEYS = (
    *(
        "notificationItems",
        "NotificationRequestItem",
        "additionalData",
        "hmacSignature",
        "value",
        "clientState",
        "Type",
    ),
    *("Message", "MessageId", "Timestamp", "TopicArn", "Signature", "SigningCertURL", "SignatureVersion", "signature"),
    *("timestamp", "token", "type", "event", "events", "webhookTimestamp", "time_ms", "challenge", "id", "payload"),
)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSONS.map(lambda it: repr(it).encode(errors="replace")),
    st.dictionaries(st.sampled_from(KEYS), JSONS, max_size=8).map(lambda it: json.dumps(it).encode()),
    st.sampled_from(
        [
            b"--x\r\nContent-Disposition: form-data; name=json\r\n\r\n{}\r\n--x--",
            b"--x\r\nContent-Disposition\r\n\r\n",
            b"bt_signature=a%7C00&bt_payload=AA==",
            b"timestamp=1&token=&signature=00",
            b"&" * 300,
            b"[" * 100_000,
            b"1" * 5000,
            b'{"value":[{"clientState":"\\ud800"}]}',
            b"\x1f\x8b\x08\x00rest",
        ]
    ),
)
SECRETS = st.one_of(
    st.text(min_size=1, max_size=20),
    st.sampled_from(["whsec_AAAA", "aa" * 32, "[", "{", "{}", '{"a": 1}', "AAAA"]),
    st.dictionaries(
        st.sampled_from(
            [
                *(
                    "public_key",
                    "private_key",
                    "client_state",
                    "topic_arn",
                    "signing_cert_pem",
                    "cert_pem",
                    "webhook_id",
                ),
                *("jwk", "client_id", "secret", "username", "password", "primary", "current", "api_key", "api_secret"),
            ]
        ),
        st.one_of(TEXTS, JSONS),
        max_size=4,
    ),
)


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=examples(40))  # of each scheme
@given(data=st.data())
def test_every_input_is_answered_or_refused_with_the_one_error(name: str, data: st.DataObject) -> None:
    """For every scheme, whatever anybody sends, and whatever the secret is."""
    row = ROWS[name]
    request = InboundRequest(
        method=data.draw(st.sampled_from(["POST", "GET", "HEAD", "PUT", ""])),
        urls=data.draw(st.lists(st.one_of(st.just(URL + "?a=1&challenge=x"), TEXTS), max_size=2)),
        headers=data.draw(st.dictionaries(st.sampled_from(_names(row)), TEXTS, max_size=6)),
        body=data.draw(BODIES),
    )
    secrets = [Secret(it) for it in data.draw(st.lists(SECRETS, max_size=2))]
    said: HandshakeAnswer | WebhookInfo | SignatureError
    try:
        said = verify(row, request, secrets, at=NOW)
    except SignatureError as error:
        said = error
    assert not isinstance(said, SignatureError) or (said.status in {401, 403, 503} and len(str(said)) < 200)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("part", [None, "client_state", "clientState", "private_key", "secret", "username"])
def test_half_a_character_is_no_secret(name: str, part: str | None) -> None:
    """JSON may hold one, and no bytes are it: nothing is signed by it, and nothing breaks."""
    held = "\ud800" if part is None else {part: "\ud800"}
    request = received({}, b'{"value":[{"clientState":"\\ud800"}]}')

    with pytest.raises(SignatureError):
        verify(ROWS[name], request, [Secret(held)], at=NOW)


@given(value=st.text(max_size=40), body=st.binary(max_size=40))
def test_a_refusal_repeats_nothing_of_the_secret_or_the_request(value: str, body: bytes) -> None:
    for row in ROWS.values():
        request = received(dict.fromkeys(_names(row), f"Bearer {value}canary"), body)
        said = ""
        try:
            verify(row, request, [Secret("hush-hush")], at=NOW)
        except SignatureError as error:
            said = str(error)
        assert "canary" not in said
        assert "hush-hush" not in said


def test_a_secret_doesnt_show() -> None:
    assert "hush" not in f"{Secret('hush')} {Secret('hush')!r}"
