"""QStash's HTTP API: a verb for every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from ..broker.publish import Publication, admit, commit, limit_queues, plan
from ..broker.state import Group, Wanted
from ..broker.views import (
    dead_letter_view,
    flow_key_view,
    group_view,
    log_view,
    message_view,
    page_view,
    queue_view,
    schedule_view,
)
from ..language.grammar import ENDPOINT_NAME, WEEK_S, Refused, destination_url, flag, name, whole, within
from ..language.options import read_options
from . import schedules, selection
from .call import Call, answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..broker.line import FlowKey
    from ..broker.state import DeadLetter, Queue, Schedule
    from ..language.options import Headers

Verb = Callable[[Call], Response]
Found = TypeVar("Found")

ROUTES: list[tuple[str, str, Verb]] = []  # method, path (as it is on the wire, undecoded), verb
_SENDING = ("/v2/publish", "/v2/enqueue", "/v2/batch")  # these have no limit per second
_MAX_PAGE = 100
_MAX_CANCELED = 500
_MAX_LOG_PAGE = 1_000


def _route(method: str, *paths: str) -> Callable[[Verb], Verb]:
    def add(verb: Verb) -> Verb:
        ROUTES.extend((method, path, verb) for path in paths)
        return verb

    return add


def manages(path: str) -> bool:
    """Return whether a call manages rather than sends: how many of those there may be in a second is limited."""
    return not path.startswith(_SENDING)


def _existing(things: Mapping[str, Found], wanted: str, kind: str) -> Found:
    if wanted not in things:
        raise Refused(404, f"{kind} {wanted} not found")
    return things[wanted]


@_route("POST", "/v2/publish/{destination:path}")
def publish(call: Call) -> Response:
    wanted = call.wanted()
    return _schedule(call, wanted) if "upstash-cron" in wanted.headers else _publish(call, wanted)


@_route("POST", "/v2/enqueue/{queue}/{destination:path}")
def enqueue(call: Call) -> Response:
    return _publish(call, call.wanted(name(call.path("queue"), "queue name")))


def _publish(call: Call, wanted: Wanted) -> Response:
    publication = plan(call.engine, call.user, wanted)
    admit(call.engine, call.user, [publication])
    value, duplicate = commit(call.engine, call.user, publication)
    return answer(value, 202 if duplicate else 200)


@_route("POST", "/v2/batch")
def batch(call: Call) -> Response:
    items = call.json()
    if not isinstance(items, list):
        raise Refused(400, "the body is not a JSON array")
    planned = [_planned(call, wanted) for wanted in [_batch_item(call, item) for item in items]]
    admit(call.engine, call.user, [it for it in planned if isinstance(it, Publication)])
    return answer([_sent(call, it) if isinstance(it, Publication) else {"error": it.text} for it in planned])


def _planned(call: Call, wanted: Wanted) -> Publication | Refused:
    """Return what an item of a batch comes to, or why it can't be sent, where the others are sent all the same."""
    try:
        publication = plan(call.engine, call.user, wanted)
        if fault := call.engine.faults.of_item([message for _, message in publication.messages]):
            raise Refused(fault.status, f"fault on command: {fault.status}")  # noqa: TRY301 - like any other reason
    except Refused as refused:
        if call.engine.settings.batch_refused == "whole":
            raise
        return refused
    return publication


def _sent(call: Call, publication: Publication) -> Any:
    return commit(call.engine, call.user, publication)[0]


def _batch_item(call: Call, item: object) -> Wanted:
    if not isinstance(item, dict):
        raise Refused(400, "an item of the batch is not a JSON object")
    headers, body, destination = item.get("headers") or {}, item.get("body"), item.get("destination") or ""
    if not isinstance(destination, str) or not isinstance(body, str | None) or not isinstance(headers, dict):
        raise Refused(400, "destination and body of a batch item must be strings, headers an object")
    return Wanted(
        destination=destination,
        headers=_lowered(headers),
        body=(body or "").encode("utf-8", "replace"),
        caller_ip=call.caller_ip,
        queue_name=name(item["queue"], "queue") if item.get("queue") else None,
    )


def _lowered(headers: dict[str, Any]) -> Headers:
    """Return headers that came as a JSON object; a value may be a string or an array of strings."""
    return {key.lower(): value if isinstance(value, list) else [value] for key, value in headers.items()}


@_route("GET", "/v2/keys")
def get_keys(call: Call) -> Response:
    return answer({"current": call.user.current_key, "next": call.user.next_key})


@_route("POST", "/v2/keys/rotate")
def rotate_keys(call: Call) -> Response:
    call.user.rotate()
    return get_keys(call)


@_route("GET", "/v2/messages/{id}")
def get_message(call: Call) -> Response:
    message = call.user.find(call.path("id"), call.now_s)
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    return answer(message_view(message))


@_route("DELETE", "/v2/messages/{id}")
def cancel_message(call: Call) -> Response:
    call.engine.cancel(call.user, _existing(call.user.messages, call.path("id"), "message"))
    return answer({"cancelled": 1})


@_route("DELETE", "/v2/messages")
def cancel_messages(call: Call) -> Response:
    params, most = call.selection_params(), _MAX_CANCELED
    if call.engine.settings.cancel_count_ignored:
        params.pop("count", None)
        most = len(call.user.messages)
    wanted = selection.read_selection(params, selection.MESSAGE_FILTERS, most=most)
    chosen = wanted.messages(call.user.messages.values())
    for message in chosen:
        call.engine.cancel(call.user, message)
    return answer({"cancelled": len(chosen)})


@_route("POST", "/v2/queues")
def put_queue(call: Call) -> Response:
    wanted = call.json_object()
    queue_name = name(wanted.get("queueName"), "queueName")
    parallelism, paused = wanted.get("parallelism", 1), wanted.get("paused", False)
    if type(parallelism) is not int or parallelism < 1 or not isinstance(paused, bool):
        raise Refused(400, "parallelism must be a number from 1 on, paused a boolean")
    within(parallelism, call.engine.settings.limits.parallelism, "maxParallelism")
    limit_queues(call.engine, call.user, {queue_name})
    queue = call.user.queue(queue_name, call.now_ms)
    queue.updated_ms, queue.line.places = call.now_ms, parallelism
    queue.line.pause(paused=paused)
    return answer({})


@_route("GET", "/v2/queues")
def list_queues(call: Call) -> Response:
    return answer([queue_view(queue, call.user) for queue in call.user.queues.values()])


def _queue(call: Call) -> Queue:
    return _existing(call.user.queues, call.path("name"), "queue")


@_route("GET", "/v2/queues/{name}")
def get_queue(call: Call) -> Response:
    return answer(queue_view(_queue(call), call.user))


@_route("DELETE", "/v2/queues/{name}")
def delete_queue(call: Call) -> Response:
    if queue := call.user.queues.pop(call.path("name"), None):
        for message in [one for one in call.user.messages.values() if one.queue_name == queue.name]:
            call.engine.cancel(call.user, message)
    return answer({})


@_route("POST", "/v2/queues/{name}/pause", "/v2/queues/{name}/resume")
def pause_queue(call: Call) -> Response:
    queue = _queue(call)
    queue.updated_ms = call.now_ms
    queue.line.pause(paused=call.ends == "pause")
    return answer({})


def _existing_schedule(call: Call) -> Schedule:
    return _existing(call.user.schedules, call.path("id"), "schedule")


@_route("POST", "/v2/schedules/{id}/pause", "/v2/schedules/{id}/resume")
@_route("PATCH", "/v2/schedules/{id}/pause", "/v2/schedules/{id}/resume")
def pause_schedule(call: Call) -> Response:
    _existing_schedule(call).paused = call.ends == "pause"
    return answer({})


@_route("POST", "/v2/schedules/{destination:path}")
def create_schedule(call: Call) -> Response:
    return _schedule(call, call.wanted())


def _schedule(call: Call, wanted: Wanted) -> Response:
    return answer({"scheduleId": schedules.put_schedule(call.engine, call.user, wanted).id})


@_route("GET", "/v2/schedules")
def list_schedules(call: Call) -> Response:
    return answer([schedule_view(schedule, call.now_s) for schedule in call.user.schedules.values()])


@_route("GET", "/v2/schedules/{id}")
def get_schedule(call: Call) -> Response:
    return answer(schedule_view(_existing_schedule(call), call.now_s))


@_route("DELETE", "/v2/schedules/{id}")
def delete_schedule(call: Call) -> Response:
    schedules.delete_schedule(call.engine, call.user, _existing_schedule(call))
    return answer({})


@_route("GET", "/v2/flowControl")
def list_flow_keys(call: Call) -> Response:
    search = call.params.get("search", [""])[-1]
    return answer([flow_key_view(key, line) for key, line in call.user.flow_keys.items() if search in key])


def _flow_key(call: Call) -> FlowKey:
    return _existing(call.user.flow_keys, call.path("key"), "flow control key")


@_route("GET", "/v2/flowControl/{key}")
def get_flow_key(call: Call) -> Response:
    return answer(flow_key_view(call.path("key"), _flow_key(call)))


@_route("POST", "/v2/flowControl/{key}/pause", "/v2/flowControl/{key}/resume")
def pause_flow_key(call: Call) -> Response:
    _flow_key(call).pause(paused=call.ends == "pause")
    return answer({})


@_route("POST", "/v2/flowControl/{key}/pin")
def pin_flow_key(call: Call) -> Response:
    key, params = _flow_key(call), call.params
    wanted = {part: whole(params[part][-1], part) for part in ("parallelism", "rate", "period") if part in params}
    if 0 in wanted.values() or wanted.get("period", 0) > WEEK_S:
        raise Refused(400, "parallelism, rate and period must be at least 1, period at most one week")
    if "parallelism" in wanted:
        key.places, key.pinned_parallelism = wanted["parallelism"], True
    if "rate" in wanted or "period" in wanted:
        key.rate, key.period_s = wanted.get("rate", key.rate), wanted.get("period", key.period_s)
        key.pinned_rate = True
    key.reset()
    return answer({})


@_route("POST", "/v2/flowControl/{key}/unpin")
def unpin_flow_key(call: Call) -> Response:
    key, params = _flow_key(call), call.params
    parallelism, rate = (flag(params.get(part, [""])[-1], part) for part in ("parallelism", "rate"))
    key.pinned_parallelism, key.pinned_rate = key.pinned_parallelism and not parallelism, key.pinned_rate and not rate
    return answer({})


@_route("POST", "/v2/flowControl/{key}/resetRate", "/v2/flowControl/{key}/reset")
def reset_flow_key(call: Call) -> Response:
    _flow_key(call).reset(places=call.ends == "reset")
    return answer({})


@_route("GET", "/v2/globalParallelism")
def get_global_parallelism(call: Call) -> Response:
    return answer({"parallelismMax": call.user.line.places, "parallelismCount": call.user.line.taken})


@_route("GET", "/v2/topics")
def list_groups(call: Call) -> Response:
    return answer([group_view(group) for group in call.user.groups.values()])


def _group(call: Call) -> Group:
    return _existing(call.user.groups, call.path("name"), "topic")


@_route("GET", "/v2/topics/{name}")
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


@_route("POST", "/v2/topics/{name}/endpoints")
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


@_route("DELETE", "/v2/topics/{name}/endpoints")
def remove_endpoints(call: Call) -> Response:
    group = _group(call)
    for url, endpoint_name in _endpoints(call):
        group.remove(url, endpoint_name)
    group.updated_ms = call.now_ms
    if not group.endpoints:
        del call.user.groups[group.name]
    return answer({})


@_route("PATCH", "/v2/topics/{name}")
def patch_group(call: Call) -> Response:
    group, headers = _group(call), call.json_object().get("headers")
    if not isinstance(headers, dict):
        raise Refused(400, "headers must be a JSON object")
    lowered = _lowered(headers)
    read_options(lowered, call.engine.settings.limits)  # may refuse
    group.headers, group.updated_ms = lowered, call.now_ms
    return answer({})


@_route("DELETE", "/v2/topics/{name}")
def delete_group(call: Call) -> Response:
    call.user.groups.pop(call.path("name"), None)
    return answer({})


def _chosen_dead_letters(call: Call) -> tuple[list[DeadLetter], str | None]:
    wanted = selection.read_selection(call.selection_params(), selection.DEAD_LETTER_FILTERS, most=_MAX_PAGE)
    return wanted.page(call.user.dead_letters.values())


def _dead_letter(call: Call) -> DeadLetter:
    dead_letter = call.user.dead_letters.get(call.path("id"))
    if dead_letter is None:
        raise Refused(404, f"dlq message {call.path('id')} not found")
    return dead_letter


@_route("GET", "/v2/dlq")
def list_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    return answer(page_view("messages", ([dead_letter_view(one) for one in chosen], cursor)))


@_route("GET", "/v2/dlq/{id}")
def get_dead_letter(call: Call) -> Response:
    return answer(dead_letter_view(_dead_letter(call)))


@_route("DELETE", "/v2/dlq/{id}")
def delete_dead_letter(call: Call) -> Response:
    call.user.dead_letters.drop(_dead_letter(call).id)
    return answer({})


@_route("DELETE", "/v2/dlq")
def delete_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    for dead_letter in chosen:
        call.user.dead_letters.drop(dead_letter.id)
    return answer({"deleted": len(chosen), "cursor": cursor})


def _overrides(call: Call) -> Headers:
    return {key: values for key, values in call.headers.items() if key.startswith("upstash-")}


@_route("POST", "/v2/dlq/retry/{id}")
def retry_dead_letter(call: Call) -> Response:
    message = call.engine.revive(call.user, _dead_letter(call), _overrides(call))
    return answer({"messageId": message.id}, 201)


@_route("POST", "/v2/dlq/retry")
def retry_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    overrides = _overrides(call)
    read_options(overrides, call.engine.settings.limits)  # refused as a whole, or not at all
    revived = [call.engine.revive(call.user, dead_letter, overrides) for dead_letter in chosen]
    return answer(page_view("responses", ([{"messageId": message.id} for message in revived], cursor)), 201)


@_route("GET", "/v2/events", "/v2/logs")
def list_log(call: Call) -> Response:
    wanted = selection.read_selection(call.params, selection.LOG_FILTERS, most=_MAX_LOG_PAGE, latest_first=True)
    chosen, cursor = wanted.page(call.user.shown_log(call.now_s))
    rows = [log_view(row) for row in chosen]
    return answer(page_view("events", (rows, cursor)) | {"logs": rows})
