"""The local AWS: ministack as a process in a virtual environment of its own.  Hides how ministack is started.

The process binds to loopback only, keeps nothing on disk, and runs every function in its own interpreter, whatever
runtime the function names.
"""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from infra.local.processes.sandbox import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.processes.sandbox import Process, Sandbox

REGION = "us-east-1"
ROOT_KEY = "test"  # the local AWS never checks signatures of its root key
READY_S = 60
CHECKOUT = Path(__file__).parents[3]
WORKERS = max(2, os.cpu_count() or 1)  # processes of a function: more would only wait for a core, at 50 MB each
_PYTHON = CHECKOUT / ".venv-aws" / "bin" / "python"
_EMULATOR = Path(__file__).with_name("emulator.py")
_ADVICE = "free the port or memory if the lines below name it; otherwise run `make setup` again"


@dataclass(frozen=True)
class AwsProcess:
    """A local AWS that may still be starting; see `await_ready`."""

    port: int
    iam: bool
    process: Process

    @property
    def endpoint_url(self) -> str:
        """The endpoint of every service."""
        return f"http://127.0.0.1:{self.port}"

    def await_ready(self) -> None:
        """Wait until the local AWS answers.

        Raises:
            LocalError: It didn't answer within `READY_S` seconds, or ended.
        """
        self.process.wait_until(self._answers, READY_S, _ADVICE)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.endpoint_url}/_ministack/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def environment(self, key: str = ROOT_KEY, secret: str = ROOT_KEY) -> dict[str, str]:
        """Return the variables that direct any AWS client to this local AWS."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str) -> Any:
        """Return a client of *service* with the root key; the environment's credentials don't count."""
        return client(service, self.endpoint_url)

    def make_operator(self, name: str, *policies: str) -> tuple[str, str]:
        """Create an IAM user with the managed *policies* (ARNs); return its access key and secret."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for policy in policies:
            iam.attach_user_policy(UserName=name, PolicyArn=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]


def client(service: str, endpoint_url: str, key: str = ROOT_KEY, secret: str = ROOT_KEY) -> Any:
    """Return a client of *service* of a local AWS; this machine's proxies and profiles don't count."""
    return boto3.client(
        service,  # type: ignore[call-overload]  # the service is a value here
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(proxies={}, retries={"total_max_attempts": 2, "mode": "standard"}),
    )


def start(
    sandbox: Sandbox, *, workers: int = WORKERS, iam: bool = False, variables: Mapping[str, str] | None = None
) -> AwsProcess:
    """Start a local AWS in *sandbox* on a free port; return before it is ready.

    Args:
        workers: How many processes it starts for each function at most; further calls wait for a free one.
        iam: Enforce IAM: roles of functions, and signatures and policies of IAM users.
        variables: Further environment variables, which every function inherits.

    Raises:
        LocalError: The local AWS isn't installed.
    """
    if not _PYTHON.exists():
        raise LocalError("the local AWS isn't installed: run `make setup`")
    port = free_port()
    environment = sandbox.environment(
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        IOT_MTLS_ENABLED="0",  # this and SFTP would listen on all interfaces
        SFTP_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        MINISTACK_REGION=REGION,
        LOG_LEVEL="WARNING",
        **({"AUTH": "true"} if iam else {}),
        **(variables or {}),
    )
    # The CDK's custom-resource provider finds Node on this path, too.
    environment["PATH"] = f"{_PYTHON.parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    # -P: the modules beside the script must not hide installed ones.
    command: list[str | Path] = [_PYTHON, "-P", _EMULATOR, str(workers)]
    return AwsProcess(port, iam, sandbox.start("the local AWS", command, environment))


def free_port() -> int:
    """Return a port of loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
