"""Composes publications: the messages of a URL group's share of an event, or of one delivery."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from relay.config.settings import Publishing
from relay.errors import OperatorError, Removed, Unready, Unsendable, UpstreamError
from relay.model.content import ENTITY_HEADERS
from relay.model.ids import (
    Generation,
    deduplication_id,
    delivery_label,
    destination_delivery_id,
    destination_scope,
    group_scope,
    label,
)
from relay.publishing.claim_checks import carried_body
from relay.publishing.routing import Share, routing_now, share
from relay.qstash.client import Message
from relay.urls import BODY_MAC, CALLBACK, FAILURE, CallbackAddress, body_mac, claim_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from relay.config.settings import Settings
    from relay.model.delivery import Delivery
    from relay.model.event import Event
    from relay.publishing.routing import Routing


_COMPUTED = {"not_before", "flow_control", "labels", "queue"}  # of the event, or with the relay's name before theirs
PASSED_ON = tuple(
    setting.name
    for setting in fields(Publishing)
    if setting.name in {part.name for part in fields(Message)} - _COMPUTED
)
"""The publish settings that a message takes unchanged from the configuration."""


@dataclass(frozen=True)
class Publication:
    """One message, and the deliveries that it carries.

    Attributes:
        since: The earliest time of its publish.
        group: The URL group in the event's outbox mark.
        names: The destinations of its deliveries.
        delivery: The one delivery; None: a URL group's share of the event's first generation, or a part of it.
        trouble: Why the message can't be sent, now or ever.
        alone: Makes a publication for each destination alone instead; None: this one is for a URL already.
    """

    event: Event
    generation: Generation
    since: datetime
    group: str
    names: tuple[str, ...]
    message: Message
    delivery: Delivery | None = None
    trouble: UpstreamError | None = None
    alone: Callable[[], list[Publication]] | None = None

    @property
    def may_be_there_under_another_id(self) -> bool:
        """Tell whether the delivery may have gone out with its URL group, under the group's deduplication id."""
        return self.delivery is not None and self.generation == self.event.generation

    @property
    def goes_nowhere(self) -> bool:
        """Tell whether the destination has left the configuration."""
        return isinstance(self.trouble, Removed)


@dataclass(frozen=True)
class _Content:
    """A URL group's body of an event; *trouble*: why the body can't be made.

    Attributes:
        is_sources: Whether the body is the source's own bytes, which the headers of the body describe.
    """

    group: str
    share: Share
    body: bytes
    content_type: str | None
    trouble: Unsendable | None = None
    is_sources: bool = False


class Composer:
    """Makes publications by the current configuration.

    Args:
        bucket: The bucket of bodies that are too large to carry.
        mac_key: The MAC key of callback URLs.
        secret: Returns a destination secret by its name, or raises `OperatorError`.
    """

    def __init__(self, settings: Settings, bucket: str, mac_key: str, secret: Callable[[str], str]) -> None:
        self._settings = settings
        self._bucket = bucket
        self._mac_key = mac_key
        self._secret = secret

    def of_group(self, event: Event, group: str, body: bytes, routing: Routing) -> list[Publication]:
        """Return the share of *group* in *event*, even if its destinations have moved; [] if all are held.

        A message to a URL group goes to all its endpoints.  So the group gets one only if the event expects every
        endpoint there and none is held.  Otherwise each destination gets its own message, by its own group's settings.
        A destination that has left the configuration gets a publication that can't be sent.

        Args:
            routing: The event's routing by the current configuration.
        """
        expected = [name for name, of in event.expected.items() if of == group]
        names = [it for it in expected if it not in event.held and self.is_there(it)]
        endpoints = self._settings.endpoints(group)
        together = endpoints if endpoints and set(endpoints) <= set(names) else ()
        alone = [it for it in names if it not in together]
        groups = {self._settings.destinations[it].group for it in names}
        contents = {it: self._content(event, it, body, routing) for it in sorted(groups)}
        gone = [self._removed(event, group, it) for it in expected if not self.is_there(it)]
        publications = [self._together(event, contents[group], together)] if together else []
        for name in alone:
            publication = self._publication(event, contents[self._settings.destinations[name].group], name)
            publications.append(replace(publication, group=group))
        return [*publications, *gone]

    def of_delivery(self, event: Event, delivery: Delivery, body: bytes) -> Publication:
        """Return the publication of a delivery's current generation, for its URL alone.

        The destination's current group decides the settings.  If the destination has left the configuration, the
        publication can't be sent.
        """
        destination = self._settings.destinations.get(delivery.destination)
        if destination is None:
            return self._removed(event, delivery.group, delivery.destination, delivery)
        content = self._content(event, destination.group, body, routing_now(self._settings, event, body))
        return self._publication(event, content, delivery.destination, delivery)

    def is_there(self, name: str) -> bool:
        """Tell whether the current configuration has the destination *name*."""
        return name in self._settings.destinations

    def _content(self, event: Event, group: str, body: bytes, routing: Routing) -> _Content:
        try:
            given = share(self._settings, event, body, group, routing)
            link = claim_url(self._settings.base_urls[0], self._mac_key, event.id, event.sha256)
            carried, content_type = carried_body(event, body, self._bucket, link, given.body)
            return _Content(group, given, carried, content_type, is_sources=carried is body)
        except Unsendable as error:  # it is recorded as such, and nothing is sent
            return _Content(group, Share(self._settings.groups[group].publishing, None), b"", None, error)

    def _together(self, event: Event, content: _Content, names: tuple[str, ...]) -> Publication:
        """Return the publication to the URL group itself, for its destinations *names*."""
        target, scope = self._settings.qstash_name(content.group), group_scope(content.group)
        message = self._message(event, content, event.generation, names, target, scope)
        return Publication(
            event,
            event.generation,
            event.owed_since,
            content.group,
            names,
            message,
            trouble=content.trouble,
            alone=lambda: [self._publication(event, content, it) for it in names],
        )

    def _publication(self, event: Event, content: _Content, name: str, delivery: Delivery | None = None) -> Publication:
        """Return the publication to the URL of *name* alone, with the destination's own headers, which QStash hides."""
        generation, since = event.generation, event.owed_since
        if delivery is not None:
            generation, since = delivery.generation, delivery.since
        url, scope = self._settings.destination_url(name), destination_scope(name)
        message = self._message(event, content, generation, (name,), url, scope)
        own, trouble = self._own_headers(name)
        others = {key: it for key, it in message.headers.items() if key.lower() not in {it.lower() for it in own}}
        hidden = (*message.redact, *(f"header[{it}]" for it in own))
        its_label = delivery_label(event.id, generation, name)
        message = replace(message, headers=others | own, redact=tuple(dict.fromkeys(hidden)), delivery_label=its_label)
        return Publication(
            event, generation, since, content.group, (name,), message, delivery, content.trouble or trouble
        )

    def _removed(self, event: Event, group: str, name: str, delivery: Delivery | None = None) -> Publication:
        """Return the unsendable publication to the destination *name*, which has left the configuration."""
        generation, since = event.generation, event.owed_since
        if delivery is not None:
            generation, since = delivery.generation, delivery.since
        content = _Content(group, Share(Publishing(), None), b"", None)
        message = self._message(event, content, generation, (), "", destination_scope(name))
        return Publication(event, generation, since, group, (name,), message, delivery, Removed())

    def _own_headers(self, name: str) -> tuple[dict[str, str], Unready | None]:
        """Return the headers of the destination *name* alone, and the trouble if a secret is missing."""
        own: dict[str, str] = {}
        trouble = None
        for header, value in self._settings.destinations[name].headers.items():
            try:
                own[header] = value if isinstance(value, str) else self._secret(value["secret"])
            except (OperatorError, UpstreamError) as error:
                trouble = Unready("the relay", str(error))
        return own, trouble

    def _message(
        self,
        event: Event,
        content: _Content,
        generation: Generation,
        names: tuple[str, ...],
        destination: str,
        scope: str,
    ) -> Message:
        how, base = content.share.publishing, self._settings.base_urls[0]
        addresses = {
            kind: CallbackAddress(kind, event.id, generation, scope).url(base, self._mac_key)
            for kind in (CALLBACK, FAILURE)
        }
        return Message(
            destination=destination,
            body=content.body,
            content_type=content.content_type,
            headers={**_forwarded(event.headers, how, content), **self._relay_headers(event, content, names)},
            deduplication_id=deduplication_id(self._settings.name, event.id, generation, scope),
            label=label(event.id, generation),
            callback=addresses[CALLBACK] if how.reports_all else None,
            failure_callback=addresses[FAILURE],
            not_before=content.share.not_before,
            labels=content.share.labels,
            flow_control=self._flow_control(content.share),
            queue=self._settings.qstash_name(how.queue) if how.queue else None,
            **{name: getattr(how, name) for name in PASSED_ON},
        )

    def _relay_headers(self, event: Event, content: _Content, names: tuple[str, ...]) -> dict[str, str]:
        said = {
            "Relay-Event-Id": event.id,
            "Relay-Source": event.source,
            "Relay-Event-Type": event.event_type,
            "Relay-Delivery-Id": destination_delivery_id(event.id),
            "Relay-Method": event.method,
        }
        if event.raw_query:
            said["Relay-Query"] = event.raw_query
        if event.query_left_out:
            said["Relay-Query-Left-Out"] = "true"
        if any(self._settings.destinations[it].target for it in names):
            said[BODY_MAC] = body_mac(self._mac_key, event.id, content.body)
        return said

    def _flow_control(self, given: Share) -> tuple[str, str] | None:
        said = given.publishing.flow_control
        if said is None:
            return None
        parts = {
            "parallelism": said.get("parallelism"),
            "rate": said.get("rate"),
            "period": f"{said['period_s']}s" if said.get("period_s") else None,
        }
        value = ", ".join(f"{name}={it}" for name, it in parts.items() if it is not None)
        return self._settings.qstash_name(given.flow_key or ""), value


def _forwarded(headers: Mapping[str, str], how: Publishing, content: _Content) -> dict[str, str]:
    """Return those of the event's *headers* that destinations get; entity headers go only with the source's bytes."""
    wanted = how.forward_headers
    return {
        name: value
        for name, value in headers.items()
        if (content.is_sources if name in ENTITY_HEADERS else wanted is None or _is_any(name, wanted))
    }


def _is_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.lower()) for pattern in patterns)
