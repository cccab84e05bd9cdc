"""What tests of the verbs share: a relay in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.relay.world import World

if TYPE_CHECKING:
    from tests.conftest import LocalClients


@pytest.fixture
def world(local_clients: LocalClients) -> World:
    return World(local_clients)
