"""What the relay makes of a request: a handshake to answer, an event to take in, or a refusal.  Ingest's first step.

`relay scheme verify` runs the same code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from relay.model import EVENT_TYPE_MAX_CHARS, EVENT_TYPE_UNKNOWN, IDEMPOTENCY_KEY_MAX_CHARS
from relay.received import BROKEN
from relay.signatures import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.handshakes import Answer
    from relay.received import Received
    from relay.scheme import Row
    from relay.secret import Secret


@dataclass(frozen=True)
class Described:
    """What a verified request says of itself.

    Attributes:
        idempotency_key: The source's own id of the event; `sha256:` and the body's hash where it gives none.
        has_id: Whether it gives one.
        headers: What destinations get, lower-case names.
        signed_sha256: Hash of what was signed, where nothing in it is the id: the same under another id is suspicious.
        query: The parameters of its URL, but for those that prove who sent it; of a repeated one the last.
    """

    idempotency_key: str
    has_id: bool
    event_type: str
    headers: dict[str, str]
    signed_sha256: str | None = None
    query: dict[str, str] = field(default_factory=dict)


def judge(
    row: Row, received: Received, secrets: Sequence[Secret], *, at: float, fetch: Callable[..., bytes] | None = None
) -> Described | Answer:
    """Return what *received* says of its event, or the answer to its handshake.

    Args:
        row: The source's scheme.
        secrets: The source's current signing secrets.
        at: Now, in epoch seconds.
        fetch: Returns the bytes at an https URL, with a JSON body to post as its second argument.

    Raises:
        SignatureError: It is neither, for any reason there is.  Only *fetch* may raise another.
    """
    if row.handshake:
        from relay.handshakes import SIGNED, UNSIGNED

        for handshake in UNSIGNED.get(row.handshake, ()):
            if (answer := handshake(received, secrets)) is not None:
                return answer
    verify(row, received, secrets, at=at, fetch=fetch)
    if row.handshake:
        for handshake in SIGNED.get(row.handshake, ()):
            if (answer := handshake(received, secrets)) is not None:
                return answer
    return describe(row, received)


def describe(row: Row, received: Received) -> Described:
    """Return what a verified request says of itself.  A body that should be JSON and isn't has the type `unknown`."""
    parts = [received.find_id(place) for place in row.id]
    key = ":".join(it or "" for it in parts) if any(parts) else None
    has_id = key is not None
    if key is None or len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
        key = "sha256:" + hashlib.sha256(received.body if key is None else key.encode()).hexdigest()
    patterns = (*row.forward, *row.headers)
    secret = row.secret_headers
    signed = received.signed if row.id and not row.signs_id else None
    proofs = {it.place.partition(":")[2] for it in row.spots if it.place.startswith("query:")}
    return Described(
        idempotency_key=key,
        has_id=has_id,
        event_type=_type(row, received),
        headers={
            name: value
            for name, value in received.headers.items()
            if any(fnmatchcase(name, it) for it in patterns) and not any(fnmatchcase(name, it) for it in secret)
        },
        signed_sha256=None if signed is None else hashlib.sha256(signed).hexdigest(),
        query={name: value for name, value in received.query if name not in proofs},
    )


def _type(row: Row, received: Received) -> str:
    of_body = any(place.startswith("body:") for it in row.type for place in it.split("|"))
    if of_body and received.is_json_expected() and received.json is BROKEN:
        return EVENT_TYPE_UNKNOWN
    values = [received.find(place) for place in row.type]
    return ".".join(it for it in values if it)[:EVENT_TYPE_MAX_CHARS] or EVENT_TYPE_UNKNOWN
