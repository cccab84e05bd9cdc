"""What is published: a URL group's share of an event, or one delivery, and every word that QStash is told of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay import callbacks
from relay.claims import claim_link
from relay.model import (
    Delivery,
    Event,
    Generation,
    deduplication_id,
    destination_delivery_id,
    destination_scope,
    group_scope,
    label,
)
from relay.qstash import Message

if TYPE_CHECKING:
    from datetime import datetime

    from relay.settings import Settings

CARRIED_BODY_MAX_BYTES = 1024 * 1024  # QStash's free plan; and a callback, which holds it in base64, must fit 6 MB
CLAIM_CHECK_TYPE = "application/vnd.fanout-relay.claim-check+json"


@dataclass(frozen=True)
class Parcel:
    """One thing to publish.

    Attributes:
        since: When it may have been published first.
        names: The deliveries that it is for.
        delivery: The delivery, where it is one; None: a URL group's share of the event's first generation.
    """

    event: Event
    generation: Generation
    since: datetime
    group: str
    names: tuple[str, ...]
    message: Message
    delivery: Delivery | None = None

    @property
    def may_be_there_under_another_id(self) -> bool:
        """Tell whether QStash may have it as a part of its URL group, whose deduplication id is another."""
        return self.delivery is not None and self.generation == self.event.generation


class Packer:
    """Makes parcels as the configuration stands now.

    Args:
        bucket: Where bodies are that are too large to carry.
        mac_key: That of callback URLs.
    """

    def __init__(self, settings: Settings, bucket: str, mac_key: str) -> None:
        self._settings = settings
        self._bucket = bucket
        self._mac_key = mac_key

    def of_group(self, event: Event, group: str, body: bytes) -> Parcel | None:
        """Return the share of *group* in *event*; None where none of its expected destinations is there any more."""
        names = tuple(name for name, of in event.expected.items() if of == group and self.goes_to(name, group))
        if not names:
            return None
        target = self._settings.qstash_group(group)
        message = self._message(event, body, group, target, event.generation, group_scope(group))
        return Parcel(event, event.generation, event.saved_at, group, names, message)

    def of_delivery(self, event: Event, delivery: Delivery, body: bytes) -> Parcel | None:
        """Return one delivery's current generation, for its URL alone; None where its destination is gone."""
        name = delivery.destination
        destination = self._settings.destinations.get(name)
        if destination is None:
            return None
        url = self._settings.destination_url(name)
        scope = destination_scope(name)
        message = self._message(event, body, destination.group, url, delivery.generation, scope)
        return Parcel(event, delivery.generation, delivery.since, destination.group, (name,), message, delivery)

    def goes_to(self, name: str, group: str) -> bool:
        """Tell whether the configuration, as it stands now, has the destination *name* in *group*."""
        return group in self._settings.groups and name in self._settings.groups[group].destinations

    def _message(
        self, event: Event, body: bytes, group: str, destination: str, generation: Generation, scope: str
    ) -> Message:
        how = self._settings.groups[group]
        base = self._settings.base_urls[0]
        addresses = {
            kind: callbacks.Address(kind, event.id, generation, scope).url(base, self._mac_key)
            for kind in (callbacks.CALLBACK, callbacks.FAILURE)
        }
        link = claim_link(base, self._mac_key, event)
        carried, content_type = carried_body(event, body, self._bucket, link)
        return Message(
            destination=destination,
            body=carried,
            content_type=content_type,
            headers={
                **event.headers,
                "Relay-Event-Id": event.id,
                "Relay-Source": event.source,
                "Relay-Event-Type": event.event_type,
                "Relay-Delivery-Id": destination_delivery_id(event.id),
            },
            deduplication_id=deduplication_id(self._settings.name, event.id, generation, scope),
            label=label(event.id, generation),
            callback=addresses[callbacks.CALLBACK] if how.reports_all else None,
            failure_callback=addresses[callbacks.FAILURE],
            retries=how.retries,
            retry_delay=how.retry_delay,
            timeout_s=how.timeout_s,
        )


def carried_body(event: Event, body: bytes, bucket: str, link: str) -> tuple[bytes, str | None]:
    """Return what destinations get: the source's bytes and content type, or a claim check where they are too many.

    A claim check is a small JSON object that says at which *link* the bytes are, where in the relay's bucket, and what
    they hash to.
    """
    if event.size_bytes <= CARRIED_BODY_MAX_BYTES:
        return body, event.content_type
    check = {"url": link, **_check(event, bucket)}
    return json.dumps(check, separators=(",", ":"), sort_keys=True).encode(), CLAIM_CHECK_TYPE


def is_carried(event: Event, body: bytes, bucket: str, given: bytes) -> bool:
    """Tell whether *given* is what destinations get of *event*, whose body is *body*; at whichever link."""
    if event.size_bytes <= CARRIED_BODY_MAX_BYTES:
        return given == body
    try:
        check = json.loads(given)
    except (ValueError, RecursionError):
        return False
    return isinstance(check, dict) and {name: it for name, it in check.items() if name != "url"} == _check(
        event, bucket
    )


def _check(event: Event, bucket: str) -> dict[str, object]:
    return {
        "event_id": event.id,
        "sha256": event.sha256,
        "size_bytes": event.size_bytes,
        "content_type": event.content_type,
        "s3": {"bucket": bucket, "key": f"bodies/{event.id}/{event.sha256}"},
    }
