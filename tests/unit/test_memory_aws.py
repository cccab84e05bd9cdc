"""What goes wrong on command with DynamoDB and S3 in memory, and what IAM forbids: tests of the tests' own ground."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.local_table import make_table
from tests.memory_aws import Calls, Crash, Denied, Fault, MemoryDynamoDB, MemoryS3
from tests.memory_aws.roles import allows

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
PUT: Any = {"TableName": "table", "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"}


def memory(**given: Any) -> Any:
    dynamodb: Any = MemoryDynamoDB(**given)
    make_table(dynamodb, "table")
    return dynamodb


def is_there(dynamodb: Any) -> bool:
    return bool(dynamodb.tables["table"].items)


@pytest.mark.parametrize(
    ("fault", "raises", "done"),
    [
        (Fault.REFUSED, ClientError, False),
        (Fault.LOST, ReadTimeoutError, False),
        (Fault.VOID, ReadTimeoutError, True),
        (Fault.CRASH_BEFORE, Crash, False),
        (Fault.CRASH_AFTER, Crash, True),
    ],
)
def test_a_fault_befalls_the_call_it_is_for(fault: Fault, raises: type[BaseException], done: bool) -> None:  # noqa: FBT001
    """The call before it and the one after it are made."""
    dynamodb = memory()
    dynamodb.calls.arm(fault, after=1)
    dynamodb.get_item(TableName="table", Key=KEY)

    with pytest.raises(raises):
        dynamodb.put_item(**PUT)

    assert is_there(dynamodb) == done
    assert dynamodb.calls.made == ["dynamodb.GetItem", "dynamodb.PutItem"]


def test_a_clients_second_try_meets_what_its_first_one_did() -> None:
    """Its answer was lost, so it puts again: now the condition fails, by its own item."""
    dynamodb = memory()
    dynamodb.calls.arm(Fault.REPEATED)

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(**PUT)

    assert is_there(dynamodb)


def test_a_transaction_that_is_tried_again_is_the_same_one() -> None:
    """boto3 gives it a token of its own."""
    dynamodb = memory()
    dynamodb.calls.arm(Fault.REPEATED)

    dynamodb.transact_write_items(TransactItems=[{"Put": PUT}])

    assert is_there(dynamodb)


def test_what_crashed_makes_no_call_on_its_way_out_and_others_do() -> None:
    """A `finally` doesn't run in a process that is gone."""
    calls = Calls()
    dynamodb, s3 = memory(calls=calls), MemoryS3(calls)
    s3.create_bucket(Bucket="bucket")
    calls.arm(Fault.CRASH_BEFORE)

    def crashing() -> None:
        try:
            dynamodb.put_item(**PUT)
        finally:
            s3.put_object(Bucket="bucket", Key="a", Body=b"")

    with calls.process(), pytest.raises(Crash):
        crashing()

    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 0
    assert not is_there(dynamodb)


def test_something_happens_between_two_calls_of_a_process() -> None:
    """So that two processes can be interleaved, call by call."""
    dynamodb = memory()
    dynamodb.calls.arm(lambda: dynamodb.put_item(**PUT))

    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(**PUT)


def test_an_index_that_lags_shows_what_was_in_order_and_then_all() -> None:
    """The same seed is behind in the same way."""

    def seen(seed: int) -> list[int]:
        dynamodb = memory(lag=random.Random(seed))  # noqa: S311 - a seeded one is meant
        counts = []
        for number in range(20):
            due = {"due_pk": {"S": "x"}, "due_sk": {"S": str(number)}}
            dynamodb.put_item(TableName="table", Item=KEY | due)
            answer = dynamodb.query(
                TableName="table",
                IndexName="due",
                KeyConditionExpression="due_pk = :x",
                ExpressionAttributeValues={":x": {"S": "x"}},
            )
            counts.append(max([int(it["due_sk"]["S"]) for it in answer["Items"]], default=-1))
        dynamodb.tables["table"].catch_up()
        (item,) = dynamodb.tables["table"].indexes["due"].items.values()
        return [*counts, int(item["due_sk"]["S"])]

    first = seen(1)

    assert first == seen(1) != seen(2)
    assert first == sorted(first)
    assert first[-1] == 19
    assert any(it < number for number, it in enumerate(first))


LIMITED: dict[str, Any] = {
    "Effect": "Allow",
    "Action": ["dynamodb:PutItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem"],
    "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["a", "b#*", "c?[x]"]}},
}


@pytest.mark.parametrize(
    ("keys", "may"),
    [
        *((it, True) for it in [{"a"}, {"b#"}, {"b#1#\n2"}, {"cz[x]"}, {"a", "b#1"}, set[str]()]),
        *((it, False) for it in [{"A"}, {"ab"}, {"b"}, {"xb#"}, {"c[x]"}, {"czx"}, {"a", "z"}, {"a\n"}, {""}]),
    ],
)
def test_leading_keys_are_compared_as_iam_does(keys: set[str], may: bool) -> None:  # noqa: FBT001
    """Every one of them, whole, by case; no key at all meets a condition on all."""
    assert allows([LIMITED], "dynamodb:PutItem", keys) is may
    assert not allows([LIMITED], "dynamodb:UpdateItem", keys)


def test_what_this_iam_doesnt_know_it_doesnt_judge() -> None:
    for other in ({"Effect": "Deny"}, {"Condition": {"StringLike": {"dynamodb:LeadingKeys": ["a"]}}}):
        with pytest.raises(NotImplementedError):
            allows([LIMITED | other], "dynamodb:PutItem", {"a"})


@pytest.mark.parametrize("write", ["put", "update", "transaction", "check", "batch"])
def test_each_item_that_a_function_writes_is_asked_for(write: str) -> None:
    """Those of a transaction and of a batch, too; what comes before a refused one isn't done either."""
    calls = Calls()
    dynamodb = memory(calls=calls, roles={"small": [LIMITED]})
    table, mine, other = "table", {"pk": {"S": "a"}, "sk": {"S": "1"}}, {"pk": {"S": "z"}, "sk": {"S": "1"}}
    put = {"Put": {"TableName": table, "Item": mine}}
    writes: dict[str, Any] = {
        "put": lambda: dynamodb.put_item(TableName=table, Item=other),
        "update": lambda: dynamodb.update_item(TableName=table, Key=mine, UpdateExpression="REMOVE x"),
        "transaction": lambda: dynamodb.transact_write_items(
            TransactItems=[put, {"Put": {"TableName": table, "Item": other}}]
        ),
        "check": lambda: dynamodb.transact_write_items(
            TransactItems=[
                put,
                {"ConditionCheck": {"TableName": table, "Key": other, "ConditionExpression": "attribute_exists(pk)"}},
            ]
        ),
        "batch": lambda: dynamodb.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": it}} for it in (mine, other)]}
        ),
    }

    with calls.process("small"), pytest.raises(Denied, match="small may not"):
        writes[write]()

    assert not is_there(dynamodb)
    with calls.process("small"):
        dynamodb.put_item(TableName=table, Item=mine)
    assert dynamodb.written["small"] >= {"a"}
