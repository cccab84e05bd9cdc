"""Messages: one by its id, cancelling one or many, and the log of their states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker.views import log_view, message_view, page_view
from ..language.grammar import Refused
from . import selection
from .call import Call, answer, existing

if TYPE_CHECKING:
    from starlette.responses import Response

    from .call import Verb

_MAX_CANCELED = 500
_MAX_LOG_PAGE = 1_000


def get_message(call: Call) -> Response:
    message = call.user.find(call.path("id"), call.now_s)
    if message is None:
        raise Refused(404, f"message {call.path('id')} not found")
    return answer(message_view(message))


def cancel_message(call: Call) -> Response:
    call.engine.cancel(call.user, existing(call.user.messages, call.path("id"), "message"))
    return answer({"cancelled": 1})


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


def list_log(call: Call) -> Response:
    wanted = selection.read_selection(call.params, selection.LOG_FILTERS, most=_MAX_LOG_PAGE, latest_first=True)
    chosen, cursor = wanted.page(call.user.shown_log(call.now_s))
    rows = [log_view(row) for row in chosen]
    return answer(page_view("events", (rows, cursor)) | {"logs": rows})


ROUTES: list[tuple[str, str, Verb]] = [
    ("GET", "/v2/messages/{id}", get_message),
    ("DELETE", "/v2/messages/{id}", cancel_message),
    ("DELETE", "/v2/messages", cancel_messages),
    ("GET", "/v2/events", list_log),
    ("GET", "/v2/logs", list_log),
]
