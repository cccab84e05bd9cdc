"""A server for each flavour of the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from qstash import AsyncQStash, QStash

from tests.local_qstash import running_qstash

if TYPE_CHECKING:
    from collections.abc import Iterator


from .steps import Connection


@pytest.fixture(scope="module", params=[QStash, AsyncQStash], ids=["sync", "async"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """Run a server for one flavour of the SDK."""
    with running_qstash("--test-hosts", "--admin") as facts, asyncio.Runner() as runner:
        connection = Connection(request.param, facts, runner)
        yield connection
        connection.close()


@pytest.fixture(scope="module")
def sdk(connection: Connection) -> QStash:
    """Return the client under whose eyes the server is."""
    return connection.client(connection.facts.token)
