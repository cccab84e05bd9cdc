"""The table, as DynamoDB is asked: what no local DynamoDB shows, since it is always consistent and never full."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from relay.errors import UpstreamError
from relay.storage.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}


@pytest.fixture
def asked() -> Iterator[tuple[Table, Stubber]]:
    """Return a table, and what answers it."""
    client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="made-up", aws_secret_access_key="made-up")
    with Stubber(client) as answers:
        yield Table("t", lambda: datetime(2026, 11, 23, tzinfo=UTC), client), answers
        answers.assert_no_pending_responses()


def test_what_was_just_written_is_read(asked: tuple[Table, Stubber]) -> None:
    """By its key, and by each page of a query."""
    table, answers = asked
    wanted = {"TableName": "t", "ConsistentRead": True, "KeyConditionExpression": ANY, "ExpressionAttributeValues": ANY}
    answers.add_response("get_item", {"Item": KEY}, {"TableName": "t", "ConsistentRead": True, "Key": KEY})
    answers.add_response("query", {"Items": [KEY], "LastEvaluatedKey": KEY}, wanted)
    answers.add_response("query", {"Items": [KEY]}, {**wanted, "ExclusiveStartKey": KEY})

    assert table.get("a", "b") == {"pk": "a", "sk": "b"}
    assert list(table.query("pk = :pk", {":pk": "a"})) == [{"pk": "a", "sk": "b"}] * 2


@pytest.mark.parametrize(
    ("code", "lost"), [("ConditionalCheckFailed", True), ("TransactionConflict", True), ("ThrottlingError", False)]
)
def test_only_another_write_makes_two_puts_void(asked: tuple[Table, Stubber], code: str, *, lost: bool) -> None:
    """That DynamoDB couldn't is an error: whoever asked must ask again."""
    table, answers = asked
    reasons: Any = {"CancellationReasons": [{"Code": "None"}, {"Code": code}]}
    answers.add_client_error("transact_write_items", "TransactionCanceledException", modeled_fields=reasons)

    if lost:
        assert not table.put_both({"pk": "a"}, {"pk": "b"}, "version = :v", {":v": 1})
    else:
        with pytest.raises(UpstreamError, match="TransactionCanceled"):
            table.put_both({"pk": "a"}, {"pk": "b"}, "version = :v", {":v": 1})


def _batch(*numbers: int) -> dict[str, Any]:
    keys = [{"pk": {"S": f"{it:03d}"}, "sk": {"S": "EVENT"}} for it in numbers]
    return {"t": {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "pk, sk, expires_at, received_at"}}


def _row(number: int, expires_at: int) -> dict[str, Any]:
    return {"pk": {"S": f"{number:03d}"}, "sk": {"S": "EVENT"}, "expires_at": {"N": str(expires_at)}}


def test_many_are_read_consistently_a_hundred_at_a_time(asked: tuple[Table, Stubber]) -> None:
    """And asked for again where DynamoDB left some out; what has expired is absent."""
    table, answers = asked
    unprocessed = {"UnprocessedKeys": _batch(7)}
    answers.add_response(
        "batch_get_item", {"Responses": {"t": [_row(3, 9**11)]}, **unprocessed}, {"RequestItems": _batch(*range(100))}
    )
    answers.add_response("batch_get_item", {"Responses": {"t": [_row(7, 9**11)]}}, {"RequestItems": _batch(7)})
    answers.add_response("batch_get_item", {"Responses": {"t": [_row(100, 1)]}}, {"RequestItems": _batch(100)})

    found = table.get_many([(f"{it:03d}", "EVENT") for it in (*range(101), 0)], ["received_at"])

    assert list(found) == [("003", "EVENT"), ("007", "EVENT")]


def test_many_that_are_never_all_given_are_an_error(asked: tuple[Table, Stubber]) -> None:
    """Not absent: what isn't told may be there."""
    table, answers = asked
    for _ in range(8):
        answers.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": _batch(7)})

    with pytest.raises(UpstreamError, match="too busy"):
        table.get_many([("007", "EVENT")], ["received_at"])
