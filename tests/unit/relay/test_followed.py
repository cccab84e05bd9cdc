"""What is owed goes where its destination is by now; `removed` is only what has no destination any more."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.model.delivery import SWEEP_AFTER, Status
from relay.model.ids import group_scope
from relay.qstash.message_log import LOG_LAG
from relay.urls import BODY_MAC, body_mac
from tests.flat import bus, group, publishing, url
from tests.unit.relay.world import BASE, FLAT, MAC, World

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.conftest import Clients

PUBLISH = "/v2/publish/"
ERP, LEDGER, BUILDER = "https://erp.example.com/in", "https://ledger.example.com/in", "https://ci.example.com/x"
SWEEP_S = SWEEP_AFTER.total_seconds()


def configured(**groups: tuple[str, ...]) -> dict[str, Any]:
    """Return FLAT with these URL groups, each with timeouts of its own, and every event published to all of them."""
    flat = deepcopy(FLAT)
    flat["url_groups"] = {of: group(*them, timeout_s=20 + n) for n, (of, them) in enumerate(groups.items())}
    flat["destinations"] = {it: FLAT["destinations"][it] | {"group": of} for of, them in groups.items() for it in them}
    to = {of: publishing(timeout_s=20 + n) for n, of in enumerate(groups)}
    flat["sources"]["github"]["routes"] = [{"name": "to", "to": to}]
    return flat


RENAMED = configured(main=("ledger", "erp"), ci=("builder",))
MOVED = configured(audit=("ledger",), ci=("builder", "erp"))
MERGED = configured(audit=("ledger", "erp", "builder"))


def published(world: World) -> dict[str, str]:
    """Return where what was published went, and with which timeout."""
    return {it.url.path.removeprefix(PUBLISH): it.headers["Upstash-Timeout"] for it in world.wire.published}


@pytest.mark.parametrize(
    ("flat", "went"),
    [
        pytest.param(RENAMED, {ERP: "20s", LEDGER: "20s", "relay.ci": "21s"}, id="renamed"),
        pytest.param(MOVED, {"relay.audit": "20s", BUILDER: "21s", ERP: "21s"}, id="moved"),
        pytest.param(MERGED, {ERP: "20s", LEDGER: "20s", BUILDER: "20s"}, id="merged"),
    ],
)
def test_what_was_never_published_goes_where_its_destination_is_now(
    world: World, flat: dict[str, Any], went: dict[str, str]
) -> None:
    """As its group of now says; and to a URL group only where all of that is expected there: else some is doubled."""
    event = world.save()
    world.deploy(flat)

    swept = world.sweep(SWEEP_S)

    assert (swept.published, swept.failed) == (1, 0)
    assert published(world) == went
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert world.store.event(event.id).unpublished == frozenset()  # type: ignore[union-attr]


@pytest.mark.parametrize("flat", [RENAMED, MOVED, MERGED], ids=["renamed", "moved", "merged"])
def test_what_its_group_of_before_may_have_brought_is_asked_for(world: World, flat: dict[str, Any]) -> None:
    """QStash took it, nobody heard, and then a deploy came."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    event = world.post().event
    world.store.deployment.save_urls_changed(under_way=True)
    world.deploy(flat)

    world.sweep(SWEEP_S)

    assert published(world).keys() == {"relay.audit", "relay.ci"}
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_a_late_callback_of_the_group_of_before_is_recorded(world: World) -> None:
    event = world.post().event
    world.deploy(RENAMED)

    world.report(event, "erp", scope=group_scope("audit"))

    assert world.statuses(event.id)["erp"] is Status.DELIVERED


def test_a_destination_that_joins_a_group_doesnt_get_what_came_before(world: World) -> None:
    """An event goes where it was for; what is expected goes to each alone, then."""
    event = world.save()
    flat = configured(audit=("ledger", "erp"), ci=("builder",))
    flat["url_groups"]["audit"]["destinations"].append("crm")
    flat["destinations"]["crm"] = url("audit", "https://crm.example.com/in")
    world.deploy(flat)

    world.sweep(SWEEP_S)

    assert published(world).keys() == {ERP, LEDGER, "relay.ci"}
    assert world.statuses(event.id).keys() == {"erp", "ledger", "builder"}


def test_a_delivery_is_looked_after_as_its_group_of_now_says(world: World) -> None:
    world.deploy(MOVED)

    assert world.publisher.look_after("erp") - world.publisher.look_after("ledger") == timedelta(seconds=1)


# -- removed ----------------------------------------------------------------------------------------------------------


def gone(world: World) -> Event:
    """Return an event of which QStash may have something, and whose erp has left the configuration."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    event = world.post().event
    world.deploy(configured(audit=("ledger",), ci=("builder",)))
    return event


def test_what_was_published_before_its_destination_left_is_not_removed(world: World) -> None:
    event = gone(world)

    world.sweep(SWEEP_S)

    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


@pytest.mark.parametrize("late", [False, True])
def test_it_is_removed_once_the_log_cant_tell_any_more_that_it_was_published(world: World, *, late: bool) -> None:
    event = gone(world)
    world.wire.lag = LOG_LAG - timedelta(seconds=1) if late else timedelta(days=1)
    world.sweep(SWEEP_S)
    waiting = world.statuses(event.id)["erp"]

    world.sweep(LOG_LAG.total_seconds())

    assert waiting is Status.PENDING
    assert world.statuses(event.id)["erp"] is (Status.IN_FLIGHT if late else Status.REMOVED)


def test_while_a_deploy_is_under_way_nothing_is_removed(world: World) -> None:
    """It may be rolled back."""
    event = world.save()
    world.store.deployment.save_urls_changed(under_way=True)
    world.deploy(configured(audit=("ledger",), ci=("builder",)))
    for _ in range(5):
        world.sweep(200)
    waiting = world.statuses(event.id)["erp"]
    world.deploy(FLAT)
    world.store.deployment.save_urls_changed()

    for _ in range(3):
        world.sweep(300)

    assert waiting is Status.PENDING
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_what_is_removed_is_counted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An alarm tells of it: a person may not have known that something was owed."""
    world.save()
    world.deploy(configured(audit=("ledger",), ci=("builder",)))
    for _ in range(3):
        world.sweep(300)

    told = [json.loads(it) for it in capsys.readouterr().out.splitlines() if it.startswith("{")]
    assert [it["Removed"] for it in told if "Removed" in it] == [[1.0]]


# -- what proves whose a hand-over is ---------------------------------------------------------------------------------


@pytest.fixture
def mixed(clients: Clients) -> World:
    """A world whose ledger is an event bus, in one group with a URL."""
    world = World(clients)
    world.deploy(FLAT | {"destinations": FLAT["destinations"] | {"ledger": bus("audit")}})
    world.wire.topics["relay.audit"] = {"erp": ERP}
    return world


def test_only_the_relay_itself_learns_what_proves_a_hand_over(mixed: World) -> None:
    """Of a mixed group the AWS target is published to alone: a URL could forge a hand-over with it."""
    event = mixed.post().event

    told = {
        request.url.path.removeprefix(PUBLISH): request.headers.get(f"Upstash-Forward-{BODY_MAC}")
        for request in mixed.wire.published
    }

    assert told == {
        "relay.audit": None,
        f"{BASE}/qstash/deliver/ledger": body_mac(MAC, event.id, b"{}"),
        "relay.ci": None,
    }
    assert set(mixed.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_a_group_of_aws_targets_is_published_to_as_a_group(world: World) -> None:
    """All its URLs are the relay's own."""
    targets = {it: bus("audit", it) for it in ("ledger", "erp")}
    world.deploy(FLAT | {"destinations": FLAT["destinations"] | targets})
    world.wire.topics["relay.audit"] = {it: f"{BASE}/qstash/deliver/{it}" for it in targets}

    event = world.post().event

    assert [it.headers.get(f"Upstash-Forward-{BODY_MAC}") for it in world.wire.published] == [
        body_mac(MAC, event.id, b"{}"),
        None,
    ]
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
