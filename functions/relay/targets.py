"""The verb of deliver: a signed delivery is handed to the AWS target that its destination names."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from relay import aws
from relay.errors import BadRequest, NotFound, Undeliverable, UpstreamError
from relay.model import Event, EventId, delivery_id, iso
from relay.parcels import is_carried

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.settings import Destination, Settings
    from relay.store import Store

NEVER_TAKEN = frozenset({"ValidationException", "ValidationError"})  # EventBridge: too large, or not an entry


def deliver(
    name: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    settings: Settings,
    store: Store,
    client: Any = None,
) -> Event:
    """Hand a delivery, which QStash has signed, to the destination *name*, and record that it was.

    QStash signs body and URL, not headers: so the event that a header names must have exactly this body.

    Raises:
        NotFound: No such destination, or none of ours to hand over to.
        BadRequest: The body isn't that of the event that the headers name.
        Undeliverable: The target will never take it.
        UpstreamError: The hand-over failed; QStash shall send it again.
    """
    destination = settings.destinations.get(name)
    if destination is None or destination.eventbridge is None:
        raise NotFound("there is no such destination")
    event = store.event(EventId(headers.get("relay-event-id", "")[:100] or "-"))
    if event is None or name not in event.expected:
        raise BadRequest("the delivery names no event of this destination", code="unknown_event")
    source_body = store.body(event)
    if not is_carried(event, source_body, store.bucket, body):
        raise BadRequest("the delivery's body is not the event's", code="wrong_body")
    _put_event(destination, event, source_body, client or aws.client("events"))
    now = store.now()
    store.change_delivery(event, name, lambda it: it.handed_over(now))
    return event


def _put_event(destination: Destination, event: Event, body: bytes, client: Any) -> None:
    entry = {
        "EventBusName": destination.eventbridge,
        "Source": f"relay.{event.source}",
        "DetailType": destination.detail_type or event.event_type,
        "Time": event.received_at,
        "Detail": json.dumps(detail(event, destination.name, body), separators=(",", ":")),
    }
    try:
        with aws.speaking_to("EventBridge"):
            answer = client.put_events(Entries=[entry])
    except UpstreamError as error:
        if any(code in str(error) for code in NEVER_TAKEN):
            raise Undeliverable("EventBridge will not take this entry") from error
        raise
    if answer.get("FailedEntryCount"):
        raise UpstreamError("EventBridge", answer["Entries"][0].get("ErrorCode", "failed"))


def detail(event: Event, destination: str, body: bytes) -> dict[str, Any]:
    """Return what an EventBridge entry says: the event's ids and its body, as JSON where it is JSON, else in base64."""
    said: dict[str, Any] = {
        "event_id": event.id,
        "delivery_id": delivery_id(event.id, destination),
        "source": event.source,
        "event_type": event.event_type,
        "received_at": iso(event.received_at),
        "content_type": event.content_type,
    }
    try:
        return said | {"body": json.loads(body)}
    except (ValueError, RecursionError):
        return said | {"body_base64": base64.b64encode(body).decode()}
