"""A table and a bucket on a local AWS, as the stack makes them, for tests of the real store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PROJECTED = [
    *("kind", "source", "event_type", "destination", "group", "status", "received_at", "updated_at", "size_bytes"),
    *("sha256", "idempotency_key", "attempts_count", "message_id", "dlq_id", "generation", "expires_at"),
    *(
        "content_type",
        "unpublished",
        "handed_over_at",
        "suspected_replay_of",
        "reconciled_at",
        "expected",
        "conflicts",
        "reason",
        "due_sk",
    ),
]


def make_table(dynamodb: DynamoDBClient, name: str) -> None:
    """Make the relay's table; `tests/infra` checks that the stack's is the same."""

    def keys(pk: str, sk: str) -> Any:
        return [{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]

    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=keys("pk", "sk"),
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": "S"}
            for key in ("pk", "sk", "feed_pk", "feed_sk", "due_pk", "due_sk")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "feed",
                "KeySchema": keys("feed_pk", "feed_sk"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": PROJECTED},
            },
            {
                "IndexName": "due",
                "KeySchema": keys("due_pk", "due_sk"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )
