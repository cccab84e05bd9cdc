"""QStash is asked for what the relay uses there, or used; and a queue goes when nothing can wait in it any more."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.deployment import states, sync
from relay.model.delivery import Status
from tests.unit.relay.account import PIN, TICK, Account, key
from tests.unit.relay.world import MAC

if TYPE_CHECKING:
    from tests.unit.relay.world import World

GROUPS: dict[str, Any] = {"groups": {"relay.audit": [{"name": "erp", "url": "https://erp.example.com/in"}]}}
QUEUED = GROUPS | {"queues": {"relay.fifo": {"parallelism": 1}}}
SECOND = timedelta(seconds=1)


class Deploys:
    """Deploys of one relay after the other, as CloudFormation has them made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = Account()
        self.state = self.before = ""
        self._qstash: Any = self.account

    def deploy(self, desired: Any) -> None:
        self.begin(desired)
        self.clean_up()

    def begin(self, desired: Any) -> None:
        self.world.clock.at += SECOND
        self.before = self.state
        self.state = sync.add(json.dumps(desired), "relay", qstash=self._qstash, store=self.world.store)

    def clean_up(self) -> None:
        if self.before:
            sync.remove(self.before, "relay", qstash=self._qstash, store=self.world.store)

    def destroy(self) -> list[str]:
        return sync.remove(self.state, "relay", qstash=self._qstash, store=self.world.store)

    def drift(self) -> list[str]:
        return [str(it) for it in sync.drift("relay", qstash=self._qstash, store=self.world.store)]

    def mend(self) -> list[str]:
        return [str(it) for it in sync.mend("relay", qstash=self._qstash, store=self.world.store)]

    @property
    def queues(self) -> set[str]:
        return set(self.account.held["queues"])

    def asked(self) -> set[str]:
        """Return what was asked for since the last time."""
        asked, self.account.asked = set(self.account.asked), []
        return asked


@pytest.fixture
def deploys(world: World) -> Deploys:
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    return Deploys(world)


# -- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("desired", "kinds"),
    [
        (GROUPS, {"groups"}),
        ({"schedules": {"relay.nightly": TICK}}, {"schedules"}),
        (QUEUED, {"groups", "queues"}),
        (GROUPS | {"flow_controls": {"relay.crm": PIN}}, {"groups", "flow_controls"}),
        ({"groups": {}, "alone": {"erp": "https://erp.example.com/in"}}, set()),
    ],
)
def test_only_what_the_relay_uses_is_asked_for(deploys: Deploys, desired: Any, kinds: set[str]) -> None:
    deploys.deploy(desired)
    deploys.asked()

    deploys.drift()
    asked = [deploys.asked()]
    deploys.mend()
    asked.append(deploys.asked())
    deploys.destroy()
    asked.append(deploys.asked())

    assert asked == [kinds, kinds, kinds]


def test_a_first_deploy_asks_for_all_that_another_relay_could_have(deploys: Deploys) -> None:
    deploys.deploy(GROUPS)

    assert deploys.asked() == {"groups", "schedules", "queues"}


def test_what_an_earlier_state_had_is_asked_for_until_it_is_gone(deploys: Deploys) -> None:
    deploys.deploy(QUEUED)
    deploys.account.held["queues"]["relay.fifo"]["lag"] = 1
    deploys.deploy(GROUPS)
    assert deploys.queues == {"relay.fifo"}

    deploys.account.held["queues"]["relay.fifo"]["lag"] = 0
    assert deploys.mend() == ["remove queue relay.fifo"]

    deploys.deploy(GROUPS | {"alone": {"crm": "https://crm.example.com/in"}})
    deploys.asked()
    deploys.drift()
    assert deploys.asked() == {"groups"}


def test_what_a_deploy_that_failed_half_way_put_is_found_and_removed(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state isn't in the table."""
    deploys.deploy(GROUPS)
    monkeypatch.setattr(
        deploys.world.store.deployment, "save_desired", fails_second(deploys.world.store.deployment.save_desired)
    )

    with pytest.raises(ConnectionError):
        deploys.begin(QUEUED)

    assert deploys.queues == {"relay.fifo"}
    assert deploys.mend() == ["remove queue relay.fifo"]


def fails_second(save: Any) -> Any:
    """Return what saves once, and then no more."""
    times: list[int] = []

    def saving(*args: Any, **how: Any) -> None:
        times.append(1)
        if len(times) > 1:
            raise ConnectionError
        save(*args, **how)

    return saving


def test_where_the_table_does_not_say_what_was_used_everything_is_asked_for(deploys: Deploys) -> None:
    """A deploy of before wrote what it wanted, and no kinds."""
    deploys.deploy(GROUPS)
    table = deploys.world.store.table
    item = table.get("DESIRED", "DESIRED") or {}
    table.put({name: value for name, value in item.items() if name != "kinds"})
    deploys.account.held["queues"]["relay.old"] = {"parallelism": 1, "paused": False, "lag": 0}
    deploys.account.held["flow_controls"]["relay.crm"] = key(**PIN, pinned=True)

    assert deploys.mend() == ["remove queue relay.old", "remove flow control relay.crm"]


# -- queues -----------------------------------------------------------------------------------------------------------


def leave(deploys: Deploys, lag: int = 0) -> None:
    """Have the queue leave the configuration; QStash says of it that *lag* messages wait."""
    deploys.begin(GROUPS)
    deploys.account.held["queues"]["relay.fifo"]["lag"] = lag
    deploys.clean_up()


def test_an_empty_queue_that_nothing_is_open_for_goes_with_the_deploy(deploys: Deploys) -> None:
    deploys.deploy(QUEUED)

    leave(deploys)

    assert deploys.queues == set()


def test_a_queue_stays_while_the_ledger_has_something_in_flight_though_qstash_says_it_is_empty(
    world: World, deploys: Deploys
) -> None:
    """What it tells may be 0 while messages wait; with the queue they would be gone."""
    deploys.deploy(QUEUED)
    event = world.post().event
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}

    leave(deploys)

    assert deploys.queues == {"relay.fifo"}
    assert deploys.drift() == []
    assert deploys.mend() == []
    for name in event.expected:
        world.report(event, name)
    assert set(world.statuses(event.id).values()) == {Status.DELIVERED}
    assert deploys.drift() == []
    assert deploys.mend() == ["remove queue relay.fifo"]


def test_what_may_have_been_published_counts_like_what_was(world: World, deploys: Deploys) -> None:
    """The answer to its publish was lost: only the outbox knows of it."""
    deploys.deploy(QUEUED)
    world.wire.failures = [httpx.ReadTimeout("void"), httpx.ReadTimeout("void")]
    world.post()

    leave(deploys)

    assert deploys.queues == {"relay.fifo"}


def test_the_next_deploy_removes_it(world: World, deploys: Deploys) -> None:
    deploys.deploy(QUEUED)
    event = world.post().event
    leave(deploys)
    for name in event.expected:
        world.report(event, name)

    deploys.deploy(GROUPS | {"alone": {"crm": "https://crm.example.com/in"}})

    assert deploys.queues == set()


@pytest.mark.parametrize("published", [True, False], ids=["in flight", "owed"])
@pytest.mark.parametrize(("late", "keeps"), [(timedelta(0), True), (SECOND, False)])
def test_what_comes_long_after_the_deploy_keeps_no_queue(
    world: World, deploys: Deploys, late: timedelta, *, keeps: bool, published: bool
) -> None:
    """A busy relay has something in flight at any time."""
    deploys.deploy(QUEUED)
    leave(deploys, lag=1)
    deploys.account.held["queues"]["relay.fifo"]["lag"] = 0
    world.clock.at += states.DEPLOY_LASTS + late
    send = world.post if published else world.save
    send(key="d-1")

    mended = deploys.mend()

    assert mended == ([] if keeps else ["remove queue relay.fifo"])


def test_a_destroy_leaves_a_queue_that_something_may_wait_in(world: World, deploys: Deploys) -> None:
    """And says so: nobody is left to remove it."""
    deploys.deploy(QUEUED)
    world.post()

    assert deploys.destroy() == ["queue relay.fifo"]
    assert deploys.account.held["groups"] == {}


# -- what is open -----------------------------------------------------------------------------------------------------


def test_open_is_what_came_by_then_and_has_no_end(world: World) -> None:
    store, began = world.store, world.clock.at
    assert not store.listings.has_open(began)

    event = world.post().event

    assert (store.listings.has_open(began - SECOND), store.listings.has_open(began)) == (False, True)
    for name in event.expected:
        world.report(event, name)
    assert not store.listings.has_open(began)


def test_open_is_what_is_owed_too(world: World) -> None:
    world.save()

    assert (world.store.listings.has_open(world.began - SECOND), world.store.listings.has_open(world.began)) == (
        False,
        True,
    )


def test_what_died_is_not_open(world: World) -> None:
    event = world.post().event

    for name in event.expected:
        world.report(event, name, "failure", status=500, retried=2, dlqId="17-0")

    assert set(world.statuses(event.id).values()) == {Status.DEAD_LETTERED}
    assert not world.store.listings.has_open(world.began)
