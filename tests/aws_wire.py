"""The wire between a client of boto3 and Secrets Manager: counts what is read, and answers otherwise on command."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVENT = "before-send.secretsmanager.GetSecretValue"


@dataclass
class Wire:
    """What became of reading secrets.

    Attributes:
        reads: The names of the secrets that were asked for, in order.
        refusals: By name of a secret, the error code that AWS gives instead of it, or how it fails to answer.
        on_read: Called at each read.
    """

    reads: list[str] = field(default_factory=list)
    refusals: dict[str, str | Exception] = field(default_factory=dict)
    on_read: Callable[[], object] = lambda: None

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        """Return an answer instead of the local AWS's; None for its own."""
        name = json.loads(request.body)["SecretId"]
        self.reads.append(name)
        self.on_read()
        refusal = self.refusals.get(name)
        if isinstance(refusal, Exception):
            raise refusal
        if refusal is None:
            return None
        return refused(request, refusal)


@dataclass
class _Raw:
    """A body as urllib3 streams it."""

    body: bytes

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Yield the body."""
        yield self.body


def refused(request: Any, code: str) -> AWSResponse:
    """Return AWS's answer to *request* that refuses it with the error *code*."""
    body = json.dumps({"__type": code, "message": "no"}).encode()
    return AWSResponse(request.url, 400, HTTPHeaders(), _Raw(body))


@contextmanager
def wire_of(client: Any) -> Iterator[Wire]:
    """Stand between *client* and Secrets Manager."""
    wire = Wire()
    client.meta.events.register(_EVENT, wire)
    try:
        yield wire
    finally:
        client.meta.events.unregister(_EVENT, wire)
