"""The stack, synthesized once for AWS and once for the local AWS."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Before the first import of aws_cdk, which starts Node.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")


ROOT = Path(__file__).parent.parent.parent
LOCAL = {
    "base_url": "http://127.0.0.1:4566/_aws/execute-api/0a1b2c3d/$default",
    "staging_bucket": "assets",
    "api_id": "0a1b2c3d",
}
CONFIG = """
[relay]
name = "shop"
retention_days = 14

[sources.github]
scheme = "github"
to = ["audit", "ci"]

[sources.my-acme]
scheme = "acme"
to = ["audit"]

[schemes.acme]
signature = "X-Acme-Signature: {base64}"
algorithm = "hmac-sha512"
type = "body:kind"

[url_groups.audit.destinations.ledger]
eventbridge = "default"
detail_type = "github"

[url_groups.audit.destinations.books]
eventbridge = "accounting"
detail_type = "event"

[url_groups.ci]
retries = 2
retry_delay = "1000 * (1 + retried)"
timeout = "2m"

[url_groups.ci.destinations]
builder = "https://ci.example.com/hooks/github"
"""


@dataclass(frozen=True)
class Synthesized:
    """A template, and the cloud assembly that it is part of."""

    template: dict[str, Any]
    assembly: Path

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the resources of the CloudFormation type *kind* by logical id."""
        return {id_: it for id_, it in self.template["Resources"].items() if it["Type"] == kind}

    def one(self, kind: str) -> dict[str, Any]:
        """Return the only resource of the type *kind*."""
        (resource,) = self.of_type(kind).values()
        return resource

    def function(self, verb: str) -> dict[str, Any]:
        """Return the function of *verb*."""
        functions = self.of_type("AWS::Lambda::Function").values()
        (function,) = [it for it in functions if it["Properties"]["Handler"] == f"{verb}.handler"]
        return function

    def plain(self, value: Any) -> str:
        """Return *value*, a string of a template, with what is known only at the deploy as `<LogicalId>`."""
        if isinstance(value, str):
            return value
        match value:
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self.plain(part) for part in parts)
            case {"Ref": name}:
                return f"<{self._short(name)}>"
            case {"Fn::GetAtt": [name, "Arn"]}:
                return f"<{self._short(name)}>"
        raise AssertionError(f"no string: {value}")

    def _short(self, name: str) -> str:
        return name if name.startswith("AWS::") else name[:-8]

    def policy(self, verb: str) -> list[dict[str, Any]]:
        """Return the statements of all policies of the role of *verb*'s function."""
        role = self.function(verb)["Properties"]["Role"]["Fn::GetAtt"][0]
        return [
            statement
            for policy in self.of_type("AWS::IAM::Policy").values()
            if policy["Properties"]["Roles"] == [{"Ref": role}]
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        ]

    def statements(self, verb: str) -> dict[str, tuple[Any, ...]]:
        """Return what *verb*'s role allows, by statement id: actions, resources, and the condition if there is one."""
        found = {}
        for statement in self.policy(verb):
            assert statement["Effect"] == "Allow"
            assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
            action, resource = statement["Action"], statement["Resource"]
            actions = [action] if isinstance(action, str) else action
            resources = resource if isinstance(resource, list) else [resource]
            condition = (statement["Condition"],) if "Condition" in statement else ()
            said = (sorted(actions), sorted(self.plain(one) for one in resources), *condition)
            found[statement.get("Sid", "")] = said
        return found


def synthesize(outdir: Path, config: str, *, local: bool) -> Synthesized:
    """Return the stack of the configuration text *config*, made in *outdir*."""
    import aws_cdk as cdk

    from infra.app import relay_stack
    from infra.config.load import load
    from infra.local.aws.differences import LocalAws

    file = outdir / "relay.toml"
    file.write_text(config, encoding="utf-8")
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(outdir=str(outdir / "cdk.out"), context=context, analytics_reporting=False)
    stack = relay_stack(app, load(file), local=LocalAws.of(dict(LOCAL)) if local else None)
    app.synth()
    template = json.loads((outdir / "cdk.out" / stack.template_file).read_text(encoding="utf-8"))
    return Synthesized(template, outdir / "cdk.out")


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stack for AWS."""
    return synthesize(tmp_path_factory.mktemp("real"), CONFIG, local=False)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stack for the local AWS."""
    return synthesize(tmp_path_factory.mktemp("local"), CONFIG, local=True)
