"""A server for each module, and the proof after each test that it lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_qstash import Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Iterator

from .steps import await_state, bearer, exchange


@pytest.fixture(scope="module")
def server() -> Iterator[Facts]:
    """Run a server for all tests here: what one leaves behind, the others meet."""
    with running_qstash("--test-hosts") as facts:
        yield facts


@pytest.fixture
def qstash(server: Facts) -> Iterator[Facts]:
    """Let a test have the server, and see that it still delivers afterwards."""
    yield server
    sent = exchange(server, "POST", b"/v2/publish/https://mock.httpstatus.io/200", [bearer(server)])
    assert sent.status == 200
    await_state(server, sent.json()["messageId"], {"DELIVERED"})
