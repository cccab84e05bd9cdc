"""What all tests share: DynamoDB and S3 in memory, and a local AWS for the session, without the relay in it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from infra.local.aws import server
from infra.local.outside import shut_out
from infra.local.processes.sandbox import Sandbox
from tests.memory_aws import MemoryDynamoDB, MemoryS3

if TYPE_CHECKING:
    from collections.abc import Iterator

shut_out()  # before anything reads what this machine's owner uses for the real services

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
# What `make test` has time for: the same ones each time, so that it tells of the change; `make check` tries others.
settings.register_profile("some", settings.get_profile("whole"), max_examples=25, derandomize=True)
settings.load_profile("some")


@dataclass(frozen=True)
class Clients:
    """Clients of DynamoDB and S3, as boto3 makes them."""

    dynamodb: Any
    s3: Any

    def new_name(self) -> str:
        """Return a name that nothing has yet, for a table and a bucket of a test's own."""
        return "t" + secrets.token_hex(6)


@dataclass(frozen=True)
class LocalClients(Clients):
    """Clients of the session's local AWS."""

    url: str


@pytest.fixture(scope="session")
def local_clients() -> Iterator[LocalClients]:
    """Run a local AWS for the session; it starts in a fifth of a second."""
    with Sandbox() as sandbox:
        process = server.start(sandbox)
        process.await_ready()
        yield LocalClients(process.client("dynamodb"), process.client("s3"), process.endpoint_url)


@pytest.fixture
def clients(request: pytest.FixtureRequest) -> Clients:
    """Give what a relay keeps its records in: memory, which the same suites hold to what DynamoDB and S3 do.

    A test that stands at the wire of boto3, or reads what it makes of an answer, is marked `local_aws`: it gets a
    client of the local AWS.
    """
    if request.node.get_closest_marker("local_aws"):
        found: Clients = request.getfixturevalue("local_clients")
        return found
    return Clients(MemoryDynamoDB(), MemoryS3())
