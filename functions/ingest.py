"""ANY /webhooks/{source}: takes a webhook in."""

from __future__ import annotations

from relay.accept import accept
from relay.errors import SenderError
from relay.gateway import Request, Response, answering, note
from relay.metrics import Metric, count
from relay.wiring import relay


@answering
def handler(request: Request) -> Response:
    """Answer 202 once the event is durable, 200 where it was there already."""
    it = relay("RELAY_BUCKET", "RELAY_QSTASH_SECRET", "RELAY_SOURCES_SECRET")
    try:
        source = it.settings.source(request.path_parameters.get("source", ""))
        secrets = it.vault.signing_secrets(it.settings.environment["RELAY_SOURCES_SECRET"], source.name)
        acceptance = accept(
            source,
            headers=request.headers,
            body=request.body,
            secrets=secrets,
            settings=it.settings,
            store=it.store,
            publisher=it.publisher,
        )
    except SenderError:
        count(Metric.REFUSED)
        raise
    event = acceptance.event
    note(event_id=event.id, source=source.name, event_type=event.event_type, duplicate=acceptance.duplicate)
    if acceptance.duplicate:
        count(Metric.DUPLICATES)
        return Response(200, {"event_id": event.id, "duplicate": True})
    count(Metric.ACCEPTED)
    if acceptance.failure is not None:
        count(Metric.PUBLISH_FAILED)
        note(publish_failed=str(acceptance.failure))
    return Response(202, {"event_id": event.id})
