"""The verb of record: what a callback reports is written to its delivery, whatever came before it, however often."""

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
    """A delivery before and after a callback, and its event; None where that fits nothing and was kept as an orphan.

    Attributes:
        new_orphan: Whether it is kept since now.
        unexpected: The endpoint that it is about, where that joined the URL group too late to be expected: in a deploy.
    """

    before: Delivery | None = None
    after: Delivery | None = None
    new_orphan: bool = False
    unexpected: str | None = None
    event: Event | None = None

    @property
    def became(self) -> Status | None:
        """Return the status that the delivery has since this callback, where it changed."""
        if self.after is None or self.before is None or self.before.status == self.after.status:
            return None
        return self.after.status


def settle(path: str, body: bytes, *, mac_key: str, settings: Settings, store: Store) -> Settled:
    """Record what the callback *body*, sent to *path* by QStash, reports.

    Raises:
        SignatureError: The path's MAC isn't ours.
        BadRequest: The body is no callback.
    """
    address = CallbackAddress.of(path, mac_key)
    callback = callbacks.read(address, body, store.now())
    event = store.event(address.event)
    destination = None if event is None else _destination(callback, event, settings)
    if event is not None and destination is None and _is_of_group(callback, event):
        return Settled(unexpected=callback.endpoint_name)
    if event is None or destination is None:
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
    """Tell whether it is about what *event* published to a URL group, for an endpoint that has a name."""
    kind, _, group = callback.address.scope.partition(".")
    return kind == "g" and group in event.expected.values() and callback.endpoint_name is not None


def _destination(callback: callbacks.Callback, event: Event, settings: Settings) -> str | None:
    """Return which expected destination the callback is about: a group's callback names its endpoint."""
    kind, _, name = callback.address.scope.partition(".")
    if kind == "g":
        by_url = {settings.destination_url(it): it for it in settings.destinations}
        name = callback.endpoint_name or by_url.get(callback.url or "", "")
    return name if name in event.expected else None
