"""A replay: its choice of deliveries, its progress, and its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

RATE_DEFAULT = 600  # deliveries a minute
RATE_MAX = 6000
DELIVERIES_MAX = 100  # named in one call, which must end within the gateway's 30 seconds


class ReplayState(StrEnum):
    """Whether a replay goes on."""

    RUNNING = "running"
    STOPPED = "stopped"  # a person stopped it, and may resume it
    DONE = "done"


@dataclass(frozen=True)
class Replay:
    """One replay.

    Attributes:
        query: The filters that choose its deliveries, as `GET /v1/deliveries` takes them; {}: named one by one.
        rate: How many deliveries it starts in a minute, at most.
        at: The feed's sort key below which it goes on; None: it hasn't begun.
        replayed, skipped: How many deliveries it has started, and left alone.
    """

    id: str
    state: ReplayState
    by: str | None
    reason: str | None
    started_at: datetime
    expires_at: datetime
    query: Mapping[str, str] = field(default_factory=dict)
    rate: int = 0
    at: str | None = None
    replayed: int = 0
    skipped: int = 0
