"""Poison: what breaks at its own data, thought of or not.  It ends as such; every other event has its turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Defect
from relay.ingest.accept import accept_or_spool
from relay.ingest.webhook import Webhook
from relay.jobs.due import DEFECT_MAX
from relay.model.delivery import Status
from relay.storage.items import SHARDS
from relay.verification.verify import WebhookInfo
from tests.conftest import Clients
from tests.examples import examples
from tests.flat import publishing
from tests.flat import route as a_route
from tests.memory_aws import MemoryDynamoDB, MemoryS3
from tests.unit.relay.told import SILENCE_S, tell
from tests.unit.relay.world import FLAT, World, routed

if TYPE_CHECKING:
    from relay.model.event import Event

HUGE = b'{"n": 1' + b"0" * 308 + b"}"
NESTED = b'{"n": ' + b"[" * 900 + b"]" * 900 + b"}"
WRAPS = 60
A_RUN_S = 60.0


def to_ci(**changes: Any) -> dict[str, Any]:
    """Return the configuration whose only route goes to `ci`, as *changes* of the route say."""
    github = FLAT["sources"]["github"] | {"routes": [a_route("ci", **changes)]}
    return FLAT | {"sources": {"github": github}}


def in_shards(world: World, number: int = SHARDS * 2) -> list[Event]:
    """Have events saved, unpublished, so many that each shard has some."""
    return [world.save(b"{}", key=f"other-{it}") for it in range(number)]


def published(world: World, events: list[Event]) -> bool:
    return all(set(world.statuses(it.id).values()) == {Status.IN_FLIGHT} for it in events)


# -- computed of the event ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (HUGE, {"delay": {"expression": "body.n"}}),
        (b'{"n": 1e400}', {"delay": {"expression": "body.n"}}),
        (b'{"n": "99999999d"}', {"delay": {"expression": "body.n"}}),
        (b'{"n": "9999d99999h"}', {"delay": {"expression": "body.n"}}),
        (b'{"n": "9999-12-31T23:59:59Z"}', {"not_before": {"expression": "body.n"}}),
        (b'{"n": "0001-01-01T00:00:00+23:59"}', {"not_before": {"expression": "body.n"}}),
        (HUGE, {"not_before": {"expression": "body.n"}}),
        (NESTED, {"labels": ["{body}"]}),
    ],
    ids=lambda it: str(it)[:40],
)
def test_what_a_body_makes_of_a_setting_is_told_at_once_and_others_go(
    world: World, body: bytes, how: dict[str, Any]
) -> None:
    """It costs its source nothing, and it isn't tried again: it would be the same."""
    world.deploy(routed(ci=publishing(**how)))
    others = in_shards(world)

    accepted = world.post(body)
    done = world.sweep()

    delivery = world.delivery(accepted.event, "builder")
    assert delivery.status in {Status.UNPUBLISHABLE, Status.IN_FLIGHT}
    assert delivery.status is Status.IN_FLIGHT or "github" in (delivery.reason or "")
    assert published(world, others)
    assert (done.failed, done.defects) == (0, [])


def test_a_transform_that_nests_what_is_nested_to_the_limit_is_unpublishable(world: World) -> None:
    """What Python reads it may not be able to write, a few levels deeper."""
    world.deploy(to_ci(transform="{a: " * WRAPS + "body" + "}" * WRAPS))
    reasons = []
    for depth in range(500, 1000, 10):
        event = world.post(b"[" * depth + b"]" * depth, key=str(depth)).event
        reasons.append(world.delivery(event, "builder").reason or "")

    assert any("RecursionError" in it for it in reasons)
    assert world.sweep().failed == 0


def test_half_a_character_in_a_reason_is_no_reason_to_fail(world: World) -> None:
    """No table can keep one; the reason quotes the body."""
    world.deploy(to_ci(when="abs(body.n) > `1`") | {})
    event = world.post(b'{"n": "\\ud800"}').event

    kept = world.store.event(event.id)

    assert kept is not None
    assert "abs()" in (kept.route_error or "")
    world.deploy(to_ci(transform="abs(body.n)"))
    other = world.post(b'{"n": "\\ud800"}', key="d-2").event
    assert world.delivery(other, "builder").status is Status.UNPUBLISHABLE


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**308, 10**309, -1, 9_007_199_254_740_993]),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["1h", "99999d", "9999-12-31T23:59:59-23:00", "2026-02-30", "\ud800", "é\u0000", "a" * 300]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
BODIES = st.one_of(
    st.fixed_dictionaries({"n": VALUES, "m": VALUES}).map(lambda it: json.dumps(it).encode()),
    st.binary(max_size=30),
    st.sampled_from(
        [HUGE, NESTED, b"[" * 100_000, b'{"n":' * 990 + b"1" + b"}" * 990, b"\xef\xbb\xbf{}", b'{"n": NaN}']
    ),
)
EXPRESSIONS = st.sampled_from(
    [
        *("body", "body.n", "body.n[0]", "body.n.*", "body.[n, m]", "{a: body, b: body.n}", "length(body.n)"),
        *("sum(body.n)", "avg(body.n)", "max_by(body.n, &a)", "to_string(body)", "to_number(body.n)", "sort(body.n)"),
        *("join(',', body.n)", "merge(body.n, body.m)", "body.n > `1`", "reverse(body.n)", "[[body, [body]]]", "@"),
        *("keys(body)", "values(body.n)", "ceil(body.n)", "contains(body.n, 'a')", "not_null(body.n, body.m)"),
    ]
)
HOW = st.fixed_dictionaries(
    {},
    optional={
        "delay": EXPRESSIONS.map(lambda it: {"expression": it}),
        "not_before": EXPRESSIONS.map(lambda it: {"expression": it}),
        "labels": EXPRESSIONS.map(lambda it: [f"a-{{{it}}}"]),
        "flow_control": EXPRESSIONS.map(lambda it: {"key": f"{{{it}}}", "rate": 1, "period_s": 60, "parallelism": 1}),
    },
)


@settings(max_examples=examples(100))
@given(body=BODIES, how=HOW, when=st.none() | EXPRESSIONS, transform=st.none() | EXPRESSIONS)
def test_whatever_is_computed_of_whatever_body_it_is_saved_and_ends_or_goes(
    body: bytes, how: dict[str, Any], when: str | None, transform: str | None
) -> None:
    """By ingest, and once more by the sweep; and what comes beside it goes."""
    world = World(Clients(MemoryDynamoDB(), MemoryS3()))
    changes: dict[str, Any] = {
        name: expression
        for name, expression in {"when": when, "transform": transform}.items()
        if expression is not None
    }
    routes = [a_route("ci", **changes) | {"to": {"ci": publishing(**how)}}, a_route("audit")]
    world.deploy(FLAT | {"sources": {"github": FLAT["sources"]["github"] | {"routes": routes}}})

    now, later = world.post(body).event, world.save(body, key="later")
    runs = [world.sweep(seconds) for seconds in (40, 200, 400)]  # what is in doubt waits until the log can't lag

    assert [it.defects for it in runs] == [[], [], []]
    assert runs[-1].failed == 0
    for event in (now, later):
        statuses = world.statuses(event.id)
        assert statuses["ledger"] is statuses["erp"] is Status.IN_FLIGHT
        assert statuses.get("builder") in {None, Status.IN_FLIGHT, Status.UNPUBLISHABLE}


# -- what nobody thought of ---------------------------------------------------------------------------------------


def test_where_our_own_code_fails_the_source_is_acknowledged_all_the_same(world: World) -> None:
    world.wire.poison.add(b"poison")

    accepted = world.post(b"poison")

    assert isinstance(accepted.failure, Defect)
    assert "ZeroDivisionError in relay." in str(accepted.failure)
    assert world.store.event(accepted.event.id) is not None


def test_a_poison_event_keeps_nothing_else_waiting_and_ends_after_bounded_tries(world: World) -> None:
    """Nobody can tell whether QStash had it, so a person decides; the reason says where the code failed."""
    world.wire.poison.add(b"poison")
    event = world.post(b"poison").event
    others = in_shards(world)

    first = world.sweep()

    assert published(world, others)
    assert any("ZeroDivisionError" in it for it in first.defects)
    assert set(world.statuses(event.id).values()) == {Status.PENDING}
    for _ in range(int(DEFECT_MAX.total_seconds() // A_RUN_S) + 15):
        world.sweep(A_RUN_S)
    assert set(world.statuses(event.id).values()) == {Status.UNACCOUNTED}
    assert "ZeroDivisionError" in (world.delivery(event, "erp").reason or "")
    before = len(world.wire.published)
    assert world.sweep(A_RUN_S).defects == []
    assert len(world.wire.published) == before


def test_what_cannot_even_be_packed_is_unpublishable_after_bounded_tries(world: World) -> None:
    """Here its destination's secret breaks the code."""

    def broken(_: str) -> str:
        raise ZeroDivisionError

    event = world.save(b"{}")
    headers = {"X-Key": {"secret": "erp"}}
    destinations = FLAT["destinations"] | {"erp": FLAT["destinations"]["erp"] | {"headers": headers}}
    world.deploy(FLAT | {"destinations": destinations})
    world.publisher.secret = broken

    runs = [world.sweep(A_RUN_S) for _ in range(int(DEFECT_MAX.total_seconds() // A_RUN_S) + 15)]

    assert world.delivery(event, "erp").status is Status.UNPUBLISHABLE
    assert 3 <= sum(len(it.defects) for it in runs) <= 15


def test_a_record_that_cannot_be_read_stops_no_run(world: World) -> None:
    """Neither the event's, where it is due to be published, nor the delivery's, where it is looked after."""
    broken, half = world.save(b"{}"), world.post(key="d-2").event
    good, silent = world.save(b"{}", key="d-3"), world.post(key="d-4").event
    world.store.table.update((broken.id, "EVENT"), "SET received_at = :it", {":it": "no time"})
    world.store.table.update((half.id, "DELIVERY#erp"), "SET updated_at = :it", {":it": "no time"})
    for name in ("ledger", "erp", "builder"):
        tell(world, world.message(silent, name), "ACTIVE", "DELIVERED", responseStatus=200)

    done = world.sweep(SILENCE_S)

    assert published(world, [good])
    assert set(world.statuses(silent.id).values()) == {Status.DELIVERED}
    assert done.defects


def test_a_webhook_that_breaks_before_it_is_saved_waits_in_the_spool(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who sent it is proven: it is taken in once the code is mended, and a person hears of it."""

    def broken() -> dict[str, Any]:
        raise ZeroDivisionError

    said = WebhookInfo("d-9", has_id=True, event_type="push", headers={})
    webhook = Webhook("github", world.clock.at, said, "application/json", b"{}")

    with world.acting("ingest"):
        taken = accept_or_spool(
            world.settings.sources["github"],
            webhook,
            settings=world.settings,
            store=world.store,
            publisher=lambda: world.publisher,
            paused=broken,
        )

    assert taken == webhook
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert world.sweep().unspooled == 1


def test_a_delivery_of_which_the_log_has_no_end_keeps_no_other_from_being_looked_after(world: World) -> None:
    """A page of deliveries is asked for in halves; only the one stays as it is, and is looked at again."""
    endless: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        found = world.wire(request)
        if request.url.path == "/v2/logs" and set(endless) & set(request.url.params.get_list("label")):
            return httpx.Response(200, json={**found.json(), "cursor": "0"})
        return found

    world.rewire(answer)
    events = [world.post(key=str(number)).event for number in range(6)]
    endless.append(events[0].label)
    for event in events:
        for name in ("ledger", "erp", "builder"):
            tell(world, world.message(event, name), "ACTIVE", "DELIVERED", responseStatus=200)

    world.sweep(SILENCE_S)

    assert all(set(world.statuses(it.id).values()) == {Status.DELIVERED} for it in events[1:])
    assert set(world.statuses(events[0].id).values()) == {Status.IN_FLIGHT}
