"""`relay check --account`: what would make a deploy fail is told before it, and who may not ask isn't stopped."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from cli import account
from cli.client import aws
from relay.qstash import regions
from tests.aws_wire import _Raw, refused
from tests.unit.cli.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from tests.unit.cli.conftest import Relay

ROOT = Path(__file__).parents[3]
FILE = """
[relay]
name = "{name}"
{more}
[sources.github]
scheme = "github"
to = ["audit"]
[url_groups.audit.destinations]
erp = "https://erp.example.com/in"
"""


@pytest.fixture
def ready(undeployed: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Give a relay with all that a deploy needs: a Node, the pinned CDK, a token, and a bootstrapped account."""
    undeployed.keep("qstash", {"token": TOKEN})
    parameter = f"/{undeployed.name}/version"  # each test has its own
    monkeypatch.setattr(account, "BOOTSTRAP", parameter)
    aws.client("ssm").put_parameter(Name=parameter, Value="6", Type="String")
    make_node(tmp_path, monkeypatch, "v22.11.0")
    monkeypatch.setattr(account, "HOME", tmp_path)
    make_cdk(tmp_path, "2.5.0")
    return undeployed


def make_cdk(home: Path, version: str | None) -> None:
    """Have 2.5.0 of the CDK's command line pinned in *home*, and *version* installed."""
    (home / "package.json").write_text('{"devDependencies": {"aws-cdk": "2.5.0"}}')
    installed = home / "node_modules" / "aws-cdk" / "package.json"
    installed.parent.mkdir(parents=True, exist_ok=True)
    installed.write_text(json.dumps({"version": version} if version else {}))


def make_node(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """Put a `node` on the path, alone, that *says* its version."""
    program = folder / "bin" / "node"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def checked(relay: Relay, folder: Path, *words: str, more: str = "") -> Result:
    file = folder / "relay.toml"
    file.write_text(FILE.format(name=relay.name, more=more))
    return relay.run("check", str(file), "--account", *words)


def finding(relay: Relay, folder: Path, check: str, **config: str) -> tuple[int, dict[str, Any]]:
    """Return the status, and what is found of *check*."""
    shown = checked(relay, folder, "--json", **config)
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    return shown.exit_code, next(it for it in found if it.get("check") == check)


@contextmanager
def answering(service: str, operation: str, answer: Callable[[Any], AWSResponse]) -> Iterator[None]:
    """Have AWS's *answer* to *operation* be another."""
    events, name = aws.client(service).meta.events, f"before-send.*.{operation}"

    def called(request: Any, **_: Any) -> AWSResponse:
        return answer(request)

    events.register(name, called)
    try:
        yield
    finally:
        events.unregister(name, called)


def runs_at_once(limit: int, unreserved: int) -> Callable[[Any], AWSResponse]:
    body = {"AccountLimit": {"ConcurrentExecutions": limit, "UnreservedConcurrentExecutions": unreserved}}

    def answer(request: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, HTTPHeaders(), _Raw(json.dumps(body).encode()))

    return answer


def test_where_all_is_there_nothing_is_told(ready: Relay, tmp_path: Path) -> None:
    shown = checked(ready, tmp_path, "--strict")

    assert shown.exit_code == 0, shown.output
    assert shown.stdout == f"{tmp_path / 'relay.toml'} is valid (sources: 1, URL groups: 1, destinations: 1)\n"


def test_a_file_with_a_mistake_is_told_before_anybody_is_asked(ready: Relay, tmp_path: Path) -> None:
    assert checked(ready, tmp_path, more="retention = 3").exit_code == 1
    assert ready.server.calls == []


# -- this machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "state"),
    [("v18.20.0", "missing"), ("v20.20.2", "look"), ("v22.0.0", "ok"), ("v24.1.0", "ok"), ("no", "missing")],
)
def test_a_node_too_old_stops_and_one_past_its_end_is_told(
    ready: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, state: str
) -> None:
    make_node(tmp_path, monkeypatch, says)

    status, found = finding(ready, tmp_path, "Node")

    assert (status, found["state"]) == (int(state == "missing"), state)
    assert found["next"] == (None if state == "ok" else "install Node 22")


def test_no_node_is_told(ready: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert finding(ready, tmp_path, "Node")[1]["found"].startswith("the CDK needs Node")


def test_a_warning_of_the_account_fails_a_strict_check(
    ready: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_node(tmp_path, monkeypatch, "v20.20.2")

    shown = checked(ready, tmp_path, "--strict")

    assert shown.exit_code == 1
    assert shown.stdout.startswith("warning: Node: v20.20.2")
    assert "has 1 warning, and --strict allows none" in shown.stderr


@pytest.mark.parametrize(("version", "state"), [(None, "missing"), ("2.0.0", "missing"), ("2.5.0", "ok")])
def test_the_pinned_cdk_has_to_be_there(ready: Relay, tmp_path: Path, version: str | None, state: str) -> None:
    make_cdk(tmp_path, version)

    status, found = finding(ready, tmp_path, "CDK")

    assert (status, found["state"]) == (int(state == "missing"), state)
    assert found["next"] == (None if state == "ok" else "make setup")


# -- the account ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "state"), [("5", "missing"), ("x", "missing"), ("6", "ok"), ("28", "ok")])
def test_an_old_bootstrap_is_told_with_the_command(ready: Relay, tmp_path: Path, version: str, state: str) -> None:
    aws.client("ssm").put_parameter(Name=account.BOOTSTRAP, Value=version, Type="String", Overwrite=True)

    status, found = finding(ready, tmp_path, "CDK bootstrap")

    assert (status, found["state"]) == (int(state == "missing"), state)
    assert found["next"] == (None if state == "ok" else "npx cdk bootstrap aws://000000000000/us-east-1")


@pytest.mark.parametrize(("where", "state"), [("AWS", "missing"), ("here", "skipped")])
def test_a_missing_bootstrap_stops_but_in_the_local_aws_which_needs_none(
    ready: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, state: str
) -> None:
    aws.client("ssm").delete_parameter(Name=account.BOOTSTRAP)
    monkeypatch.setattr(account, "is_local", lambda: where == "here")

    status, found = finding(ready, tmp_path, "CDK bootstrap")

    assert (status, found["state"]) == (int(where == "AWS"), state)


def test_the_bootstrap_asked_for_is_the_one_that_the_cdk_needs(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path))
    cdk.CfnResource(cdk.Stack(app, "any"), "Topic", type="AWS::SNS::Topic")
    app.synth()

    says = json.loads((tmp_path / "manifest.json").read_bytes())["artifacts"]["any"]["properties"]
    assert says["requiresBootstrapStackVersion"] == account.BOOTSTRAP_MIN
    assert says["bootstrapStackVersionSsmParameter"] == account.BOOTSTRAP


@pytest.mark.parametrize(
    ("limit", "unreserved", "wanted", "state"),
    [
        (10, 10, 0, "look"),
        (10, 10, 1, "missing"),
        (1000, 1000, 0, "ok"),
        (1000, 1000, 900, "ok"),
        (1000, 1000, 901, "missing"),
        (1000, 150, 51, "missing"),
    ],
)
def test_what_lambda_keeps_unreserved_is_reckoned_with(
    ready: Relay, tmp_path: Path, limit: int, unreserved: int, wanted: int, state: str
) -> None:
    more = f"concurrency = {{ ingest = {wanted} }}" if wanted else ""

    with answering("lambda", "GetAccountSettings", runs_at_once(limit, unreserved)):
        status, found = finding(ready, tmp_path, "Lambda concurrency", more=more)

    assert (status, found["state"]) == (int(state == "missing"), state)
    assert state == "ok" or "--quota-code L-B99A9384" in found["next"]


@pytest.mark.parametrize(("wanted", "state"), [(900, "ok"), (901, "missing")])
def test_what_the_relay_has_reserved_already_is_its_own(ready: Relay, tmp_path: Path, wanted: int, state: str) -> None:
    code = {"ZipFile": "def handler(*_): ..."}
    properties = {"Runtime": "python3.13", "Handler": "index.handler", "Code": code, "Role": "arn:aws:iam::0:role/r"}
    template = {"Resources": {"Ingest": {"Type": "AWS::Lambda::Function", "Properties": properties}}}
    ready.cloudformation.create_stack(StackName=ready.name, TemplateBody=json.dumps(template))
    ready.cloudformation.get_waiter("stack_create_complete").wait(
        StackName=ready.name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 200}
    )
    (resource,) = ready.cloudformation.list_stack_resources(StackName=ready.name)["StackResourceSummaries"]
    functions = aws.client("lambda")
    functions.put_function_concurrency(FunctionName=resource["PhysicalResourceId"], ReservedConcurrentExecutions=850)

    with answering("lambda", "GetAccountSettings", runs_at_once(1000, 150)):
        _, found = finding(ready, tmp_path, "Lambda concurrency", more=f"concurrency = {{ ingest = {wanted} }}")

    assert found["state"] == state, found


@pytest.mark.parametrize(
    ("service", "operation", "check"),
    [
        ("ssm", "GetParameter", "CDK bootstrap"),
        ("lambda", "GetAccountSettings", "Lambda concurrency"),
        ("secretsmanager", "GetSecretValue", "secret qstash"),
    ],
)
def test_who_may_not_ask_is_told_and_not_stopped(
    ready: Relay, tmp_path: Path, service: str, operation: str, check: str
) -> None:
    with answering(service, operation, lambda request: refused(request, "AccessDeniedException")):
        status, found = finding(ready, tmp_path, check)

    assert (status, found["state"]) == (0, "skipped")
    assert "can't be checked" in found["found"]


# -- QStash -----------------------------------------------------------------------------------------------------------


def test_no_token_stops(ready: Relay, tmp_path: Path) -> None:
    ready.secretsmanager.delete_secret(SecretId=f"{ready.name}/qstash", ForceDeleteWithoutRecovery=True)

    status, found = finding(ready, tmp_path, "secret qstash")

    assert (status, found["next"]) == (1, f"relay --name {ready.name} secret set qstash")


def test_a_token_that_is_refused_stops(ready: Relay, tmp_path: Path) -> None:
    ready.server.says("GET", "/v2/keys", {"error": "unable to authenticate: invalid token"}, status=401)

    assert finding(ready, tmp_path, "secret qstash")[0] == 1


def test_a_qstash_that_this_machine_can_not_ask_is_a_warning(
    ready: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay itself asks from AWS."""
    ready.server.says("GET", "/v2/keys", b"", status=503)
    monkeypatch.setattr(regions, "REGIONS", {"EU": ready.server.url})

    status, found = finding(ready, tmp_path, "secret qstash")

    assert (status, found["state"]) == (0, "look")
