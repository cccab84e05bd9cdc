"""What each URL group gets of an event, and how: computed of the event and the configuration as they stand."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from relay.config.expressions import Expression, Template
from relay.config.settings import Source
from relay.errors import OperatorError
from relay.model.delivery import Status
from relay.publishing.routing import facts, route
from tests.flat import group, publishing, url
from tests.flat import route as a_route
from tests.unit.relay.world import FLAT, routed

if TYPE_CHECKING:
    import httpx

    from tests.unit.relay.world import World

BODY = b'{"n": 7, "account": "a, 1", "wait": "1h30m", "at": "2026-02-01T09:00:00+01:00", "ref": "v1"}'


def published(world: World, body: bytes = BODY, **how: Any) -> httpx.Request:
    """Return the publish of an event to the group ci, published as *how* says."""
    world.deploy(routed(ci=publishing(**how)))
    world.post(body)
    (request,) = world.wire.published
    return request


def test_a_form_of_very_many_fields_is_none(world: World) -> None:
    """To read it would take seconds; its event is saved and goes on all the same."""
    event = world.post(b"a&" * 2_000_000, headers={"content-type": "application/x-www-form-urlencoded"}).event

    assert facts(event, b"a&" * 2_000_000)["body"] is None
    assert facts(event, b"a=1&b=2&a=3")["body"] == {"a": "3", "b": "2"}


@pytest.mark.parametrize(
    "how",
    [
        {"delay": {"expression": "body.n"}},
        {"not_before": {"expression": "body.at"}},
    ],
)
def test_nothing_is_delivered_first_once_its_record_is_gone(world: World, how: dict[str, Any]) -> None:
    """Nobody could tell what became of it."""
    body = b'{"n": 7776000, "at": "2027-01-01T00:00:00Z"}'
    world.deploy(routed(ci=publishing(**how)))

    event = world.post(body).event

    delivery = world.delivery(event, "builder")
    assert delivery.status is Status.UNPUBLISHABLE
    assert "relay.retention_days" in str(delivery.reason)


def not_before(request: httpx.Request) -> str | None:
    found = request.headers.get("Upstash-Not-Before")
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("how", "after_s"),
    [
        ({"delay": 90}, 90),
        ({"delay": {"expression": "body.n"}}, 7),
        ({"delay": {"expression": "body.wait"}}, 5400),
        ({"not_before": "2026-01-31T10:00:00Z"}, 3600),
        ({"not_before": {"expression": "body.at"}}, 23 * 3600),
        ({"delay": 90, "not_before": {"expression": "body.at"}}, 23 * 3600),
    ],
)
def test_an_event_says_when_it_is_delivered_first(world: World, how: dict[str, Any], after_s: int) -> None:
    """A delay counts from when it came, so that a publish that is repeated says the same."""
    request = published(world, **how)

    assert not_before(request) == str(int(world.began.timestamp()) + after_s)


def test_what_an_event_does_not_say_delays_nothing(world: World) -> None:
    assert not_before(published(world, b"{}", delay={"expression": "body.wait"})) is None


def test_keys_and_labels_are_texts_that_qstash_can_list(world: World) -> None:
    """With the relay's name before the key, so that two relays never share a limit; commas part labels."""
    control = {"key": "{source}:{body.account}", "rate": 20, "period_s": 60, "parallelism": 5}

    request = published(world, labels=["ci", "{body.account}"], flow_control=control)

    assert request.headers["Upstash-Flow-Control-Key"] == "relay.github:a_1"
    assert request.headers["Upstash-Flow-Control-Value"] == "parallelism=5, rate=20, period=60s"
    assert request.headers["Upstash-Label"].split(",")[-2:] == ["ci", "a_1"]


def test_a_method_a_queue_and_what_is_hidden_are_said_to_qstash(world: World) -> None:
    world.deploy(routed(ci=publishing(method="PUT", queue="fifo", redact=["body"])))

    event = world.post(BODY).event

    (request,) = world.wire.published
    assert world.statuses(event.id) == {"builder": Status.IN_FLIGHT}
    assert request.url.path == "/v2/enqueue/relay.fifo/relay.ci"
    assert (request.headers["Upstash-Method"], request.headers["Upstash-Redact-Fields"]) == ("PUT", "body")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"delay": {"expression": "body.account"}}, "neither seconds nor a duration"),
        ({"not_before": {"expression": "body.account"}}, "neither epoch seconds nor"),
        ({"labels": ["{starts_with(body.n, 'v')}"]}, "starts_with"),
    ],
)
def test_what_cannot_be_computed_is_unpublishable_with_the_reason_and_the_others_go(
    world: World, how: dict[str, Any], words: str
) -> None:
    world.deploy(routed(ci=publishing(**how), audit=publishing()))

    event = world.post(BODY).event

    builder = world.delivery(event, "builder")
    assert builder.status is Status.UNPUBLISHABLE
    assert words in str(builder.reason)
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_destinations_get_those_of_the_sources_headers_that_are_wanted(world: World) -> None:
    request = published(world, forward_headers=["x-github-ev*"])

    forwarded = {name.lower() for name in request.headers if name.lower().startswith("upstash-forward-x-")}
    assert forwarded == {"upstash-forward-x-github-event"}


def own_headers() -> dict[str, Any]:
    """Return FLAT with a destination more in ci, which has headers of its own."""
    erp = url("ci", "https://own.example.com/in", Authorization={"secret": "own"}, **{"X-Team": "a"})
    return routed(ci=publishing()) | {
        "url_groups": FLAT["url_groups"] | {"ci": group("builder", "own")},
        "destinations": FLAT["destinations"] | {"own": erp},
    }


def test_a_destinations_own_headers_go_to_it_alone_and_qstash_shows_them_to_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.publisher, "secret", lambda name: f"Bearer of {name}")
    world.deploy(own_headers())

    event = world.post(BODY).event

    together, alone = sorted(world.wire.published, key=lambda it: "own" in str(it.url))
    assert together.url.path.endswith("relay.ci")
    assert "Upstash-Forward-Authorization" not in together.headers
    assert alone.url.path.endswith("https://own.example.com/in")
    assert alone.headers["Upstash-Forward-Authorization"] == "Bearer of own"
    assert alone.headers["Upstash-Redact-Fields"] == "header[Authorization],header[X-Team]"
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_a_secret_that_is_not_set_keeps_back_its_destination_alone_until_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise OperatorError(f"run `relay secret set destination:{name}`")

    monkeypatch.setattr(world.publisher, "secret", missing)
    world.deploy(own_headers())

    event = world.post(BODY).event

    assert world.statuses(event.id) == {"builder": Status.IN_FLIGHT, "own": Status.PENDING}
    monkeypatch.setattr(world.publisher, "secret", lambda _: "Bearer x")
    world.sweep(3600)
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert len(world.wire.published) == 2


@pytest.mark.parametrize(
    ("conditions", "takes"),
    [
        ({}, True),
        ({"event_types": ["pu*"]}, True),
        ({"event_types": ["pull_*", "push"]}, True),
        ({"event_types": ["PUSH"]}, False),
        ({"when": "body.n > `5`"}, True),
        ({"when": "body.nothing"}, False),
        ({"when": "headers.x_github_event == 'push' && source == 'github'"}, True),
        ({"event_types": ["push"], "when": "body.n > `9`"}, False),
    ],
)
def test_a_route_takes_what_its_conditions_say(world: World, conditions: dict[str, Any], takes: bool) -> None:  # noqa: FBT001
    event = world.post(BODY).event
    source = Source.of("github", FLAT["sources"]["github"] | {"routes": [a_route("ci", **conditions)]})

    routing = route(source, event, BODY)

    assert (list(routing.groups), list(routing.skipped)) == ((["ci"], []) if takes else ([], ["to"]))


@pytest.mark.parametrize(
    ("content_type", "body", "read"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/json; charset=utf-8", b"{", None),
        ("application/x-www-form-urlencoded", b"a=1&b=&a=2", {"a": "2", "b": ""}),
        ("text/plain", b'"text"', "text"),
    ],
)
def test_expressions_see_json_and_forms(world: World, content_type: str, body: bytes, read: Any) -> None:
    from dataclasses import replace

    event = replace(world.post(BODY).event, content_type=content_type)

    assert facts(event, body)["body"] == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("body.[", "isn't JMESPath"),
        ("lenght(body)", "doesn't have"),
        ("length(body, body)", "it takes 1"),
        ("x" * 2001, "longer"),
    ],
)
def test_what_is_no_expression_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("'", ".")):
        Expression.of(text)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{a}:{b.c}", "1:x"),
        ("{{a}}", "{a}"),
        ("{nothing}|{b}", '|{"c":"x"}'),
        ("{ {x: a} }", '{"x":1}'),
        ("{'}'}{a}", "}1"),
    ],
)
def test_a_template_is_text_with_expressions_in_braces(text: str, filled: str) -> None:
    assert Template.of(text).fill({"a": 1, "b": {"c": "x"}}) == filled


@pytest.mark.parametrize("text", ["{a", "a}", "{a.[}"])
def test_what_is_no_template_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"\{|\}|JMESPath"):
        Template.of(text)


def test_a_transformed_body_is_json(world: World) -> None:
    flat = routed(ci=publishing())
    flat["sources"]["github"]["routes"][0]["transform"] = "{id: body.n, on: source}"
    world.deploy(flat)

    world.post(BODY)

    (request,) = world.wire.published
    assert json.loads(request.content) == {"id": 7, "on": "github"}
    assert request.headers["Content-Type"] == "application/json"


def test_one_webhook_has_each_expression_evaluated_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first publish goes by the routing that accept computed."""
    from jmespath.parser import ParsedResult

    evaluated: Counter[str] = Counter()
    search = ParsedResult.search

    def counted(parsed: ParsedResult, *facts: Any) -> Any:
        evaluated[parsed.expression] += 1
        return search(parsed, *facts)

    monkeypatch.setattr(ParsedResult, "search", counted)
    routes = [
        a_route("ci", name="routes[0]", when="body.n > `5`", transform="body.account"),
        a_route("audit", name="routes[1]", when="body.ref == 'v1'"),
    ]
    world.deploy(FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"routes": routes}}})

    world.post(BODY)

    assert len(world.wire.published) == 2
    assert evaluated == {"body.n > `5`": 1, "body.ref == 'v1'": 1, "body.account": 1}
