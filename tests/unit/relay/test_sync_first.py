"""What has the relay's name in QStash isn't the relay's for that: who was first keeps it, who leaves takes his own."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

import sync as function
from relay import wiring
from relay.deployment import changes, states, sync
from relay.errors import OperatorError, QStashError
from relay.runtime.http_api import logger
from relay.urls import tick_url
from tests.unit.relay.account import PIN, TICK, Account, key
from tests.unit.relay.operator import Context, wired
from tests.unit.relay.test_sync import DESIRED, THERE
from tests.unit.relay.world import MAC, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Clients

ERP = {"name": "erp", "url": "https://erp.example.com/in"}
WANTED: dict[str, Any] = {
    "groups": {"relay.audit": [ERP]},
    "schedules": {"relay.nightly": TICK},
    "queues": {"relay.fifo": {"parallelism": 1}},
    "flow_controls": {"relay.crm": PIN},
}
PUT: dict[str, Any] = WANTED | {
    "schedules": {"relay.nightly": TICK | {"destination": tick_url(str(TICK["destination"]), MAC)}},
    "queues": {"relay.fifo": {"parallelism": 1, "paused": False, "lag": 0}},
    "flow_controls": {},
}
"""What QStash holds once that was put; it knows a flow-control key from the first publish on."""
OTHER: dict[str, Any] = {
    "groups": [{"name": "a", "url": "https://a.io/"}],
    "schedules": TICK | {"cron": "CRON_TZ=UTC 0 4 * * *"},
    "queues": {"parallelism": 2, "paused": True, "lag": 0},
}


class Breaks(Account):
    """An account in which calls of some names fail."""

    def __init__(self, *names: str, **held: Any) -> None:
        super().__init__(**held)
        self.names = names

    def __getattribute__(self, name: str) -> Any:
        if name in super().__getattribute__("__dict__").get("names", ()):
            raise QStashError(f"{name} was answered 500", answered=500)
        return super().__getattribute__(name)


@pytest.fixture(autouse=True)
def _keys(world: World) -> None:
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)


def add(world: World, account: Account, desired: Any = WANTED, *, take_over: bool = False) -> str:
    world.clock.at += timedelta(seconds=1)
    qstash: Any = account
    return sync.add(json.dumps(desired), "relay", qstash=qstash, store=world.store, take_over=take_over)


def remove(world: World, account: Account, state: str) -> list[str]:
    qstash: Any = account
    return sync.remove(state, "relay", qstash=qstash, store=world.store)


def drift(world: World, account: Account) -> list[str]:
    qstash: Any = account
    return [str(it) for it in sync.drift("relay", qstash=qstash, store=world.store)]


# -- a first deploy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["groups", "schedules", "queues"])
@pytest.mark.parametrize("same", [True, False], ids=["as wanted", "otherwise"])
def test_a_first_deploy_that_finds_something_of_its_name_refuses_and_changes_nothing(
    world: World, kind: str, *, same: bool
) -> None:
    """As wanted or not, it may be another deployment's: both would then use it, and the first to leave remove it."""
    there = PUT[kind] if same else {"relay.x": OTHER[kind]}
    account = Account(**{kind: there})

    with pytest.raises(OperatorError, match="this is the first deploy here of a relay called relay") as told:
        add(world, account)

    assert account.held == Account(**{kind: there}).held
    assert world.store.deployment.desired() == {}
    assert next(iter(there)) in str(told.value)
    assert "TAKE_OVER=1" in str(told.value)


def test_it_says_what_it_found_with_its_urls_and_no_secret(world: World) -> None:
    """The query of a schedule's URL proves its ticks."""
    endpoints = [ERP, {"url": "https://user:pw@hooks.io/T0?token=s3cret"}, {}]
    account = Account(groups={"relay.audit": endpoints}, schedules=PUT["schedules"], queues=PUT["queues"])

    with pytest.raises(OperatorError) as told:
        add(world, account)

    assert (
        "URL group relay.audit (erp https://erp.example.com/in, https://hooks.io/T0, ); "
        "schedule relay.nightly (https://relay.example.com/webhooks/nightly); queue relay.fifo."
    ) in str(told.value)


def test_however_much_it_found_cloudformation_can_say_it(world: World) -> None:
    account = Account(groups={f"relay.{n}": [ERP] for n in range(1000)})

    with pytest.raises(OperatorError) as told:
        add(world, account)

    assert "TAKE_OVER=1" in str(told.value)[-60:]
    assert len(str(told.value)) < 2500


def test_what_is_not_of_its_name_or_stays_after_every_relay_is_no_reason(world: World) -> None:
    """QStash keeps a flow-control key after all that used it."""
    others = {"relayed.a": [ERP], "relay": [ERP], "other.relay.a": [ERP]}
    account = Account(groups=others, flow_controls={"relay.crm": key(**PIN)})

    add(world, account)

    assert account.held["groups"] == others | WANTED["groups"]


@pytest.mark.parametrize("asked", ["AWSCDK::CustomResourceProviderFramework::CREATE_FAILED", None])
def test_the_end_of_a_deploy_that_was_refused_removes_nothing(world: World, asked: str | None) -> None:
    account = Account(**PUT)
    with pytest.raises(OperatorError):
        add(world, account)

    left = remove(world, account, asked or states.physical_id(json.dumps(WANTED)))

    assert (left, account.held) == ([], Account(**PUT).held)


def test_a_second_deployment_of_the_same_name_neither_joins_nor_ends_the_first(world: World, clients: Clients) -> None:
    elsewhere = World(clients)
    elsewhere.store.deployment.save_keys(current="sig_a", following="sig_b", mac="another")
    account = Account()
    add(world, account)
    with pytest.raises(OperatorError):
        add(elsewhere, account)

    remove(elsewhere, account, states.physical_id(json.dumps(WANTED)))

    assert account.held == Account(**PUT).held
    assert drift(world, account) == []


def test_what_an_earlier_deploy_said_is_its_own_and_the_next_is_no_first(world: World) -> None:
    account = Account()
    add(world, account, {"groups": {}, "alone": {"erp": "https://erp.example.com/in"}})
    account.held["groups"]["relay.x"] = [ERP]
    with pytest.raises(OperatorError):
        add(world, account)
    del account.held["groups"]["relay.x"]
    add(world, account)

    account.held["groups"]["relay.x"] = [ERP]
    add(world, account, WANTED | {"queues": {}})

    assert drift(world, account) == ["remove URL group relay.x"]


# -- that fails ------------------------------------------------------------------------------------------------------


def test_a_first_deploy_that_fails_half_way_takes_back_what_it_put_and_can_be_repeated(
    world: World, clients: Clients
) -> None:
    """CloudFormation asks nobody to remove what failed to be made; and the next deploy has a table of its own."""
    account = Breaks("put_queue")
    with pytest.raises(QStashError, match="put_queue was answered 500"):
        add(world, account)
    assert account.held == Account().held
    account.names = ()
    again = World(clients)
    again.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)

    add(again, account)

    assert account.held == Account(**PUT).held


def test_what_made_it_fail_is_told_though_nothing_could_be_taken_back(world: World) -> None:
    account = Breaks("put_queue", "remove_schedule")

    with pytest.raises(QStashError, match="put_queue was answered 500"):
        add(world, account)


def test_a_later_deploy_that_fails_half_way_takes_nothing_back(world: World) -> None:
    """CloudFormation asks for the old state again; and functions that publish to it run on."""
    account = Breaks()
    add(world, account)
    account.names = ("put_queue",)
    with pytest.raises(QStashError):
        add(world, account, WANTED | {"queues": {"relay.fifo": {"parallelism": 2}}, "schedules": {}})

    assert account.held == Account(**PUT).held


def test_a_first_deploy_that_is_rolled_back_leaves_nothing_and_can_be_repeated(world: World, clients: Clients) -> None:
    account = Account()
    state = add(world, account)

    left = remove(world, account, state)

    assert (left, account.held) == ([], Account().held)
    again = World(clients)
    again.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    add(again, account)


# -- that takes over -------------------------------------------------------------------------------------------------


def test_what_is_taken_over_is_made_what_is_wanted_and_the_rest_of_it_is_drift(world: World) -> None:
    """Nothing is removed by the deploy itself: it may yet fail."""
    gone = {"name": "gone", "url": "https://g.io/"}
    old = {
        "relay.audit": [{**ERP, "url": "https://old.io/"}, gone],
        "relay.old": [ERP],
    }
    account = Account(groups=old, schedules={"relay.weekly": TICK}, queues={"relay.slow": PUT["queues"]["relay.fifo"]})

    add(world, account, take_over=True)

    assert account.held["groups"]["relay.audit"] == [ERP, gone]
    assert set(account.held["schedules"]) == {"relay.nightly", "relay.weekly"}
    told = ["remove gone of relay.audit", "remove URL group relay.old", "remove schedule relay.weekly"]
    assert drift(world, account) == told
    qstash: Any = account
    sync.mend("relay", qstash=qstash, store=world.store)
    assert account.held == Account(**PUT).held


def test_to_take_over_is_asked_of_the_first_deploy_alone_and_is_no_part_of_the_state(world: World) -> None:
    """CloudFormation asks once more when it isn't said any longer: with the same physical id, nothing is replaced."""
    account = Account(**PUT)
    state = add(world, account, take_over=True)

    assert add(world, account) == state
    assert add(world, account, take_over=True) == state
    assert account.held == Account(**PUT).held
    assert set(world.store.deployment.desired()) == {state}


def test_a_take_over_that_fails_takes_nothing_back(world: World) -> None:
    """What was there before is in it."""
    account = Breaks("put_schedule", **PUT | {"schedules": {}})

    with pytest.raises(QStashError):
        add(world, account, take_over=True)

    assert account.held["groups"] == PUT["groups"]


# -- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_removes_what_is_as_the_last_state_said_and_names_what_it_left(world: World) -> None:
    account = Account(flow_controls={"relay.crm": key(**PIN), "relay.github:7": key(rate=1)})
    state = add(world, account, WANTED | {"groups": {"relay.audit": [ERP], "relay.own": [ERP], "relay.moved": [ERP]}})
    held = account.held
    held["groups"] |= {
        "relay.audit": [ERP, {"name": "stranger", "url": "https://s.io/"}],
        "relay.moved": [{**ERP, "url": "https://elsewhere.io/?t=1"}],
        "relay.more": [{"url": "https://m.io/"}],
    }
    held["schedules"] |= {"relay.weekly": PUT["schedules"]["relay.nightly"] | {"retries": 1}}
    held["queues"] |= {"relay.wide": {"parallelism": 9, "paused": False, "lag": 0}}
    held["flow_controls"] |= {"relay.tight": key(rate=3, pinned=True)}

    left = remove(world, account, state)

    assert left == [
        "URL group relay.audit (stranger https://s.io/)",
        "URL group relay.moved (erp https://elsewhere.io/)",
        "URL group relay.more (https://m.io/)",
        "schedule relay.weekly (https://relay.example.com/webhooks/nightly)",
        "queue relay.wide",
        "flow control relay.tight",
    ]
    assert {kind: set(them) for kind, them in held.items()} == {
        "groups": {"relay.audit", "relay.moved", "relay.more"},
        "schedules": {"relay.weekly"},
        "queues": {"relay.wide"},
        "flow_controls": {"relay.crm", "relay.github:7", "relay.tight"},
    }
    assert not held["flow_controls"]["relay.crm"]["pinned"]
    assert world.store.deployment.desired() == {}


@pytest.mark.parametrize("setting", list(TICK))
def test_a_schedule_that_somebody_made_otherwise_is_left(world: World, setting: str) -> None:
    account = Account()
    state = add(world, account)
    account.held["schedules"]["relay.nightly"][setting] = "another"

    remove(world, account, state)

    assert set(account.held["schedules"]) == {"relay.nightly"}


@given(DESIRED, THERE)
def test_of_the_end_everything_is_either_as_said_and_gone_or_others_and_as_it_was(said: Any, there: Any) -> None:
    qstash: Any = (account := Account(**there))
    ours = states.actual(qstash, "relay")
    others = changes.of_others(said, deepcopy(ours))

    for change in changes.removals(others, ours):
        changes.perform(change, qstash)

    for name, endpoints in ours["groups"].items():
        stay = [it for it in there["groups"][name] if it not in said["groups"].get(name, [])]
        assert account.held["groups"].get(name, []) == stay == [it for it in endpoints if it in stay]
    for name, schedule in ours["schedules"].items():
        assert (name in account.held["schedules"]) == (said["schedules"].get(name) != schedule)
    foreign = [name for name in there["groups"] if not name.startswith("relay.")]
    assert all(account.held["groups"][name] == there["groups"][name] for name in foreign)


# -- the function ----------------------------------------------------------------------------------------------------


@pytest.fixture
def log(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StringIO]:
    """Wire the function to the world; give what it logs."""
    relay = wired(world, monkeypatch, tmp_path, "RELAY_QSTASH_SECRET")
    relay._qstash = (("token", None), world.qstash)  # noqa: SLF001  # the world's own client
    monkeypatch.setattr(relay.secrets, "qstash", lambda _: ("token", None))
    log = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    yield log
    wiring.relay.cache_clear()


def ask(kind: str, state: str = "", **properties: str) -> str:
    desired = json.dumps({"groups": {"relay.audit": [ERP]}})
    event = {"RequestType": kind, "ResourceProperties": {"Desired": desired, **properties}}
    return str(function.handler(event | {"PhysicalResourceId": state}, Context())["PhysicalResourceId"])


def test_the_function_takes_over_where_the_deploy_says_so_and_tells_what_it_left(world: World, log: StringIO) -> None:
    there = deepcopy(world.wire.topics)
    for said in ({}, {"TakeOver": "0"}):
        with pytest.raises(OperatorError, match=r"relay\.ci \(builder https://ci\.example\.com/x\)"):
            ask("Create", **said)
    ask("Delete", "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED")
    assert world.wire.topics == there

    state = ask("Create", TakeOver="1")

    assert ask("Update", state) == state
    ask("Delete", state)
    assert world.wire.topics == there | {"relay.audit": {"ledger": there["relay.audit"]["ledger"]}}
    warned = [json.loads(it) for it in log.getvalue().splitlines() if '"WARNING"' in it]
    assert warned[-1]["left"] == [
        f"URL group relay.audit (ledger {there['relay.audit']['ledger']})",
        "URL group relay.ci (builder https://ci.example.com/x)",
    ]


@pytest.mark.parametrize("token", ["gone", "refused"])
def test_without_a_token_a_destroy_succeeds_and_removes_nothing(
    world: World, log: StringIO, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Nobody is kept from leaving; and what a deployment elsewhere took over stays whole."""
    state = ask("Create", TakeOver="1")
    there = deepcopy(world.wire.topics)
    if token == "gone":

        def no_token(_: str) -> Any:
            raise OperatorError("the secret relay/qstash has no token")

        monkeypatch.setattr(wiring.relay("RELAY_QSTASH_SECRET").secrets, "qstash", no_token)
    else:
        world.wire.broken = {"GET /v2": 401}

    assert ask("Delete", state) == state

    assert world.wire.topics == there
    assert "not removed from QStash" in log.getvalue()
