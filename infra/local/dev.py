"""The whole relay on this machine: a local AWS with the real CDK app in it, and a QStash.

`running` is the only function that callers need.  It starts the processes, returns their addresses and credentials, and
removes everything at the end.
"""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx

from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from infra.local.aws import server as local_aws
from infra.local.aws.deploy import STAGING_BUCKET, Deployment
from infra.local.aws.server import CHECKOUT, REGION, WORKERS
from infra.local.own_qstash import borrowed
from infra.local.processes.sandbox import LocalError, Process, Sandbox
from infra.local.sources.secrets import made_up
from relay.config.settings import named_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from infra.config.models import Config
    from infra.local.aws.server import AwsProcess

QSTASH_READY_S = 60


@dataclass(frozen=True)
class LocalRelay:
    """The addresses and credentials of a running local relay and its parts.

    Attributes:
        relay_url: Base URL of /webhooks/… and /v1.
        secrets: Signing secret by source.
        outputs: All outputs of the stack.
        assembly: The CDK's cloud assembly that was deployed.
        deploy_again: Deploys the current relay.toml into the same stack; raises `LocalError` if the deploy fails.
        qstash_pid: The local QStash's process; None if another QStash was given.
        qstash_admin_token: Authorizes calls of the local QStash's admin API; None without that API.
    """

    name: str
    relay_url: str
    qstash_url: str
    qstash_token: str = field(repr=False)
    qstash_current_signing_key: str = field(repr=False)
    qstash_next_signing_key: str = field(repr=False)
    aws_endpoint_url: str
    table_name: str
    secrets: Mapping[str, str] = field(repr=False)
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    outputs: Mapping[str, str]
    assembly: Path
    deploy_again: Callable[[], None] = field(repr=False)
    aws_pid: int
    qstash_pid: int | None
    qstash_admin_token: str | None = field(repr=False, default=None)

    def environment(self) -> dict[str, str]:
        """Return the variables that direct the `relay` command and any AWS or QStash client to this relay."""
        return {
            "AWS_ENDPOINT_URL": self.aws_endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "QSTASH_URL": self.qstash_url,
            "QSTASH_TOKEN": self.qstash_token,
            "RELAY_NAME": self.name,
        }


@contextmanager
def running(
    config: Path,
    *,
    iam: bool = False,
    admin: bool = False,
    workers: int | None = None,
    own_qstash: bool = False,
    environ: Mapping[str, str] = MappingProxyType({}),
    aws_variables: Mapping[str, str] | None = None,
    step: Callable[[str], object] = lambda _: None,
) -> Iterator[LocalRelay]:
    """Run the relay of *config* on this machine until the context ends, however it ends.

    Call it from the main thread: SIGINT then becomes KeyboardInterrupt and SIGTERM SystemExit, also during the start.

    Args:
        config: Path of a relay.toml; its destinations may be on this machine.
        iam: Enforce IAM; the key in `LocalRelay` then belongs to an operator who may query and replay.
        admin: Give the local QStash its admin API: faults, time and windows on command.
        workers: How many processes the local AWS starts for each function at most; further calls wait for a free one.
            None: one for each core.
        own_qstash: Use the QStash of QSTASH_URL and QSTASH_TOKEN instead of the local one.
        environ: The variables QSTASH_URL, QSTASH_TOKEN, RELAY_SECRET_{SOURCE}, RELAY_DESTINATION_SECRET_{NAME} and
            GITHUB_API_URL are read from here, and not from this process's environment.
        aws_variables: Further variables of the local AWS's environment, which every function inherits.
        step: Called with a description of each step, for people.

    Raises:
        LocalError: A part didn't start; the text names the part and says what to do.
    """
    config = config.resolve()
    qstash_given = _qstash_given(environ, admin=admin) if own_qstash else None
    try:
        wanted = load(config, allow_local=True)
    except ConfigError as error:
        raise LocalError(str(error)) from None
    with Sandbox() as sandbox, ExitStack() as lent:
        step("starting the local AWS and QStash, and synthesizing the CDK app")
        aws = local_aws.start(sandbox, workers=workers or WORKERS, iam=iam, variables=aws_variables)
        deployment = Deployment(sandbox, aws, config, wanted.relay.name, environ.get("GITHUB_API_URL"))
        deployment.synthesize()
        qstash = None if qstash_given else _start_qstash(sandbox, admin=admin)
        aws.await_ready()
        aws.client("s3").create_bucket(Bucket=STAGING_BUCKET)
        access = _ask_qstash(*(qstash_given or _await_qstash(qstash)), own=own_qstash)
        if qstash_given:
            lent.enter_context(borrowed(*qstash_given, wanted.relay.name))
        signing_secrets = _signing_secrets(wanted, environ)
        _save_secrets(aws, wanted, access, signing_secrets, _destination_secrets(wanted, environ))
        step("deploying the CDK app into the local AWS")
        outputs = deployment.finish()
        key, secret = local_aws.ROOT_KEY, local_aws.ROOT_KEY
        if iam:
            key, secret = aws.make_operator("operator", outputs["OperatorOperatePolicy"])
        step("ready")
        yield LocalRelay(
            name=wanted.relay.name,
            relay_url=outputs["RelayUrl"],
            **access,
            aws_endpoint_url=aws.endpoint_url,
            table_name=outputs["TableName"],
            secrets=signing_secrets,
            region=REGION,
            access_key_id=key,
            secret_access_key=secret,
            outputs=outputs,
            assembly=deployment.assembly,
            deploy_again=deployment.again,
            aws_pid=aws.process.pid,
            qstash_pid=qstash.pid if qstash else None,
            qstash_admin_token=_announced(qstash).get("qstash_admin_token") if qstash else None,
        )


def _qstash_given(given: Mapping[str, str], *, admin: bool) -> tuple[str, str]:
    """Return URL and token of the user's own QStash.

    Raises:
        LocalError: URL or token is missing, or the admin API was asked for, which only the local QStash has.
    """
    url, token = given.get("QSTASH_URL"), given.get("QSTASH_TOKEN")
    if not url or not token:
        raise LocalError("--own-qstash needs QSTASH_URL and QSTASH_TOKEN: set both")
    if admin:
        raise LocalError("only the local QStash has an admin API: leave out either --own-qstash or --admin")
    return url.rstrip("/"), token


def _start_qstash(sandbox: Sandbox, *, admin: bool) -> Process:
    environment = sandbox.environment(PYTHONUNBUFFERED="1")
    command = [sys.executable, "-m", "infra.local.qstash", "--port", "0", "--json", *(["--admin"] if admin else [])]
    return sandbox.start("the local QStash", command, environment, cwd=CHECKOUT)


def _await_qstash(process: Process | None) -> tuple[str, str]:
    """Wait until the local QStash has started; return its URL and token."""
    assert process is not None  # noqa: S101  # it was started where no other was given
    process.wait_until(lambda: "\n" in process.output, QSTASH_READY_S, "run `relay qstash` to see it alone")
    facts = _announced(process)
    return facts["qstash_url"], facts["qstash_token"]


def _announced(qstash: Process) -> dict[str, str]:
    """Return the JSON object that the local QStash printed when it was ready."""
    facts: dict[str, str] = json.loads(qstash.output.splitlines()[0])
    return facts


def _ask_qstash(url: str, token: str, *, own: bool) -> dict[str, str]:
    """Return QStash's URL, token and signing keys, under their names in `LocalRelay`.

    Args:
        own: This is the user's own QStash, and not the local one.

    Raises:
        LocalError: No QStash answers there.
    """
    try:
        answer = httpx.get(
            f"{url}/v2/keys",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=own,  # the local QStash is never behind a proxy, whatever the environment says
        )
        keys = answer.raise_for_status().json()
        return {
            "qstash_url": url,
            "qstash_token": token,
            "qstash_current_signing_key": keys["current"],
            "qstash_next_signing_key": keys["next"],
        }
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, OSError, ValueError, KeyError, TypeError) as error:
        why = (
            f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        )
        raise LocalError(f"no QStash at {url} ({why}): check QSTASH_URL and QSTASH_TOKEN") from error


def _signing_secrets(config: Config, given: Mapping[str, str]) -> dict[str, str]:
    """Return a signing secret for each source: RELAY_SECRET_{SOURCE} of *given*, or one made up for its scheme.

    A schedule gets none: QStash signs its requests with its own keys.
    """
    return {
        name: given.get(f"RELAY_SECRET_{name.upper().replace('-', '_')}") or made_up(source["row"])
        for name, source in flatten(config)["sources"].items()
        if not source.get("schedule")
    }


def _destination_secrets(config: Config, given: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that destinations' headers name: RELAY_DESTINATION_SECRET_{NAME} of *given*, or made up."""
    return {
        name: given.get(f"RELAY_DESTINATION_SECRET_{name.upper().replace('-', '_')}") or secrets.token_urlsafe(24)
        for name in named_secrets(flatten(config)["destinations"])
    }


def _save_secrets(
    aws: AwsProcess,
    config: Config,
    access: Mapping[str, str],
    signing: Mapping[str, str],
    destinations: Mapping[str, str],
) -> None:
    """Save the secrets as `relay secret set` would."""
    now = datetime.now(UTC).isoformat()
    values: dict[str, Any] = {
        "qstash": {"token": access["qstash_token"], "url": access["qstash_url"]},
        "sources": {source: [{"value": value, "created_at": now}] for source, value in signing.items()},
    }
    if destinations:
        values["destinations"] = destinations
    manager = aws.client("secretsmanager")
    for kind, value in values.items():
        manager.create_secret(Name=f"{config.relay.name}/{kind}", SecretString=json.dumps(value))
