"""Every minute: publishes due events and deliveries, and saves QStash's signing keys in the table."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from relay.deployment import sync
from relay.errors import RelayError
from relay.jobs import sweep
from relay.runtime import deadline
from relay.runtime.http_api import logger
from relay.runtime.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 10.0  # to end the last call, give back the lease, and save where to go on
KEYS_S = 5.0  # of a run, at most, for reading the keys


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Sweep once; return the counts that the log has."""
    parts = relay("RELAY_BUCKET", "RELAY_QSTASH_SECRET")
    seconds_left = deadline.of(context, MARGIN_S)
    with deadline.within(seconds_left):
        try:
            with deadline.at_most(KEYS_S):
                sync.refresh_keys(parts.store, parts.qstash)
        except RelayError as error:
            logger.warning("keys not refreshed", extra={"reason": str(error)})
        publisher = parts.publisher()
    done = sweep.sweep(publisher, owner=context.aws_request_id, seconds_left=seconds_left)
    count(Metric.DUE_AGE, done.oldest_s)
    count(Metric.SPOOL_AGE, done.spooled_s)
    for metric, amount in (
        (Metric.PUBLISH_FAILED, done.failed),
        (Metric.DEFECTS, len(done.defects)),
        (Metric.SETTLED, done.settled),
        (Metric.DEAD_LETTERED, done.dead_lettered),
        (Metric.REOPENED, done.reopened),
        (Metric.SPOOL_DEPTH, done.spooled),
    ):
        if amount:
            count(metric, amount)
    told = asdict(done) | {"held_until": done.held_until and done.held_until.isoformat()}
    logger.info("swept", extra=told)
    return told
