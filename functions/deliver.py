"""POST /qstash/deliver/{destination}: hands a signed delivery to the AWS target that its destination names."""

from __future__ import annotations

from relay.errors import SignatureError
from relay.runtime.http_api import Request, Response, answering, note
from relay.runtime.metrics import Metric, count
from relay.targets import deliver
from relay.wiring import relay


@answering
def handler(request: Request) -> Response:
    """Answer 200 once the target has the delivery; after any other answer QStash sends it again."""
    parts = relay("RELAY_BUCKET")
    try:
        parts.check_qstash(request)
    except SignatureError:
        count(Metric.REFUSED)
        raise
    name = request.path_parameters.get("destination", "")
    done = deliver.deliver(
        name,
        headers=request.headers,
        body=request.body,
        mac_key=parts.mac_key,
        settings=parts.settings,
        store=parts.store,
    )
    note(event_id=done.event.id, destination=name)
    if done.already:
        note(already=True)
    if done.failure is not None:
        note(not_recorded=str(done.failure))
    return Response(200, {"event_id": done.event.id})
