"""URL groups, which QStash's API calls topics: their endpoints and default headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker.state import Group
from ..broker.views import group_view
from ..language.grammar import ENDPOINT_NAME, Refused, destination_url, name, within
from ..language.options import read_options
from .call import Call, answer, existing, lower_case

if TYPE_CHECKING:
    from starlette.responses import Response

    from .call import Verb


def list_groups(call: Call) -> Response:
    return answer([group_view(group) for group in call.user.groups.values()])


def _group(call: Call) -> Group:
    return existing(call.user.groups, call.path("name"), "topic")


def get_group(call: Call) -> Response:
    return answer(group_view(_group(call)))


def _endpoints(call: Call) -> list[tuple[str | None, str | None]]:
    endpoints = call.json_object().get("endpoints")
    if not isinstance(endpoints, list) or not endpoints:
        raise Refused(400, "endpoints must be an array that is not empty")
    checked: list[tuple[str | None, str | None]] = []
    for endpoint in endpoints:
        if not isinstance(endpoint, dict) or not (endpoint.get("url") or endpoint.get("name")):
            raise Refused(400, "an endpoint needs a url, a name or both")
        url = destination_url(endpoint["url"], "endpoint url") if endpoint.get("url") else None
        checked.append((url, name(endpoint["name"], "endpoint name", ENDPOINT_NAME) if endpoint.get("name") else None))
    return checked


def put_endpoints(call: Call) -> Response:
    group_name, groups, settings = name(call.path("name"), "topic name"), call.user.groups, call.engine.settings
    limits = settings.limits
    old = groups.get(group_name) or Group(group_name, call.now_ms, call.now_ms)
    if group_name not in groups:
        most = limits.groups if settings.url_groups is None else settings.url_groups
        within(len(groups) + 1, most, "maxTopics")
    group = Group(group_name, old.created_ms, call.now_ms, list(old.endpoints), old.headers)
    for url, endpoint_name in _endpoints(call):
        if url is None:
            raise Refused(400, "an endpoint needs a url")
        group.put(url, endpoint_name)
    within(len(group.endpoints), limits.endpoints, "maxEndpointsPerTopic")
    groups[group_name] = group
    return answer({})


def remove_endpoints(call: Call) -> Response:
    group = _group(call)
    for url, endpoint_name in _endpoints(call):
        group.remove(url, endpoint_name)
    group.updated_ms = call.now_ms
    if not group.endpoints:
        del call.user.groups[group.name]
    return answer({})


def patch_group(call: Call) -> Response:
    group, headers = _group(call), call.json_object().get("headers")
    if not isinstance(headers, dict):
        raise Refused(400, "headers must be a JSON object")
    lowered = lower_case(headers)
    read_options(lowered, call.engine.settings.limits)  # may refuse
    group.headers, group.updated_ms = lowered, call.now_ms
    return answer({})


def delete_group(call: Call) -> Response:
    call.user.groups.pop(call.path("name"), None)
    return answer({})


ROUTES: list[tuple[str, str, Verb]] = [
    ("GET", "/v2/topics", list_groups),
    ("GET", "/v2/topics/{name}", get_group),
    ("POST", "/v2/topics/{name}/endpoints", put_endpoints),
    ("DELETE", "/v2/topics/{name}/endpoints", remove_endpoints),
    ("PATCH", "/v2/topics/{name}", patch_group),
    ("DELETE", "/v2/topics/{name}", delete_group),
]
