"""A put that was made and whose answer was lost: its own writer finds it, and takes it for no duplicate."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from relay.ingest.accept import Acceptance, accept_or_spool
from relay.ingest.webhook import Webhook
from relay.model.delivery import Status
from relay.model.ids import event_id
from relay.publishing.routing import routing_now
from relay.verification.verify import WebhookInfo
from tests.unit.relay.table_wire import wire_of

if TYPE_CHECKING:
    from tests.unit.relay.world import World

pytestmark = pytest.mark.local_aws

SAID = WebhookInfo("a", has_id=True, event_type="push", headers={})
ID = event_id("github", "a")
PUT = ("PutItem", "EVENT")


def post(world: World) -> Acceptance | Webhook:
    """Post one webhook as ingest takes it in."""
    return accept_or_spool(
        world.settings.sources["github"],
        Webhook("github", world.clock.at, SAID, None, b"{}"),
        settings=world.settings,
        store=world.store,
        publisher=lambda: world.publisher,
        paused=frozenset,
    )


def test_a_put_that_was_made_and_not_heard_of_is_published_at_once(world: World) -> None:
    """The client puts again by itself, and finds its own."""
    with wire_of(world) as wire:
        wire.unheard = [PUT]
        accepted = post(world)

    assert wire.asked.count(PUT) == 2
    assert isinstance(accepted, Acceptance)
    assert (accepted.duplicate, accepted.failure) == (False, None)
    assert len(world.wire.published) == 2
    assert set(world.statuses(ID).values()) == {Status.IN_FLIGHT}


def test_a_put_that_was_never_heard_of_is_spooled_and_published_once(world: World) -> None:
    """It was made all the same: the outbox has it, and the spool a duplicate."""
    spooled = post_unheard(world)

    done = world.sweep()

    assert isinstance(spooled, Webhook)
    assert (done.published, done.unspooled, done.failed) == (1, 1, 0)
    assert len(world.wire.published) == 2
    assert set(world.statuses(ID).values()) == {Status.IN_FLIGHT}


def test_the_same_request_out_of_the_spool_opens_nothing_again(world: World) -> None:
    """It is no redelivery, whatever died before it was taken in."""
    post_unheard(world)
    event = world.store.event(ID)
    assert event is not None
    world.publisher.publish_event(event, b"{}", routing_now(world.settings, event, b"{}"))
    world.report(event, "erp", "failure", status=500, retried=2)

    done = world.sweep()

    assert done.unspooled == 1
    assert world.statuses(ID)["erp"] is Status.DEAD_LETTERED
    assert len(world.wire.published) == 2


def test_another_request_out_of_the_spool_does(world: World) -> None:
    """The table was down as its source sent it again."""
    post(world)
    event = world.store.event(ID)
    assert event is not None
    world.report(event, "erp", "failure", status=500, retried=2)
    world.clock.at += timedelta(seconds=60)
    with wire_of(world) as wire:
        wire.fails = lambda operation, _: operation == "PutItem"
        assert isinstance(post(world), Webhook)

    done = world.sweep()

    assert done.unspooled == 1
    assert world.statuses(ID)["erp"] is Status.IN_FLIGHT
    assert world.wire.published[-1].url.path == "/v2/publish/https://erp.example.com/in"


def post_unheard(world: World) -> Acceptance | Webhook:
    """Post one webhook whose event is made, though no try to make it is answered."""
    with wire_of(world) as wire:
        wire.unheard = [PUT, PUT]
        return post(world)
