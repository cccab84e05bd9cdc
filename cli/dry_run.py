"""`relay send --dry-run`: which routes a sample takes, and what each destination would get; nothing is sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.terminal.options import Asked, json_line
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.samples import Sample
    from relay.config.settings import Settings
    from relay.model.event import Event
    from relay.publishing.messages import Publication

BODY_MAX_CHARS = 400
HIDDEN = "(its secret)"


@dataclass(frozen=True)
class Shown:
    """What became of the sample: the routes, each with why it doesn't take it; and what would be published."""

    event: Event
    routes: list[dict[str, Any]]
    published: list[dict[str, Any]]


def show(asked: Asked, config: Mapping[str, Any], source: str, sample: Sample) -> None:
    """Print what *config*, the deployed one, makes of *sample*, sent as *source*."""
    from relay.config.settings import Settings

    settings = Settings.of({"RELAY_BASE_URLS": ",".join(config["base_urls"])}, config)
    found = worked_out(settings, source, sample)
    if asked.as_json:
        for it in (*found.routes, *found.published):
            json_line(it)
        return
    from cli.terminal.tables import Column, facts, heading, table

    facts({"source": source, "type": found.event.event_type, "source's id": found.event.idempotency_key})
    heading("Routes")
    table(
        [
            Column("ROUTE", lambda it: it["route"]),
            Column("TAKES IT", lambda it: "yes" if it["takes"] else "no"),
            Column("URL GROUPS", lambda it: ", ".join(it["to"])),
            Column("WHY NOT", lambda it: it["why"], whole=True),
        ],
        found.routes,
    )
    for it in found.published:
        heading(f"{', '.join(it['destinations'])} (URL group {it['url_group']})")
        facts({name: value for name, value in it.items() if name not in ("destinations", "url_group") and value})


def worked_out(settings: Settings, source: str, sample: Sample) -> Shown:
    """Return what *settings* make of *sample*, sent as *source*."""
    from relay.publishing.messages import Composer
    from relay.publishing.routing import expecting, route

    of = settings.sources[source]
    described = _event(settings, source, sample)
    routing = route(of, described, sample.body)
    event = expecting(settings, described, routing, lambda: ())
    routes = [
        {"route": it.name, "takes": it.name not in routing.skipped, "to": [*it.to], "why": routing.skipped.get(it.name)}
        for it in of.routes
    ]
    composer = Composer(settings, "BUCKET", "", lambda _: HIDDEN)
    publications = [it for group in routing.groups for it in composer.of_group(event, group, sample.body, routing)]
    return Shown(event, routes, [dict(_told(settings, it)) for it in publications])


def _event(settings: Settings, source: str, sample: Sample) -> Event:
    from relay.model.event import Event
    from relay.model.ids import event_id, new_generation
    from relay.verification.request import InboundRequest
    from relay.verification.verify import describe

    url = webhook_url(settings.base_urls[0], source) + (f"?{sample.query}" if sample.query else "")
    said = describe(
        settings.sources[source].row,
        InboundRequest(method=sample.method, urls=[url], headers=sample.headers, body=sample.body),
    )
    now = datetime.now(UTC)
    return Event(
        id=event_id(source, said.idempotency_key),
        source=source,
        idempotency_key=said.idempotency_key,
        event_type=said.event_type,
        received_at=now,
        saved_at=now,
        content_type=sample.headers.get("content-type"),
        headers=said.headers,
        sha256=hashlib.sha256(sample.body).hexdigest(),
        size_bytes=len(sample.body),
        query=said.query,
        method=said.method,
        raw_query=said.raw_query,
        query_left_out=said.query_left_out,
        expected={},
        generation=new_generation(),
        expires_at=now + timedelta(days=settings.retention_days),
    )


def _told(settings: Settings, publication: Publication) -> Iterator[tuple[str, Any]]:
    """Yield what is told of one publish, by name."""
    from relay.publishing.messages import PASSED_ON

    message = publication.message
    yield "url_group", publication.group
    yield "destinations", [*publication.names]
    if publication.trouble is not None:
        yield "trouble", str(publication.trouble)
        return
    targets = [settings.destinations[it].target for it in publication.names]
    yield "aws", [f"{it['kind']} {it.get('arn', it['name'])}" for it in targets if it]
    yield "method", message.method
    yield "headers", {"content-type": message.content_type, **message.headers}
    yield "body", message.body.decode(errors="replace")[:BODY_MAX_CHARS]
    yield "not_before", message.not_before.isoformat() if message.not_before else None
    for name in PASSED_ON:
        if name not in {"method", "redact"}:  # have their place above and below
            yield name, getattr(message, name)
    yield "labels", [*message.labels]
    yield "flow_control", " ".join(message.flow_control) if message.flow_control else None
    yield "queue", message.queue
    yield "redact", [*message.redact]
