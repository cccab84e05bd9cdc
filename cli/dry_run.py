"""`relay send --dry-run`: shows the routes that a sample matches, and the messages for destinations; sends nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.terminal.options import GlobalOptions, json_line
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
class Preview:
    """The event that the relay would make of a sample.

    Attributes:
        routes: For each route: `route`, `takes`, `to` (URL groups) and `why` the route doesn't match, or None.
        published: The messages that the relay would publish, as `_publication_fields` names their parts.
    """

    event: Event
    routes: list[dict[str, Any]]
    published: list[dict[str, Any]]


def print_preview(options: GlobalOptions, config: Mapping[str, Any], source: str, sample: Sample) -> None:
    """Print a preview of *sample*, sent as *source* to the relay with the deployed configuration *config*."""
    from relay.config.settings import Settings

    settings = Settings.of({"RELAY_BASE_URLS": ",".join(config["base_urls"])}, config)
    preview = make_preview(settings, source, sample)
    if options.as_json:
        for record in (*preview.routes, *preview.published):
            json_line(record)
        return
    from cli.terminal.tables import Column, facts, heading, table

    facts({"source": source, "type": preview.event.event_type, "source's id": preview.event.idempotency_key})
    heading("Routes")
    table(
        [
            Column("ROUTE", lambda it: it["route"]),
            Column("TAKES IT", lambda it: "yes" if it["takes"] else "no"),
            Column("URL GROUPS", lambda it: ", ".join(it["to"])),
            Column("WHY NOT", lambda it: it["why"], whole=True),
        ],
        preview.routes,
    )
    for fields in preview.published:
        heading(f"{', '.join(fields['destinations'])} (URL group {fields['url_group']})")
        facts({name: value for name, value in fields.items() if name not in ("destinations", "url_group") and value})


def make_preview(settings: Settings, source: str, sample: Sample) -> Preview:
    """Return the preview of *sample*, sent as *source* to a relay with *settings*."""
    from relay.publishing.messages import Composer
    from relay.publishing.routing import expecting, route

    routes = settings.sources[source].routes
    received = _event_of(settings, source, sample)
    routing = route(settings.sources[source], received, sample.body)
    event = expecting(settings, received, routing, lambda: ())
    skipped = routing.skipped
    matches = [
        {"route": name, "takes": name not in skipped, "to": [*groups], "why": skipped.get(name)}
        for name, groups in ((it.name, it.to) for it in routes)
    ]
    composer = Composer(settings, "BUCKET", "", lambda _: HIDDEN)
    publications = [it for group in routing.groups for it in composer.of_group(event, group, sample.body, routing)]
    return Preview(event, matches, [dict(_publication_fields(settings, it)) for it in publications])


def _event_of(settings: Settings, source: str, sample: Sample) -> Event:
    from relay.model.event import Event
    from relay.model.ids import event_id, new_generation
    from relay.verification.request import InboundRequest
    from relay.verification.verify import describe

    url = webhook_url(settings.base_urls[0], source) + (f"?{sample.query}" if sample.query else "")
    info = describe(
        settings.sources[source].row,
        InboundRequest(method=sample.method, urls=[url], headers=sample.headers, body=sample.body),
    )
    now = datetime.now(UTC)
    return Event(
        id=event_id(source, info.idempotency_key),
        source=source,
        idempotency_key=info.idempotency_key,
        event_type=info.event_type,
        received_at=now,
        saved_at=now,
        content_type=sample.headers.get("content-type"),
        headers=info.headers,
        sha256=hashlib.sha256(sample.body).hexdigest(),
        size_bytes=len(sample.body),
        query=info.query,
        method=info.method,
        raw_query=info.raw_query,
        query_left_out=info.query_left_out,
        expected={},
        generation=new_generation(),
        expires_at=now + timedelta(days=settings.retention_days),
    )


def _publication_fields(settings: Settings, publication: Publication) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a message that the preview shows, by name."""
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
        if name not in {"method", "redact"}:  # shown above and below
            yield name, getattr(message, name)
    yield "labels", [*message.labels]
    yield "flow_control", " ".join(message.flow_control) if message.flow_control else None
    yield "queue", message.queue
    yield "redact", [*message.redact]
