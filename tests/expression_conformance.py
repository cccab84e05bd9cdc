"""What DynamoDB makes of expressions, keys and pages: one suite, run on every implementation there is.

The store's own suite says what the relay needs; this one holds what stands in for DynamoDB to the rest of what it does.
A module that runs it subclasses `ExpressionConformance` and gives the fixture `table`: a client and a table's name.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
ITEM: dict[str, Any] = {
    **KEY,
    "x_text": {"S": "zé"},
    "x_count": {"N": "10"},
    "x_names": {"SS": ["x", "y"]},
    "x_map": {"M": {"x_list": {"L": [{"N": "1"}, {"N": "2"}]}}},
    "x_null": {"NULL": True},
}
VALUES: dict[str, Any] = {
    ":two": {"N": "2"},
    ":nine": {"N": "9"},
    ":ten": {"N": "10.0"},
    ":text": {"S": "zé"},
    ":z": {"S": "z"},
    ":x": {"S": "x"},
    ":set": {"SS": ["y", "x"]},
    ":more": {"SS": ["x", "q"]},
    ":list": {"L": [{"N": "3"}]},
    ":true": {"BOOL": True},
}


class Table(NamedTuple):
    """A client, and the name of a table that `tests.local_table` made."""

    client: Any
    name: str

    def put(self, **attributes: Any) -> None:
        self.client.put_item(TableName=self.name, Item=ITEM | attributes)

    def get(self) -> Any:
        return self.client.get_item(TableName=self.name, Key=KEY, ConsistentRead=True).get("Item")

    def keyed(self, **request: Any) -> Any:
        return {"TableName": self.name, "Key": KEY, **request} | _values(request)

    def query(self, **request: Any) -> Any:
        return self.client.query(TableName=self.name, **request)


def _values(request: dict[str, Any]) -> dict[str, Any]:
    text = " ".join(it for name, it in request.items() if name.endswith("Expression"))
    used = {name: VALUES[name] for name in re.findall(r":\w+", text) if name in VALUES}
    return {"ExpressionAttributeValues": used} if used else {}


def _numbers(*numbers: int) -> Any:
    """Return the attribute `x_map` with that list in it."""
    return {"M": {"x_list": {"L": [{"N": str(it)} for it in numbers]}}}


class ExpressionConformance:
    """One claim a test."""

    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            ("x_count = :ten", True),
            ("x_count = :text", False),
            ("x_count > :nine", True),
            ("x_text > :nine", False),
            ("x_text > :z", True),
            ("x_none = :z", False),
            ("x_none <> :z", True),
            ("x_none < :z", False),
            ("NOT x_none = :z", True),
            ("x_count <> :nine", True),
            ("attribute_exists(x_map.x_list[1])", True),
            ("attribute_exists(x_map.x_list[2])", False),
            ("attribute_not_exists(x_text)", False),
            ("attribute_exists(x_null)", True),
            ("begins_with(x_text, :z)", True),
            ("contains(x_text, :z)", True),
            ("contains(x_names, :x)", True),
            ("contains(x_map.x_list, :two)", True),
            ("contains(x_names, :z)", False),
            ("x_names = :set", True),
            ("size(x_text) = :two", True),
            ("size(x_names) = :two", True),
            ("size(x_none) = :two", False),
            ("x_count BETWEEN :nine AND :ten", True),
            ("x_count IN (:nine, :ten)", True),
            ("x_none IN (:nine, :ten)", False),
            ("x_text = :z OR x_count = :ten AND x_names = :set", True),
            ("(x_text = :text OR x_count = :ten) AND x_names = :more", False),
            ("x_text = :text AND NOT (x_count = :nine OR x_count = :two)", True),
        ],
    )
    def test_a_condition_holds_or_not(self, table: Table, condition: str, holds: bool) -> None:  # noqa: FBT001
        """Numbers by value, texts by their bytes, sets without order, and nothing but `<>` holds of what is missing."""
        table.put(x_text={"S": "zé"} if "size" not in condition else {"S": "zz"})
        request = table.keyed(ConditionExpression=condition)

        try:
            table.client.delete_item(**request)
        except table.client.exceptions.ConditionalCheckFailedException:
            deleted = False
        else:
            deleted = True

        assert deleted == holds

    @pytest.mark.parametrize(
        ("change", "attribute", "value"),
        [
            ("SET x_map.x_list[0] = :nine", "x_map", _numbers(9, 2)),
            ("SET x_map.x_list = list_append(x_map.x_list, :list)", "x_map", _numbers(1, 2, 3)),
            ("SET x_map.x_list = list_append(if_not_exists(x_map.x_more, :list), :list)", "x_map", _numbers(3, 3)),
            ("SET x_made = if_not_exists(x_made, :x)", "x_made", {"S": "x"}),
            ("SET x_null = if_not_exists(x_null, :x)", "x_null", {"NULL": True}),
            ("SET x_amount = if_not_exists(x_amount, :two) + :nine", "x_amount", {"N": "11"}),
            ("SET x_amount = :two - :nine", "x_amount", {"N": "-7"}),
            ("ADD x_amount :nine", "x_amount", {"N": "9"}),
            ("ADD x_names :more", "x_names", {"SS": ["q", "x", "y"]}),
            ("DELETE x_names :more", "x_names", {"SS": ["y"]}),
            ("DELETE x_names :set", "x_names", None),
            ("REMOVE x_null, x_none SET x_made = :x", "x_null", None),
            ("REMOVE x_map.x_list[0]", "x_map", _numbers(2)),
            ("SET x_null = x_names, x_names = x_null", "x_names", {"NULL": True}),
        ],
    )
    def test_an_update_changes_what_it_names(self, table: Table, change: str, attribute: str, value: Any) -> None:
        """Every value is taken from the item as it was before."""
        table.put()

        answer = table.client.update_item(**table.keyed(UpdateExpression=change, ReturnValues="ALL_NEW"))

        assert _unordered(answer["Attributes"].get(attribute)) == value
        assert _unordered(table.get()) == _unordered(answer["Attributes"])

    def test_an_update_makes_what_isnt_there(self, table: Table) -> None:
        """A delete of what isn't there is no error, either."""
        table.client.update_item(**table.keyed(UpdateExpression="ADD x_amount :two"))

        assert table.get() == {**KEY, "x_amount": {"N": "2"}}
        table.client.delete_item(TableName=table.name, Key=KEY)
        table.client.delete_item(TableName=table.name, Key=KEY)
        assert table.get() is None

    @pytest.mark.parametrize(
        "request_",
        [
            {"UpdateExpression": "SET pk = :x"},
            {"UpdateExpression": "SET x_none.x_map = :x"},
            {"UpdateExpression": "SET x_made = x_none"},
            {"UpdateExpression": "SET x_made = :x, x_made = :two"},
            {"UpdateExpression": "ADD x_null :two"},
            {"UpdateExpression": "SET due_pk = :two"},
            {"UpdateExpression": "SET x_made = :x", "ConditionExpression": "x_made ="},
            {"UpdateExpression": "SET x_made = :x SET x_other = :x"},
            {"UpdateExpression": "SET x_made = :x", "ExpressionAttributeNames": {"#unused": "x_made"}},
            {"UpdateExpression": "SET x_made = :absent"},
            {"UpdateExpression": "SET #absent = :x"},
            {"UpdateExpression": "SET x_made = :x", "ConditionExpression": "unheard_of(x_made, :x)"},
            {"UpdateExpression": "REMOVE x_made", "ExpressionAttributeValues": {":x": {"S": "x"}}},
        ],
        ids=str,
    )
    def test_a_wrong_update_is_refused_and_changes_nothing(self, table: Table, request_: Any) -> None:
        """ValidationException, as botocore has it."""
        table.put()

        with pytest.raises(ClientError) as refused:
            table.client.update_item(**table.keyed(**request_))

        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert _unordered(table.get()) == _unordered(ITEM)

    @pytest.mark.parametrize(
        "item",
        [
            {"pk": {"S": "a"}},
            {"pk": {"S": ""}, "sk": {"S": "b"}},
            {"pk": {"N": "1"}, "sk": {"S": "b"}},
            {**KEY, "feed_pk": {"S": ""}},
            {**KEY, "x_text": {"S": "x" * 410_000}},
        ],
        ids=["no sort key", "empty key", "a number as key", "empty index key", "too large"],
    )
    def test_what_no_table_holds_is_refused(self, table: Table, item: Any) -> None:
        """Keys are texts that aren't empty; an item has up to 400 KB."""
        with pytest.raises(ClientError) as refused:
            table.client.put_item(TableName=table.name, Item=item)

        assert refused.value.response["Error"]["Code"] == "ValidationException"

    def test_a_failed_condition_returns_the_old_item_where_asked(self, table: Table) -> None:
        """And nothing where there was none."""
        wrong = {"ConditionExpression": "attribute_exists(x_none)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        with pytest.raises(table.client.exceptions.ConditionalCheckFailedException) as failed:
            table.client.put_item(TableName=table.name, Item=ITEM, **wrong)
        assert "Item" not in failed.value.response
        table.put()

        with pytest.raises(table.client.exceptions.ConditionalCheckFailedException) as failed:
            table.client.put_item(TableName=table.name, Item=ITEM, **wrong)

        assert _unordered(failed.value.response["Item"]) == _unordered(ITEM)

    def test_a_transaction_is_made_whole_or_not_at_all(self, table: Table) -> None:
        """It says of each write whether it was the one that failed."""
        put = {"Put": {"TableName": table.name, "Item": {**KEY, "sk": {"S": "other"}}}}
        check = {"ConditionCheck": {"TableName": table.name, "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}}
        with pytest.raises(table.client.exceptions.TransactionCanceledException) as cancelled:
            table.client.transact_write_items(TransactItems=[put, check])
        codes = [it["Code"] for it in cancelled.value.response["CancellationReasons"]]
        assert codes == ["None", "ConditionalCheckFailed"]
        table.put()
        assert len(self.sort_keys(table)) == 1

        table.client.transact_write_items(TransactItems=[put, check])

        assert len(self.sort_keys(table)) == 2

    def test_a_batch_gets_what_is_there(self, table: Table) -> None:
        """What isn't is left out."""
        table.client.batch_write_item(RequestItems={table.name: [{"PutRequest": {"Item": ITEM}}]})
        keys = [KEY, {**KEY, "sk": {"S": "absent"}}]

        answer = table.client.batch_get_item(RequestItems={table.name: {"Keys": keys, "ConsistentRead": True}})

        assert [_unordered(it) for it in answer["Responses"][table.name]] == [_unordered(ITEM)]
        assert answer["UnprocessedKeys"] == {}

    def test_a_partition_is_in_the_order_of_utf8(self, table: Table) -> None:
        """Not in that of UTF-16, nor of any language."""
        texts = ["B", "a", "aé", "b", "\uffee", "\U0001f600"]
        for text in reversed(texts):
            table.client.put_item(TableName=table.name, Item={**KEY, "sk": {"S": text}})

        assert self.sort_keys(table) == texts
        assert self.sort_keys(table, ScanIndexForward=False) == texts[::-1]

    @pytest.mark.parametrize("index", [None, "feed"])
    @pytest.mark.parametrize("forward", [True, False])
    def test_pages_have_each_item_once(self, table: Table, index: str | None, forward: bool) -> None:  # noqa: FBT001
        """A filter takes nothing from what a page reads; the key to go on after is that of what was read last."""
        for number in range(6):
            feed = {"feed_pk": {"S": "a"}, "feed_sk": {"S": str(number // 2)}}
            table.client.put_item(TableName=table.name, Item={**KEY, "sk": {"S": str(number)}, **feed})
        table.client.put_item(TableName=table.name, Item={**KEY, "sk": {"S": "~"}})
        request: Any = {
            "KeyConditionExpression": "feed_pk = :pk" if index else "pk = :pk AND sk BETWEEN :low AND :high",
            "ExpressionAttributeValues": {":pk": {"S": "a"}, ":not": {"S": "3"}}
            | ({} if index else {":low": {"S": "0"}, ":high": {"S": "5"}}),
            "FilterExpression": "sk <> :not" if index else "feed_sk <> :not",
            "ScanIndexForward": forward,
            "Limit": 3,
        }
        request |= {"IndexName": index} if index else {}

        pages: list[list[str]] = []
        at: dict[str, Any] = {}
        for _ in range(10):
            page = table.query(**request, **at)
            pages.append([it["sk"]["S"] for it in page["Items"]])
            if "LastEvaluatedKey" not in page:
                break
            at = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
            keys = {"pk", "sk"} | ({"feed_pk", "feed_sk"} if index else set())
            assert page["LastEvaluatedKey"].keys() == keys

        assert sorted(it for page in pages for it in page) == [str(it) for it in range(6) if not (index and it == 3)]
        assert max(map(len, pages)) <= 3

    def test_an_index_holds_what_has_its_keys_and_only_what_it_was_told(self, table: Table) -> None:
        """An item comes in and goes out with the keys of the index."""
        due = {"due_pk": {"S": "x"}, "due_sk": {"S": "1"}}
        request: Any = {
            "IndexName": "due",
            "KeyConditionExpression": "due_pk = :x",
            "ExpressionAttributeValues": {":x": {"S": "x"}},
        }
        table.put()
        assert table.query(**request)["Items"] == []

        table.put(**due)

        assert table.query(**request)["Items"] == [{**KEY, **due}]
        table.client.update_item(TableName=table.name, Key=KEY, UpdateExpression="REMOVE due_sk")
        assert table.query(**request)["Items"] == []
        with pytest.raises(ClientError):
            table.query(**request, ConsistentRead=True)

    def test_a_count_and_a_projection_show_less(self, table: Table) -> None:
        """Only what was asked for."""
        table.put()
        request: Any = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}

        counted = table.query(**request, Select="COUNT")
        shown = table.query(**request, ProjectionExpression="#t, x_none", ExpressionAttributeNames={"#t": "x_text"})

        assert (counted["Count"], counted.get("Items")) == (1, None)
        assert shown["Items"] == [{"x_text": ITEM["x_text"]}]

    @pytest.mark.parametrize(
        ("condition", "low", "high"),
        [
            ("feed_pk = :a AND feed_sk BETWEEN :low AND :high", "2", "1"),
            ("feed_pk = :a AND feed_sk BETWEEN :low AND :high", "1", "2" * 1025),
            ("feed_pk = :a AND feed_sk BETWEEN :low AND :high", "", "1"),
            ("feed_pk = :low AND feed_sk < :high", "", "1"),
            ("pk = :a AND sk < :high", "1", "2" * 1025),
        ],
    )
    def test_bounds_that_no_key_can_have_are_refused(self, table: Table, condition: str, low: str, high: str) -> None:
        """Whatever there is between them."""
        values = {":low": {"S": low}, ":high": {"S": high}, ":a": {"S": "x"}}
        used = {name: it for name, it in values.items() if name in condition}
        index = {"IndexName": "feed"} if condition.startswith("feed") else {}

        with pytest.raises(ClientError) as refused:
            table.query(**index, KeyConditionExpression=condition, ExpressionAttributeValues=used)

        assert refused.value.response["Error"]["Code"] == "ValidationException"

    @pytest.mark.parametrize(
        "start",
        [
            KEY,
            {"feed_pk": {"S": "x"}, "feed_sk": {"S": "1"}},
            {**KEY, "feed_pk": {"S": "x"}, "feed_sk": {"S": "1"}, "more": {"S": "1"}},
            {**KEY, "feed_pk": {"S": "x"}, "feed_sk": {"N": "1"}},
            {**KEY, "feed_pk": {"S": "another"}, "feed_sk": {"S": "1"}},
        ],
        ids=str,
    )
    def test_a_page_begins_after_a_whole_key_of_its_partition(self, table: Table, start: Any) -> None:
        """The table's two, and the index's two."""
        table.put(feed_pk={"S": "x"}, feed_sk={"S": "1"})
        request: Any = {
            "IndexName": "feed",
            "KeyConditionExpression": "feed_pk = :x",
            "ExpressionAttributeValues": {":x": {"S": "x"}},
        }

        with pytest.raises(ClientError) as refused:
            table.query(**request, ExclusiveStartKey=start)

        assert refused.value.response["Error"]["Code"] == "ValidationException"

    @staticmethod
    def sort_keys(table: Table, **request: Any) -> list[str]:
        """Return the sort keys of the partition, in their order."""
        values = {":a": {"S": "a"}}
        answer = table.query(KeyConditionExpression="pk = :a", ExpressionAttributeValues=values, **request)
        return [it["sk"]["S"] for it in answer["Items"]]


def _unordered(value: Any) -> Any:
    """Return *value* with its sets in an order."""
    if isinstance(value, dict):
        return {name: sorted(it) if name == "SS" else _unordered(it) for name, it in value.items()}
    return value
