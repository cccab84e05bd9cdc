"""The groups, schedules, queues and flow controls that QStash should hold after a deploy.

No CDK here, so that `relay check` can count their bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.config.settings import Settings
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Mapping


def desired(flat: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """Return the resources that QStash should hold, by their names there; `relay.deployment.changes` has the form."""
    own = flat["name"]
    settings = Settings.of({"RELAY_BASE_URLS": base_url}, flat)
    endpoints = {group: settings.endpoints(group) for group in settings.groups}
    grouped = {name for names in endpoints.values() for name in names}
    groups = {
        group: [{"name": name, "url": settings.destination_url(name)} for name in names]
        for group, names in endpoints.items()
    }
    schedules = {
        name: {
            "cron": f"CRON_TZ={schedule['timezone']} {schedule['cron']}",
            "destination": webhook_url(base_url, name),
            **{part: schedule[part] for part in ("body", "content_type", "retries")},
        }
        for name, source in flat["sources"].items()
        if (schedule := source.get("schedule"))
    }
    return {
        "relay": own,
        "groups": {f"{own}.{name}": it for name, it in groups.items() if it},
        "alone": {it: settings.destination_url(it) for it in settings.destinations if it not in grouped},
        "schedules": {f"{own}.{name}": it for name, it in schedules.items()},
        "queues": {f"{own}.{name}": it for name, it in flat.get("queues", {}).items()},
        "flow_controls": {f"{own}.{name}": it for name, it in flat.get("flow_controls", {}).items()},
    }
