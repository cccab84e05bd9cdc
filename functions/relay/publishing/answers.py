"""QStash's answers to a publication, and the publication's outcomes: one small type for each case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from relay.errors import UpstreamError


@dataclass(frozen=True)
class ToSend:
    """The publication may be sent now: QStash has no message of it, or knows the message by its id."""


@dataclass(frozen=True)
class Taken:
    """QStash has a message for at least one of the publication's deliveries.

    Attributes:
        ids: Destination -> message id, of the deliveries that QStash has.
        ask_again_at: When the other deliveries, if there are any, are published again.
    """

    ids: Mapping[str, str]
    ask_again_at: datetime


@dataclass(frozen=True)
class NotYet:
    """QStash may have a message of the publication or of a part of it, and its log doesn't tell yet.

    Attributes:
        ask_again_at: When the deliveries without a message are published again.
    """

    ask_again_at: datetime


@dataclass(frozen=True)
class Failed:
    """QStash didn't take the publication, or gave no answer, or the publication can't be sent: *error* says why."""

    error: UpstreamError


@dataclass(frozen=True)
class Done:
    """Nothing of the publication is owed any more: QStash has all of it, or never will."""


Prior = ToSend | Taken | NotYet | Failed
"""The knowledge of a publication before it is sent."""

Answer = Taken | NotYet | Failed
"""QStash's answer to a publication that was sent, or that needn't be."""

Outcome = Done | NotYet | Failed
"""The outcome of a publication."""


def taken_or_not_yet(ids: Mapping[str, str], ask_again_at: datetime) -> Taken | NotYet:
    """Return the answer that has the message *ids*; the deliveries that these lack are owed at *ask_again_at*."""
    return Taken(ids, ask_again_at) if ids else NotYet(ask_again_at)
