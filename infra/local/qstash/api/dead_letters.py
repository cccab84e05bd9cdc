"""The dead-letter queue: listing, deleting and retrying messages whose attempts are spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..broker.views import dead_letter_view, page_view
from ..language.grammar import Refused
from ..language.options import read_options
from . import selection
from .call import Call, answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from ..broker.messages import DeadLetter
    from ..language.options import Headers
    from .call import Verb

_MAX_PAGE = 100


def _chosen_dead_letters(call: Call) -> tuple[list[DeadLetter], str | None]:
    wanted = selection.read_selection(call.selection_params(), selection.DEAD_LETTER_FILTERS, most=_MAX_PAGE)
    return wanted.page(call.user.dead_letters.values())


def _dead_letter(call: Call) -> DeadLetter:
    dead_letter = call.user.dead_letters.get(call.path("id"))
    if dead_letter is None:
        raise Refused(404, f"dlq message {call.path('id')} not found")
    return dead_letter


def list_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    return answer(page_view("messages", ([dead_letter_view(one) for one in chosen], cursor)))


def get_dead_letter(call: Call) -> Response:
    return answer(dead_letter_view(_dead_letter(call)))


def delete_dead_letter(call: Call) -> Response:
    call.user.dead_letters.drop(_dead_letter(call).id)
    return answer({})


def delete_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    for dead_letter in chosen:
        call.user.dead_letters.drop(dead_letter.id)
    return answer({"deleted": len(chosen), "cursor": cursor})


def _overrides(call: Call) -> Headers:
    return {key: values for key, values in call.headers.items() if key.startswith("upstash-")}


def retry_dead_letter(call: Call) -> Response:
    message = call.engine.revive(call.user, _dead_letter(call), _overrides(call))
    return answer({"messageId": message.id}, 201)


def retry_dead_letters(call: Call) -> Response:
    chosen, cursor = _chosen_dead_letters(call)
    overrides = _overrides(call)
    read_options(overrides, call.engine.settings.limits)  # refused as a whole, or not at all
    revived = [call.engine.revive(call.user, dead_letter, overrides) for dead_letter in chosen]
    return answer(page_view("responses", ([{"messageId": message.id} for message in revived], cursor)), 201)


ROUTES: list[tuple[str, str, Verb]] = [
    ("GET", "/v2/dlq", list_dead_letters),
    ("GET", "/v2/dlq/{id}", get_dead_letter),
    ("DELETE", "/v2/dlq/{id}", delete_dead_letter),
    ("DELETE", "/v2/dlq", delete_dead_letters),
    ("POST", "/v2/dlq/retry/{id}", retry_dead_letter),
    ("POST", "/v2/dlq/retry", retry_dead_letters),
]
