"""Queues: made, listed, paused and deleted.  Deleting a queue cancels its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker.publish import limit_queues
from ..broker.views import queue_view
from ..language.grammar import Refused, name, within
from .call import Call, answer, existing

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..broker.state import Queue
    from .call import Verb


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


def list_queues(call: Call) -> Response:
    return answer([queue_view(queue, call.user) for queue in call.user.queues.values()])


def _queue(call: Call) -> Queue:
    return existing(call.user.queues, call.path("name"), "queue")


def get_queue(call: Call) -> Response:
    return answer(queue_view(_queue(call), call.user))


def delete_queue(call: Call) -> Response:
    if queue := call.user.queues.pop(call.path("name"), None):
        for message in [one for one in call.user.messages.values() if one.queue_name == queue.name]:
            call.engine.cancel(call.user, message)
    return answer({})


def pause_queue(call: Call) -> Response:
    queue = _queue(call)
    queue.updated_ms = call.now_ms
    queue.line.pause(paused=call.ends == "pause")
    return answer({})


ROUTES: list[tuple[str, str, Verb]] = [
    ("POST", "/v2/queues", put_queue),
    ("GET", "/v2/queues", list_queues),
    ("GET", "/v2/queues/{name}", get_queue),
    ("DELETE", "/v2/queues/{name}", delete_queue),
    ("POST", "/v2/queues/{name}/pause", pause_queue),
    ("POST", "/v2/queues/{name}/resume", pause_queue),
]
