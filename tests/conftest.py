"""What all tests share: a local AWS for the session, without the relay in it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from infra.local import aws
from infra.local.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class LocalClients:
    """Clients of the session's local AWS."""

    url: str
    dynamodb: Any
    s3: Any

    def new_name(self) -> str:
        """Return a name that nothing has yet, for a table and a bucket of a test's own."""
        return "t" + secrets.token_hex(6)


@pytest.fixture(scope="session")
def local_clients() -> Iterator[LocalClients]:
    """Run a local AWS for the session; it starts in a fifth of a second."""
    with Sandbox() as sandbox:
        process = aws.start(sandbox)
        process.await_ready()
        yield LocalClients(process.endpoint_url, process.client("dynamodb"), process.client("s3"))
