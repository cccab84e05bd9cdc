"""Parts of a flat configuration, as the functions read it, for tests that write one by hand."""

from __future__ import annotations

from typing import Any


def publishing(**settings: Any) -> dict[str, Any]:
    """Return the settings of a publish, with those given."""
    unsaid = dict.fromkeys(("retry_delay", "delay", "not_before", "flow_control", "forward_headers", "queue"))
    said = {"retries": 2, "timeout_s": 30, "method": "POST", "labels": [], "redact": [], "callbacks": "all"}
    return unsaid | said | settings


def route(*groups: str, name: str = "to", how: dict[str, Any] | None = None, **conditions: Any) -> dict[str, Any]:
    """Return a route to *groups*, each published as *how* says."""
    return {"name": name, **conditions, "to": {group: how or publishing() for group in groups}}


def group(*destinations: str, **settings: Any) -> dict[str, Any]:
    """Return a URL group of *destinations*."""
    return {"publishing": publishing(**settings), "destinations": list(destinations)}


def bus(group_name: str, name: str = "default", detail_type: str | None = "github") -> dict[str, Any]:
    """Return a destination that is an event bus."""
    target = {"kind": "eventbridge", "name": name, "detail_type": detail_type}
    return {"group": group_name, "url": None, "headers": {}, "target": target}


def url(group_name: str, address: str, **headers: Any) -> dict[str, Any]:
    """Return a destination that is a URL, with *headers* of its own."""
    return {"group": group_name, "url": address, "headers": headers, "target": None}
