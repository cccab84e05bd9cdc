"""Reads callbacks, QStash's reports of attempts.  Hides the field names of a callback's body."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest
from relay.model.delivery import RESPONSE_EXCERPT_MAX_CHARS, Attempt, Report
from relay.urls import CALLBACK, FAILURE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from relay.urls import CallbackAddress


@dataclass(frozen=True)
class Callback:
    """One callback: its address, its report, and the endpoint's name and URL, which tell the destination."""

    address: CallbackAddress
    report: Report
    endpoint_name: str | None
    url: str | None


def read(address: CallbackAddress, body: bytes, at: datetime) -> Callback:
    """Return the callback in *body*, which came *at* a time.

    A status of 0, or none, means that no answer came; QStash leaves `retried` out when it is 0.

    Raises:
        BadRequest: The body is no callback.
    """
    wire = _object(body)
    message_id = wire.get("sourceMessageId")
    if not isinstance(message_id, str) or not message_id:
        raise BadRequest("the callback names no sourceMessageId", code="bad_callback")
    status = _count(wire, "status")
    retried = _count(wire, "retried")
    succeeded = 200 <= status < 300 and address.kind == CALLBACK
    attempt = Attempt(
        at=at,
        number=retried + 1,
        message_id=message_id,
        generation=address.generation,
        succeeded=succeeded,
        status_code=status or None,
        response=_excerpt(wire.get("body")),
    )
    spent = wire.get("maxRetries") is not None and retried >= _count(wire, "maxRetries")
    dlq_id = wire.get("dlqId")
    return Callback(
        address=address,
        report=Report(
            attempt=attempt,
            dead=not succeeded and (address.kind == FAILURE or spent),
            dlq_id=dlq_id if isinstance(dlq_id, str) else None,
        ),
        endpoint_name=_text(wire, "endpointName"),
        url=_text(wire, "url"),
    )


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        wire = json.loads(body)
    except (ValueError, RecursionError):
        wire = None
    if not isinstance(wire, dict):
        raise BadRequest("the callback's body is no JSON object", code="bad_callback")
    return wire


def _count(wire: Mapping[str, Any], name: str) -> int:
    value = wire.get(name) or 0
    if not isinstance(value, int) or not 0 <= value < 10**6:
        raise BadRequest(f"the callback's {name} is no count", code="bad_callback")
    return int(value)


def _text(wire: Mapping[str, Any], name: str) -> str | None:
    value = wire.get(name)
    return value if isinstance(value, str) else None


def _excerpt(encoded: object) -> str | None:
    if not isinstance(encoded, str) or not encoded:
        return None
    try:
        start = base64.b64decode(encoded[: 8 * RESPONSE_EXCERPT_MAX_CHARS])
    except (binascii.Error, ValueError):
        return None
    return start.decode(errors="replace")[:RESPONSE_EXCERPT_MAX_CHARS]
