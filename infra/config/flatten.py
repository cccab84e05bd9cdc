"""Makes the flat configuration, which the functions read, from a checked relay.toml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from infra.config.models import Config, Route, Source
from infra.config.plan_limits import SCHEDULE_RETRIES
from infra.config.publishing import resolved
from infra.config.schemes import built_in_schemes
from relay.verification.scheme import Row

if TYPE_CHECKING:
    from collections.abc import Mapping


def flatten(config: Config) -> dict[str, Any]:
    """Return the flat configuration: settings resolved and scheme rows inlined, nothing left to look up."""
    return {
        "name": config.relay.name,
        "retention_days": config.relay.retention_days,
        "sources": {name: _flat_source(config, it) for name, it in config.sources.items()},
        "url_groups": {
            name: {"destinations": list(group.destinations), "publishing": resolved(config.flow_controls, group)}
            for name, group in config.url_groups.items()
        },
        "destinations": {
            name: {"group": group, **destination.flat()}
            for group, members in config.url_groups.items()
            for name, destination in members.destinations.items()
        },
        "queues": {name: {"parallelism": it.parallelism} for name, it in config.queues.items()},
        "flow_controls": {name: it.flat() for name, it in config.flow_controls.items()},
    }


def _flat_source(config: Config, source: Source) -> dict[str, Any]:
    schemes = {**built_in_schemes(), **config.schemes}
    routes = [_flat_route(config, source, f"routes[{number}]", it) for number, it in enumerate(source.routes)]
    if source.to is not None:
        routes.append(_flat_route(config, source, "to", Route(to=source.to)))
    return {
        "scheme": source.signed_by,
        "row": schemes[source.signed_by].row(),
        "replays": source.on_suspected_replay,  # GET /v1/config shows it under this name
        **({"reconcile": source.reconcile} if source.reconcile else {}),
        "reopen": source.reopen,
        "routes": routes,
        **({"schedule": _flat_schedule(source)} if source.cron else {}),
        **({"canary": True} if source.canary else {}),
        **({"quarantine_s": source.quarantine} if source.quarantine else {}),
    }


def _flat_route(config: Config, source: Source, name: str, route: Route) -> dict[str, Any]:
    return {
        "name": name,
        "event_types": route.event_types,
        "when": route.when,
        "transform": route.transform,
        "to": {it: resolved(config.flow_controls, route, source, config.url_groups[it]) for it in route.to},
    }


def _flat_schedule(source: Source) -> dict[str, Any]:
    try:
        json.loads(source.body)
    except (ValueError, RecursionError):
        content_type = "text/plain"
    else:
        content_type = "application/json"
    return {
        "cron": source.cron,
        "timezone": source.timezone,
        "body": source.body,
        "content_type": content_type,
        "retries": SCHEDULE_RETRIES,
    }


def needs_public_keys(flat: Mapping[str, Any]) -> bool:
    """Tell whether a source of the flat configuration signs with a public key or a certificate."""
    return any(Row.of(it["row"]).needs_public_keys for it in flat["sources"].values())
