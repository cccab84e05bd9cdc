"""What QStash holds is made what a deploy says, and nothing else of it is touched."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.deployment import changes, states, sync
from relay.errors import QStashError
from relay.urls import tick_url
from tests.unit.relay.account import PIN, TICK, Account, key
from tests.unit.relay.dead_letters import DeadLetters
from tests.unit.relay.world import MAC

if TYPE_CHECKING:
    from tests.unit.relay.world import World


def planned(desired: Any, account: Account, **how: Any) -> list[changes.Change]:
    """Return what there is to do in the account."""
    return changes.plan(desired, states.actual(account, "relay"), **how)  # type: ignore[arg-type]


def done(desired: Any, account: Account) -> list[str]:
    """Do it; return what was done, in its order."""
    todo = planned(desired, account)
    for change in todo:
        changes.perform(change, account)  # type: ignore[arg-type]
    return [str(it) for it in todo]


NAMES = st.sampled_from(["relay.a", "relay.b", "relay.c"])
OTHERS = st.sampled_from(["relay", "relayed.a", "other.relay.a"])
ENDPOINTS = st.lists(
    st.builds(lambda name, url: {"name": name, "url": url}, st.sampled_from("xyz"), st.sampled_from(["u", "v"])),
    min_size=1,
    unique_by=lambda it: it["name"],
)
SCHEDULES = st.builds(lambda cron: TICK | {"cron": cron}, st.sampled_from(["a", "b"]))
DESIRED = st.fixed_dictionaries(
    {
        "groups": st.dictionaries(NAMES, ENDPOINTS),
        "schedules": st.dictionaries(NAMES, SCHEDULES),
        "queues": st.dictionaries(NAMES, st.builds(lambda n: {"parallelism": n}, st.integers(1, 2))),
        "flow_controls": st.dictionaries(NAMES, st.just(PIN)),
    }
)
QUEUE = st.fixed_dictionaries({"parallelism": st.integers(1, 2), "paused": st.booleans(), "lag": st.integers(0, 1)})
KEY = st.builds(key, rate=st.sampled_from([0, 20]), pinned=st.booleans())
THERE = st.fixed_dictionaries(
    {
        "groups": st.dictionaries(NAMES | OTHERS, ENDPOINTS),
        "schedules": st.dictionaries(NAMES | OTHERS, SCHEDULES),
        "queues": st.dictionaries(NAMES | OTHERS, QUEUE),
        "flow_controls": st.dictionaries(NAMES | OTHERS, KEY),
    }
)


@given(DESIRED, THERE)
def test_once_it_is_done_nothing_is_left_to_do_and_others_have_what_they_had(desired: Any, there: Any) -> None:
    account = Account(**there)
    others = {kind: {n: deepcopy(it) for n, it in them.items() if n[:6] != "relay."} for kind, them in there.items()}

    done(desired, account)

    assert planned(desired, account) == []
    held = account.held
    assert {kind: {n: it for n, it in them.items() if n[:6] != "relay."} for kind, them in held.items()} == others
    ours = {name: it for name, it in held["groups"].items() if name[:6] == "relay."}
    assert {name: sorted(map(str, it)) for name, it in ours.items()} == {
        name: sorted(map(str, endpoints)) for name, endpoints in desired["groups"].items()
    }
    assert {name for name in held["schedules"] if name[:6] == "relay."} == set(desired["schedules"])


@given(DESIRED, THERE)
def test_what_is_new_comes_first_and_what_is_old_goes_last(desired: Any, there: Any) -> None:
    """No event is published to what isn't there yet, or isn't any more."""
    removes = [it.removes for it in planned(desired, Account(**there))]

    assert removes == sorted(removes)


def test_a_queue_in_which_messages_wait_stays_until_they_are_delivered() -> None:
    """QStash would drop them with it."""
    account = Account(queues={"relay.fifo": {"parallelism": 1, "paused": False, "lag": 3}})
    assert done({}, account) == []

    account.held["queues"]["relay.fifo"]["lag"] = 0

    assert done({}, account) == ["remove queue relay.fifo"]


def test_a_queue_that_somebody_paused_stays_paused() -> None:
    account = Account(queues={"relay.fifo": {"parallelism": 1, "paused": True, "lag": 3}})

    done({"queues": {"relay.fifo": {"parallelism": 2}}}, account)

    assert account.held["queues"]["relay.fifo"] == {"parallelism": 2, "paused": True, "lag": 0}


def test_a_flow_control_that_publishes_carry_is_no_drift_and_is_pinned_by_the_next_sync() -> None:
    """QStash knows a key from the first publish on."""
    desired = {"flow_controls": {"relay.crm": PIN}}
    assert planned(desired, Account()) == []
    account = Account(flow_controls={"relay.crm": key(**PIN), "relay.github:7": key(rate=1)})

    assert planned(desired, account, pinning=False) == []
    assert done(desired, account) == ["set flow control relay.crm"]
    assert account.held["flow_controls"]["relay.crm"]["pinned"]
    account.held["flow_controls"]["relay.crm"]["rate"] = 99
    assert [str(it) for it in planned(desired, account, pinning=False)] == ["set flow control relay.crm"]
    assert done({}, account) == ["remove flow control relay.crm"]


def test_a_schedule_gets_the_url_that_proves_its_ticks(world: World) -> None:
    """The table's key makes it, so that what was deployed doesn't have it; another URL is a drift."""
    world.store.deployment.save_keys(current="sig_a", following="sig_b", mac=MAC)
    account: Any = Account()

    sync.add(json.dumps({"schedules": {"relay.nightly": TICK}}), "relay", qstash=account, store=world.store)

    held = account.held["schedules"]["relay.nightly"]
    assert held["destination"] == tick_url(str(TICK["destination"]), MAC)
    assert sync.drift("relay", qstash=account, store=world.store) == []
    held["destination"] = TICK["destination"]
    assert [str(it) for it in sync.mend("relay", qstash=account, store=world.store)] == ["set schedule relay.nightly"]


def test_a_drift_is_found_and_mended(world: World) -> None:
    """What counts is what the last deploy said."""
    wanted = {"groups": {"relay.audit": [{"name": "erp", "url": "https://erp.example.com/in"}]}}
    world.wire.topics = {"other.x": {"a": "https://a.io/"}}
    assert sync.drift("relay", qstash=world.qstash, store=world.store) == []
    sync.add(json.dumps(wanted), "relay", qstash=world.qstash, store=world.store)
    assert sync.drift("relay", qstash=world.qstash, store=world.store) == []

    world.wire.topics["relay.audit"] = {"erp": "https://moved.example.com/", "stranger": "https://s.io/"}

    told = ["set erp of relay.audit", "remove stranger of relay.audit"]
    assert [str(it) for it in sync.drift("relay", qstash=world.qstash, store=world.store)] == told
    assert [str(it) for it in sync.mend("relay", qstash=world.qstash, store=world.store)] == told
    assert world.wire.topics["relay.audit"] == {"erp": "https://erp.example.com/in"}


def test_what_cannot_be_read_is_no_drift(world: World) -> None:
    """It fails, and says so; nothing is removed on a guess."""
    DeadLetters(world)
    wanted = json.dumps({"queues": {"relay.fifo": {"parallelism": 1}}})
    world.wire.broken = {"POST /v2/queues": 200}
    world.wire.topics.clear()
    sync.add(wanted, "relay", qstash=world.qstash, store=world.store)
    world.wire.broken = {"GET /v2/queues": 503}

    with pytest.raises(QStashError):
        sync.mend("relay", qstash=world.qstash, store=world.store)


def test_signing_keys_are_read_from_qstash_and_the_mac_key_is_made_once(world: World) -> None:
    """Keys roll by themselves."""
    assert sync.refresh_keys(world.store, world.qstash)
    mac = world.store.deployment.keys()["mac"]
    assert not sync.refresh_keys(world.store, world.qstash)

    assert world.store.deployment.keys()["current"] == "sig_a"
    assert world.store.deployment.keys()["mac"] == mac


def audit_group(*names: str) -> str:
    """Return what a deploy wants of QStash: the endpoints *names* of the group relay.audit."""
    endpoints = [{"name": name, "url": f"https://{name}.example"} for name in names]
    return json.dumps({"relay": "relay", "groups": {"relay.audit": endpoints}})


def test_a_change_adds_first_and_removes_in_the_clean_up(world: World) -> None:
    """No event is missed in between."""

    def add(text: str) -> str:
        return sync.add(text, "relay", qstash=world.qstash, store=world.store)

    world.wire.topics = {"other.x": {"a": "https://a"}, "relaying.x": {"a": "https://a"}}
    old = add(audit_group("a", "b"))

    new = add(audit_group("b", "c"))
    during = set(world.wire.topics["relay.audit"])
    sync.remove(old, "relay", qstash=world.qstash, store=world.store)

    assert during == {"a", "b", "c"}
    assert set(world.wire.topics["relay.audit"]) == {"b", "c"}
    sync.remove(new, "relay", qstash=world.qstash, store=world.store)
    assert set(world.wire.topics) == {"other.x", "relaying.x"}


@pytest.mark.parametrize("asked_again", [True, False])
def test_a_rollback_applies_the_old_state(world: World, *, asked_again: bool) -> None:
    """Whether or not CloudFormation asks for the old state again before it deletes the new one."""
    world.wire.topics.clear()
    old = sync.add(audit_group("a", "b"), "relay", qstash=world.qstash, store=world.store)
    world.clock.at += timedelta(seconds=1)
    new = sync.add(
        audit_group("b", "c").replace("https://b", "https://moved"), "relay", qstash=world.qstash, store=world.store
    )
    world.clock.at += timedelta(seconds=1)

    if asked_again:
        assert sync.add(audit_group("a", "b"), "relay", qstash=world.qstash, store=world.store) == old
    sync.remove(new, "relay", qstash=world.qstash, store=world.store)

    assert world.wire.topics["relay.audit"] == {"a": "https://a.example", "b": "https://b.example"}
