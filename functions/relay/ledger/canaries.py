"""Canaries: schedules whose ticks measure the whole way, from a tick's arrival to the end of each delivery.

A canary's silence is an alarm (`infra/config/canaries.py`): whatever stops its ticks may stop any event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.model.delivery import Status
from relay.runtime.metrics import time_canary

if TYPE_CHECKING:
    from relay.config.settings import Settings
    from relay.model.delivery import Delivery
    from relay.model.event import Event


def tell(event: Event, before: Delivery, after: Delivery, settings: Settings) -> float | None:
    """Emit how long the delivery of a canary's *event* took, and return it, in seconds.

    None if the event isn't a canary's, if the change didn't deliver it, and for a replay, which waited for a person.
    """
    source = settings.sources.get(event.source)
    if source is None or not source.canary or after.generation != event.generation:
        return None
    if after.status is not Status.DELIVERED or before.status is Status.DELIVERED:
        return None
    seconds = max(0.0, (after.updated_at - event.received_at).total_seconds())
    time_canary(settings.name, source.name, seconds)
    return seconds
