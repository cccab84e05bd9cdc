"""The signing keys of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .call import Call, answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from .call import Verb


def get_keys(call: Call) -> Response:
    return answer({"current": call.user.current_key, "next": call.user.next_key})


def rotate_keys(call: Call) -> Response:
    call.user.rotate()
    return get_keys(call)


ROUTES: list[tuple[str, str, Verb]] = [
    ("GET", "/v2/keys", get_keys),
    ("POST", "/v2/keys/rotate", rotate_keys),
]
