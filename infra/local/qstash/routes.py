"""QStash's HTTP API: a verb for every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from . import selection
from .call import Call, answer
from .grammar import Refused, destination_url, name
from .options import read_options, split_target
from .publish import Publication, Published, commit
from .state import DeadLetter, Group
from .views import dead_letter_view, group_view, log_view, message_view

PUBLISH = "/v2/publish/"
_MAX_PAGE = 100
_MAX_CANCELED = 500
_MAX_LOG_PAGE = 1_000

Verb = Callable[[Call], Response]


def publish(call: Call) -> Response:
    tail = call.request.scope["raw_path"].decode("latin-1").removeprefix(PUBLISH)
    destination, settings = split_target(tail, call.query)
    publication = call.plan(destination, settings | call.headers, call.body)
    return _published(commit(call.engine, call.user, publication))


def _published(published: Published) -> Response:
    return answer(published.value, 202 if published.duplicate else 200)


def batch(call: Call) -> Response:
    items = call.json()
    if not isinstance(items, list):
        raise Refused(400, "the body is not a JSON array")
    planned = [_batch_item(call, item) for item in items]
    return answer([commit(call.engine, call.user, publication).value for publication in planned])


def _batch_item(call: Call, item: object) -> Publication:
    if not isinstance(item, dict):
        raise Refused(400, "an item of the batch is not a JSON object")
    headers, body, destination = item.get("headers") or {}, item.get("body"), item.get("destination") or ""
    if item.get("queue"):
        raise Refused(400, "queue is not supported by this server")
    if not isinstance(destination, str) or not isinstance(body, str | None) or not isinstance(headers, dict):
        raise Refused(400, "destination and body of a batch item must be strings, headers an object")
    return call.plan(destination, _lowered(headers), (body or "").encode("utf-8", "replace"))


def _lowered(headers: dict[str, Any]) -> dict[str, list[str]]:
    """Return headers that came as a JSON object; a value may be a string or an array of strings."""
    return {key.lower(): value if isinstance(value, list) else [value] for key, value in headers.items()}


def get_keys(call: Call) -> Response:
    return answer({"current": call.user.current_key, "next": call.user.next_key})


def rotate_keys(call: Call) -> Response:
    call.user.rotate()
    return get_keys(call)


def get_message(call: Call) -> Response:
    message = call.user.find(call.path("id"), call.now_s)
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    return answer(message_view(message))


def cancel_message(call: Call) -> Response:
    message = call.user.messages.get(call.path("id"))
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    call.engine.cancel(call.user, message)
    return answer({"cancelled": 1})


def cancel_messages(call: Call) -> Response:
    wanted = selection.read_selection(call.selection_params(), selection.MESSAGE_FILTERS, most=_MAX_CANCELED)
    chosen = wanted.messages(call.user.messages.values())
    for message in chosen:
        call.engine.cancel(call.user, message)
    return answer({"cancelled": len(chosen)})


def list_groups(call: Call) -> Response:
    return answer([group_view(group) for group in call.user.groups.values()])


def get_group(call: Call) -> Response:
    return answer(group_view(_group(call)))


def _group(call: Call) -> Group:
    group = call.user.groups.get(call.path("name"))
    if group is None:
        raise Refused(404, f"topic {call.path('name')} not found")
    return group


def _endpoints(call: Call) -> list[tuple[str | None, str | None]]:
    endpoints = call.json_object().get("endpoints")
    if not isinstance(endpoints, list) or not endpoints:
        raise Refused(400, "endpoints must be an array that is not empty")
    checked: list[tuple[str | None, str | None]] = []
    for endpoint in endpoints:
        if not isinstance(endpoint, dict) or not (endpoint.get("url") or endpoint.get("name")):
            raise Refused(400, "an endpoint needs a url, a name or both")
        url = destination_url(endpoint["url"], "endpoint url") if endpoint.get("url") else None
        checked.append((url, name(endpoint["name"], "endpoint name") if endpoint.get("name") else None))
    return checked


def put_endpoints(call: Call) -> Response:
    group_name, now_ms = name(call.path("name"), "topic name"), int(call.now_s * 1000)
    old = call.user.groups.get(group_name)
    limits = call.engine.settings.limits
    if old is None and len(call.user.groups) >= limits.groups:
        raise Refused(412, f"quota maxTopics exceeded, current limit: {limits.groups}")
    group = Group(group_name, old.created_ms if old else now_ms, now_ms)
    if old:
        group.endpoints, group.headers = list(old.endpoints), old.headers
    for url, endpoint_name in _endpoints(call):
        if url is None:
            raise Refused(400, "an endpoint needs a url")
        group.put(url, endpoint_name)
    if len(group.endpoints) > limits.endpoints:
        raise Refused(412, f"quota maxEndpointsPerTopic exceeded, current limit: {limits.endpoints}")
    call.user.groups[group_name] = group
    return answer({})


def remove_endpoints(call: Call) -> Response:
    group = _group(call)
    for url, endpoint_name in _endpoints(call):
        group.remove(url, endpoint_name)
    group.updated_ms = int(call.now_s * 1000)
    if not group.endpoints:
        del call.user.groups[group.name]
    return answer({})


def patch_group(call: Call) -> Response:
    group, headers = _group(call), call.json_object().get("headers")
    if not isinstance(headers, dict):
        raise Refused(400, "headers must be a JSON object")
    lowered = _lowered(headers)
    read_options(lowered, call.engine.settings.limits)
    group.headers, group.updated_ms = lowered, int(call.now_s * 1000)
    return answer({})


def delete_group(call: Call) -> Response:
    call.user.groups.pop(call.path("name"), None)
    return answer({})


def _chosen_dead_letters(call: Call) -> tuple[list[DeadLetter], dict[str, str]]:
    wanted = selection.read_selection(call.selection_params(), selection.DEAD_LETTER_FILTERS, most=_MAX_PAGE)
    return wanted.dead_letters(call.user.dead_letters.values())


def _dead_letter(call: Call) -> DeadLetter:
    dead_letter = call.user.dead_letters.get(call.path("id"))
    if dead_letter is None:
        raise Refused(404, f"dlq message {call.path('id')} not found")
    return dead_letter


def list_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    return answer({"messages": [dead_letter_view(one) for one in chosen], **cursor})


def get_dead_letter(call: Call) -> Response:
    return answer(dead_letter_view(_dead_letter(call)))


def delete_dead_letter(call: Call) -> Response:
    del call.user.dead_letters[_dead_letter(call).id]
    return answer({})


def delete_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    for dead_letter in chosen:
        del call.user.dead_letters[dead_letter.id]
    return answer({"deleted": len(chosen), **cursor})


def _overrides(call: Call) -> dict[str, list[str]]:
    return {key: values for key, values in call.headers.items() if key.startswith("upstash-")}


def retry_dead_letter(call: Call) -> Response:
    message = call.engine.revive(call.user, _dead_letter(call), _overrides(call))
    return answer({"messageId": message.id}, 201)


def retry_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    overrides = _overrides(call)
    read_options(overrides, call.engine.settings.limits)  # refused as a whole, or not at all
    revived = [call.engine.revive(call.user, dead_letter, overrides) for dead_letter in chosen]
    return answer({"responses": [{"messageId": message.id} for message in revived], **cursor}, 201)


def list_log(call: Call) -> Response:
    wanted = selection.read_selection(call.params, selection.LOG_FILTERS, most=_MAX_LOG_PAGE, latest_first=True)
    chosen, cursor = wanted.log(call.user.log)
    rows = [log_view(row) for row in chosen]
    return answer({"events": rows, "logs": rows, **cursor})


ROUTES: tuple[tuple[str, str, Verb], ...] = (
    (PUBLISH + "{destination:path}", "POST", publish),
    ("/v2/batch", "POST", batch),
    ("/v2/keys", "GET", get_keys),
    ("/v2/keys/rotate", "POST", rotate_keys),
    ("/v2/messages/{id}", "GET", get_message),
    ("/v2/messages/{id}", "DELETE", cancel_message),
    ("/v2/messages", "DELETE", cancel_messages),
    ("/v2/topics", "GET", list_groups),
    ("/v2/topics/{name}", "GET", get_group),
    ("/v2/topics/{name}", "PATCH", patch_group),
    ("/v2/topics/{name}", "DELETE", delete_group),
    ("/v2/topics/{name}/endpoints", "POST", put_endpoints),
    ("/v2/topics/{name}/endpoints", "DELETE", remove_endpoints),
    ("/v2/dlq", "GET", list_dead_letters),
    ("/v2/dlq", "DELETE", delete_dead_letters),
    ("/v2/dlq/retry", "POST", retry_dead_letters),
    ("/v2/dlq/retry/{id}", "POST", retry_dead_letter),
    ("/v2/dlq/{id}", "GET", get_dead_letter),
    ("/v2/dlq/{id}", "DELETE", delete_dead_letter),
    ("/v2/events", "GET", list_log),
    ("/v2/logs", "GET", list_log),
)
