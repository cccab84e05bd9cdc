"""Flow-control keys, and the parallelism of a whole account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker.views import flow_key_view
from ..language.grammar import WEEK_S, Refused, flag, whole
from .call import Call, answer, existing

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..broker.line import FlowKey
    from .call import Verb


def list_flow_keys(call: Call) -> Response:
    search = call.params.get("search", [""])[-1]
    return answer([flow_key_view(key, line) for key, line in call.user.flow_keys.items() if search in key])


def _flow_key(call: Call) -> FlowKey:
    return existing(call.user.flow_keys, call.path("key"), "flow control key")


def get_flow_key(call: Call) -> Response:
    return answer(flow_key_view(call.path("key"), _flow_key(call)))


def pause_flow_key(call: Call) -> Response:
    _flow_key(call).pause(paused=call.ends == "pause")
    return answer({})


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


def unpin_flow_key(call: Call) -> Response:
    key, params = _flow_key(call), call.params
    parallelism, rate = (flag(params.get(part, [""])[-1], part) for part in ("parallelism", "rate"))
    key.pinned_parallelism, key.pinned_rate = key.pinned_parallelism and not parallelism, key.pinned_rate and not rate
    return answer({})


def reset_flow_key(call: Call) -> Response:
    _flow_key(call).reset(places=call.ends == "reset")
    return answer({})


def get_global_parallelism(call: Call) -> Response:
    return answer({"parallelismMax": call.user.line.places, "parallelismCount": call.user.line.taken})


ROUTES: list[tuple[str, str, Verb]] = [
    ("GET", "/v2/flowControl", list_flow_keys),
    ("GET", "/v2/flowControl/{key}", get_flow_key),
    ("POST", "/v2/flowControl/{key}/pause", pause_flow_key),
    ("POST", "/v2/flowControl/{key}/resume", pause_flow_key),
    ("POST", "/v2/flowControl/{key}/pin", pin_flow_key),
    ("POST", "/v2/flowControl/{key}/unpin", unpin_flow_key),
    ("POST", "/v2/flowControl/{key}/resetRate", reset_flow_key),
    ("POST", "/v2/flowControl/{key}/reset", reset_flow_key),
    ("GET", "/v2/globalParallelism", get_global_parallelism),
]
