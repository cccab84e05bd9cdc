"""Refusals: what each is put down to, from the sample that is kept and from what the relay knows."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay.model.refusal import Reason
from relay.query.diagnosis import Facts, likely_cause
from tests.unit.relay.refusing import BASE, NOW, refused

FACTS = Facts("github", False, ("github", "Stripe-Live"), (BASE, "https://api.example.com"), None, True)


def cause(reason: Reason, facts: Facts = FACTS, **changes: Any) -> str:
    return likely_cause(refused(reason, **changes), facts)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_explained_in_one_sentence(reason: Reason) -> None:
    """In words, without a stop."""
    told = cause(reason)

    assert 40 < len(told) < 500
    assert "\n" not in told
    assert not told.endswith(".")


def test_a_source_that_never_had_a_valid_webhook_has_the_wrong_secret() -> None:
    """And which one is meant is said."""
    told = cause(Reason.BAD_SIGNATURE)

    assert told.startswith("wrong secret: no webhook of this source was ever accepted")
    assert "`relay secret set github` with the secret that github shows for this very webhook" in told


def test_never_is_only_said_where_all_were_looked_at() -> None:
    """A bounded search proves nothing of what is older."""
    assert "ever accepted" not in cause(Reason.BAD_SIGNATURE, replace(FACTS, surely=False))


def test_a_source_that_had_valid_webhooks_has_another_secret_now_or_a_proxy() -> None:
    """With the time of the last one."""
    told = cause(Reason.BAD_SIGNATURE, replace(FACTS, accepted_at=NOW - timedelta(days=1)))

    assert told.startswith("the secret was changed over there, or a proxy changes the body")
    assert "2026-01-30 09:00Z" in told


@pytest.mark.parametrize("accepted_at", [None, NOW - timedelta(days=1)])
@pytest.mark.parametrize("headers", [{"content-encoding": "gzip"}, {"content-length": "17"}, {"via": "1.1 squid"}, {}])
def test_a_body_that_isnt_signed_isnt_blamed(accepted_at: datetime | None, headers: dict[str, str]) -> None:
    """Whatever changes it, the signature stays right."""
    facts = replace(FACTS, accepted_at=accepted_at)

    told = cause(Reason.BAD_SIGNATURE, replace(facts, signs_body=False), headers=headers)

    assert not {"proxy", "body"} & set(re.findall(r"\w+", told))
    assert "`relay secret set github`" in told
    if headers or accepted_at:
        assert "body" in cause(Reason.BAD_SIGNATURE, facts, headers=headers)


def test_a_wrong_token_is_told_as_a_token() -> None:
    """Nothing was signed."""
    told = cause(Reason.WRONG_TOKEN, replace(FACTS, scheme="gitlab-token"))

    assert told.startswith("the token isn't the one that was set: ")
    assert "`relay secret set github` with the very one that gitlab-token sends" in told


def test_a_handshake_that_failed_says_what_couldnt_be_fetched_and_whom_to_ask() -> None:
    """The provider sends one by itself, and no more."""
    told = cause(Reason.HANDSHAKE_FAILED, message="confirmation: sns.eu-west-1.amazonaws.com: answered 403")

    assert "couldn't fetch the provider's confirmation URL: confirmation: sns.eu-west-1.amazonaws.com: answered" in told
    assert "SNS: request confirmation again" in told


def test_what_is_over_is_told_so() -> None:
    """A webhook was accepted after this one was refused."""
    assert "it is over" in cause(Reason.BAD_SIGNATURE, replace(FACTS, accepted_at=NOW + timedelta(minutes=1)))


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({"content-encoding": "gzip"}, "it is encoded (gzip)"),
        ({"content-length": "17"}, "17 bytes were announced and 2 came"),
        ({"via": "1.1 squid", "cf-ray": "8"}, "a proxy passed it on (via, cf-ray)"),
        ({"x-forwarded-for": "10.0.0.1, 203.0.113.9"}, "a proxy passed it on (x-forwarded-for)"),
        ({"content-type": "application/json"}, "writes the JSON anew"),
    ],
)
def test_a_proxy_that_changed_the_body_is_known_by_its_marks(headers: dict[str, str], mark: str) -> None:
    """Of a body that no longer fits its signed digest."""
    assert mark in cause(Reason.BODY_MISMATCH, headers=headers)


def test_an_encoded_body_outweighs_the_secret() -> None:
    """What can be seen comes before what is guessed."""
    told = cause(Reason.BAD_SIGNATURE, headers={"content-encoding": "gzip"})

    assert told.startswith("the body isn't the one that was signed: it is encoded (gzip)")


def test_the_gateways_own_headers_are_no_proxys_marks() -> None:
    """Every request has them."""
    ordinary = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "content-length": "2", "host": "x"}

    assert "proxy" not in cause(Reason.BAD_SIGNATURE, headers=ordinary)


@pytest.mark.parametrize("reason", [Reason.URL_MISMATCH, Reason.BAD_SIGNATURE])
def test_a_scheme_that_signs_the_url_names_the_urls_it_may_have(reason: Reason) -> None:
    """And where to say another."""
    told = cause(reason, replace(FACTS, scheme="twilio", signs_url=True))

    assert f"checks it under {BASE} or https://api.example.com" in told
    assert "`[relay] url`" in told


@pytest.mark.parametrize(
    ("reason", "headers", "told"),
    [
        (Reason.EXPIRED_TIMESTAMP, {"x-a-timestamp": "1769849600"}, "signed 400 s before it came: the sender's clock"),
        (
            Reason.EXPIRED_TIMESTAMP,
            {"x-a-timestamp": "1769849600", "date": "Sat, 31 Jan 2026 08:59:59 GMT"},
            "a queue or a proxy held it up",
        ),
        (
            Reason.EXPIRED_TIMESTAMP,
            {"x-a-timestamp": "1769849600", "date": "Sat, 31 Jan 2026 08:53:20 GMT"},
            "the sender's clock is behind",
        ),
        (Reason.FUTURE_TIMESTAMP, {"x-a-timestamp": "1769854500"}, "the sender's clock is 4,500 s ahead"),
        (Reason.EXPIRED_TIMESTAMP, {}, "the sender's clock is wrong, or the request was held up"),
    ],
)
def test_a_stale_request_says_whose_clock_and_by_how_much(reason: Reason, headers: dict[str, str], told: str) -> None:
    """The Date header tells a wrong clock from a slow way."""
    assert told in cause(reason, headers=headers)


@pytest.mark.parametrize(
    ("asked_for", "told"),
    [
        ("githb", f"did the sender mean github, at {BASE}/webhooks/github?"),
        ("GitHub", "did the sender mean github"),
        ("stripe", "did the sender mean Stripe-Live"),
        (".env", "there are: github, Stripe-Live"),
    ],
)
def test_an_unknown_source_is_told_the_nearest_name(asked_for: str, told: str) -> None:
    """Where one is near."""
    assert told in cause(Reason.UNKNOWN_SOURCE, path=f"/webhooks/{asked_for}")


def test_an_unsigned_get_is_somebodys_browser() -> None:
    """Or a redirect."""
    assert "redirect" in cause(Reason.MISSING_HEADER, method="GET")
    assert "doesn't sign" in cause(Reason.MISSING_HEADER)


@pytest.mark.parametrize("reason", [Reason.MISSING_HEADER, Reason.MALFORMED_HEADER])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_header_that_lacks_or_is_malformed_is_named_with_what_is_expected(reason: Reason, method: str) -> None:
    """The relay's own words come first; a scheme without a template has none to show."""
    facts = replace(FACTS, signature=("X-A: {hex}", "X-B: v1={hex}"))

    told = cause(reason, facts, message="X-A is amiss", method=method)
    bare = cause(reason, message="clientState is amiss", method=method)

    assert told.startswith("X-A is amiss; github expects `X-A: {hex}` or `X-B: v1={hex}`; ")
    assert bare.startswith("clientState is amiss; ")
    assert "expects" not in bare


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/webhook/github", "must have meant https://relay.example.com/webhooks/github"),
        ("/github?...", "must have meant https://relay.example.com/webhooks/github"),
        ("/.env", "a stranger looks around"),
    ],
)
def test_a_wrong_path_is_told_the_right_one(path: str, told: str) -> None:
    assert told in cause(Reason.UNKNOWN_PATH, path=path)


ENCODED: list[tuple[bytes, dict[str, str], str]] = [
    (b"{}", {"content-encoding": "gzip"}, "it is encoded (gzip)"),
    (b"\x1f\x8b\x08", {}, "it is gzip and doesn't say so"),
    ('{"name":"gr\ufffdn"}'.encode(), {}, "U+FFFD"),
    (b"{}", {"content-type": "application/json; charset=ISO-8859-1"}, "its charset is iso-8859-1, not UTF-8"),
    (b"\xef\xbb\xbf{}", {"content-type": "application/json"}, "a byte order mark"),
    (b"payload=%7B%7D", {"content-type": "application/json"}, "it is a form and says that it is JSON"),
    (b'{"a":1}', {"content-type": "application/x-www-form-urlencoded"}, "it is JSON and says that it is a form"),
]


@pytest.mark.parametrize(("body", "headers", "mark"), ENCODED, ids=[it[2] for it in ENCODED])
def test_an_encoding_is_asked_about_before_anything_is_over(body: bytes, headers: dict[str, str], mark: str) -> None:
    """Such a body fails each time, whatever else was accepted before or since."""
    for accepted_at in (None, NOW - timedelta(days=1), NOW + timedelta(minutes=1)):
        told = cause(Reason.BAD_SIGNATURE, replace(FACTS, accepted_at=accepted_at), body=body, headers=headers)

        assert mark in told
        assert "the body isn't the one that was signed" in told
        assert "it is over" not in told
        assert len(told) < 500


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a":"b=c"}', "application/json; charset=utf-8"),
        (b'"a=b"', "text/plain"),
        (b"payload=%7B%7D", "application/x-www-form-urlencoded"),
        (b"", "application/json"),
    ],
)
def test_an_ordinary_body_is_not_blamed(body: bytes, content_type: str) -> None:
    told = cause(
        Reason.BAD_SIGNATURE,
        replace(FACTS, accepted_at=NOW + timedelta(minutes=1)),
        body=body,
        headers={"content-type": content_type},
    )

    assert "it is over" in told


def test_of_a_secret_its_form_is_asked_about() -> None:
    assert "copied whole: prefix and all, no quotes" in cause(Reason.BAD_SIGNATURE)
