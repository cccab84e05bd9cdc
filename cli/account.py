"""What a deploy needs of this machine, of the AWS account and of QStash, looked at before it.

Each look is one finding: what AWS won't tell the caller is `skipped`, and stops nobody.
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
from cli.terminal.options import Failure
from relay.config import secret_names
from relay.qstash import regions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.config.models import Config

HOME = Path(__file__).parents[1]
BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_MIN = 6  # of what the pinned aws-cdk-lib writes
NODE_MIN, NODE_SUPPORTED = 20, 22  # Node 20's end of life was in April 2026
NODE_S = 20
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED_MIN = 100  # what Lambda keeps for functions that reserve nothing
MORE = (
    "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
    " --desired-value 1000"
)


def findings(config: Config) -> Iterator[Finding]:
    """Yield what a deploy of *config* would meet: on this machine, then in the account, then in QStash."""
    name = config.relay.name
    limits = config.relay.concurrency
    wanted = sum(filter(None, limits.model_dump().values())) if limits else 0
    yield node()
    yield cdk()
    first = credentials()
    yield first
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("CDK bootstrap", bootstrap),
        ("Lambda concurrency", lambda: concurrency(name, wanted)),
        ("secret qstash", lambda: qstash(name)),
    )
    for check, look in looks:
        yield look() if first.state == "ok" else Finding(check, "skipped", "needs the AWS credentials")


def node() -> Finding:
    """Look for the Node that the CDK runs on."""
    check = "Node"
    todo = f"install Node {NODE_SUPPORTED}"
    program = shutil.which("node")
    if program is None:
        return Finding(check, "missing", "there is none on the path, and the CDK runs on it", todo)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=NODE_S, check=False)  # noqa: S603
    found = re.match(r"v(\d+)\.", said.stdout)
    if found is None:
        return Finding(check, "missing", f"{program} doesn't tell its version", todo)
    major, version = int(found[1]), f"{said.stdout.strip()}, beside Python {platform.python_version()}"
    if major < NODE_MIN:
        return Finding(check, "missing", f"{version}: too old", todo)
    if major < NODE_SUPPORTED:
        return Finding(check, "look", f"{version}: past its end of life; it still works", todo)
    return Finding(check, "ok", version)


def cdk() -> Finding:
    """Look whether the CDK's command line is the pinned one."""
    check = "CDK"
    try:
        pinned = json.loads((HOME / "package.json").read_bytes())["devDependencies"]["aws-cdk"]
    except (OSError, ValueError, KeyError):
        return Finding(check, "skipped", f"{HOME} is no checkout of the relay")
    try:
        there = json.loads((HOME / "node_modules" / "aws-cdk" / "package.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError):
        return Finding(check, "missing", f"its command line {pinned} isn't installed", "make setup")
    if there != pinned:
        return Finding(check, "missing", f"its command line is {there}, and {pinned} is pinned", "make setup")
    return Finding(check, "ok", pinned)


def credentials() -> Finding:
    """Look who the caller is to AWS."""
    try:
        sts = aws.client("sts")
        with aws.speaking_to("AWS"):
            caller = sts.get_caller_identity()
    except Failure as error:
        return Finding("AWS credentials", "missing", *split(error.message))
    return Finding("AWS credentials", "ok", f"{caller['Arn']} in {aws.session().region_name}")


def is_local() -> bool:
    """Tell whether AWS is one on this machine, which needs no bootstrap."""
    return aws.is_loopback(os.environ.get("AWS_ENDPOINT_URL", ""))


def bootstrap() -> Finding:
    """Look whether the CDK may deploy into the account and region."""
    check = "CDK bootstrap"
    ssm, sts = aws.client("ssm"), aws.client("sts")
    try:
        with aws.speaking_to("SSM"):
            account = sts.get_caller_identity()["Account"]
            try:
                said = ssm.get_parameter(Name=BOOTSTRAP)["Parameter"]["Value"]
            except ssm.exceptions.ParameterNotFound:
                said = None
    except Failure as error:
        return Finding(check, "skipped", f"can't be looked at: {error.message}")
    if said is None and is_local():
        return Finding(check, "skipped", "the local AWS needs none")
    where = f"aws://{account}/{aws.session().region_name}"
    todo = f"npx cdk bootstrap {where}"
    if said is None:
        return Finding(check, "missing", f"{where} isn't bootstrapped", todo)
    if not said.isdecimal() or int(said) < BOOTSTRAP_MIN:
        return Finding(check, "missing", f"that of {where} is version {said}, and {BOOTSTRAP_MIN} is needed", todo)
    return Finding(check, "ok", f"version {said} in {where}")


def concurrency(name: str, wanted: int = 0) -> Finding:
    """Look how many functions the account runs at once, and whether *wanted* can be reserved for those of *name*."""
    check = "Lambda concurrency"
    try:
        client = aws.client("lambda")
        with aws.speaking_to("Lambda"):
            said = client.get_account_settings()["AccountLimit"]
        limit, unreserved = int(said["ConcurrentExecutions"]), int(said["UnreservedConcurrentExecutions"])
        left = unreserved - wanted + (_reserved(name) if wanted else 0)
    except Failure as error:
        return Finding(check, "skipped", f"can't be looked at: {error.message}")
    except (KeyError, TypeError, ValueError):
        return Finding(check, "skipped", "can't be looked at: Lambda's answer has another form")
    if wanted and left < UNRESERVED_MIN:
        found = (
            f"{limit} at once in this account, of which Lambda keeps {UNRESERVED_MIN} unreserved: the {wanted} of"
            f" [relay] concurrency would leave {left}, and the deploy fails"
        )
        return Finding(check, "missing", found, f"take concurrency out, or {MORE}")
    if limit < UNRESERVED_MIN:
        found = (
            f"{limit} at once in this account, all functions together: a webhook beyond is answered 500 or 503, and"
            " many sources never send again; QStash tries again"
        )
        return Finding(check, "look", found, MORE)
    return Finding(check, "ok", f"{limit} at once in this account, {unreserved} of them unreserved")


def _reserved(name: str) -> int:
    """Return how many the functions of the deployed relay called *name* have reserved already."""
    if find_stack(name) is None:
        return 0
    stacks, functions = aws.client("cloudformation"), aws.client("lambda")
    total = 0
    with aws.speaking_to("AWS"):
        for page in stacks.get_paginator("list_stack_resources").paginate(StackName=name):
            for it in page["StackResourceSummaries"]:
                if it["ResourceType"] == "AWS::Lambda::Function" and it.get("PhysicalResourceId"):
                    answer = functions.get_function_concurrency(FunctionName=it["PhysicalResourceId"])
                    total += int(answer.get("ReservedConcurrentExecutions") or 0)
    return total


def qstash(name: str) -> Finding:
    """Look whether there is a token that QStash takes: a deploy puts the URL groups there."""
    check = "secret qstash"
    set_it = f"relay{'' if name == 'relay' else f' --name {name}'} secret set qstash"
    try:
        token, url = secrets.qstash(name)
    except aws.Denied as error:
        return Finding(check, "skipped", f"can't be looked at: {error.message}")
    except Failure as error:
        return Finding(check, "missing", *split(error.message))
    if token is None:
        return Finding(check, "missing", f"no QStash token in {secret_names.qstash(name)}", set_it)
    where = url or regions.REGIONS["EU"]
    trouble = qstash_token.trouble(token, where)
    if trouble is None:
        return Finding(check, "ok", f"{where} takes the token")
    return Finding(check, "missing" if trouble.is_refusal else "look", trouble.found, trouble.command(name))
