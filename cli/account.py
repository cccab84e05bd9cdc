"""Checks before a deploy: this machine, the AWS account and QStash.

Each check returns one finding.  A check that the caller may not make is `skipped`, and stops no deploy.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import aws, qstash_token, secrets
from cli.client.api import find_stack
from cli.finding import Finding, split
from cli.terminal.options import CommandError
from relay.config import secret_names
from relay.qstash import regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.config.models import Config

HOME = Path(__file__).parents[1]
BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_MIN = 6  # the pinned aws-cdk-lib requires this version
NODE_MIN, NODE_SUPPORTED = 20, 22  # Node 20's end of life was in April 2026
NODE_S = 20
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED_MIN = 100  # Lambda keeps this many for functions without a reservation
RAISE_QUOTA = (
    "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
    " --desired-value 1000"
)


def findings(config: Config) -> Iterator[Finding]:
    """Check all that a deploy of *config* needs: first this machine, then the account, then QStash."""
    relay = config.relay.name
    limits = config.relay.concurrency
    wanted = sum(filter(None, limits.model_dump().values())) if limits else 0
    yield node()
    yield cdk()
    aws_credentials = credentials()
    yield aws_credentials
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("CDK bootstrap", bootstrap),
        ("Lambda concurrency", lambda: concurrency(relay, wanted)),
        ("secret qstash", lambda: qstash(relay)),
    )
    for name, check in checks:
        yield check() if aws_credentials.state == "ok" else Finding(name, "skipped", "needs the AWS credentials")


def node() -> Finding:
    """Check that the CDK has a Node to run on."""
    check = "Node"
    todo = f"install Node {NODE_SUPPORTED}"
    program = shutil.which("node")
    if program is None:
        return Finding(check, "missing", "the CDK needs Node, and there is none on the PATH", todo)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=NODE_S, check=False)  # noqa: S603
    found = re.match(r"v(\d+)\.", said.stdout)
    if found is None:
        return Finding(check, "missing", f"{program} doesn't print its version", todo)
    major, version = int(found[1]), f"{said.stdout.strip()}, beside Python {platform.python_version()}"
    if major < NODE_MIN:
        return Finding(check, "missing", f"{version}: too old", todo)
    if major < NODE_SUPPORTED:
        return Finding(check, "look", f"{version}: past its end of life; it still works", todo)
    return Finding(check, "ok", version)


def cdk() -> Finding:
    """Check that the CDK's command line is installed in the pinned version."""
    check = "CDK"
    try:
        pinned = json.loads((HOME / "package.json").read_bytes())["devDependencies"]["aws-cdk"]
    except (OSError, ValueError, KeyError):
        return Finding(check, "skipped", f"{HOME} is no checkout of the relay")
    try:
        there = json.loads((HOME / "node_modules" / "aws-cdk" / "package.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError):
        return Finding(check, "missing", f"the CDK's command line {pinned} isn't installed", "make setup")
    if there != pinned:
        return Finding(check, "missing", f"the CDK's command line is {there}, but {pinned} is pinned", "make setup")
    return Finding(check, "ok", pinned)


def credentials() -> Finding:
    """Check that AWS knows the caller."""
    try:
        sts = aws.client("sts")
        with aws.calling("AWS"):
            caller = sts.get_caller_identity()
    except CommandError as error:
        return Finding("AWS credentials", "missing", *split(error.message))
    return Finding("AWS credentials", "ok", f"{caller['Arn']} in {aws.session().region_name}")


def is_local() -> bool:
    """Return whether AWS is a local one, which needs no bootstrap."""
    return aws.is_loopback(os.environ.get("AWS_ENDPOINT_URL", ""))


def bootstrap() -> Finding:
    """Check that the account and region are bootstrapped for the CDK."""
    check = "CDK bootstrap"
    ssm, sts = aws.client("ssm"), aws.client("sts")
    try:
        with aws.calling("SSM"):
            account = sts.get_caller_identity()["Account"]
            try:
                said = ssm.get_parameter(Name=BOOTSTRAP)["Parameter"]["Value"]
            except ssm.exceptions.ParameterNotFound:
                said = None
    except CommandError as error:
        return Finding(check, "skipped", f"can't be checked: {error.message}")
    if said is None and is_local():
        return Finding(check, "skipped", "the local AWS needs none")
    where = f"aws://{account}/{aws.session().region_name}"
    todo = f"npx cdk bootstrap {where}"
    if said is None:
        return Finding(check, "missing", f"{where} isn't bootstrapped", todo)
    if not said.isdecimal() or int(said) < BOOTSTRAP_MIN:
        return Finding(check, "missing", f"{where} has version {said}, but the CDK needs {BOOTSTRAP_MIN}", todo)
    return Finding(check, "ok", f"version {said} in {where}")


def concurrency(name: str, wanted: int = 0) -> Finding:
    """Check the account's concurrent executions, and that the relay *name* can reserve *wanted* of them."""
    check = "Lambda concurrency"
    try:
        client = aws.client("lambda")
        with aws.calling("Lambda"):
            said = client.get_account_settings()["AccountLimit"]
        limit, unreserved = int(said["ConcurrentExecutions"]), int(said["UnreservedConcurrentExecutions"])
        left = unreserved - wanted + (_reserved(name) if wanted else 0)
    except CommandError as error:
        return Finding(check, "skipped", f"can't be checked: {error.message}")
    except (KeyError, TypeError, ValueError):
        return Finding(check, "skipped", "can't be checked: Lambda's answer has an unknown form")
    if wanted and left < UNRESERVED_MIN:
        found = (
            f"{limit} at once in this account, and Lambda keeps {UNRESERVED_MIN} unreserved: the {wanted} of"
            f" [relay] concurrency would leave {left}, so the deploy would fail"
        )
        return Finding(check, "missing", found, f"remove concurrency from relay.toml, or {RAISE_QUOTA}")
    if limit < UNRESERVED_MIN:
        found = (
            f"{limit} at once in this account, for all functions: further webhooks are answered 500 or 503, and many"
            " sources never send them again; QStash tries again"
        )
        return Finding(check, "look", found, RAISE_QUOTA)
    return Finding(check, "ok", f"{limit} at once in this account, {unreserved} of them unreserved")


def _reserved(name: str) -> int:
    """Return the number of executions that the functions of the deployed relay *name* have reserved."""
    if find_stack(name) is None:
        return 0
    stacks, functions = aws.client("cloudformation"), aws.client("lambda")
    total = 0
    with aws.calling("AWS"):
        for page in stacks.get_paginator("list_stack_resources").paginate(StackName=name):
            for resource in page["StackResourceSummaries"]:
                if resource["ResourceType"] == "AWS::Lambda::Function" and resource.get("PhysicalResourceId"):
                    answer = functions.get_function_concurrency(FunctionName=resource["PhysicalResourceId"])
                    total += int(answer.get("ReservedConcurrentExecutions") or 0)
    return total


def qstash(name: str) -> Finding:
    """Check that QStash accepts the token; a deploy writes the URL groups with it."""
    check = "secret qstash"
    command = f"relay{'' if name == 'relay' else f' --name {name}'} secret set qstash"
    try:
        token, url = secrets.qstash(name)
    except aws.Denied as error:
        return Finding(check, "skipped", f"can't be checked: {error.message}")
    except CommandError as error:
        return Finding(check, "missing", *split(error.message))
    if token is None:
        return Finding(check, "missing", f"no QStash token in {secret_names.qstash(name)}", command)
    where = url or regions.REGIONS["EU"]
    problem = qstash_token.problem_of(token, where)
    if problem is None:
        return Finding(check, "ok", f"{where} accepts the token")
    return Finding(check, "missing" if problem.is_refusal else "look", problem.found, problem.command(name))
