"""DynamoDB in memory behind the methods of boto3's client, with botocore's own exceptions.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/
"""

# ruff: noqa: N803 - the parameters have the names that AWS gave them

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import ReadTimeoutError

from .calls import Boundary, Calls
from .expressions import (
    Attribute,
    Invalid,
    Scope,
    WireItem,
    at,
    comparable,
    condition,
    placeholders,
    projection,
    resolve,
    update,
)
from .roles import ROLES, Denied, allows
from .tables import KEY_MAX_BYTES, MemoryTable, check_key, copied, item_bytes

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

PAGE_MAX_BYTES = 1024 * 1024
TRANSACTION_MAX = 100
BATCH_GET_MAX = 100
BATCH_WRITE_MAX = 25
TRIES = 2  # as the relay's own client has them


@cache
def exceptions(service: str) -> Any:
    """Return the exceptions that boto3's client of *service* has."""
    model = botocore.session.get_session().get_service_model(service)
    return ClientExceptionsFactory().create_client_exceptions(model)


def refusal(service: str, operation: str, code: str, message: str = "no", **fields: Any) -> Exception:
    """Return what boto3's client raises where *service* answers with the error *code*."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}, **fields}
    error: Exception = exceptions(service).from_code(code)(response, operation)
    return error


class MemoryDynamoDB:
    """What the relay uses of a boto3 client of DynamoDB.

    Args:
        calls: Counts all calls, and lets them go wrong.
        lag: Decides how far the indexes are behind; None: never.
        roles: The statements of those functions' policies that limit what they write.

    Attributes:
        written: The partition keys that each function wrote, or tried to.
    """

    def __init__(
        self,
        calls: Calls | None = None,
        lag: random.Random | None = None,
        roles: Mapping[str, Sequence[Mapping[str, Any]]] = ROLES,
    ) -> None:
        self.calls = calls or Calls()
        self.written: dict[str, set[str]] = {}
        self._roles = roles
        self.exceptions = exceptions("dynamodb")
        self.tables: dict[str, MemoryTable] = {}
        self._lag = lag
        self._boundary = Boundary(
            refused=lambda name: refusal("dynamodb", name, "ThrottlingException", "Rate of requests exceeds the limit"),
            silent=lambda name: ReadTimeoutError(endpoint_url=f"memory://{name}"),
            tries=TRIES,
        )

    def create_table(self, *, TableName: str, **request: Any) -> None:
        """Make a table with two text keys, and with its indexes."""
        self.tables[TableName] = MemoryTable.of(request, self._lag)

    def _take(self, name: str, do: Callable[[], Any]) -> Any:
        def answering() -> Any:
            try:
                return do()
            except Invalid as error:
                raise refusal("dynamodb", name, "ValidationException", str(error)) from None

        return self.calls.take(f"dynamodb.{name}", answering, self._boundary)

    def _authorize(self, name: str, write: Write) -> None:
        """Refuse what the role of the function that makes this call doesn't let it write."""
        function, key = self.calls.function, write.partition
        self.written.setdefault(function, set()).add(key)
        if function in self._roles and not allows(self._roles[function], f"dynamodb:{name}", {key}):
            raise Denied(f"{function} may not {name} under {key}")

    # -- one item ---------------------------------------------------------------------------------------------------

    def get_item(
        self,
        *,
        TableName: str,
        Key: WireItem,
        ConsistentRead: bool = False,  # noqa: ARG002 - a table's own items are never behind
        ProjectionExpression: str = "",
        ExpressionAttributeNames: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the item, or an answer without one."""

        def do() -> Any:
            table = self.tables[TableName]
            item = table.items.get(table.exactly(Key))
            names = _checked_names(ExpressionAttributeNames, ProjectionExpression)
            return {} if item is None else {"Item": _shown(item, ProjectionExpression, names)}

        return self._take("GetItem", do)

    def put_item(self, **request: Any) -> Any:
        """Put an item, on a condition if there is one."""
        return self._take("PutItem", lambda: self._one("PutItem", _put, request))

    def update_item(self, **request: Any) -> Any:
        """Change an item, or make it."""
        return self._take("UpdateItem", lambda: self._one("UpdateItem", _update, request))

    def delete_item(self, **request: Any) -> Any:
        """Remove an item, if it is there."""
        return self._take("DeleteItem", lambda: self._one("DeleteItem", _delete, request))

    def _one(self, name: str, write: Callable[..., Write], request: Mapping[str, Any]) -> Any:
        wanted = write(self.tables[request["TableName"]], **request)
        self._authorize(name, wanted)
        if not wanted.holds:
            old = {"Item": wanted.old} if wanted.old and wanted.returns_old_on_failure else {}
            code = "ConditionalCheckFailedException"
            raise refusal("dynamodb", name, code, "The conditional request failed", **copied(old))
        wanted.save()
        return wanted.answer()

    # -- several items ------------------------------------------------------------------------------------------------

    def transact_write_items(self, *, TransactItems: list[Any], ClientRequestToken: str = "") -> Any:  # noqa: ARG002
        """Make all writes, or none.  Made again by the client itself it is the same transaction, by its token."""
        made: list[bool] = []

        def do() -> Any:
            if not made:
                self._transact(TransactItems)
                made.append(True)
            return {}

        return self._take("TransactWriteItems", do)

    def _transact(self, items: list[Any]) -> None:
        if len(items) > TRANSACTION_MAX:
            raise Invalid(f"Member must have length less than or equal to {TRANSACTION_MAX}")
        kinds = {"Put": _put, "Update": _update, "Delete": _delete, "ConditionCheck": _check}
        writes = []
        for item in items:
            ((kind, request),) = item.items()
            writes.append(kinds[kind](self.tables[request["TableName"]], **request))
            self._authorize(f"{kind}Item", writes[-1])
        if len({(id(it.table), it.primary) for it in writes}) < len(writes):
            raise Invalid("Transaction request cannot include multiple operations on one item")
        if not all(it.holds for it in writes):
            reasons = [it.reason() for it in writes]
            codes = ", ".join(it["Code"] for it in reasons)
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            code = "TransactionCanceledException"
            raise refusal("dynamodb", "TransactWriteItems", code, message, CancellationReasons=reasons)
        for write in writes:
            write.save()

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> Any:
        """Return those items that are there."""

        def do() -> Any:
            if not 0 < sum(len(it["Keys"]) for it in RequestItems.values()) <= BATCH_GET_MAX:
                raise Invalid(f"1 to {BATCH_GET_MAX} keys")
            found: dict[str, list[WireItem]] = {}
            for name, said in RequestItems.items():
                table, text = self.tables[name], said.get("ProjectionExpression", "")
                names = _checked_names(said.get("ExpressionAttributeNames"), text)
                keys = [table.exactly(it) for it in said["Keys"]]
                if len(set(keys)) < len(keys):
                    raise Invalid("Provided list of item keys contains duplicates")
                found[name] = [_shown(table.items[it], text, names) for it in keys if it in table.items]
            return {"Responses": found, "UnprocessedKeys": {}}

        return self._take("BatchGetItem", do)

    def batch_write_item(self, *, RequestItems: Mapping[str, list[Any]]) -> Any:
        """Put and delete items, each without a condition."""

        def do() -> Any:
            if not 0 < sum(map(len, RequestItems.values())) <= BATCH_WRITE_MAX:
                raise Invalid(f"1 to {BATCH_WRITE_MAX} writes")
            writes = []
            for name, requests in RequestItems.items():
                for request in requests:
                    ((kind, said),) = request.items()
                    write = {"PutRequest": _put, "DeleteRequest": _delete}[kind]
                    writes.append(write(self.tables[name], TableName=name, **said))
                    self._authorize("BatchWriteItem", writes[-1])
            if len({(id(it.table), it.primary) for it in writes}) < len(writes):
                raise Invalid("Provided list of item keys contains duplicates")
            for planned in writes:
                planned.save()
            return {"UnprocessedItems": {}}

        return self._take("BatchWriteItem", do)

    # -- queries ----------------------------------------------------------------------------------------------------

    def query(self, *, TableName: str, **request: Any) -> Any:
        """Return a page of a partition, of the table or of an index."""
        return self._take("Query", lambda: self._query(self.tables[TableName], **request))

    def _query(
        self,
        table: MemoryTable,
        *,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Mapping[str, Attribute],
        ExpressionAttributeNames: Mapping[str, str] | None = None,
        FilterExpression: str = "",
        ProjectionExpression: str = "",
        IndexName: str = "",
        Limit: int | None = None,
        ScanIndexForward: bool = True,
        ConsistentRead: bool = False,
        ExclusiveStartKey: WireItem | None = None,
        Select: str = "",
    ) -> Any:
        expressions = (KeyConditionExpression, FilterExpression, ProjectionExpression)
        names = _checked_names(ExpressionAttributeNames, *expressions)
        values = _checked_values(ExpressionAttributeValues, *expressions)
        if IndexName and ConsistentRead:
            raise Invalid("Consistent reads are not supported on global secondary indexes")
        if Limit is not None and Limit < 1:
            raise Invalid("Limit must be greater than or equal to 1")
        keys = table.indexes[IndexName].keys if IndexName else table.keys
        partition = _check_bounds(KeyConditionExpression, values, keys)
        if ExclusiveStartKey:
            _check_start(ExclusiveStartKey, table, keys, partition)
        rows = table.indexes[IndexName].read() if IndexName else table.items
        in_range, kept = condition(KeyConditionExpression), condition(FilterExpression) if FilterExpression else None

        def order(item: WireItem) -> tuple[Any, ...]:
            return comparable(item[keys[1]]), *(comparable(item[it]) for it in table.keys)

        found = sorted((it for it in rows.values() if in_range(Scope(it, names, values))), key=order)
        if len({it[keys[0]]["S"] for it in found}) > 1:
            raise Invalid("Query condition missed key schema element")
        if not ScanIndexForward:
            found.reverse()
        if ExclusiveStartKey:
            start = order(ExclusiveStartKey)
            found = [it for it in found if (order(it) > start if ScanIndexForward else order(it) < start)]
        page, more = _page(found, Limit)
        shown = [it for it in page if kept is None or kept(Scope(it, names, values))]
        answer: dict[str, Any] = {"Count": len(shown), "ScannedCount": len(page)}
        if Select != "COUNT":
            answer["Items"] = [_shown(it, ProjectionExpression, names) for it in shown]
        if more:
            answer["LastEvaluatedKey"] = {name: copied(page[-1][name]) for name in {*keys, *table.keys}}
        return answer

    def scan(self, *, TableName: str) -> Any:
        """Return all that there is: tests look at it, the relay never does."""
        return {"Items": [copied(it) for it in self.tables[TableName].items.values()]}


def _page(found: list[WireItem], limit: int | None) -> tuple[list[WireItem], bool]:
    """Return the items of one page, and whether a key to go on after belongs to it: even where nothing follows."""
    size = 0
    for number, item in enumerate(found):
        size += item_bytes(item)
        if number + 1 == limit or size > PAGE_MAX_BYTES:
            return found[: number + 1], True
    return found, False


def _shown(item: WireItem, text: str, names: Mapping[str, str]) -> Any:
    if not text:
        return copied(item)
    paths = [resolve(it, names) for it in projection(text)]
    if any(len(it) > 1 for it in paths):
        raise NotImplementedError("a projection into an attribute")
    return {str(path[0]): copied(value) for path in paths if (value := at(item, path)) is not None}


def _check_bounds(key_condition: str, values: Mapping[str, Attribute], keys: tuple[str, str]) -> str:
    """Return the partition of a key condition; refuse what no key can be, and a range that ends before it begins."""
    found = re.search(rf"\b{keys[0]} = (:\w+)", key_condition)
    if found is None:
        raise Invalid(f"Query condition missed key schema element: {keys[0]}")
    for name in placeholders(key_condition):
        if name.startswith(":"):
            which = 0 if name == found[1] else 1
            check_key(keys[which], KEY_MAX_BYTES[which], values[name])
    for low, high in re.findall(r"BETWEEN (:\w+) AND (:\w+)", key_condition):
        if comparable(values[low]) > comparable(values[high]):
            raise Invalid(
                "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater than or equal"
                " to lower bound"
            )
    return str(values[found[1]]["S"])


def _check_start(start: WireItem, table: MemoryTable, keys: tuple[str, str], partition: str) -> None:
    """Refuse a key to go on after that is none of the table and its index, or another partition's."""
    if start.keys() != {*keys, *table.keys}:
        raise Invalid("The provided starting key is invalid")
    for pair in (keys, table.keys):
        for name, most in zip(pair, KEY_MAX_BYTES, strict=True):
            check_key(name, most, start[name])
    if start[keys[0]]["S"] != partition:
        raise Invalid("The provided starting key is outside query boundaries based on provided conditions")


def _checked_names(given: Mapping[str, str] | None, *expressions: str) -> Mapping[str, str]:
    unused = (given or {}).keys() - placeholders(*expressions)
    if unused:
        raise Invalid(f"Value provided in ExpressionAttributeNames unused in expressions: keys: {unused}")
    return given or {}


def _checked_values(given: Mapping[str, Attribute] | None, *expressions: str) -> Mapping[str, Attribute]:
    if given is not None and not given:
        raise Invalid("ExpressionAttributeValues must not be empty")
    used = {it for it in placeholders(*expressions) if it.startswith(":")}
    if unused := (given or {}).keys() - used:
        raise Invalid(f"Value provided in ExpressionAttributeValues unused in expressions: keys: {unused}")
    if missing := used - (given or {}).keys():
        raise Invalid(f"An expression attribute value used in expression is not defined: {missing}")
    return given or {}


class Write:
    """One conditional write, judged against the table as it is."""

    def __init__(self, table: MemoryTable, key: WireItem, request: Mapping[str, Any]) -> None:
        self.table = table
        self.primary = table.primary(key)
        self.partition: str = key[table.keys[0]]["S"]
        self.old = table.items.get(self.primary)
        self.new: WireItem | None = copied(self.old)
        text = request.get("ConditionExpression", "")
        expressions = (text, request.get("UpdateExpression", ""))
        names = _checked_names(request.get("ExpressionAttributeNames"), *expressions)
        values = _checked_values(request.get("ExpressionAttributeValues"), *expressions)
        self.scope = Scope(self.old or {}, names, values)
        self.holds = not text or condition(text)(self.scope)
        self.returns_old_on_failure = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        self._returns = request.get("ReturnValues", "NONE")

    def save(self) -> None:
        """Let it be."""
        if self.new is not self.old:
            self.table.save(self.primary, self.new)

    def answer(self) -> Any:
        """Return the answer to it."""
        shown = {"NONE": None, "ALL_OLD": self.old, "ALL_NEW": self.new}[self._returns]
        return {"Attributes": copied(shown)} if shown else {}

    def reason(self) -> dict[str, Any]:
        """Return why it cancels a transaction, or that it doesn't."""
        if self.holds:
            return {"Code": "None"}
        old = {"Item": copied(self.old)} if self.old and self.returns_old_on_failure else {}
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", **old}


_CONDITIONAL = {
    *("TableName", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"),
    *("ReturnValuesOnConditionCheckFailure", "ReturnValues"),
}


def _known(request: Mapping[str, Any], *names: str) -> None:
    if unknown := request.keys() - _CONDITIONAL - set(names):
        raise NotImplementedError(f"{unknown} of a write")


def _put(table: MemoryTable, **request: Any) -> Write:
    _known(request, "Item")
    write = Write(table, request["Item"], request)
    table.check(request["Item"])
    write.new = copied(request["Item"])
    return write


def _update(table: MemoryTable, **request: Any) -> Write:
    _known(request, "Key", "UpdateExpression")
    table.exactly(request["Key"])
    write = Write(table, request["Key"], request)
    if write.holds:
        write.new = copied(write.old or request["Key"])
        touched = update(request.get("UpdateExpression", "")).apply(write.scope, write.new)
        if touched & set(table.keys):
            raise Invalid("Cannot update attribute: This attribute is part of the key")
        table.check(write.new)
    return write


def _delete(table: MemoryTable, **request: Any) -> Write:
    _known(request, "Key")
    table.exactly(request["Key"])
    write = Write(table, request["Key"], request)
    write.new = None
    return write


def _check(table: MemoryTable, **request: Any) -> Write:
    _known(request, "Key")
    table.exactly(request["Key"])
    write = Write(table, request["Key"], request)
    write.new = write.old
    return write
