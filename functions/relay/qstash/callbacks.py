"""Callback URLs and what comes back on them.  Hides their path, their MAC, and the names of QStash's callback body.

A callback URL carries event, generation, scope and a MAC under a key that only the relay has: QStash's signing keys are
symmetric, so any destination that checks its signatures could otherwise forge callbacks.  Characters that need no
escaping, no query.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest, SignatureError
from relay.model.delivery import RESPONSE_EXCERPT_MAX_CHARS, Attempt, Report
from relay.model.ids import EventId, Generation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

CALLBACK = "callback"
FAILURE = "failure"
MAC_CHARS = 32
_CALLBACK_URL = re.compile(rf"/qstash/(?:{CALLBACK}|{FAILURE})/rly_[a-z2-7]+/[^/]+/[^/]+/[0-9a-f]{{{MAC_CHARS}}}$")


@dataclass(frozen=True)
class Address:
    """What a callback URL says: which kind it is, and what was published."""

    kind: str
    event: EventId
    generation: Generation
    scope: str

    def url(self, base: str, mac_key: str) -> str:
        """Return the URL at which QStash is to report."""
        return f"{base}/qstash/{self._signed}/{self._mac(mac_key)}"

    @property
    def _signed(self) -> str:
        return f"{self.kind}/{self.event}/{self.generation}/{self.scope}"

    def _mac(self, key: str) -> str:
        return hmac.new(key.encode(), self._signed.encode(errors="replace"), hashlib.sha256).hexdigest()[:MAC_CHARS]

    @classmethod
    def of(cls, path: str, mac_key: str) -> Address:
        """Return what *path* says.

        Raises:
            SignatureError: Its MAC isn't the relay's own.
        """
        parts = path.removeprefix("/qstash/").split("/")
        if len(parts) != len(("kind", "event", "generation", "scope", "mac")):
            raise SignatureError("the callback's path is malformed")
        address = cls(parts[0], EventId(parts[1]), Generation(parts[2]), parts[3])
        if not hmac.compare_digest(parts[4].encode(errors="replace"), address._mac(mac_key).encode()):
            raise SignatureError("the callback path's MAC doesn't match")
        return address


def is_callback(url: str | None) -> bool:
    """Tell whether *url* is that of a callback: of this relay, at whatever address it was, for its form is its own."""
    return url is not None and bool(_CALLBACK_URL.search(url))


@dataclass(frozen=True)
class Callback:
    """One callback, read: its address, what it reports, and the names that tell which destination it is about."""

    address: Address
    report: Report
    endpoint_name: str | None
    url: str | None


def read(address: Address, body: bytes, at: datetime) -> Callback:
    """Return what the callback *body*, which came *at* this time, says.

    A status of 0, or none, means that no answer came; `retried` is left out when it is 0.

    Raises:
        BadRequest: It isn't a callback.
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
