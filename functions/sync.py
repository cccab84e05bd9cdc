"""The custom resource that makes QStash hold what the configuration says; see `relay.sync`.

And GET and POST /v1/sync, which answer operators, who sign in with IAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import deadline, sweep, sync
from relay.errors import OperatorError, QStashError
from relay.gateway import Request, Response, answering, logger, note
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 10.0  # CloudFormation must hear of it


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Create, update or delete the state in `ResourceProperties.Desired`, and return its physical id; or answer."""
    if "routeKey" in event:
        return answer(event, context)
    with deadline.within(deadline.of(context, MARGIN_S)):
        return _change(event)


def _change(event: Mapping[str, Any]) -> dict[str, Any]:
    it = relay("RELAY_QSTASH_SECRET")
    logger.info("sync", extra={"request": event["RequestType"], "state": event.get("PhysicalResourceId")})
    if event["RequestType"] == "Delete":
        return _delete(event["PhysicalResourceId"])
    sweep.refresh_keys(it.store, it.qstash)
    desired = event["ResourceProperties"]["Desired"]
    state = sync.add(desired, it.settings.name, qstash=it.qstash, store=it.store)
    return {"PhysicalResourceId": state}


@answering
def answer(request: Request) -> Response:
    """GET /v1/sync: what differs from what the last deploy said; POST: mend it."""
    it = relay("RELAY_QSTASH_SECRET")
    mends = request.route.startswith("POST")
    do = sync.mend if mends else sync.drift
    changes = do(it.settings.name, qstash=it.qstash, store=it.store)
    note(by=request.caller, changes=[str(it) for it in changes])
    shown = [{"kind": it.kind, "name": it.name, "change": str(it)} for it in changes]
    return Response(200, {"done" if mends else "differs": shown})


def _delete(state: str) -> dict[str, Any]:
    """Remove what is ours; without a token that QStash takes, nothing can be, and nobody is kept from leaving."""
    it = relay("RELAY_QSTASH_SECRET")
    try:
        sync.remove(state, it.settings.name, qstash=it.qstash, store=it.store)
    except (OperatorError, QStashError) as error:
        if isinstance(error, QStashError) and error.answered not in {401, 403}:
            raise
        logger.warning("nothing removed from QStash", extra={"reason": str(error)})
    return {"PhysicalResourceId": state}
