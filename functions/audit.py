"""Every five minutes: balances the ledger, repairs forgotten deliveries, and records QStash's dead letters.

Once an hour it also looks for drift between QStash and the last deploy.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from relay.errors import Defect, UpstreamError
from relay.jobs import drift
from relay.jobs.audit import audit
from relay.runtime import deadline
from relay.runtime.http_api import logger
from relay.runtime.metrics import Metric, count
from relay.runtime.parallel import supervised
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.publishing.publisher import Publisher

MARGIN_S = 20.0  # to save the progress, give back the lease, and look for drift
LAST_S = 3.0  # of the margin, after the look for drift
TOLD_MAX, TOLD_MAX_CHARS = 100, 500  # differences, and characters of each: a line of a log has room for no more


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Audit once; return the counts that the log has."""
    parts = relay("RELAY_QSTASH_SECRET")
    until_the_end = deadline.of(context, LAST_S)
    with deadline.within(until_the_end):
        publisher = parts.publisher()
    done = audit(publisher, owner=context.aws_request_id, seconds_left=deadline.of(context, MARGIN_S))
    if not done.skipped:
        count(Metric.UNACCOUNTED, done.unaccounted)
    if done.defects:
        count(Metric.DEFECTS, len(done.defects))
    for finding in done.findings:
        logger.warning("unaccounted", extra={"delivery_id": finding.id, "event_id": finding.event, "why": finding.why})
    with deadline.within(until_the_end):
        differs = _drift(publisher, context.aws_request_id) if not done.skipped else None
    told = {
        "balanced": done.balanced,
        "repaired": done.repaired,
        "released": done.released,
        "settled": done.settled,
        "unaccounted": done.unaccounted,
        "defects": done.defects,
        "drift": differs,
        "complete": done.complete,
        "skipped": done.skipped,
    }
    logger.info("audited", extra=told)
    return told


def _drift(publisher: Publisher, owner: str) -> list[str] | None:
    """Return the differences between QStash and the last deploy, as texts; None if there was no look.

    A failure of the look costs nothing of the audit.
    """
    found = supervised(partial(drift.look, owner=owner), publisher)
    if isinstance(found, UpstreamError):
        if isinstance(found, Defect):
            count(Metric.DEFECTS)
        logger.warning("QStash can't be compared", extra={"reason": str(found)})
        return None
    if found is None:
        return None
    count(Metric.DRIFT, len(found))
    told = [str(change)[:TOLD_MAX_CHARS] for change in found[:TOLD_MAX]]
    if found:
        logger.warning("QStash differs from what was deployed", extra={"differs": told, "in_all": len(found)})
    return told
