"""Every minute: publishes what was saved and not published, and reads QStash's signing keys into the table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from relay import sweep
from relay.errors import RelayError
from relay.gateway import logger
from relay.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 15.0  # the longest call to QStash, and the lease to give back


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Sweep once; return what was done."""
    it = relay("RELAY_BUCKET", "RELAY_QSTASH_SECRET")
    try:
        sweep.refresh_keys(it.store, it.qstash)
    except RelayError as error:
        logger.warning("keys not refreshed", extra={"reason": str(error)})
    done = sweep.sweep(
        it.publisher(),
        owner=context.aws_request_id,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000 - MARGIN_S,
    )
    count(Metric.DUE_AGE, done.oldest_s)
    for metric, amount in (
        (Metric.PUBLISH_FAILED, done.failed),
        (Metric.DEFECTS, len(done.defects)),
        (Metric.SETTLED, done.settled),
        (Metric.DEAD_LETTERED, done.dead_lettered),
        (Metric.REOPENED, done.reopened),
    ):
        if amount:
            count(metric, amount)
    told = asdict(done) | {"held_until": done.held_until and done.held_until.isoformat()}
    logger.info("swept", extra=told)
    return told
