"""The largest webhook that the relay takes, with all that a stranger can make grow, fits its items in the table."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.ingest.accept import CONTENT_TYPE_MAX_CHARS
from relay.publishing.routing import ERRORS_MAX_CHARS
from relay.query import views
from relay.runtime.http_api import Request
from relay.storage.store import CONFLICTS_MAX
from relay.verification.request import InboundRequest
from relay.verification.verify import HEADERS_MAX_BYTES, PARAMETERS_MAX_BYTES, describe
from tests.examples import examples
from tests.flat import route
from tests.unit.relay.signed import GITHUB
from tests.unit.relay.test_identity import said
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from tests.unit.relay.world import World

BROKEN_ROUTES = [route("ci", when=f"length(body.{'n' * 900}{number})", name=f"r{number}") for number in range(200)]
MANY = {f"x-github-{number}": "\u00e9" * 8000 for number in range(150)}


def of_github(headers: dict[str, str]) -> dict[str, str]:
    request = InboundRequest(method="POST", urls=["https://relay.example.com/x"], headers=headers, body=b"{}")
    return describe(GITHUB, request).headers


def test_the_largest_webhook_is_kept_whole_in_what_counts(world: World) -> None:
    """Names as long as can be, too many headers, and every route with something to tell."""
    world.deploy(FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"routes": [*BROKEN_ROUTES, route("ci")]}}})

    event = world.post(b"[]", key="\u00e9" * 300, headers=MANY | {"content-type": "x" * 9000}).event

    saved = world.store.event(event.id)
    assert saved is not None
    assert saved.headers["x-github-delivery"] == "\u00e9" * 300
    assert len(saved.content_type or "") == CONTENT_TYPE_MAX_CHARS
    assert len(saved.route_error or "") == ERRORS_MAX_CHARS


def test_headers_that_the_scheme_names_are_kept_before_all_others() -> None:
    kept = of_github(MANY | {"x-hub-signature-256": "sha256=00", "content-encoding": "gzip"})

    assert {"x-hub-signature-256", "content-encoding"} <= set(kept)
    assert sum(len((name + value).encode()) for name, value in kept.items()) <= HEADERS_MAX_BYTES
    assert len(kept) > 2


def test_parameters_are_kept_as_far_as_they_fit() -> None:
    kept = said("&".join(f"p{number}={'v' * 50}" for number in range(4000))).query

    assert sum(len(name + value) for name, value in kept.items()) <= PARAMETERS_MAX_BYTES
    assert [*kept][:2] == ["p0", "p1"]


NUMBERS = count()
SCRAPS = st.sampled_from(
    ["\ud800", "\udfff", "\0", "\r\n", " ", "\u2028", "\ufffe", "é", "=", "&", "%", ",", ";", "\\"]
)
ANY_TEXT = st.lists(SCRAPS | st.text(max_size=5), max_size=4).map("".join)
ANY_NAMES = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3)


@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_NAMES, ANY_NAMES)
def test_every_text_there_is_can_be_taken_in_published_and_shown(
    world: World, text: str, query: dict[str, str], held: dict[str, str]
) -> None:
    """As an HTTP API hands it over: halves of surrogate pairs, empty names, NUL, every script."""
    world.wire.published.clear()
    asked = "&".join(f"{quote(name, errors='replace')}={quote(it, errors='replace')}" for name, it in query.items())
    headers = {
        "X-GitHub-Event": text or "push",
        "X-GitHub-Text": text,
        f"X-GitHub-{text}": "1",
        "X-GitHub-Delivery": f"{text}{next(NUMBERS)}",
    }
    request = Request.of({"headers": headers, "body": json.dumps(held | {"action": text})})

    event = world.post(request.body, headers=dict(request.headers), query=asked).event

    assert len(world.wire.published) == 2
    assert world.store.event(event.id) is not None
    json.dumps(views.event_json(event), ensure_ascii=False).encode()


@pytest.mark.parametrize("query", ["=x", "=", "&&", "a=1&=2"])
def test_a_parameter_without_a_name_is_no_parameter(query: str) -> None:
    """The table takes no empty name: the webhook would be spooled for ever."""
    assert "" not in said(query).query


def test_conflicts_of_one_event_are_bounded(world: World) -> None:
    for number in range(CONFLICTS_MAX + 10):
        accepted = world.post(b'{"n": %d}' % number)

    assert accepted.conflict
    event = world.store.event(accepted.event.id)
    assert event is not None
    assert event.conflicts == len(world.store.conflicts(event)) == CONFLICTS_MAX
