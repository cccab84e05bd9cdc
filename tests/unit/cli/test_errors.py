"""Expected errors: one line on standard error that says what to do, status 1, never a traceback."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import subprocess
import sys
from functools import reduce
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

import pytest

from tests.unit.cli.conftest import aws_variables

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Call, Relay

COMMANDS = [
    ("event", "list"),
    ("event", "show", "rly_1"),
    ("delivery", "list"),
    ("source", "list"),
    ("destination", "list"),
    ("destination", "pause", "erp"),
    ("replay", "start", "rly_1"),
    ("send", "events/github/push.json"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_a_stack_every_command_says_to_deploy(undeployed: Relay, words: tuple[str, ...]) -> None:
    shown = undeployed.run(*words)

    assert shown.exit_code == 1
    assert re.fullmatch(r"error: there is no stack \S+ in region us-east-1: .*make deploy.*\n", shown.stderr)


@pytest.mark.parametrize("words", [("event", "list"), ("secret", "set", "github")], ids=" ".join)
def test_without_credentials_a_command_says_to_sign_in(
    undeployed: Relay, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    aws_variables(monkeypatch, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    shown = undeployed.run(*words, stdin="a secret")

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: there are no AWS credentials")
    assert "AWS_PROFILE" in shown.stderr
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_REGION": ""}, "set AWS_REGION"),
        ({"AWS_PROFILE": "no-such-profile"}, "aws configure list-profiles"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "is anything at AWS_ENDPOINT_URL=http://127.0.0.1:9?"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "nonsense"),
    ],
    ids=["region", "profile", "network", "endpoint"],
)
def test_wrong_aws_settings_are_told_by_name(
    undeployed: Relay, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    aws_variables(monkeypatch, **variables)

    shown = undeployed.run("event", "list")

    assert shown.exit_code == 1
    assert told in shown.stderr
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDenied"])
def test_a_refusal_of_aws_says_whose_it_is(undeployed: Relay, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    answer = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    undeployed.server.says("POST", "/", answer.encode(), status=403)
    aws_variables(monkeypatch, AWS_ENDPOINT_URL=undeployed.server.url)

    shown = undeployed.run("event", "list")

    assert shown.exit_code == 1
    assert re.fullmatch(rf"error: CloudFormation refused DescribeStacks \({code}\): .*\n", shown.stderr)
    assert re.search(r"expired|doesn't know|clock|permission", shown.stderr)


def test_aws_region_counts_though_boto3_does_not_know_it(undeployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_variables(monkeypatch, AWS_REGION="eu-west-1")

    assert "region eu-west-1" in undeployed.run("event", "list").stderr


def test_a_stack_that_is_no_relay_is_told_apart(undeployed: Relay) -> None:
    undeployed.stack({})

    shown = undeployed.run("event", "list")

    assert shown.exit_code == 1
    assert "no output RelayUrl" in shown.stderr


def test_a_relay_name_that_no_stack_can_have_is_an_error_of_usage(undeployed: Relay) -> None:
    assert undeployed.run("--name", "a.b", "event", "list").exit_code == 2


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (400, b'{"error":{"code":"bad_cursor","message":"the cursor is not one of this query"}}', "not one of this"),
        (403, b'{"message":"Forbidden"}', "attach the managed policy arn:aws:iam::000000000000:policy/read"),
        (401, b'{"message":"Unauthorized"}', "attach the managed policy"),
        (404, b'{"message":"Not Found"}', "make deploy"),
        (500, b'{"message":"Internal Server Error"}', "-QueryLogs"),
        (503, b'{"error":{"code":"upstream","message":"DynamoDB: Throttled"}}', "DynamoDB: Throttled"),
        (502, b"<html>bad gateway</html>", "try again"),
        (200, b"<html>a parking page</html>", "isn't the relay"),
        (200, b"[]", "can not be read"),
        (418, b"", "isn't the relay"),
        (200, b"[" * 100_000, "isn't the relay"),
    ],
)
def test_an_error_of_the_relay_is_one_line_that_says_what_to_do(
    deployed: Relay, status: int, answer: bytes, told: str
) -> None:
    deployed.server.says("GET", "/v1/events", answer, status=status)

    shown = deployed.run("event", "list", "--json")

    assert shown.exit_code == 1
    assert told in shown.stderr
    assert shown.stderr.startswith("error: ")
    assert shown.stderr.count("\n") == 1
    assert shown.stdout == ""


def test_a_replay_that_is_not_allowed_names_the_policy_for_it(deployed: Relay) -> None:
    deployed.server.says("POST", "/v1/replays", {"message": "Forbidden"}, status=403)

    assert "policy/operate" in deployed.run("replay", "start", "rly_1").stderr


def test_a_relay_that_does_not_answer_is_told_with_its_url(undeployed: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    undeployed.deploy(RelayUrl=url)

    shown = undeployed.run("event", "list")

    assert shown.exit_code == 1
    assert f"can't reach {url}/v1/events" in shown.stderr


def test_an_unknown_event_is_told_with_where_to_look(deployed: Relay) -> None:
    answer = {"error": {"code": "not_found", "message": "there is no such event"}}
    deployed.server.says("GET", "/v1/events/rly_1", answer, status=404)

    shown = deployed.run("event", "show", "rly_1")

    assert shown.exit_code == 1
    assert "there is no such event" in shown.stderr
    assert "relay event list" in shown.stderr


@pytest.mark.parametrize(
    "words",
    [("replay", "show", "a/b"), ("replay", "stop", "a/b"), ("destination", "show", ".."), ("destination", "show", "")],
    ids=" ".join,
)
def test_what_no_path_can_name_is_nothing_there_is(deployed: Relay, words: tuple[str, ...]) -> None:
    """Asked for, it would be a route that there isn't, and the advice to deploy again."""
    shown = deployed.run(*words)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: there is nothing called '")
    assert deployed.server.calls == []


def test_every_question_is_signed_as_aws_documents_it(deployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature is computed here again, from what came over the wire."""
    aws_variables(monkeypatch, AWS_SESSION_TOKEN="a session")
    deployed.server.says("GET", "/v1/replays/%281%29%20%3F", {"id": "(1) ?"})
    deployed.server.says("GET", "/v1/events", {"events": [], "cursor": None})
    deployed.server.says("POST", "/v1/replays", {"id": "rpl_1", "deliveries": [{}], "skipped": []}, status=202)

    deployed.run("replay", "show", "(1) ?", "--json")
    deployed.run("event", "list", "--type", "grüß dich", "--source", "github")
    deployed.run("replay", "start", "rly_1", "--json")

    assert len(deployed.server.calls) == 3
    for call in deployed.server.calls:
        assert call.headers["x-amz-security-token"] == "a session"
        assert call.headers["authorization"] == _authorization(call)


def _authorization(call: Call) -> str:
    """Return the header that the credentials of `aws_variables` must have made.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    names = ["host", "x-amz-date", "x-amz-security-token"]
    canonical = "\n".join(
        [
            call.method,
            quote(call.path, safe="/~"),
            "&".join(sorted(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in parse_qsl(call.query))),
            *(f"{name}:{call.headers[name]}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(call.body).hexdigest(),
        ]
    )
    at = call.headers["x-amz-date"]
    scope = [at[:8], "us-east-1", "execute-api", "aws4_request"]
    to_sign = "\n".join(["AWS4-HMAC-SHA256", at, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
    key = reduce(lambda key, step: hmac.digest(key, step.encode(), "sha256"), scope, b"AWS4hush-hush")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential=test/{'/'.join(scope)}, SignedHeaders={';'.join(names)}, Signature={signature}"


def test_help_loads_nothing_slow() -> None:
    """`relay --help` starts within 0.3 s: none of the heavy libraries is loaded for it."""
    heavy = {"boto3", "botocore", "httpx", "rich", "pydantic", "aws_cdk", "uvicorn"}
    program = "import sys, cli.main; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert not heavy & set(loaded.stdout.split())


def test_operators_requests_go_to_the_gateway_itself_where_a_domain_stands_before_it(undeployed: Relay) -> None:
    """IAM's signature is for the host that API Gateway sees."""
    undeployed.deploy(RelayUrl="https://hooks.example.com", ApiUrl=undeployed.server.url)
    undeployed.server.says("GET", "/v1/events", {"events": []})

    assert undeployed.run("event", "list", "--json").exit_code == 0


def test_a_gateway_on_this_machine_is_asked_without_a_proxy_whatever_domain_there_is(
    undeployed: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `relay dev` and a file that has a `url`."""
    undeployed.deploy(RelayUrl="https://hooks.example.com", ApiUrl=undeployed.server.url)
    undeployed.server.says("GET", "/v1/events", {"events": []})
    for name, value in {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "", "NO_PROXY": "", "no_proxy": ""}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    assert undeployed.run("event", "list", "--json").exit_code == 0


def test_a_relay_of_before_has_one_url_for_both(undeployed: Relay) -> None:
    undeployed.deploy()
    undeployed.server.says("GET", "/v1/events", {"events": []})

    assert undeployed.run("event", "list", "--json").exit_code == 0
