"""A deploy changes where things go: what may have been published before goes out once all the same.

QStash knows a publish by its deduplication id and, in a URL group, by the endpoint's URL.
"""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.deployment import states, sync
from relay.errors import QStashError
from relay.model.delivery import SWEEP_AFTER, Status
from relay.publishing.deduplication import DEPLOY_MARGIN, UNTOLD_YET
from relay.qstash.message_log import LOG_LAG
from relay.storage.deployment import DEPLOY_MAX
from tests.unit.relay.world import FLAT, World

if TYPE_CHECKING:
    from relay.model.event import Event

LEDGER_URL = "https://ledger.example.com/in"
NEW_URL = "https://erp.example.com/new"
MOVED: dict[str, Any] = deepcopy(FLAT)
MOVED["destinations"]["erp"]["url"] = NEW_URL
LATER = timedelta(minutes=1)
STEP = timedelta(seconds=20)


def state(erp: str = "https://erp.example.com/in", **more: Any) -> str:
    """Return what a deploy wants of QStash."""
    ledger = {"name": "ledger", "url": LEDGER_URL}
    groups = {
        "relay.audit": [ledger, {"name": "erp", "url": erp}],
        "relay.ci": [{"name": "builder", "url": "https://ci.example.com/x"}],
    }
    return json.dumps({"groups": groups, "alone": {}} | more)


def add(world: World, desired: str) -> None:
    sync.add(desired, "relay", qstash=world.qstash, store=world.store)


def move(world: World) -> None:
    """Deploy another URL of erp."""
    add(world, state(NEW_URL))
    world.deploy(MOVED)
    clean_up(world)


def clean_up(world: World) -> None:
    """Have the deploy be over."""
    sync.remove(states.physical_id(state()), "relay", qstash=world.qstash, store=world.store)


@pytest.fixture(autouse=True)
def _deployed(world: World) -> None:
    world.wire.topics.clear()
    add(world, state())


def unheard(world: World) -> Event:
    """Return an event that QStash has taken, though its answer was lost."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    return world.post().event


def published_alone(world: World) -> list[str]:
    """Return the URLs that were published to without their URL group, in order."""
    urls = [str(it.url).rpartition("/publish/")[2] for it in world.wire.published]
    return [it for it in urls if "://" in it]


# -- what sync says ---------------------------------------------------------------------------------------------------


def test_a_first_deploy_changes_no_url(world: World) -> None:
    assert world.store.deployment.urls_changed_at() is None


@pytest.mark.parametrize("desired", [state(NEW_URL), state(alone={"crm": "https://crm.example.com"})])
def test_a_deploy_says_when_its_urls_changed_and_again_when_the_functions_had(world: World, desired: str) -> None:
    world.clock.at += LATER
    add(world, desired)
    added = world.store.deployment.urls_changed_at()
    world.clock.at += LATER
    clean_up(world)
    world.clock.at += LATER

    assert (added, world.store.deployment.urls_changed_at()) == (world.began + LATER, world.began + 2 * LATER)


@pytest.mark.parametrize(("past", "at"), [(-LATER, DEPLOY_MAX - LATER), (LATER, DEPLOY_MAX)])
def test_while_a_deploy_is_under_way_urls_change_but_not_for_ever(world: World, past: timedelta, at: timedelta) -> None:
    """A function may be of before until the deploy says that it is over; one may never say so."""
    add(world, state(NEW_URL))

    world.clock.at += DEPLOY_MAX + past

    assert world.store.deployment.urls_changed_at() == world.began + at


def test_a_rollback_says_so_too(world: World) -> None:
    add(world, state(NEW_URL))
    world.clock.at += LATER

    sync.remove(states.physical_id(state(NEW_URL)), "relay", qstash=world.qstash, store=world.store)

    assert world.store.deployment.urls_changed_at() == world.began + LATER
    assert world.wire.topics["relay.audit"]["erp"] == "https://erp.example.com/in"


def test_a_deploy_of_something_else_changes_no_url(world: World) -> None:
    world.wire.broken = {"POST /v2/queues": 200}

    add(world, state(queues={"relay.q": {"parallelism": 1}}))
    sync.remove(states.physical_id(state()), "relay", qstash=world.qstash, store=world.store)

    assert world.store.deployment.urls_changed_at() is None


def test_it_is_said_before_anything_changes(world: World) -> None:
    """A deploy that fails half-way may have changed something."""
    world.wire.broken = {"POST /v2/topics": 500}

    with pytest.raises(QStashError):
        add(world, state(NEW_URL))

    assert world.store.deployment.urls_changed_at() == world.began


@pytest.mark.parametrize("mends", [True, False], ids=["by a person", "by the next deploy"])
def test_what_somebody_changed_in_qstash_changes_when_it_is_mended(world: World, *, mends: bool) -> None:
    world.wire.topics["relay.audit"]["erp"] = "https://stranger.example.com"

    if mends:
        sync.mend("relay", qstash=world.qstash, store=world.store)
    else:
        add(world, state())

    assert world.store.deployment.urls_changed_at() == world.began
    assert world.wire.topics["relay.audit"]["erp"] == "https://erp.example.com/in"


def test_where_nothing_differs_mending_changes_no_url(world: World) -> None:
    sync.mend("relay", qstash=world.qstash, store=world.store)

    assert world.store.deployment.urls_changed_at() is None


# -- what QStash's groups have while functions of before and of after publish to them --------------------------------


def groups(**them: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    return {f"relay.{of}": [{"name": name, "url": url} for name, url in it.items()] for of, it in them.items()}


LEDGER, ERP, BUILDER = (
    {"ledger": LEDGER_URL},
    {"erp": "https://erp.example.com/in"},
    {"builder": "https://ci.example.com/x"},
)
AWS = {"erp": "https://relay.example.com/qstash/deliver/erp"}
OF_BEFORE = {"relay.audit": LEDGER | ERP, "relay.ci": BUILDER}


@pytest.mark.parametrize(
    ("after", "alone", "meanwhile"),
    [
        pytest.param(groups(main=LEDGER | ERP, ci=BUILDER), {}, {"relay.main": LEDGER | ERP, **OF_BEFORE}, id="rename"),
        pytest.param(
            groups(audit=LEDGER, ci=BUILDER | ERP), {}, {"relay.audit": LEDGER, "relay.ci": BUILDER}, id="move"
        ),
        pytest.param(
            groups(audit=LEDGER, own=ERP, ci=BUILDER),
            {},
            {"relay.audit": LEDGER, "relay.own": ERP, "relay.ci": BUILDER},
            id="split",
        ),
        pytest.param(groups(audit=LEDGER | ERP | BUILDER), {}, OF_BEFORE, id="merge"),
        pytest.param(groups(audit=LEDGER, ci=BUILDER), ERP, {"relay.audit": LEDGER, "relay.ci": BUILDER}, id="headers"),
        pytest.param(
            groups(audit=LEDGER | AWS, ci=BUILDER), {}, {"relay.audit": LEDGER, "relay.ci": BUILDER}, id="kind"
        ),
        pytest.param(groups(audit=LEDGER, ci=BUILDER), {}, OF_BEFORE, id="remove"),
        pytest.param(
            groups(audit=LEDGER | ERP, ci=BUILDER | {"new": NEW_URL}),
            {},
            {"relay.audit": LEDGER | ERP, "relay.ci": BUILDER | {"new": NEW_URL}},
            id="add",
        ),
    ],
)
def test_what_changes_its_place_is_at_no_two_places_while_functions_change(
    world: World, after: dict[str, Any], alone: dict[str, str], meanwhile: dict[str, Any]
) -> None:
    """Of a group that functions of before and of after publish to alike; in the end it is where it goes."""
    add(world, json.dumps({"groups": after, "alone": alone}))
    under_way = {name: dict(it) for name, it in world.wire.topics.items() if it}
    clean_up(world)

    assert under_way == meanwhile
    over = {name: [{"name": n, "url": u} for n, u in it.items()] for name, it in world.wire.topics.items() if it}
    assert over == after


def test_what_a_rollback_brings_back_is_at_no_two_places_either(world: World) -> None:
    moved = json.dumps({"groups": groups(audit=LEDGER, ci=BUILDER | ERP), "alone": {}})
    for desired in (moved, state()):
        world.clock.at += LATER
        add(world, desired)
    under_way = {name: dict(it) for name, it in world.wire.topics.items()}

    sync.remove(states.physical_id(moved), "relay", qstash=world.qstash, store=world.store)

    assert under_way == {"relay.audit": LEDGER, "relay.ci": BUILDER}
    assert world.wire.topics == OF_BEFORE


# -- what is published -----------------------------------------------------------------------------------------------


def test_what_may_be_at_the_old_url_is_asked_for_and_not_published_again(world: World) -> None:
    event = unheard(world)
    move(world)

    world.sweep(SWEEP_AFTER.total_seconds())

    assert [it.url.params.get_list("label") for it in world.wire.log_calls] == [[event.label]]
    assert len(world.wire.published) == 2
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_while_the_log_may_lag_it_is_owed_and_its_line_still_counts(world: World) -> None:
    event = unheard(world)
    move(world)
    world.wire.lag = LOG_LAG

    for _ in range(7):
        world.sweep(60)

    assert len(world.wire.published) == 2
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_what_never_came_is_published_to_each_url_once_the_log_cant_lag(world: World) -> None:
    """To nobody but those it was for: not to the group, which may have others by now."""
    event = world.save()
    move(world)
    world.sweep(SWEEP_AFTER.total_seconds())
    waiting = (len(world.wire.published), set(world.statuses(event.id).values()))

    world.sweep((LOG_LAG + DEPLOY_MARGIN).total_seconds())

    assert waiting == (0, {Status.PENDING})
    assert sorted(published_alone(world)) == [
        "https://ci.example.com/x",
        NEW_URL,
        LEDGER_URL,
    ]
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


@pytest.mark.parametrize("asked", [timedelta(0), timedelta(minutes=2), LOG_LAG])
def test_what_waits_for_the_log_waits_only_until_that_cant_lag(world: World, asked: timedelta) -> None:
    """However soon it is asked for first: not once as long again."""
    event = world.save()
    world.clock.at += SWEEP_AFTER
    move(world)
    changed_at = world.clock.at
    world.sweep(asked.total_seconds())
    while world.clock.at < changed_at + DEPLOY_MARGIN + LOG_LAG - STEP:
        world.sweep(STEP.total_seconds())
    waiting = len(world.wire.published)

    world.sweep(STEP.total_seconds())

    assert (waiting, len(world.wire.published)) == (0, 3)
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_what_waits_for_the_log_is_told_as_waiting_and_not_as_published(world: World) -> None:
    """Nor as failed: nobody need do anything."""
    event = world.save()
    move(world)

    first = world.sweep(SWEEP_AFTER.total_seconds())
    reasons = {it.reason for it in world.store.history(event.id)[1]}  # type: ignore[index]
    again = world.sweep((LOG_LAG + LATER).total_seconds())

    assert (first.published, first.waiting, first.failed) == (0, 1, 0)
    assert reasons == {UNTOLD_YET.format("2026-01-31T09:05:30.000000Z")}
    assert (again.published, again.waiting, again.failed) == (3, 0, 0)
    assert {it.reason for it in world.store.history(event.id)[1]} == {None}  # type: ignore[index]


def test_of_what_is_gone_from_the_configuration_the_log_is_waited_for_only_until_it_cant_lag(world: World) -> None:
    event = world.save()
    flat = deepcopy(FLAT)
    del flat["destinations"]["erp"]
    flat["url_groups"]["audit"]["destinations"].remove("erp")
    world.deploy(flat)
    del world.wire.topics["relay.audit"]["erp"]
    world.sweep((LOG_LAG - LATER).total_seconds())
    waiting = world.delivery(event, "erp").status

    world.sweep(LATER.total_seconds())

    assert (waiting, world.delivery(event, "erp").status) == (Status.PENDING, Status.REMOVED)


def test_what_came_with_the_deploy_but_not_from_before_is_published_at_once(world: World) -> None:
    """Ingest asks nobody: it can't have been published."""
    move(world)
    event = world.post().event

    assert world.wire.log_calls == []
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


@pytest.mark.parametrize(("after", "calls"), [(timedelta(0), 1), (timedelta(seconds=1), 0)])
def test_functions_that_a_deploy_replaced_may_run_on_for_a_while(world: World, after: timedelta, calls: int) -> None:
    move(world)
    world.clock.at += DEPLOY_MARGIN + after
    unheard(world)

    world.sweep(SWEEP_AFTER.total_seconds())

    assert len(world.wire.log_calls) == calls


@pytest.mark.parametrize(("early", "published"), [(timedelta(seconds=1), 0), (timedelta(0), 2)])
def test_long_after_the_deploy_what_the_log_lacks_is_published_at_once(
    world: World, early: timedelta, published: int
) -> None:
    """An outage of QStash, and a deploy in the middle of it."""
    event = world.save()
    move(world)

    world.sweep((DEPLOY_MARGIN + LOG_LAG - early).total_seconds())

    assert len(world.wire.published) == published
    assert (world.statuses(event.id)["erp"] is Status.IN_FLIGHT) is bool(published)


def test_nothing_is_published_while_the_log_cant_be_read(world: World) -> None:
    event = unheard(world)
    move(world)
    world.wire.broken = {"GET /v2/logs": 500}

    done = world.sweep(SWEEP_AFTER.total_seconds())

    assert (done.published, done.failed) == (0, 1)
    assert len(world.wire.published) == 2
    assert world.store.event(event.id).unpublished == {"audit", "ci"}  # type: ignore[union-attr]


@pytest.mark.parametrize("joins", [True, False], ids=["joins its group", "leaves its group"])
def test_what_went_out_alone_or_with_its_group_is_known_when_that_changes(world: World, *, joins: bool) -> None:
    """A destination with headers of its own has another deduplication id than its group."""
    alone = deepcopy(FLAT)
    alone["destinations"]["erp"]["headers"] = {"X-Team": "a"}
    ledger, together = {"ledger": LEDGER_URL}, dict(world.wire.topics["relay.audit"])
    before, after = (alone, FLAT) if joins else (FLAT, alone)
    world.deploy(before)
    world.wire.topics["relay.audit"] = ledger if joins else together
    event = unheard(world)
    published = len(world.wire.published)
    world.store.deployment.save_urls_changed()
    world.wire.topics["relay.audit"] = together if joins else ledger
    world.deploy(after)

    world.sweep(SWEEP_AFTER.total_seconds())

    assert len(world.wire.published) == published
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_what_went_to_a_url_alone_is_known_by_its_label(world: World) -> None:
    """Its URL tells no more; and with no callback of successes, nothing but the log does."""
    alone = deepcopy(FLAT)
    alone["destinations"]["erp"]["headers"] = {"X-Team": "a"}
    world.wire.topics["relay.audit"].pop("erp")
    world.deploy(alone)
    event = world.post().event
    message_id = world.message(event, "erp")
    world.wire.say(message_id, "DELIVERED", responseStatus=200)
    moved = deepcopy(alone)
    moved["destinations"]["erp"]["url"] = NEW_URL
    world.deploy(moved)

    done = world.sweep(timedelta(minutes=11).total_seconds())

    assert done.settled == 1
    assert world.delivery(event, "erp").status is Status.DELIVERED
    assert published_alone(world) == ["https://erp.example.com/in"]
