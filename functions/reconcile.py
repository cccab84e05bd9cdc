"""Every 15 minutes, for sources that reconcile: compares GitHub's list with the ledger, and requests missing events."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from relay.errors import OperatorError, RelayError
from relay.reconciliation.reconcile import reconcile
from relay.runtime import deadline
from relay.runtime.http_api import logger
from relay.runtime.metrics import Metric, count
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.reconciliation.reconcile import Reconciled

MARGIN_S = 25.0  # for the two calls to GitHub of one request, and to give back the lease
LAST_S = 3.0  # of the margin, after the calls
NAMED_MAX = 50


def handler(_: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Reconcile once; return the counts that the log has.

    Raises:
        OperatorError: GitHub refuses a hook, or the token.
        RelayError: The relay's own code failed at a source; the others are reconciled.
    """
    parts = relay("RELAY_GITHUB_SECRET")
    with deadline.within(deadline.of(context, LAST_S)):
        github = parts.github
        if github is None:
            logger.warning("nothing reconciled: there is no token yet: run `relay secret set github-api`")
            return {"token": False}
        done = reconcile(
            parts.settings,
            store=parts.store,
            github=github,
            owner=context.aws_request_id,
            seconds_left=deadline.of(context, MARGIN_S),
        )
    if not done.skipped:
        count(Metric.MISSING, len(done.missing))
    told = asdict(done) | {"missing": len(done.missing)}
    _tell(done, told)
    if done.defects:
        raise RelayError("; ".join(done.defects))
    if done.refused:
        raise OperatorError("; ".join(f"{hook}: {reason}" for hook, reason in done.refused.items()))
    return told


def _tell(done: Reconciled, told: Mapping[str, Any]) -> None:
    for missing in done.missing[:NAMED_MAX]:
        named = {
            "guid": missing.guid,
            "hook": missing.hook,
            "event_type": missing.event_type,
            "answered": missing.status,
            "asked": missing.asked,
        }
        logger.warning("missing", extra=named)
    level = logger.warning if done.stopped or done.refused else logger.info
    level("reconciled", extra=dict(told))
