"""What tests of the verbs share: a relay in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay import wiring
from relay.runtime.metrics import count_for
from tests.unit.relay.dead_letters import DeadLetters
from tests.unit.relay.operator import Operator, wired
from tests.unit.relay.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Clients


@pytest.fixture
def world(clients: Clients) -> World:
    return World(clients)


@pytest.fixture
def operator(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Operator]:
    """Give somebody who asks the function query."""
    wired(world, monkeypatch, tmp_path, "RELAY_BUCKET")
    yield Operator()
    wiring.relay.cache_clear()


@pytest.fixture
def shop() -> Iterator[None]:
    """Have what is counted be of the relay `shop`, as a function's wiring does."""
    count_for("shop")
    yield
    count_for("unnamed")


@pytest.fixture
def letters(world: World) -> DeadLetters:
    """Give the list of dead letters at the world's QStash."""
    return DeadLetters(world)
