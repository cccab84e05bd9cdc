"""`relay secret set`: the form that a scheme wants, and secrets of several parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cli import schemes
from infra.config.schemes import built_in_schemes
from infra.local.sources.secrets import made_up
from tests.unit.cli.conftest import values

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

ANY_32_BYTES = "00" * 32
WRONG = [
    ("box", "s3cr3t", '{"primary": "…", "secondary": "…"}'),
    ("box", '{"secret": "s3cr3t"}', '{"primary": "…", "secondary": "…"}'),
    ("discord", "abc", "32 bytes as hex digits"),
    ("discord", "abcd", "32 bytes as hex digits"),
    ("discord", ANY_32_BYTES + "00", "32 bytes as hex digits"),
    ("telnyx", "!", "32 bytes as base64"),
    ("sendgrid", "abcd", "P-256"),
    ("standard-webhooks", "whsec_!", "base64, with or without whsec_"),
    ("standard-webhooks", '{"a": "YWJj", "b": "YWJj"}', "one text"),
    ("meta", '{"a": "s3cr3t", "b": "s3cr3t"}', '{"app_secret": "…"}'),
    ("adyen-balance-platform", "xyz", "hex digits"),
    ("adyen", "xyz", "hex digits"),
    ("adyen", '{"a": "00", "b": "00"}', "hex digits"),
    ("aws-sns", "hello", "begins with arn:"),
    ("aws-sns", '{"signing_cert_pem": "s3cr3t"}', "begins with arn:"),
    ("paypal", '{"cert_pem": "s3cr3t"}', "webhook's id"),
    ("ms-graph", '{"a": "s3cr3t", "b": "s3cr3t"}', "clientState"),
    ("plaid", "s3cr3t", '{"client_id": "…", "secret": "…"}'),
    ("plaid", '{"client_id": "s3cr3t"}', '{"client_id": "…", "secret": "…"}'),
    ("plaid", '{"jwk": "s3cr3t"}', '{"client_id": "…", "secret": "…"}'),
    ("pusher", "s3cr3t", '{"secret": "…", "key": "…"}'),
    ("livekit", '{"api_secret": "s3cr3t"}', '{"api_secret": "…", "api_key": "…"}'),
    ("braintree", '{"private_key": "s3cr3t"}', '{"private_key": "…", "public_key": "…"}'),
    ("basic", "s3cr3t", '{"username": "…", "password": "…"}, or user:password'),
    ("token", '{"a": "s3cr3t", "b": "s3cr3t"}', "one text"),
    ("vonage", '{"a": "s3cr3t", "b": "s3cr3t"}', "one text"),
]
RIGHT = [
    ("box", '{"primary":"a"}'),
    ("box", '{"secondary":"b"}'),
    ("discord", ANY_32_BYTES),
    ("standard-webhooks", "YWJj"),
    ("openai", "any text"),
    ("meta", "one text"),
    ("aws-sns", "arn:aws:sns:eu-central-1:123456789012:orders"),
    ("paypal", "8PT597110X687430LKGECATA"),
    ("plaid", '{"client_id":"c","secret":"s"}'),
    ("basic", "user:password"),
    ("qstash", '{"current":"a","next":"b"}'),
    ("github", "any text"),
    ("vonage", "any text"),
]


@pytest.mark.parametrize(("scheme", "value", "form"), WRONG)
def test_what_a_scheme_can_not_use_is_told_with_the_form_that_it_wants(scheme: str, value: str, form: str) -> None:
    problem = schemes.problem_of(value, built_in_schemes()[scheme].row())

    assert problem is not None
    assert problem.startswith("it must be ")
    assert form in problem
    assert "s3cr3t" not in problem


@pytest.mark.parametrize(("scheme", "value"), RIGHT)
def test_what_a_scheme_can_use_is_no_problem(scheme: str, value: str) -> None:
    assert schemes.problem_of(value, built_in_schemes()[scheme].row()) is None


@pytest.mark.parametrize("scheme", sorted(built_in_schemes()))
def test_what_a_provider_would_show_is_no_problem(scheme: str) -> None:
    row = built_in_schemes()[scheme].row()

    assert schemes.problem_of(made_up(row), row) is None


def test_a_jwt_that_a_private_key_signs_wants_the_public_one_as_pem() -> None:
    row = {"signature": "Authorization: Bearer {jwt}", "algorithm": "jwt-es256"}

    assert "PEM" in str(schemes.problem_of("s3cr3t", row))
    assert schemes.problem_of(made_up(row), row) is None


@pytest.mark.parametrize("row", [None, {}, {"signature": "X: {hex}", "algorithm": "of a later version"}])
def test_a_row_of_another_version_has_no_wishes(row: Any) -> None:
    assert schemes.problem_of("s3cr3t", row) is None


def test_a_secret_that_the_deployed_scheme_can_not_use_is_refused_unless_forced(deployed: Relay) -> None:
    deployed.configure(sources={"chat": {"scheme": "discord", "row": built_in_schemes()["discord"].row()}})

    refused = deployed.run("secret", "set", "chat", stdin="s3cr3t")
    assert refused.exit_code == 1
    assert "it must be the public key, 32 bytes as hex digits" in refused.stderr
    assert "docs/schemes.md" in refused.stderr
    assert "--force" in refused.stderr
    assert "s3cr3t" not in refused.output
    assert "chat" not in deployed.kept("sources")

    assert deployed.run("secret", "set", "chat", "--force", stdin="s3cr3t").exit_code == 0
    assert values(deployed, "chat") == ["s3cr3t"]
    assert deployed.run("secret", "set", "chat", stdin=ANY_32_BYTES).exit_code == 0
    assert values(deployed, "chat")[0] == ANY_32_BYTES


# -- several parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('{"username": "u", "password": "p"}', '{"password":"p","username":"u"}'),
        ('{\n  "secondary": "b",\n  "primary": "a"\n}\n', '{"primary":"a","secondary":"b"}'),
        (' {"a":"b"} ', '{"a":"b"}'),
        ('{"password": "grün \\n"}', '{"password":"gr\\u00fcn \\n"}'),
        (
            '{"jwk": {"kty": "EC", "expired_at": null, "created_at": 1560466150}, "client_id": "c"}',
            '{"client_id":"c","jwk":{"created_at":1560466150,"expired_at":null,"kty":"EC"}}',
        ),
        ('{"jwk": "text"}', '{"jwk":"text"}'),
    ],
)
def test_a_secret_of_several_parts_is_kept_in_one_form(undeployed: Relay, given: str, kept: str) -> None:
    shown = undeployed.run("secret", "set", "box", stdin=given)

    assert shown.exit_code == 0, shown.stderr
    assert values(undeployed, "box") == [kept]
    assert json.loads(kept) == json.loads(given)


def test_the_same_parts_in_another_order_are_the_same_secret(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "box", stdin='{"primary": "a", "secondary": "b"}')

    again = undeployed.run("secret", "set", "box", "--json", stdin='{"secondary":"b","primary":"a"}')

    assert json.loads(again.stdout)["changed"] is False
    assert len(values(undeployed, "box")) == 1


@pytest.mark.parametrize(
    "given",
    [
        "{s3cr3t",
        '{"s3cr3t"}',
        '{"a": "s3cr3t",}',
        '{"a": "s3cr3t"} {"b": "s3cr3t"}',
        '{"a": "s3cr3t", "a": "s3cr3t-2"}',
        '{"jwk": {"s3cr3t": NaN}}',
        '{"jwk": {"s3cr3t": 1e999}}',
        '{"s3cr3t": "\\ud800"}',
        '{"a":' * 1200 + "1" + "}" * 1200,
        "{}",
        '{"s3cr3t": ""}',
        '{"s3cr3t": " \\n"}',
        '{"": "s3cr3t"}',
        '{"s3cr3t": 1}',
        '{"s3cr3t": null}',
        '{"a": ["s3cr3t"]}',
        '{"a": {"b": "s3cr3t"}}',
        '{"jwk": {}}',
        '{"jwk": ["s3cr3t"]}',
        '{"a": "' + "s3cr3t" * 700 + '"}',
    ],
    ids=lambda it: it[:30],
)
def test_parts_that_are_no_texts_are_refused_without_being_shown(undeployed: Relay, given: str) -> None:
    shown = undeployed.run("secret", "set", "box", stdin=given)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: the secret ")
    assert shown.stderr.count("\n") == 1
    assert "s3cr3t" not in shown.output
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("sources")


def test_qstash_has_one_token_and_no_parts(undeployed: Relay) -> None:
    undeployed.run("secret", "set", "qstash", "--force", stdin='{"b":"x","a":"y"}')

    assert undeployed.kept("qstash") == {"token": '{"b":"x","a":"y"}'}
