"""One DynamoDB table, as plain items: conditional writes tell what was there, and what has expired is absent.

TTL deletes expired items days late, so that every read and every condition here looks at `expires_at`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.errors import UpstreamError
from relay.runtime import aws
from relay.storage.items import Item, plain, ttl, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

BATCH = 100  # what DynamoDB takes in one BatchGetItem
BATCH_TRIES = 8

Key = tuple[str, str]
"""An item's `pk` and `sk`."""


class Table:
    """A table with the keys `pk` and `sk`.

    Args:
        now: Returns the current aware UTC time.
        dynamodb: A client; by default that of `relay.runtime.aws`.

    Raises:
        UpstreamError: From every method: DynamoDB refused, or didn't answer in time.
    """

    def __init__(self, name: str, now: Callable[[], datetime], dynamodb: DynamoDBClient | None = None) -> None:
        self.name = name
        self._now = now
        self._given = dynamodb

    @property
    def client(self) -> DynamoDBClient:
        """The client that the time left allows, made when it is first needed."""
        return self._given or aws.client("dynamodb")

    def get(self, pk: str, sk: str) -> Item | None:
        """Return the item, read consistently; None where there is none."""
        with aws.speaking_to("DynamoDB"):
            answer = self.client.get_item(TableName=self.name, Key=_wire_key((pk, sk)), ConsistentRead=True)
        item = plain(answer.get("Item", {}))
        return item if item and item.get("expires_at", float("inf")) > ttl(self._now()) else None

    def get_many(self, keys: Iterable[Key], attributes: Iterable[str]) -> dict[Key, Item]:
        """Return those of *keys* that exist, read consistently, with *attributes*.

        It costs what each item costs alone, a read unit for 4 KB of it; that of 100 is one request.
        """
        wanted = list(dict.fromkeys(keys))
        now = ttl(self._now())
        projection = ", ".join(dict.fromkeys(("pk", "sk", "expires_at", *attributes)))
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), BATCH):
            for item in self._batch([_wire_key(it) for it in wanted[start : start + BATCH]], projection):
                if item.get("expires_at", now + 1) > now:
                    found[item["pk"], item["sk"]] = item
        return found

    def _batch(self, keys: list[Any], projection: str) -> Iterator[Item]:
        for _ in range(BATCH_TRIES):
            asked: Any = {self.name: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": projection}}
            with aws.speaking_to("DynamoDB"):
                answer: Any = self.client.batch_get_item(RequestItems=asked)
            yield from map(plain, answer.get("Responses", {}).get(self.name, []))
            keys = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if not keys:
                return
        raise UpstreamError("DynamoDB", "too busy for a batch")

    def page(
        self, condition: str, values: Item, *, after: Item | None = None, **request: Any
    ) -> tuple[list[Item], Item | None]:
        """Return one page of a query, expired items included, and the key to go on *after*; None at the end."""
        if after:
            request["ExclusiveStartKey"] = wire(after)
        with aws.speaking_to("DynamoDB"):
            answer = self.client.query(
                TableName=self.name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=wire(values),
                **request,
            )
        return list(map(plain, answer["Items"])), plain(answer.get("LastEvaluatedKey", {})) or None

    def query(self, condition: str, values: Item) -> Iterator[Item]:
        """Yield all items of a partition that meet *condition*, read consistently."""
        now = ttl(self._now())
        last: Item | None = None
        while True:
            items, last = self.page(condition, values, after=last, ConsistentRead=True)
            yield from (it for it in items if it.get("expires_at", now + 1) > now)
            if last is None:
                return

    def put(self, item: Item) -> None:
        """Put *item*, whatever was there."""
        with aws.speaking_to("DynamoDB"):
            self.client.put_item(TableName=self.name, Item=wire(item))

    def put_if_absent(self, item: Item) -> Item | None:
        """Put *item* unless one is there; return that one, else None."""
        condition = "attribute_not_exists(pk) OR expires_at <= :now"
        return self.put_if(item, condition, {":now": ttl(self._now())})

    def put_if(self, item: Item, condition: str, values: Item, names: Iterable[str] = ()) -> Item | None:
        """Put *item* on *condition*; return None where it held, else the item that was there ({}: none)."""
        with aws.speaking_to("DynamoDB"):
            try:
                self.client.put_item(
                    TableName=self.name,
                    Item=wire(item),
                    ConditionExpression=condition,
                    ExpressionAttributeValues=wire(values),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **_names(names),
                )
            except self.client.exceptions.ConditionalCheckFailedException as error:
                answer: Any = error.response
                return plain(answer.get("Item", {}))
        return None

    def put_both(self, item: Item, other: Item, condition: str, values: Item) -> bool:
        """Put *item*, unless it is there, and *other* on *condition*: both, or neither; return whether they held."""
        conditional = {
            "TableName": self.name,
            "Item": wire(other),
            "ConditionExpression": condition,
            "ExpressionAttributeValues": wire(values),
        }
        new = {"TableName": self.name, "Item": wire(item), "ConditionExpression": "attribute_not_exists(pk)"}
        writes: Any = [{"Put": new}, {"Put": conditional}]
        with aws.speaking_to("DynamoDB"):
            try:
                self.client.transact_write_items(TransactItems=writes)
            except self.client.exceptions.TransactionCanceledException as error:
                codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
                if codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                    return False
                raise
        return True

    def update(self, key: Key, change: str, values: Item, names: Iterable[str] = (), condition: str = "") -> bool:
        """Update an item; return whether *condition* held: if not, somebody else was faster and nothing is owed."""
        request: Any = {"ConditionExpression": condition} if condition else {}
        with aws.speaking_to("DynamoDB"):
            try:
                self.client.update_item(
                    TableName=self.name,
                    Key=_wire_key(key),
                    UpdateExpression=change,
                    ExpressionAttributeValues=wire(values),
                    **_names(names),
                    **request,
                )
            except self.client.exceptions.ConditionalCheckFailedException:
                return False
        return True


def _wire_key(key: Key) -> Any:
    return wire({"pk": key[0], "sk": key[1]})


def _names(names: Iterable[str]) -> Any:
    """Return what lets expressions say `#name` for attributes whose names are DynamoDB's own words."""
    aliases: Mapping[str, str] = {f"#{name}": name for name in names}
    return {"ExpressionAttributeNames": aliases} if aliases else {}
