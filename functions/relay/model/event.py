"""An event: what a source sent, once.  Immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.model.ids import EventId, Generation, label

if TYPE_CHECKING:
    from datetime import datetime

EVENT_TYPE_UNKNOWN = "unknown"
EVENT_TYPE_MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class Event:
    """What a source sent, once.

    Attributes:
        saved_at: When it was saved.
        headers: The source's own headers that destinations get; none of them a secret.  Lower-case names.
        sha256: Hex digest of the body's bytes.
        query: The parameters of its URL, without those that hold a token; the last of each name.
        method: That its source called with.
        raw_query: Its query string as it came, without those; empty where it is too long, which *query_left_out* says.
        expected: Destination name -> URL group, as the configuration stood when the event came; none: unrouted.
        held: Those of the expected destinations that were paused when the event came.
        unpublished: URL groups that QStash doesn't have yet: the outbox mark.
        generation: Of the first publish, shared by all its deliveries.
        conflicts: How many other bodies came under the same id; each is kept.
        suspected_replay_of: The event that came with the same signed bytes under another id; None: there is none known.
        reconciled_at: When it was found to have come because the relay had asked its source for it; else None.
        routed_at: When it was routed last, if not as it came.
        route_error: Why a route could not tell whether it takes the event, which so didn't go there; else None.
    """

    id: EventId
    source: str
    idempotency_key: str
    event_type: str
    received_at: datetime
    saved_at: datetime
    content_type: str | None
    headers: dict[str, str]
    sha256: str
    size_bytes: int
    expected: dict[str, str]
    generation: Generation
    expires_at: datetime
    unpublished: frozenset[str] = frozenset()
    suspected_replay_of: EventId | None = None
    reconciled_at: datetime | None = None
    conflicts: int = 0
    query: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    raw_query: str = ""
    query_left_out: bool = False
    held: frozenset[str] = frozenset()
    routed_at: datetime | None = None
    route_error: str | None = None

    @property
    def owed_since(self) -> datetime:
        """Return when its first generation began: nothing of that can have been published before."""
        return self.routed_at or self.saved_at

    @property
    def label(self) -> str:
        """Return the QStash label of everything published for the event's first generation."""
        return label(self.id, self.generation)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Other bytes that came under an event's id: kept, never published."""

    event_id: EventId
    sha256: str
    size_bytes: int
    received_at: datetime
    content_type: str | None
    headers: dict[str, str]
