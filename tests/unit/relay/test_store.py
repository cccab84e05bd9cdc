"""The store on the local AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.store import Store
from tests.local_table import make_table
from tests.store_conformance import Clock, StoreConformance

if TYPE_CHECKING:
    from tests.conftest import LocalClients


class TestOnTheLocalAWS(StoreConformance):
    """The suite on the local AWS's DynamoDB and S3."""

    @pytest.fixture
    def store(self, local_clients: LocalClients, clock: Clock) -> Store:
        name = local_clients.new_name()
        make_table(local_clients.dynamodb, name)
        local_clients.s3.create_bucket(Bucket=name)
        return Store(name, name, now=clock, dynamodb=local_clients.dynamodb, s3=local_clients.s3)
