"""What the tests of QStash's Python client have in common: the client, in both its flavours, and how to look."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

import httpx
from qstash import AsyncQStash, QStash
from qstash.message import BatchResponse, EnqueueResponse, PublishResponse

from tests.waiting import eventually

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from qstash.dlq import DlqMessage
    from qstash.log import Log, LogFilter, LogState
    from qstash.message import EnqueueUrlGroupResponse, PublishUrlGroupResponse

    from tests.local_qstash import Facts

SINK = "https://sink.requestcatcher.com/"  # the server answers these itself: with success,
GONE = "https://mock.httpstatus.io/404"  # with 404 Not Found,
BROKEN = "https://mock.httpstatus.io/500"  # and with 500
CALLBACK = "https://callback.requestcatcher.com/"
HOUR_MS = 3_600_000


class Awaited:
    """The asynchronous client, or one of its resources, with every call awaited."""

    def __init__(self, inner: object, run: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._run = run

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return Awaited(value, self._run)

        @wraps(value)
        def call(*positional: object, **named: object) -> Any:
            return self._run(value(*positional, **named))

        return call


class Connection:
    """A server, and as many clients of one flavour as a test asks for."""

    def __init__(self, flavour: type[QStash | AsyncQStash], facts: Facts, runner: asyncio.Runner) -> None:
        self.facts = facts
        self.flavour = flavour
        self.runner = runner
        self._closing = ExitStack()

    def client(self, token: str) -> QStash:
        """Return a client, as it was published."""
        client = self.flavour(token, base_url=self.facts.url)
        transport: Any = client.http._client  # noqa: SLF001 - the SDK has no other way to be closed
        if isinstance(client, QStash):
            self._closing.callback(transport.close)
            return client
        self._closing.callback(lambda: self.runner.run(transport.aclose()))
        return cast("QStash", Awaited(client, self.runner.run))

    def advance(self, seconds: float) -> None:
        """Put the server's clock forward."""
        headers = {"Authorization": f"Bearer {self.facts.admin_token}"}
        httpx.post(f"{self.facts.url}/admin/clock", json={"advance_s": seconds}, headers=headers).raise_for_status()

    def close(self) -> None:
        """Close every client."""
        self._closing.close()


def fresh(kind: str) -> str:
    """Return a name that no other test has."""
    return f"{kind}-{secrets.token_hex(4)}"


def id_of(response: object) -> str:
    """Return the id of what went to one URL."""
    assert isinstance(response, PublishResponse | EnqueueResponse | BatchResponse), response
    return response.message_id


def fanned(response: object) -> Sequence[PublishUrlGroupResponse | EnqueueUrlGroupResponse]:
    """Return what went to a URL group."""
    assert isinstance(response, list), response
    return response


def rows(sdk: QStash, message_id: str, state: LogState) -> list[Log]:
    """Return a message's rows of a state in the log, once there are any."""
    wanted: LogFilter = {"message_id": message_id, "state": state}
    return eventually(lambda: sdk.log.list(filter=wanted).logs, f"the log has {wanted}")


def states(sdk: QStash, message_id: str) -> list[str]:
    """Return the states of a message's way so far, from the first to the last."""
    return [row.state.value for row in reversed(sdk.log.list(filter={"message_id": message_id}).logs)]


def dead_letter(sdk: QStash, message_id: str) -> DlqMessage:
    """Return what became of a message that can't be delivered."""
    (found,) = eventually(lambda: sdk.dlq.list(filter={"message_id": message_id}).messages, f"{message_id} died")
    return found


def waiting(sdk: QStash, **options: Any) -> str:
    """Publish a message that nothing is done with for an hour, and return its id."""
    return id_of(sdk.message.publish(**({"url": SINK, "delay": "1h"} | options)))


def redacted(value: str) -> str:
    """Return what stands in for a redacted value."""
    return f"REDACTED:{hashlib.sha256(value.encode()).hexdigest()}"
