"""An account holds others' things, too: what the relay does there leaves them as they are."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from relay.model.delivery import Status
from tests.model.configuration import URLS
from tests.model.destinations import Behaviour
from tests.model.ledger import violations
from tests.model.world import World

if TYPE_CHECKING:
    from collections.abc import Collection

THEIRS = "https://theirs.example.com/"
BODILESS: dict[str, Any] = {"on": "call", "do": "bodiless", "match": {"method": "DELETE", "path": "/v2/dlq*"}}


def have_a_foreign_dead_letter(world: World) -> None:
    """Have somebody else's message die: its host has an address when it is published, and none when it is called."""
    asked = [{"destination": THEIRS, "headers": {"Upstash-Delay": "1s", "Upstash-Retries": "0"}}]
    world.ask_qstash("POST", "/v2/batch", asked)
    world.ask_qstash("PATCH", "/admin/settings", {"unresolvable_hosts": ["theirs.*"]}, admin=True)
    world.wait(seconds=1)


def dead_urls(world: World) -> Collection[str]:
    return {it["url"] for it in world.ask_qstash("GET", "/v2/dlq")["messages"]}


@pytest.mark.parametrize("by", ["sweep", "audit"])
def test_a_foreign_dead_letter_survives_though_bodies_of_delete_are_ignored(by: str) -> None:
    """Where a call names what to delete in its body, it would delete all there are."""
    with closing(World()) as world:
        have_a_foreign_dead_letter(world)
        world.destinations.behaviour["ledger"] = Behaviour.DEAD
        world.webhook("stripe", "1")
        world.wait(seconds=61)
        before = dead_urls(world)
        if by == "audit":  # what the sweep couldn't delete, the audit does
            world.fault(on="call", do="drop", match={"method": "DELETE"}, count=1)
        world.fault(**BODILESS)
        world.destinations.behaviour["ledger"] = Behaviour.UP
        ((event, name),) = world.deliveries({Status.DEAD_LETTERED})
        world.replay(event, name)
        for _ in range(3):
            world.wait(seconds=660)
            world.sweep()
            world.audit()
        rules = world.ask_qstash("GET", "/admin/rules", admin=True)["rules"]

        assert before == {THEIRS, URLS["ledger"]}
        assert rules[-1]["hits"] == 1
        assert dead_urls(world) == {THEIRS}
        world.become_quiet()
        assert violations(world) == []
