"""From the outbox to QStash: what a publish says, and what its answer, or the lack of one, changes.

Ingest publishes at once; what it couldn't, the sweep does.  Both go through here, under the same deduplication id, so
that a publish whose answer was lost and the one that repeats it are one for QStash.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from relay import callbacks
from relay.errors import QStashError
from relay.metrics import Metric, count
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
from relay.qstash import Accepted, Message, QStash

if TYPE_CHECKING:
    from datetime import datetime

    from relay.settings import Settings
    from relay.store import Store

CARRIED_BODY_MAX_BYTES = 1024 * 1024  # QStash's free plan; and a callback, which holds it in base64, must fit 6 MB
SAME_ID_WINDOW = timedelta(minutes=9)  # within QStash's shorter deduplication window the same id is safe again
DRIFT_GRACE = timedelta(minutes=2)
LOGS_RETENTION = timedelta(days=3)
CLAIM_CHECK_TYPE = "application/vnd.fanout-relay.claim-check+json"


class Publisher:
    """Publishes what an event or a delivery owes."""

    def __init__(self, settings: Settings, store: Store, qstash: QStash, mac_key: str) -> None:
        self.settings = settings
        self.store = store
        self.qstash = qstash
        self._mac_key = mac_key

    def publish_event(self, event: Event, body: bytes, *, timeout_s: float | None = None) -> bool:
        """Publish the URL groups that *event* still owes, and take off its outbox mark those that QStash has.

        Returns:
            Whether nothing is owed any more.

        Raises:
            QStashError: The first group that QStash didn't take, for now; the others were tried, too.
        """
        done: set[str] = set()
        failure: QStashError | None = None
        for group in sorted(event.unpublished):
            names = [name for name, of in event.expected.items() if of == group]
            self._refuse(event, [it for it in names if not self._goes_to(it, group)], event.generation)
            names = [it for it in names if self._goes_to(it, group)]
            if not names:
                done.add(group)
                continue
            message = self._message(
                event, body, group, self.settings.qstash_group(group), event.generation, group_scope(group)
            )
            try:
                self._send(event, names, message, event.generation, event.received_at, timeout_s)
            except QStashError as error:
                failure = failure or error
            else:
                done.add(group)
        if done:
            self.store.published(event, frozenset(done))
        if failure:
            raise failure
        return True

    def publish_delivery(self, event: Event, delivery: Delivery, body: bytes) -> None:
        """Publish one delivery's current generation to its destination's URL alone.

        Raises:
            QStashError: QStash didn't take it, for now.
        """
        name = delivery.destination
        destination = self.settings.destinations.get(name)
        if destination is None:
            self._refuse(event, [name], delivery.generation)
            return
        url = self.settings.destination_url(name)
        message = self._message(event, body, destination.group, url, delivery.generation, destination_scope(name))
        self._send(event, [name], message, delivery.generation, delivery.since, None)

    def _goes_to(self, name: str, group: str) -> bool:
        """Tell whether the configuration, as it stands now, still has the destination *name* in *group*."""
        return group in self.settings.groups and name in self.settings.groups[group].destinations

    def _refuse(self, event: Event, names: list[str], generation: Generation) -> None:
        """Record that QStash will never take *generation* of the deliveries *names*."""
        for name in names:
            self.store.change_delivery(event, name, lambda it: it.refused(generation))
        if names:
            count(Metric.UNPUBLISHABLE, len(names))

    def _send(
        self,
        event: Event,
        names: list[str],
        message: Message,
        generation: Generation,
        since: datetime,
        timeout_s: float | None,
    ) -> None:
        """Publish *message*, or find it in QStash's logs, and record the answer at the deliveries *names*."""
        try:
            accepted = self._found_in_logs(message, since) or self.qstash.publish(message, timeout_s=timeout_s)
        except QStashError as error:
            if not error.permanent:
                raise
            self._refuse(event, names, generation)
            return
        self._attach(event, names, accepted, generation)

    def _found_in_logs(self, message: Message, since: datetime) -> list[Accepted]:
        """Return what QStash has of *message* already, once its deduplication id may be forgotten.

        Raises:
            QStashError: Nobody can know any more: the logs don't reach back so far.
        """
        age = self.store.now() - since
        if age <= SAME_ID_WINDOW:
            return []
        if age > LOGS_RETENTION:
            raise QStashError("unpublished for longer than QStash's logs reach back; a person must decide")
        found = self.qstash.labelled(message.label)
        if "://" in message.destination:
            return [it for it in found if it.url in {None, message.destination}]
        urls = {self.settings.destination_url(name) for name in self._destinations_of(message.destination)}
        return [it for it in found if it.url in urls]

    def _destinations_of(self, qstash_group: str) -> tuple[str, ...]:
        for group in self.settings.groups.values():
            if self.settings.qstash_group(group.name) == qstash_group:
                return group.destinations
        return ()

    def _attach(self, event: Event, names: list[str], accepted: list[Accepted], generation: Generation) -> None:
        """Record QStash's message ids at the deliveries: an answer names endpoints by URL."""
        ids = {it.url: it.message_id for it in accepted}
        now = self.store.now()
        fresh = generation == event.generation and len(event.unpublished) > 0

        def attach(name: str) -> None:
            message_id = ids.get(self.settings.destination_url(name)) if name in self.settings.destinations else None
            if message_id is None and len(names) == len(accepted) == 1:
                message_id = accepted[0].message_id
            if message_id is not None:
                self.store.change_delivery(
                    event, name, lambda it: it.published(generation, message_id, now), fresh=fresh
                )
            else:  # QStash's group has drifted: unless a callback comes, the sweep publishes to the URL alone
                self.store.change_delivery(event, name, lambda it: it.owed(generation, now + DRIFT_GRACE), fresh=fresh)

        if len(names) == 1:
            attach(names[0])
            return
        with ThreadPoolExecutor(max_workers=min(8, max(1, len(names)))) as pool:
            list(pool.map(attach, names))

    def _message(
        self, event: Event, body: bytes, group: str, destination: str, generation: Generation, scope: str
    ) -> Message:
        how = self.settings.groups[group]
        base = self.settings.base_urls[0]
        addresses = {
            kind: callbacks.Address(kind, event.id, generation, scope).url(base, self._mac_key)
            for kind in (callbacks.CALLBACK, callbacks.FAILURE)
        }
        carried, content_type = carried_body(event, body, self.store.bucket)
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
            deduplication_id=deduplication_id(self.settings.name, event.id, generation, scope),
            label=label(event.id, generation),
            callback=addresses[callbacks.CALLBACK],
            failure_callback=addresses[callbacks.FAILURE],
            retries=how.retries,
            retry_delay=how.retry_delay,
            timeout_s=how.timeout_s,
        )


def carried_body(event: Event, body: bytes, bucket: str) -> tuple[bytes, str | None]:
    """Return what destinations get: the source's bytes and content type, or a claim check where they are too many.

    A claim check is a small JSON object that says where in the relay's bucket the bytes are, and what they hash to.
    """
    if event.size_bytes <= CARRIED_BODY_MAX_BYTES:
        return body, event.content_type
    check = {
        "event_id": event.id,
        "sha256": event.sha256,
        "size_bytes": event.size_bytes,
        "content_type": event.content_type,
        "s3": {"bucket": bucket, "key": f"bodies/{event.id}/{event.sha256}"},
    }
    return json.dumps(check, separators=(",", ":"), sort_keys=True).encode(), CLAIM_CHECK_TYPE
