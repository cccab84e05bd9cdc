"""Canaries: schedules that tell how long the whole way takes, from the tick's arrival to the end of each delivery.

Their silence is an alarm (`infra/config/canaries.py`): it stands for all that could keep any event from arriving.
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
    """Emit how long *event*, if a canary's, took to be delivered, in seconds; return that.

    None where this change didn't deliver it, and for a replay: how long a person took is nobody's business here.
    """
    source = settings.sources.get(event.source)
    if source is None or not source.canary or after.generation != event.generation:
        return None
    if after.status is not Status.DELIVERED or before.status is Status.DELIVERED:
        return None
    seconds = max(0.0, (after.updated_at - event.received_at).total_seconds())
    time_canary(settings.name, source.name, seconds)
    return seconds
