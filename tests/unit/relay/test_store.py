"""The store on the local AWS, and on the memory that stands in for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relay.storage.store import Store
from tests.expression_conformance import ExpressionConformance, Table
from tests.local_table import make_table
from tests.memory_aws import MemoryDynamoDB, MemoryS3
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


class TestExpressionsInMemory(ExpressionConformance):
    """The suite on the memory."""

    @pytest.fixture
    def table(self) -> Table:
        dynamodb: Any = MemoryDynamoDB()
        make_table(dynamodb, "table")
        return Table(dynamodb, "table")


class TestInMemory(StoreConformance):
    """The suite on the memory that other tests take for DynamoDB and S3."""

    @pytest.fixture
    def store(self, clock: Clock) -> Store:
        dynamodb: Any = MemoryDynamoDB()
        s3: Any = MemoryS3()
        make_table(dynamodb, "table")
        s3.create_bucket(Bucket="bucket")
        return Store("table", "bucket", now=clock, dynamodb=dynamodb, s3=s3)
