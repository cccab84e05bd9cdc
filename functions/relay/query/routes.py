"""The routes under /v1, for operators whom IAM lets through: one row each.

The handlers dispatch by these rows, the stack opens the gateway's routes and writes the operators' policies from them,
and docs/querying.md lists them.  The routes of strangers are in `relay.urls`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Permission(StrEnum):
    """What a caller must be allowed to do; the value is the stack's output with the managed policy that allows it."""

    READ = "OperatorReadPolicy"
    OPERATE = "OperatorOperatePolicy"  # allows READ, too


class ApiRoute(NamedTuple):
    """One route.

    Attributes:
        method: `GET` or `POST`.
        path: With API Gateway's `{parameters}`.
        function: The Lambda function that serves the route, and so the module in functions/.
        verb: The name of the Python function in that module; empty where one answers all routes of the module.
    """

    method: str
    path: str
    function: str
    verb: str = ""

    @property
    def key(self) -> str:
        """The route as API Gateway tells it to a function: `GET /v1/events`."""
        return f"{self.method} {self.path}"

    @property
    def permission(self) -> Permission:
        """Whoever may read may GET everything; each other method changes something."""
        return permission(self.method)


def permission(method: str) -> Permission:
    """Return what a caller must be allowed to do for a request with the HTTP *method*."""
    return Permission.READ if method == "GET" else Permission.OPERATE


ROUTES = (
    ApiRoute("GET", "/v1/events", "query", "list_events"),
    ApiRoute("GET", "/v1/events/{event_id}", "query", "show_event"),
    ApiRoute("GET", "/v1/deliveries", "query", "list_deliveries"),
    ApiRoute("GET", "/v1/config", "query", "show_config"),
    ApiRoute("GET", "/v1/audit", "query", "show_audit"),
    ApiRoute("GET", "/v1/destinations", "query", "list_destinations"),
    ApiRoute("GET", "/v1/destinations/{destination}", "query", "list_destinations"),
    ApiRoute("POST", "/v1/destinations/{destination}", "query", "pause_or_resume"),
    ApiRoute("GET", "/v1/sources/{source}/refusals", "query", "list_refusals"),
    ApiRoute("POST", "/v1/replays", "query", "start_replay"),
    ApiRoute("GET", "/v1/replays", "query", "list_replays"),
    ApiRoute("GET", "/v1/replays/{replay_id}", "query", "show_replay"),
    ApiRoute("POST", "/v1/replays/{replay_id}", "query", "stop_or_resume"),
    # Ingest alone holds the signing secrets.  The stack opens these two where a source has a quarantine.
    ApiRoute("GET", "/v1/sources/{source}/quarantine", "ingest"),
    ApiRoute("POST", "/v1/sources/{source}/quarantine", "ingest"),
    ApiRoute("GET", "/v1/sync", "sync"),
    ApiRoute("POST", "/v1/sync", "sync"),
)


def served_by(function: str) -> dict[str, ApiRoute]:
    """Return the routes of the Lambda *function* by their keys."""
    return {route.key: route for route in ROUTES if route.function == function}


def allowed(permission: Permission) -> list[str]:
    """Return what the policy of *permission* allows, as IAM's patterns `GET/v1/*`; `OPERATE` allows reading, too."""
    patterns = ["GET/v1/*"]
    if permission is Permission.OPERATE:
        operating = [route for route in ROUTES if route.permission is Permission.OPERATE]
        patterns += [route.method + re.sub(r"\{[^}]+\}", "*", route.path) for route in operating]
    return patterns
