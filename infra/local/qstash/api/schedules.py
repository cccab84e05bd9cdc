"""Schedules: made, listed, paused and deleted.  `broker.schedules` runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker import schedules
from ..broker.views import schedule_view
from .call import Call, answer, existing

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..broker.messages import Wanted
    from ..broker.state import Schedule
    from .call import Verb


def _schedule_of(call: Call) -> Schedule:
    return existing(call.user.schedules, call.path("id"), "schedule")


def pause_schedule(call: Call) -> Response:
    _schedule_of(call).paused = call.ends == "pause"
    return answer({})


def create_schedule(call: Call) -> Response:
    return create(call, call.wanted())


def create(call: Call, wanted: Wanted) -> Response:
    return answer({"scheduleId": schedules.put_schedule(call.engine, call.user, wanted).id})


def list_schedules(call: Call) -> Response:
    return answer([schedule_view(schedule, call.now_s) for schedule in call.user.schedules.values()])


def get_schedule(call: Call) -> Response:
    return answer(schedule_view(_schedule_of(call), call.now_s))


def delete_schedule(call: Call) -> Response:
    schedules.delete_schedule(call.engine, call.user, _schedule_of(call))
    return answer({})


ROUTES: list[tuple[str, str, Verb]] = [
    ("PATCH", "/v2/schedules/{id}/pause", pause_schedule),
    ("PATCH", "/v2/schedules/{id}/resume", pause_schedule),
    ("POST", "/v2/schedules/{id}/pause", pause_schedule),
    ("POST", "/v2/schedules/{id}/resume", pause_schedule),
    ("POST", "/v2/schedules/{destination:path}", create_schedule),
    ("GET", "/v2/schedules", list_schedules),
    ("GET", "/v2/schedules/{id}", get_schedule),
    ("DELETE", "/v2/schedules/{id}", delete_schedule),
]
