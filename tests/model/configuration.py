"""What the model's relay is told: two sources, two URL groups, three destinations, and where these are."""

from __future__ import annotations

from typing import Any

from infra.config import built_in_schemes
from tests.flat import group, route, url

BASE = "https://relay.example.com"
NAMES = {"github": ("audit", "ci"), "stripe": ("audit",)}
GROUPS = {"audit": ("ledger", "erp"), "ci": ("builder",)}
URLS = {name: f"https://{name}.example.com/in" for names in GROUPS.values() for name in names}
OTHER_URLS = {name: f"https://{name}.example.com/new" for name in URLS}


def flat(**routes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a configuration whose sources have these *routes*."""
    return {
        "name": "relay",
        "retention_days": 365,
        "sources": {
            name: {"scheme": name, "row": built_in_schemes()[name].row(), "routes": them}
            for name, them in routes.items()
        },
        "url_groups": {name: group(*names) for name, names in GROUPS.items()},
        "destinations": {name: url(of, URLS[name]) for of, names in GROUPS.items() for name in names},
    }


WIDE = flat(**{name: [route(*groups)] for name, groups in NAMES.items()})
NARROW = flat(
    github=[route("audit"), route("ci", name="routes[0]", when="starts_with(body.ref, 'v')")],  # it can't be told
    stripe=[route("audit", event_types=["never"])],  # no route takes it
)
