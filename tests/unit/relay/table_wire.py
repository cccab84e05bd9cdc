"""The wire between a relay's store and DynamoDB: what is asked, and on command no answer, or none that is heard."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from botocore.exceptions import ReadTimeoutError

from tests.aws_wire import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.awsrequest import AWSResponse

    from tests.unit.relay.world import World

_EVENT = "before-send.dynamodb"
REFUSAL = "AccessDeniedException"  # boto3 doesn't try again after it


@dataclass
class TableWire:
    """What goes over the wire: operations, and the items that they are about.

    Attributes:
        fails: Tells whether the operation on this item is refused.
        unheard: Operations that are done, on which items, and whose answers are lost: each as often as it stands there.
        asked: What was asked for: operation, and `sk` of the item where it names one.
    """

    fails: Callable[[str, str], bool] = lambda _operation, _item: False
    unheard: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        """Return an answer instead of the local AWS's; None for its own."""
        operation = _text(request.headers["X-Amz-Target"]).rpartition(".")[2]
        item = _item(json.loads(request.body))
        self.asked.append((operation, item))
        if self.fails(operation, item):
            return refused(request, REFUSAL)
        if (operation, item) in self.unheard:
            self.unheard.remove((operation, item))
            headers = {name: _text(value) for name, value in request.headers.items()}
            httpx.post(request.url, content=request.body, headers=headers)
            raise ReadTimeoutError(endpoint_url=request.url)
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _item(asked: dict[str, Any]) -> str:
    """Return the `sk` of the item that is asked for; for a query, its partition."""
    key = asked.get("Item") or asked.get("Key") or {}
    values = asked.get("ExpressionAttributeValues") or {}
    return str((key.get("sk") or values.get(":pk") or {}).get("S", ""))


@contextmanager
def wire_of(world: World) -> Iterator[TableWire]:
    """Stand between the store of *world* and DynamoDB."""
    events: Any = world.store.table.client.meta.events
    wire = TableWire()
    events.register(_EVENT, wire)
    try:
        yield wire
    finally:
        events.unregister(_EVENT, wire)
