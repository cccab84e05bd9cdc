"""The store on AWS's own DynamoDB Local: the strictest judge of expressions that runs here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from relay.storage.store import Store
from tests.expression_conformance import ExpressionConformance, Table
from tests.local_table import make_table
from tests.store_conformance import Clock, StoreConformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalClients

POM = Path(__file__).parent / "dynamodb-local" / "pom.xml"
LOOPBACK = POM.with_name("Loopback.java")
JARS = Path(__file__).parents[2] / ".cache" / "dynamodb-local"
START_S = 30


def jars() -> Path:
    """Return the folder of DynamoDB Local, fetched by Maven the first time; skip where it can't be had."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI has to have {' and '.join(missing)}: else this judge is never asked")
    if missing:
        pytest.skip(f"DynamoDB Local needs {' and '.join(missing)}, which this machine doesn't have")
    if not list(JARS.glob("DynamoDBLocal-*.jar")):
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        fetch = ["mvn", "-q", "-B", "-f", str(POM), plugin, f"-DoutputDirectory={JARS}"]
        subprocess.run(fetch, check=True, timeout=300)  # noqa: S603  # the words are ours
    return JARS


@pytest.fixture(scope="module")
def dynamodb_local() -> Iterator[str]:
    """Run DynamoDB Local in memory on a free port; yield its URL."""
    folder = jars()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    java = shutil.which("java") or "java"
    command = [java, f"-Djava.library.path={folder}", "-cp", f"{folder}/*", str(LOOPBACK), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:  # noqa: S603
        try:
            _wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.communicate(timeout=10)


def _wait_for(port: int, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    server.kill()
    raise AssertionError(f"DynamoDB Local didn't start: {server.communicate()[0][-2000:]}")


@pytest.fixture
def dynamodb(dynamodb_local: str) -> Any:
    """Return a client of it."""
    return boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_local,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


class TestExpressionsOnDynamoDBLocal(ExpressionConformance):
    """The suite on AWS's own implementation."""

    @pytest.fixture
    def table(self, dynamodb: Any, local_clients: LocalClients) -> Table:
        name = local_clients.new_name()
        make_table(dynamodb, name)
        return Table(dynamodb, name)


class TestOnDynamoDBLocal(StoreConformance):
    """The suite on AWS's own implementation; bodies that belong into the bucket stay on the local AWS's S3."""

    @pytest.fixture
    def store(self, dynamodb: Any, local_clients: LocalClients, clock: Clock) -> Store:
        name = local_clients.new_name()
        make_table(dynamodb, name)
        local_clients.s3.create_bucket(Bucket=name)
        return Store(name, name, now=clock, dynamodb=dynamodb, s3=local_clients.s3)
