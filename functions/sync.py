"""The custom resource that makes QStash's resources those of the configuration; see `relay.deployment.sync`.

And GET and POST /v1/sync, which answer operators, who sign in with IAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.deployment import sync
from relay.deployment.custom_resource import done_or_told, telling
from relay.runtime import deadline
from relay.runtime.http_api import Request, Response, answering, logger, note
from relay.runtime.retrying import with_retries
from relay.wiring import relay

if TYPE_CHECKING:
    from collections.abc import Mapping

MARGIN_S = 10.0  # to tell CloudFormation the outcome
FORGET_S = 20.0  # of a delete's time, at most, to take its state out of the table if QStash keeps the resources


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Create, update or delete the state in `ResourceProperties.Desired`, and return its physical id; or answer.

    With `TakeOver` 1, a first deploy takes over QStash's resources of the relay's name.  `TakeOver` is no part of the
    state: with or without it the physical id is the same.

    Passing failures are tried again while there is time.  A delete never fails: the log has what it left.
    """
    if "routeKey" in event:
        return answer(event, context)
    state = event.get("PhysicalResourceId")
    logger.info("sync", extra={"request": event["RequestType"], "state": state})
    with deadline.within(deadline.of(context, MARGIN_S)):
        if event["RequestType"] == "Delete":
            _delete(event["PhysicalResourceId"], event["ResourceProperties"]["Desired"])
            return {"PhysicalResourceId": state}
        with telling(context):
            return {"PhysicalResourceId": _add(event["ResourceProperties"], state)}


def _add(said: Mapping[str, Any], current: str | None) -> str:
    parts = relay("RELAY_QSTASH_SECRET")
    with_retries(lambda: sync.refresh_keys(parts.store, parts.qstash))
    return sync.add(
        said["Desired"],
        parts.settings.name,
        qstash=parts.qstash,
        store=parts.store,
        take_over=said.get("TakeOver") == "1",
        current=current,
    )


@answering
def answer(request: Request) -> Response:
    """GET /v1/sync: list the differences between QStash and the last deploy; POST: mend them."""
    mends = request.route.startswith("POST")
    request.check_parameters()
    if request.body:
        request.check_fields(request.json())
    parts = relay("RELAY_QSTASH_SECRET")
    do = sync.mend if mends else sync.drift
    changes = do(parts.settings.name, qstash=parts.qstash, store=parts.store)
    note(by=request.caller, changes=[str(it) for it in changes])
    shown = [{"kind": it.kind, "name": it.name, "change": str(it)} for it in changes]
    return Response(200, {"done" if mends else "differs": shown})


def _delete(state: str, desired: str) -> None:
    """Remove the relay's resources from QStash as far as possible: no failure keeps a delete from its end.

    The table forgets the state in any case, if it can be reached, so that no repair puts the resources back.
    """
    may_be_left = sync.said_in(desired)
    with deadline.leaving(min(FORGET_S, deadline.seconds_left() / 4)):
        done = done_or_told(lambda: _remove(state), "not removed from QStash", may_be_left=may_be_left)
    if not done:
        done_or_told(lambda: _forget(state), "the table still has the state, or is gone")


def _remove(state: str) -> None:
    parts = relay("RELAY_QSTASH_SECRET")
    left = with_retries(lambda: sync.remove(state, parts.settings.name, qstash=parts.qstash, store=parts.store))
    if left:
        logger.warning("not as this relay said, or in use: left in QStash", extra={"left": left})


def _forget(state: str) -> None:
    parts = relay("RELAY_QSTASH_SECRET")
    with_retries(lambda: sync.forget(state, store=parts.store))
