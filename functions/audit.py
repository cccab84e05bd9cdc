"""Every five minutes: balances the ledger, repairs what can be proven, settles what QStash's dead letters tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.audit import audit
from relay.gateway import logger
from relay.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 20.0  # one slice of the ledger, and the lease to give back


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Audit once; return what was found."""
    it = relay("RELAY_QSTASH_SECRET")
    done = audit(
        it.publisher(),
        owner=context.aws_request_id,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000 - MARGIN_S,
    )
    if not done.skipped:
        count(Metric.UNACCOUNTED, done.unaccounted)
    for finding in done.findings:
        logger.warning("unaccounted", extra={"delivery_id": finding.id, "event_id": finding.event, "why": finding.why})
    told = {
        "balanced": done.balanced,
        "repaired": done.repaired,
        "released": done.released,
        "settled": done.settled,
        "unaccounted": done.unaccounted,
        "complete": done.complete,
        "skipped": done.skipped,
    }
    logger.info("audited", extra=told)
    return told
