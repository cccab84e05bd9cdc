"""Upkeep over the real store, QStash at the wire: the sweep, signing keys, and groups as they are wanted."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.deployment import sync
from relay.deployment.sync import refresh_keys
from relay.jobs.sweep import sweep
from relay.storage.items import shard_of
from relay.storage.leases import sweep_of
from tests.unit.relay.slow import left, slow_aws

if TYPE_CHECKING:
    from tests.unit.relay.world import World


def test_two_sweeps_at_once_share_the_work(world: World) -> None:
    """Each shard under a lease of its own."""
    world.wire.failures = [500, 500, 500]
    event = world.post().event
    world.clock.at += timedelta(seconds=40)
    lease = sweep_of(shard_of(event.id))
    assert world.store.leases.take(lease, "another")

    held = sweep(world.publisher, owner="a", seconds_left=lambda: 30)
    world.store.leases.give_back(lease, "another")
    free = sweep(world.publisher, owner="a", seconds_left=lambda: 30)

    assert (held.published, held.skipped) == (0, 1)
    assert (free.published, free.skipped) == (1, 0)


def test_a_sweep_that_runs_out_of_time_goes_on_next_time(world: World) -> None:
    """Bounded per run; what comes last has its turn, too."""
    world.wire.failures = [500] * 99
    for number in range(12):
        world.post(key=str(number))
    world.wire.failures = []
    world.clock.at += timedelta(seconds=40)

    with slow_aws(world, lambda: 0.2):
        first = sweep(world.publisher, owner="a", seconds_left=left(world, 20))
    second = sweep(world.publisher, owner="b", seconds_left=lambda: 30)

    assert 0 < first.published < 12
    assert first.published + second.published == 12


def test_signing_keys_are_read_from_qstash_and_the_mac_key_is_made_once(world: World) -> None:
    """Keys roll by themselves."""
    assert refresh_keys(world.store, world.qstash)
    mac = world.store.deployment.keys()["mac"]
    assert not refresh_keys(world.store, world.qstash)

    assert world.store.deployment.keys()["current"] == "sig_a"
    assert world.store.deployment.keys()["mac"] == mac


def wanted(*names: str) -> str:
    return json.dumps(
        {"relay": "relay", "groups": {"relay.audit": [{"name": n, "url": f"https://{n}.example"} for n in names]}}
    )


def test_a_change_adds_first_and_removes_in_the_clean_up(world: World) -> None:
    """No event is missed in between."""

    def add(text: str) -> str:
        return sync.add(text, "relay", qstash=world.qstash, store=world.store)

    world.wire.topics = {"other.x": {"a": "https://a"}, "relaying.x": {"a": "https://a"}}
    old = add(wanted("a", "b"))

    new = add(wanted("b", "c"))
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
    old = sync.add(wanted("a", "b"), "relay", qstash=world.qstash, store=world.store)
    world.clock.at += timedelta(seconds=1)
    new = sync.add(
        wanted("b", "c").replace("https://b", "https://moved"), "relay", qstash=world.qstash, store=world.store
    )
    world.clock.at += timedelta(seconds=1)

    if asked_again:
        assert sync.add(wanted("a", "b"), "relay", qstash=world.qstash, store=world.store) == old
    sync.remove(new, "relay", qstash=world.qstash, store=world.store)

    assert world.wire.topics["relay.audit"] == {"a": "https://a.example", "b": "https://b.example"}
