"""Events: the webhooks of sources, each kept once and never changed."""

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
    """One webhook of a source.

    Attributes:
        saved_at: When the relay saved the event.
        headers: The source's own headers that destinations get; none of them a secret.  Lower-case names.
        sha256: Hex digest of the body's bytes.
        query: The URL's parameters without tokens; of several with one name the last.
        method: The HTTP method of the source's request.
        raw_query: The query string without tokens; empty if it is too long.
        query_left_out: Whether the query string was too long.
        expected: Destination name -> URL group, by the configuration when the event came; {}: unrouted.
        held: The expected destinations that were paused when the event came.
        unpublished: The URL groups that QStash doesn't have yet: the outbox mark.
        generation: The generation of the first publish, shared by all deliveries.
        conflicts: How many other bodies came under the same id; each is kept.
        suspected_replay_of: The earlier event with the same signed bytes under another id; None: none is known.
        reconciled_at: When reconciliation found that the event came at the relay's own request; else None.
        routed_at: When the event was last routed again; None: only on arrival.
        route_error: Why a route couldn't be computed, so that the event didn't go there; else None.
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
        """Return when the first generation began: nothing was published before."""
        return self.routed_at or self.saved_at

    @property
    def label(self) -> str:
        """Return the QStash label of everything published for the event's first generation."""
        return label(self.id, self.generation)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another body under an event's id: kept, never published."""

    event_id: EventId
    sha256: str
    size_bytes: int
    received_at: datetime
    content_type: str | None
    headers: dict[str, str]
