"""What QStash's log tells of a delivery that never reported, for tests that look after one."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.publishing.publisher import LOOK_AFTER

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World

SILENCE_S = LOOK_AFTER.total_seconds() + 30  # the timeout of erp's group is 30 s
PATIENCE = timedelta(seconds=SILENCE_S)


def tell(world: World, message: str, *states: str, **last: Any) -> None:
    """Have QStash log *states* of *message*, a second each; *last* are the fields of the last line."""
    for state in states:
        world.clock.at += timedelta(seconds=1)
        world.wire.say(message, state, **(last if state is states[-1] else {}))


def retried(world: World, message: str) -> None:
    """Have QStash log one attempt that failed, and its retry."""
    body = base64.b64encode(b"oops").decode()
    tell(world, message, "ACTIVE", "ERROR", responseStatus=500, responseBody=body)
    tell(world, message, "RETRY", nextDeliveryTime=int((world.clock.at + timedelta(seconds=9)).timestamp() * 1000))


def dead(world: World, event: Event, name: str, dlq_id: str = "17-0") -> str:
    """Have the message of a delivery spend its attempts, unheard; return it."""
    message = world.message(event, name)
    retried(world, message)
    tell(world, message, "ACTIVE", "ERROR", "FAILED")
    url = world.settings.destination_url(name)
    world.wire.dead_letters.append({"dlqId": dlq_id, "messageId": message, "label": event.label, "url": url})
    return message
