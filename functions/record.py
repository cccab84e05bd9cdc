"""POST /qstash/callback/… and /qstash/failure/…: writes QStash's report to its delivery."""

from __future__ import annotations

from relay.errors import SignatureError
from relay.ledger import canaries
from relay.ledger.record import settle
from relay.model.delivery import Status
from relay.runtime.http_api import Request, Response, answering, note
from relay.runtime.metrics import Metric, count
from relay.wiring import relay

COUNTED = {Status.DELIVERED: Metric.DELIVERED, Status.DEAD_LETTERED: Metric.DEAD_LETTERED}


@answering
def handler(request: Request) -> Response:
    """Answer 200 once the report is durable."""
    parts = relay()
    try:
        parts.check_qstash(request)
        settled = settle(request.path, request.body, mac_key=parts.mac_key, settings=parts.settings, store=parts.store)
    except SignatureError:
        count(Metric.REFUSED)
        raise
    if settled.unexpected is not None:
        note(unexpected=settled.unexpected)
        return Response(200, {"unexpected": settled.unexpected})
    if settled.after is None:
        if settled.new_orphan:
            count(Metric.ORPHANS)
        return Response(200, {"orphan": True})
    note(event_id=settled.after.event_id, delivery_id=settled.after.id, delivery_status=settled.after.status)
    if settled.became in COUNTED:
        count(COUNTED[settled.became])
    if settled.event is not None and settled.before is not None:
        canaries.tell(settled.event, settled.before, settled.after, parts.settings)
    return Response(200, {"delivery_id": settled.after.id, "status": settled.after.status})
