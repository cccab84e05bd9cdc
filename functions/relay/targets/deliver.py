"""The verb of deliver: a signed delivery is handed to the AWS target that its destination names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest, NotFound, UpstreamError
from relay.model.ids import EventId, delivery_id
from relay.publishing.claim_checks import CLAIM_CHECK_TYPE
from relay.runtime import aws
from relay.runtime.parallel import supervised
from relay.targets.handover import HandOver, hand_over
from relay.urls import BODY_MAC, body_mac, is_mac

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.config.settings import Settings
    from relay.model.event import Event
    from relay.storage.store import Store
    from relay.targets.handover import Clients


@dataclass(frozen=True)
class Delivered:
    """A delivery that its target has received.

    Attributes:
        already: Whether an earlier hand-over had reached the target, and its answer was lost on the way to QStash.
        failure: Why the delivery couldn't be recorded, or None; QStash's callback records it, too.
    """

    event: Event
    already: bool = False
    failure: UpstreamError | None = None


def deliver(
    name: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    mac_key: str,
    settings: Settings,
    store: Store,
    clients: Clients = aws.client,
) -> Delivered:
    """Hand a delivery, which QStash has signed, to the destination *name*, and record the hand-over.

    QStash signs body and URL, not headers: so a MAC proves that this body was published for the event of the headers.
    A delivery that is recorded as handed over isn't handed over again in the same generation.  Where the record can't
    be written afterwards, the delivery still counts as done: QStash would send it again, and the target get it twice.

    Raises:
        NotFound: There is no such destination, or it is a URL.
        BadRequest: The body wasn't published for the event that the headers name.
        Undeliverable: The target will never take it.
        UpstreamError: The hand-over failed; QStash sends the delivery again.
    """
    destination = settings.destinations.get(name)
    if destination is None or destination.target is None:
        raise NotFound("there is no such destination")
    event = store.event(EventId(headers.get("relay-event-id", "")[:100] or "-"))
    if event is None or name not in event.expected:
        raise BadRequest("the delivery names no event of this destination", code="unknown_event")
    if not is_mac(headers.get(BODY_MAC.lower(), ""), body_mac(mac_key, event.id, body)):
        raise BadRequest("the delivery's body is not what was published for its event", code="wrong_body")
    delivery = store.delivery(event, name)
    if delivery.handed_over_at is not None:
        return Delivered(event, already=True)
    content, content_type = _content(destination.target, event, body, headers.get("content-type"), store)
    environment = settings.environment
    handover = HandOver(
        target=destination.target,
        event=event,
        delivery=delivery_id(event.id, name),
        generation=delivery.generation,
        body=content,
        content_type=content_type,
        encoding=_encoding(event, content),
        account={
            "partition": environment.get("RELAY_PARTITION", "aws"),
            "region": environment.get("AWS_REGION", ""),
            "account": environment.get("RELAY_ACCOUNT", ""),
        },
    )
    hand_over(handover, clients)
    now = store.now()
    done = supervised(lambda it: store.change_delivery(event, it, lambda delivery: delivery.handed_over(now)), name)
    return Delivered(event, failure=done if isinstance(done, UpstreamError) else None)


def _encoding(event: Event, content: bytes) -> str | None:
    """Return the content encoding for the target: the source's, where *content* is the source's bytes, else None."""
    encoding = event.headers.get("content-encoding")
    return encoding if encoding and hashlib.sha256(content).hexdigest() == event.sha256 else None


def _content(
    target: Mapping[str, Any], event: Event, body: bytes, content_type: str | None, store: Store
) -> tuple[bytes, str | None]:
    """Return the target's content and content type: as published, or the source's bytes in place of a claim check."""
    is_check = (content_type or "").partition(";")[0].strip() == CLAIM_CHECK_TYPE and event.size_bytes != len(body)
    if is_check and target.get("claim_check") is False:
        return store.body(event), event.content_type
    return body, content_type or event.content_type
