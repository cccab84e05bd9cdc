"""What holds the records keeps its place from one version to the next: CloudFormation would make a new, empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.infra.conftest import Synthesized

NEW_INDEX = (
    "CloudFormation can't change an index's keys or projection in place, and a table's keys or a logical id only by a"
    " new, empty table. docs/operations.md, 'Another index', says how one is made beside the old"
)
TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
    "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    "DeletionProtectionEnabled": True,
    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
}
FEED = {
    *("kind", "source", "event_type", "destination", "group", "status", "received_at", "updated_at", "size_bytes"),
    *("sha256", "idempotency_key", "attempts_count", "message_id", "dlq_id", "generation", "expires_at"),
    *("content_type", "unpublished", "handed_over_at", "suspected_replay_of", "reconciled_at", "expected"),
    *("conflicts", "reason", "due_sk"),
}
HOLDERS = {  # logical ids
    "StorageTableB43FDCE7": "AWS::DynamoDB::Table",
    "StorageBucket5CB7C8EA": "AWS::S3::Bucket",
}


GIVEN = {
    "GatewayApi4EDF2151": "AWS::ApiGatewayV2::Api",
    "GatewayStage04E5B0D6": "AWS::ApiGatewayV2::Stage",
    "GatewayOperatorReadA6DD7989": "AWS::IAM::ManagedPolicy",
    "GatewayOperatorOperateF88520BF": "AWS::IAM::ManagedPolicy",
    "QStashGroups58ED9CF6": "Custom::QStash",
    "AlarmsTopic3A2DFEBA": "AWS::SNS::Topic",
}


def index(table: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the index of *table* called *name*, its attributes in any order."""
    found: dict[str, Any] = next(it for it in table["GlobalSecondaryIndexes"] if it["IndexName"] == name)
    projection = found["Projection"]
    return {
        "keys": [it["AttributeName"] for it in found["KeySchema"]],
        "projection": set(projection.get("NonKeyAttributes", [])) or projection["ProjectionType"],
    }


def test_the_table_and_the_bucket_are_those_of_before(real: Synthesized) -> None:
    resources = real.template["Resources"]

    assert {id_: resources.get(id_, {}).get("Type") for id_ in HOLDERS} == HOLDERS, NEW_INDEX
    for id_ in HOLDERS:
        assert {resources[id_][it] for it in ("DeletionPolicy", "UpdateReplacePolicy")} == {"Retain"}
    assert "BucketName" not in resources["StorageBucket5CB7C8EA"]["Properties"], "another name is another bucket"


def test_what_others_were_given_is_that_of_before(real: Synthesized) -> None:
    """URLs that sources and QStash have, subscribers who clicked a link, policies of operators, QStash's URL groups."""
    resources = real.template["Resources"]

    assert {id_: resources.get(id_, {}).get("Type") for id_ in GIVEN} == GIVEN, (
        "another logical id is another resource: an API under another URL, a topic that nobody hears, policies that"
        " nobody has, a QStash emptied by the end of the old one. Give the constructs back their names"
    )


def test_the_tables_keys_are_those_of_before(real: Synthesized) -> None:
    table = real.one("AWS::DynamoDB::Table")["Properties"]

    assert {name: table[name] for name in TABLE} == TABLE, NEW_INDEX
    assert "TableName" not in table, "another name is another table"


def test_the_indexes_are_those_of_before(real: Synthesized) -> None:
    table = real.one("AWS::DynamoDB::Table")["Properties"]

    assert {it["IndexName"] for it in table["GlobalSecondaryIndexes"]} == {"feed", "due"}, NEW_INDEX
    assert index(table, "feed") == {"keys": ["feed_pk", "feed_sk"], "projection": FEED}, NEW_INDEX
    assert index(table, "due") == {"keys": ["due_pk", "due_sk"], "projection": "KEYS_ONLY"}, NEW_INDEX
