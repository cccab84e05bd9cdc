"""Every five minutes: balances the ledger, repairs what can be proven, settles what QStash's dead letters tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import deadline, sync
from relay.audit import audit
from relay.errors import OutOfTime, QStashError
from relay.gateway import logger
from relay.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.changes import Change
    from relay.publish import Publisher

MARGIN_S = 20.0  # word and the lease to leave, and a look at what QStash holds
LAST_S = 3.0  # of it


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Audit once; return what was found."""
    it = relay("RELAY_QSTASH_SECRET")
    until_the_end = deadline.of(context, LAST_S)
    with deadline.within(until_the_end):
        publisher = it.publisher()
    done = audit(publisher, owner=context.aws_request_id, seconds_left=deadline.of(context, MARGIN_S))
    if not done.skipped:
        count(Metric.UNACCOUNTED, done.unaccounted)
    if done.defects:
        count(Metric.DEFECTS, len(done.defects))
    for finding in done.findings:
        logger.warning("unaccounted", extra={"delivery_id": finding.id, "event_id": finding.event, "why": finding.why})
    with deadline.within(until_the_end):
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
    except (QStashError, OutOfTime) as error:
        logger.warning("QStash can't be compared", extra={"reason": str(error)})
        return []
    count(Metric.DRIFT, len(changes))
    return changes
