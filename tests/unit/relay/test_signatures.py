"""The engine over scheme rows: what it accepts, and why it refuses the rest."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from infra.config.schemes import built_in_schemes
from infra.local.sources.request import SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import signed as signed_request
from relay.errors import SignatureError, UnusableSecret
from relay.verification.request import InboundRequest
from relay.verification.secret import Secret
from relay.verification.signatures import check_signature, moment_of
from tests.unit.relay.signed import ACME, GITHUB, NOW, ROWS, STRIPE, URL, acme, github, received, refusal, stripe

# -- what is accepted -------------------------------------------------------------------------------------------------


def test_githubs_published_example_is_accepted() -> None:
    """The vector of GitHub's own documentation: https://docs.github.com/en/webhooks."""
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}

    check_signature(GITHUB, received(headers, b"Hello, World!"), [Secret("It's a Secret to Everybody")], at=NOW)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_signed(body: bytes) -> None:
    """A signature covers bytes, not text."""
    check_signature(GITHUB, received(github(body, "s"), body), [Secret("other"), Secret("s")], at=NOW)
    check_signature(ACME, received(acme(body, "s"), body), [Secret("s")], at=NOW)


def test_any_of_several_secrets_and_any_of_several_signatures_may_match() -> None:
    """Both ends rotate: the source signs with old and new, and we hold old and new."""
    request = received({"Stripe-Signature": stripe(b"{}", "older", "newer")})

    check_signature(STRIPE, request, [Secret("newest"), Secret("newer")], at=NOW)
    assert refusal(STRIPE, request, "newest").reason == "bad_signature"


def test_items_that_the_scheme_doesnt_know_are_ignored() -> None:
    header = f"v0=aa,{stripe(b'{}', 's')},v2=??"

    check_signature(STRIPE, received({"Stripe-Signature": header}), [Secret("s")], at=NOW)


@pytest.mark.parametrize("age", [-300, 0, 300])
def test_a_signed_time_within_the_tolerance_is_accepted(age: int) -> None:
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - age)})

    check_signature(STRIPE, request, [Secret("s")], at=NOW)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "reason"), [(301, "expired_timestamp"), (-301, "future_timestamp")])
def test_a_signed_time_out_of_the_tolerance_is_refused(age: int, reason: str) -> None:
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - age)})

    error = refusal(STRIPE, request, "s")

    assert error.reason == reason
    assert "301 s" in str(error)


def test_a_time_that_nobody_signed_says_nothing_of_staleness() -> None:
    """Else a stranger's request would look like a slow clock."""
    request = received({"Stripe-Signature": stripe(b"{}", "stranger", at=NOW - 9999)})

    assert refusal(STRIPE, request, "s").reason == "bad_signature"


def test_the_right_mac_under_another_version_is_refused() -> None:
    """A request never chooses its algorithm."""
    request = received({"Stripe-Signature": stripe(b"{}", "s", version="v0")})

    assert refusal(STRIPE, request, "s").reason == "malformed_header"


def test_a_weaker_signature_beside_doesnt_count() -> None:
    """GitHub sends SHA-1, too."""
    mac = hmac.new(b"s", b"{}", hashlib.sha1).hexdigest()

    assert refusal(GITHUB, received({"X-Hub-Signature": f"sha1={mac}"}), "s").reason == "missing_header"
    assert refusal(GITHUB, received({"X-Hub-Signature-256": f"sha1={mac}"}), "s").reason == "malformed_header"
    assert refusal(GITHUB, received({"X-Hub-Signature-256": f"sha256={mac}"}), "s").reason == "bad_signature"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "missing"),
        ({"x-hub-signature-256": ""}, "missing"),
        ({"x-hub-signature-256": "sha1=00"}, "malformed"),
        ({"x-hub-signature-256": "sha256="}, "malformed"),
        ({"x-hub-signature-256": "sha256=0 0"}, "malformed"),
        ({"x-hub-signature-256": "sha256=zz"}, "malformed"),
        ({"x-hub-signature-256": "sha256=0"}, "malformed"),
        ({"x-hub-signature-256": "sha256=\u0661\u0661"}, "malformed"),
        ({"x-hub-signature-256": "sha256=00"}, "doesn't match"),
        (github(b"other"), "doesn't match"),
        (github(b"{}", "wrong"), "doesn't match"),
    ],
)
def test_a_refusal_names_the_failed_check_and_nothing_else(headers: dict[str, str], said: str) -> None:
    """No expected value, no body."""
    error = refusal(GITHUB, received(headers), "It's a Secret to Everybody")

    assert str(error) in {f"X-Hub-Signature-256 is {said}", f"X-Hub-Signature-256 {said}"}


@pytest.mark.parametrize("flipped", ["+", "/", "A"])
def test_a_signature_has_one_spelling(flipped: str) -> None:
    """The last digit of base64 has bits that decoding drops: whoever changed them changed the signature."""
    given = acme(b"{}", "s")["X-Acme-Signature"]

    error = refusal(ACME, received({"X-Acme-Signature": given[:-3] + flipped + "=="}), "s")

    assert error.reason in {"malformed_header", "bad_signature"}


def test_without_a_secret_nothing_is_accepted() -> None:
    error = refusal(GITHUB, received(github(b"{}", "")))

    assert (type(error), error.status, error.reason) == (UnusableSecret, 503, "no_secret")


@pytest.mark.parametrize("value", ["not base64!", "whsec_"])
def test_a_secret_that_cant_be_a_key_is_its_owners_to_mend(value: str) -> None:
    headers = {"webhook-id": "a", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"}

    assert refusal(ROWS["standard-webhooks"], received(headers), value).status == 503


def test_the_refusal_that_says_most_is_told_of_several_secrets() -> None:
    """One secret signed it, too long ago; the other isn't of this world."""
    request = received({"Stripe-Signature": stripe(b"{}", "s", at=NOW - 999)})
    standard = received({"webhook-id": "a", "webhook-timestamp": str(NOW), "webhook-signature": "v1,AAAA"})

    assert refusal(STRIPE, request, "s", "other").reason == "expired_timestamp"
    assert refusal(STRIPE, request, "other", "s").reason == "expired_timestamp"
    assert refusal(ROWS["standard-webhooks"], standard, "whsec_AAAA", "not base64!").reason == "bad_signature"
    assert refusal(ROWS["standard-webhooks"], standard, "not base64!", "whsec_AAAA").reason == "bad_signature"


def test_a_secret_that_lacks_a_part_doesnt_keep_another_from_counting() -> None:
    body = b'{"time_ms":%d}' % (NOW * 1000)
    headers = {"X-Pusher-Key": "k", "X-Pusher-Signature": hmac.digest(b"s", body, "sha256").hex()}

    for order in ((0, 1), (1, 0)):
        held = [Secret("plain"), Secret({"key": "k", "secret": "s"})]
        check_signature(ROWS["pusher"], received(headers, body), [held[it] for it in order], at=NOW)


def test_the_first_of_two_times_counts() -> None:
    header = stripe(b"{}", "s") + f",t={NOW + 1}"

    check_signature(STRIPE, received({"Stripe-Signature": header}), [Secret("s")], at=NOW)


def test_no_more_than_a_hundred_signatures_are_looked_at() -> None:
    """Each costs a comparison, and a stranger may send as many as fit."""
    right = hmac.new(b"s", f"{NOW}.".encode() + b"{}", hashlib.sha256).hexdigest()
    many = ",".join([f"t={NOW}", *["v1=" + "0" * 64] * 200, f"v1={right}"])

    assert refusal(STRIPE, received({"Stripe-Signature": many}), "s").reason == "bad_signature"


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orb writes none; the zone of the machine is nobody's business."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment_of("2026-11-23T12:00:00.000000", "iso-utc") == NOW
        assert moment_of("2026-11-23T12:00:00.000000", "iso") is None
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_key_of_another_curve_counts_for_nothing() -> None:
    """The algorithm says P-256; a key that is stronger is none of the scheme's, either."""
    body = b"[]"
    for curve, good in ((ec.SECP256R1(), True), (ec.SECP384R1(), False)):
        key = ec.generate_private_key(curve)
        shown = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        signature = key.sign(f"{NOW}".encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": str(NOW),
        }
        secrets = [Secret(base64.b64encode(shown).decode())]
        if good:
            check_signature(ROWS["sendgrid"], received(headers, body), secrets, at=NOW)
        else:
            with pytest.raises(SignatureError):
                check_signature(ROWS["sendgrid"], received(headers, body), secrets, at=NOW)


@pytest.mark.parametrize("scheme", ["square", "trello", "qstash"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_any_of_the_relays_own_urls_may_be_the_one_that_was_signed(scheme: str, order: tuple[int, int]) -> None:
    """With a domain in front both that URL and the API's own are registered somewhere."""
    row = built_in_schemes()[scheme].row()
    held = Secret(made_up(row))
    sent = signed_request(row, SourceRequest("POST", URL, {"content-type": "application/json"}, b"{}"), held, NOW)
    urls = [URL, "https://hooks.example.com/webhooks/acme"]

    for known, good in (([urls[it] for it in order], True), ([urls[1]], False)):
        request = InboundRequest(method="POST", urls=known, headers=sent.headers, body=sent.body)
        if good:
            check_signature(ROWS[scheme], request, [held], at=NOW)
        else:
            with pytest.raises(SignatureError):
                check_signature(ROWS[scheme], request, [held], at=NOW)
