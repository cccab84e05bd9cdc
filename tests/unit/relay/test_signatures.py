"""The engine over scheme rows: what it accepts, and that it refuses everything else in one way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import SignatureError
from relay.signatures import Row, describe, sign, verify

GITHUB = Row.of(
    {
        "signature": "X-Hub-Signature-256: sha256={hex}",
        "algorithm": "hmac-sha256",
        "id": "X-GitHub-Delivery",
        "type": ["X-GitHub-Event", "body:action"],
        "forward": ["X-GitHub-*", "X-Hub-Signature-256"],
        "timeout_s": 10,
    }
)
ACME = Row.of(
    {
        "signature": "X-Acme-Signature: {base64}",
        "algorithm": "hmac-sha512",
        "id": "body:order.id",
        "type": "body:kind",
        "forward": [],
        "timeout_s": 5,
    }
)


def github_headers(body: bytes, secret: str = "It's a Secret to Everybody") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "x-github-event": "push", "x-github-delivery": "d-1"}


def test_githubs_published_example_is_accepted() -> None:
    """The vector of GitHub's own documentation: https://docs.github.com/en/webhooks."""
    headers = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}

    verify(GITHUB, headers=headers, body=b"Hello, World!", secrets=["It's a Secret to Everybody"])


@given(st.binary(max_size=200))
def test_any_bytes_can_be_signed(body: bytes) -> None:
    """A signature covers bytes, not text."""
    verify(GITHUB, headers=github_headers(body, "s"), body=body, secrets=["other", "s"])
    name, value = sign(ACME, "s", body)
    verify(ACME, headers={name.lower(): value}, body=body, secrets=["s"])
    assert base64.b64decode(value) == hmac.digest(b"s", body, "sha512")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing"),
        ({"x-hub-signature-256": ""}, "malformed"),
        ({"x-hub-signature-256": "sha1=00"}, "malformed"),
        ({"x-hub-signature-256": "sha256="}, "malformed"),
        ({"x-hub-signature-256": "sha256=0 0"}, "malformed"),
        ({"x-hub-signature-256": "sha256=zz"}, "malformed"),
        ({"x-hub-signature-256": "sha256=\u0661\u0661"}, "malformed"),
        ({"x-hub-signature-256": "sha256=00"}, "doesn't match"),
        (github_headers(b"other"), "doesn't match"),
        (github_headers(b"{}", "wrong"), "doesn't match"),
    ],
)
def test_a_refusal_names_the_failed_check_and_nothing_else(headers: dict[str, str], reason: str) -> None:
    """No expected value, no body."""
    with pytest.raises(SignatureError) as refused:
        verify(GITHUB, headers=headers, body=b"{}", secrets=["It's a Secret to Everybody"])

    assert str(refused.value) in {f"X-Hub-Signature-256 is {reason}", f"X-Hub-Signature-256 {reason}"}


@given(st.text(), st.binary(max_size=50), st.sampled_from([GITHUB, ACME]))
def test_every_input_is_refused_with_the_one_error(value: str, body: bytes, row: Row) -> None:
    """Nothing that anyone can send raises anything else."""
    with pytest.raises(SignatureError):
        verify(row, headers={row.header.lower(): row.prefix + value}, body=body, secrets=["s"])


def test_without_a_secret_nothing_is_accepted() -> None:
    """Closed, never open."""
    with pytest.raises(SignatureError):
        verify(GITHUB, headers=github_headers(b"{}", ""), body=b"{}", secrets=[])


def test_the_type_joins_header_and_action() -> None:
    """pull_request.opened, as GitHub's documentation calls it."""
    headers = github_headers(b"") | {"x-github-event": "pull_request"}

    said = describe(GITHUB, headers=headers, body=b'{"action": "opened"}')

    assert said.event_type == "pull_request.opened"
    assert said.idempotency_key == "d-1"


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000])
def test_broken_json_has_the_type_unknown(body: bytes) -> None:
    """It is accepted all the same."""
    assert describe(GITHUB, headers=github_headers(b""), body=body).event_type == "unknown"


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b'"x"', b"{}", b'{"action": null}', b'{"action": {}}', b'{"action": true}']
)
def test_a_body_without_the_field_leaves_it_out(body: bytes) -> None:
    """The header alone is the type."""
    assert describe(GITHUB, headers=github_headers(b""), body=body).event_type == "push"


def test_an_id_in_the_body_is_found_and_without_one_the_bytes_decide() -> None:
    """Without an id, the same bytes are the same event."""
    assert describe(ACME, headers={}, body=b'{"order": {"id": 7}}').idempotency_key == "7"
    one = describe(ACME, headers={}, body=b"a").idempotency_key
    assert one == "sha256:" + hashlib.sha256(b"a").hexdigest()
    assert one != describe(ACME, headers={}, body=b"b").idempotency_key


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["order", "id", "kind"]), inner),
    )
)
def test_whatever_the_body_says_can_be_stored(value: object) -> None:
    """Lone surrogates, huge ids and types included."""
    said = describe(ACME, headers={}, body=json.dumps(value).encode())

    assert said.idempotency_key.encode()
    assert len(said.idempotency_key) <= 300
    assert 0 < len(said.event_type.encode().decode()) <= 200


def test_only_forwarded_headers_are_kept() -> None:
    """A cookie or an authorization header is never recorded."""
    headers = github_headers(b"") | {"authorization": "Basic x", "cookie": "a=b", "x-github-hook-id": "9"}

    said = describe(GITHUB, headers=headers, body=b"{}")

    assert set(said.headers) == {"x-hub-signature-256", "x-github-event", "x-github-delivery", "x-github-hook-id"}


@pytest.mark.parametrize("template", ["X-Sig", "X-Sig: {rot13}", "X Sig: {hex}", "{hex}", "X-Sig: {hex}{hex}"])
def test_a_template_that_is_none_is_refused(template: str) -> None:
    """A row is checked when it is read."""
    with pytest.raises(ValueError, match="signature must look like"):
        Row.of(
            {"signature": template, "algorithm": "hmac-sha256", "id": None, "type": [], "forward": [], "timeout_s": 1}
        )
