"""Deploys the real CDK app into a local AWS.  Hides how the CDK runs fast, and without a trace in the user's home.

Synthesis takes as long as everything else together, so it starts before the local AWS is ready.  The CDK's command line
then deploys the finished assembly.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

from infra.local.aws.server import CHECKOUT
from infra.local.outside import without
from infra.local.processes.sandbox import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.local.aws.server import AwsProcess
    from infra.local.processes.sandbox import Process, Sandbox

API_ID = "0a1b2c3d"  # 8 hexadecimal digits: the local AWS accepts only such ids in host names
STAGING_BUCKET = "staging"
SYNTH_S = 180
DEPLOY_S = 300
DEPLOY_TRIES = 3
# Errors of a busy machine: a second deploy, after the rollback of the first, succeeds.
_TRANSIENT = re.compile(r"tim(e|ed)[ -]?out|ECONNRESET|socket hang up|Throttling", re.IGNORECASE)
_CDK = CHECKOUT / "node_modules" / "aws-cdk" / "bin" / "cdk"


class Deployment:
    """One configuration being deployed into a local AWS: call `synthesize`, then `finish`.

    Args:
        config: Path of a valid relay.toml.
        name: The relay's name in that file, and the stack's name.
        github_api_url: URL of GitHub's API; None for GitHub's own.
    """

    def __init__(
        self, sandbox: Sandbox, aws: AwsProcess, config: Path, name: str, github_api_url: str | None = None
    ) -> None:
        self._sandbox = sandbox
        self._aws = aws
        self._config = config
        self._name = name
        self._github = {"GITHUB_API_URL": github_api_url} if github_api_url else {}
        self._synth: Process | None = None
        self.base_url = f"{aws.endpoint_url}/_aws/execute-api/{API_ID}"
        self.assembly = sandbox.folder / "cdk.out"

    def synthesize(self) -> None:
        """Start the synthesis, which needs no AWS.

        Raises:
            LocalError: Node or the CDK's command line isn't installed.
        """
        if shutil.which("node") is None:
            raise LocalError("Node.js isn't on the path: install version 20 or newer, the CDK needs it")
        if not _CDK.exists():
            raise LocalError("the CDK's command line isn't installed: run `make setup`")
        app = json.loads((CHECKOUT / "cdk.json").read_text(encoding="utf-8"))
        local = {"base_url": self.base_url, "staging_bucket": STAGING_BUCKET, "api_id": API_ID}
        context = {**app.get("context", {}), "config": str(self._config), "local": local}
        context["aws:cdk:disable-asset-staging"] = False
        # Nobody else uses this QStash, and a second deploy finds the resources of one that was cut short.
        context["take_over"] = "1"
        # Not a bare environment: jsii unpacks into the user's cache, and unpacking anew would take ten seconds.
        environment = without(os.environ) | self._github
        environment |= {
            "CDK_OUTDIR": str(self.assembly),
            "CDK_CONTEXT_JSON": json.dumps(context),
            "TMPDIR": self._sandbox.environment()["TMPDIR"],
        }
        shutil.rmtree(self.assembly, ignore_errors=True)
        command = [sys.executable, "-m", "infra.app"]
        self._synth = self._sandbox.start("the CDK app", command, environment, cwd=CHECKOUT)

    def finish(self) -> dict[str, str]:
        """Wait for the synthesis, deploy into the ready local AWS, and return the stack's outputs.

        Raises:
            LocalError: The synthesis or the deploy failed.
        """
        assert self._synth is not None  # noqa: S101  # synthesize() comes first
        self._synth.wait(SYNTH_S, "the lines below say why; `npx cdk synth` shows it alone")
        environment = self._sandbox.environment(
            **self._aws.environment(),
            CDK_HOME=str(self._sandbox.folder / "home" / ".cdk"),
            CDK_DISABLE_CLI_TELEMETRY="true",
            CDK_DISABLE_VERSION_CHECK="true",
            NO_COLOR="1",
        )
        flags = ["--app", str(self.assembly), "--method", "direct", "--require-approval", "never"]
        flags += ["--progress", "events", "--no-notices", "--no-version-reporting", "--no-lookups", "--ci"]
        command: list[str | Path] = ["node", _CDK, "deploy", self._name, *flags]
        for left in reversed(range(DEPLOY_TRIES)):
            try:
                cdk = self._sandbox.start("cdk deploy", command, environment)
                cdk.wait(DEPLOY_S, "the lines below say which resource and why")
                break
            except LocalError as error:
                if not left or not _TRANSIENT.search(str(error)):
                    raise
        stack = self._aws.client("cloudformation").describe_stacks(StackName=self._name)["Stacks"][0]
        return {it["OutputKey"]: it["OutputValue"] for it in stack["Outputs"]}

    def again(self) -> None:
        """Deploy the current configuration over the running stack.

        Raises:
            LocalError: Synthesis or the deploy failed.
        """
        self.synthesize()
        self.finish()
