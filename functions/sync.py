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
    """Create, update or delete the state in `ResourceProperties.Desired`, and return its physical id; or answer.

    `TakeOver`, if it is 1, has a first deploy take over what QStash holds of the relay's name.  It is no part of the
    state: with or without it the physical id is the same.
    """
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
    said = event["ResourceProperties"]
    state = sync.add(
        said["Desired"],
        it.settings.name,
        qstash=it.qstash,
        store=it.store,
        take_over=said.get("TakeOver") == "1",
    )
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
        left = sync.remove(state, it.settings.name, qstash=it.qstash, store=it.store)
        if left:
            logger.warning("not as this relay said, or in use: left in QStash", extra={"left": left})
    except (OperatorError, QStashError) as error:
        if isinstance(error, QStashError) and error.answered not in {401, 403}:
            raise
        logger.warning("nothing removed from QStash", extra={"reason": str(error)})
    return {"PhysicalResourceId": state}
