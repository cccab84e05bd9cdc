"""The verb of record: writes a callback's report to its delivery, whatever the order and number of callbacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from relay.qstash import callbacks
from relay.urls import CallbackAddress

if TYPE_CHECKING:
    from relay.config.settings import Settings
    from relay.model.delivery import Delivery, Status
    from relay.model.event import Event
    from relay.storage.store import Store


@dataclass(frozen=True)
class Settled:
    """A delivery before and after a callback, and its event; None if the callback fits no delivery.

    Attributes:
        new_orphan: Whether the callback fits no delivery, and is kept as an orphan for the first time.
        unexpected: The callback's endpoint, if a deploy added it to the URL group after the event came.
    """

    before: Delivery | None = None
    after: Delivery | None = None
    new_orphan: bool = False
    unexpected: str | None = None
    event: Event | None = None

    @property
    def became(self) -> Status | None:
        """Return the delivery's new status; None if the callback didn't change the status."""
        if self.after is None or self.before is None or self.before.status == self.after.status:
            return None
        return self.after.status


def settle(path: str, body: bytes, *, mac_key: str, settings: Settings, store: Store) -> Settled:
    """Record the callback *body* that QStash sent to *path*.

    Raises:
        SignatureError: The path's MAC isn't the relay's.
        BadRequest: The body is no callback.
    """
    address = CallbackAddress.of(path, mac_key)
    callback = callbacks.read(address, body, store.now())
    event = store.event(address.event)
    destination = address.destination(callback.endpoint_name, settings.destination_at(callback.url))
    is_expected = event is not None and destination in event.expected
    if event is not None and not is_expected and _is_of_group(callback, event):
        return Settled(unexpected=callback.endpoint_name)
    if event is None or destination is None or not is_expected:
        new = store.state.add_orphan(
            address.event,
            callback.report.attempt.key + "." + address.kind,
            {"scope": address.scope, "generation": address.generation, "body": body[:10_000]},
            store.now() + timedelta(days=settings.retention_days),
        )
        return Settled(new_orphan=new)
    before, after = store.change_delivery(event, destination, lambda it: it.after(callback.report))
    return Settled(before, after, event=event)


def _is_of_group(callback: callbacks.Callback, event: Event) -> bool:
    """Tell whether *callback* names an endpoint of a URL group that *event* was published to."""
    return callback.address.group in event.expected.values() and callback.endpoint_name is not None
