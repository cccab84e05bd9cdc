"""Every five minutes: balances the ledger, repairs what can be proven, settles what QStash's dead letters tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import sync
from relay.audit import audit
from relay.errors import QStashError
from relay.gateway import logger
from relay.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.changes import Change
    from relay.publish import Publisher

MARGIN_S = 20.0  # one slice of the ledger, and the lease to give back


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Audit once; return what was found."""
    it = relay("RELAY_QSTASH_SECRET")
    publisher = it.publisher()
    done = audit(
        publisher,
        owner=context.aws_request_id,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000 - MARGIN_S,
    )
    if not done.skipped:
        count(Metric.UNACCOUNTED, done.unaccounted)
    if done.defects:
        count(Metric.DEFECTS, len(done.defects))
    for finding in done.findings:
        logger.warning("unaccounted", extra={"delivery_id": finding.id, "event_id": finding.event, "why": finding.why})
    changes = _drift(publisher) if not done.skipped else []
    told = {
        "balanced": done.balanced,
        "repaired": done.repaired,
        "released": done.released,
        "settled": done.settled,
        "unaccounted": done.unaccounted,
        "defects": done.defects,
        "drift": [str(change) for change in changes],
        "complete": done.complete,
        "skipped": done.skipped,
    }
    logger.info("audited", extra=told)
    return told


def _drift(it: Publisher) -> list[Change]:
    """Return what differs in QStash from what the last deploy said; nothing where QStash doesn't answer."""
    try:
        changes = sync.drift(it.settings.name, qstash=it.qstash, store=it.store)
    except QStashError as error:
        logger.warning("QStash can't be compared", extra={"reason": str(error)})
        return []
    count(Metric.DRIFT, len(changes))
    return changes
