"""Publishing over the real store, QStash at the wire: what goes together, and what one refusal means for the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.errors import QStashError
from relay.model.delivery import Status
from relay.publishing.answers import Done, Failed
from relay.publishing.claim_checks import CARRIED_BODY_MAX_BYTES
from relay.publishing.sending import TOGETHER_MAX_BYTES
from tests.flat import publishing
from tests.unit.relay.world import routed

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.publishing.messages import Publication
    from tests.unit.relay.world import World


def saved(world: World, *bodies: bytes) -> list[Event]:
    """Return an event for each of *bodies*, to be published to two groups."""
    return [world.save(body, key=str(number)) for number, body in enumerate(bodies)]


def packed(world: World, events: list[Event]) -> list[Publication]:
    """Return what *events* owe: two publications each."""
    return [publication for event in events for publication in world.owed_publications(event)]


def created(world: World) -> int:
    """Return how many messages QStash has made."""
    return sum(it["state"] == "CREATED" for it in world.wire.logs)


def test_several_groups_go_in_one_call(world: World) -> None:
    """A batch: an event costs one round trip, and so does a page of the outbox."""
    events = saved(world, b"a", b"b", b"c")

    outcomes = world.publisher.publish(packed(world, events))

    assert world.wire.batches == [6]
    assert outcomes == [Done()] * 6
    assert {status for it in events for status in world.statuses(it.id).values()} == {Status.IN_FLIGHT}


def test_one_alone_goes_as_a_plain_publish(world: World) -> None:
    """Its body as it is, not in JSON."""
    world.deploy(routed(ci=publishing()))

    world.post(b'{"a": 1}')

    assert world.wire.batches == []
    assert [it.url.path for it in world.wire.asked] == ["/v2/publish/relay.ci"]


def test_an_answer_to_one_destination_need_not_name_its_url(world: World) -> None:
    """QStash names URLs of a group's endpoints only."""
    world.deploy(routed(ci=publishing()))
    world.wire.garbled = [b'{"messageId": "msg_q"}']

    event = world.post().event

    assert world.message(event, "builder") == "msg_q"


def test_a_body_that_is_no_text_goes_alone(world: World) -> None:
    """A batch is JSON: it has no room for bytes."""
    events = saved(world, b"a", b"\xff\x00", b"b")

    outcomes = world.publisher.publish(packed(world, events))

    assert outcomes == [Done()] * 6
    assert world.wire.batches == [2, 2]
    assert [it.content for it in world.wire.published] == [b"a"] * 2 + [b"\xff\x00"] * 2 + [b"b"] * 2


def test_what_is_too_large_together_goes_in_several_batches(world: World) -> None:
    """8 MiB at a time."""
    fit = TOGETHER_MAX_BYTES // CARRIED_BODY_MAX_BYTES
    events = saved(world, *[b"x" * CARRIED_BODY_MAX_BYTES] * (fit // 2 + 1))

    world.publisher.publish(packed(world, events))

    assert world.wire.batches == [fit, 2]


@pytest.mark.parametrize("status", [413, 414, 431])
def test_of_a_refused_batch_only_the_bad_one_is_unpublishable(world: World, status: int) -> None:
    """They go out singly; QStash's words are kept with the one that it will never take."""
    good, bad = saved(world, b"good", b"bad")
    world.wire.refused = {b"bad": status}

    outcomes = world.publisher.publish(packed(world, [good, bad]))

    assert outcomes == [Done()] * 4
    assert world.wire.batches == [4]
    assert len(world.wire.published) == 8
    assert set(world.statuses(good.id).values()) == {Status.IN_FLIGHT}
    assert set(world.statuses(bad.id).values()) == {Status.UNPUBLISHABLE}
    assert "not this one" in str(world.delivery(bad, "erp").reason)
    assert str(status) in str(world.delivery(bad, "erp").reason)
    assert world.delivery(good, "erp").reason is None
    assert world.store.event(bad.id).unpublished == frozenset()  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_of_a_refused_batch_only_what_may_be_taken_later_is_owed(world: World, status: int) -> None:
    """A group that isn't there yet, or QStash's own trouble with one message, keeps no other back."""
    good, bad = saved(world, b"good", b"bad")
    world.wire.refused = {b"bad": status}

    outcomes = world.publisher.publish(packed(world, [good, bad]))

    assert outcomes[:2] == [Done(), Done()]
    assert [getattr(it.error, "answered", None) for it in outcomes[2:] if isinstance(it, Failed)] == [status, status]
    assert set(world.statuses(good.id).values()) == {Status.IN_FLIGHT}
    assert set(world.statuses(bad.id).values()) == {Status.PENDING}
    assert world.store.event(bad.id).unpublished == {"audit", "ci"}  # type: ignore[union-attr]


@pytest.mark.parametrize("failure", [401, 403, 429, httpx.ConnectError("down")])
def test_what_refuses_all_is_not_tried_singly(world: World, failure: Any) -> None:
    """A token, a quota, no network: another call would only be refused as well."""
    (event,) = saved(world, b"a")
    world.wire.failures = [failure]

    outcomes = world.publisher.publish(packed(world, [event]))

    assert len(world.wire.asked) == 1
    assert all(isinstance(it, Failed) and isinstance(it.error, QStashError) for it in outcomes)
    assert set(world.statuses(event.id).values()) == {Status.PENDING}


@pytest.mark.parametrize(
    "garbled",
    [
        b"<html>",
        b"",
        b"{}",
        b"null",
        b"[]",
        b"[[]]",
        json.dumps([[{"messageId": "m"}]] * 3).encode(),
    ],
)
def test_an_answer_that_qstash_would_not_give_costs_nothing(world: World, garbled: bytes) -> None:
    """Something in between answered: the same ids again, and QStash has each once."""
    world.wire.garbled = [garbled]

    accepted = world.post()
    owed = world.statuses(accepted.event.id)
    world.sweep()

    assert isinstance(accepted.failure, QStashError)
    assert set(owed.values()) == {Status.PENDING}
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}
    assert created(world) == 3


@pytest.mark.parametrize("entry", [None, "a", 7, [{}], [{"messageId": None}], [{"messageId": ""}], {"error": "no"}])
def test_an_entry_of_an_answer_that_says_nothing_is_asked_for_alone_and_at_once(world: World, entry: object) -> None:
    """Under the same id: whether QStash took it or not, it then has it once."""
    world.wire.garbled = [json.dumps([entry, entry]).encode()]

    accepted = world.post()

    assert accepted.failure is None
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}
    assert created(world) == 3


@pytest.mark.parametrize("garbled", [b"<html>", b"{}", b'{"messageId": null}', b'"m"'])
def test_so_does_such_an_answer_to_one_alone(world: World, garbled: bytes) -> None:
    """As with a batch."""
    world.deploy(routed(ci=publishing()))
    world.wire.garbled = [garbled]

    accepted = world.post()

    assert isinstance(accepted.failure, QStashError)
    assert world.sweep().published == 1
    assert created(world) == 1


def test_a_batch_whose_answer_was_lost_goes_again_under_the_same_ids(world: World) -> None:
    """Within QStash's shorter window it is one publish for QStash."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    event = world.post().event

    world.sweep()

    ids = [it.headers["Upstash-Deduplication-Id"] for it in world.wire.published]
    assert ids[:2] == ids[2:]
    assert created(world) == 3
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
