"""Accepting over the real store, QStash at the wire: an event is saved, and published once a group."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.config.settings import Settings
from relay.errors import BodyTooLarge, OperatorError, QStashError, SignatureError
from relay.ingest.accept import BODY_MAX_BYTES
from relay.model.delivery import Status
from relay.publishing.claim_checks import CARRIED_BODY_MAX_BYTES, CLAIM_CHECK_TYPE
from relay.query import answers
from relay.urls import claim_url
from tests.unit.relay.world import BASE, FLAT, MAC, World

if TYPE_CHECKING:
    from relay.publishing.publisher import Publisher


def test_an_accepted_webhook_is_saved_and_published_once_a_group(world: World) -> None:
    """Each group with its settings, the label, callbacks and the event's headers; no secret header."""
    event = world.post(b'{"action": "opened"}').event

    assert [it.url.path for it in world.wire.published] == ["/v2/publish/relay.audit", "/v2/publish/relay.ci"]
    headers = world.wire.published[0].headers
    assert world.wire.published[0].content == b'{"action": "opened"}'
    assert headers["Upstash-Retries"] == "2"
    assert headers["Upstash-Retry-Delay"] == "500"
    assert headers["Upstash-Timeout"] == "30s"
    assert headers["Upstash-Callback-Retries"] == headers["Upstash-Failure-Callback-Retries"] == "5"
    assert headers["Upstash-Forward-Relay-Event-Id"] == event.id
    assert headers["Upstash-Forward-Relay-Event-Type"] == "push.opened"
    assert headers["Upstash-Forward-X-GitHub-Delivery"] == "d-1"
    assert not [name for name in headers if "authorization" in name.lower() and "forward" in name.lower()]
    assert "Upstash-Retry-Delay" not in world.wire.published[1].headers
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert world.store.event(event.id).unpublished == frozenset()  # type: ignore[union-attr]


def test_a_duplicate_has_the_first_ones_id_and_is_not_published_again(world: World) -> None:
    """For as long as the record lives, whatever QStash's window is."""
    first = world.post()
    world.wire.forget_ids = True
    world.clock.at += timedelta(days=29)

    second = world.post()

    assert second.duplicate
    assert second.event == world.store.event(first.event.id)
    assert len(world.wire.published) == 2


@pytest.mark.parametrize("failure", [500, 429, 401, 404, httpx.ConnectError("down"), httpx.ReadTimeout("slow")])
def test_a_publish_that_fails_costs_no_event_and_is_made_up_for_once(world: World, failure: Any) -> None:
    """Ingest acknowledges; the sweep publishes under the same deduplication ids."""
    world.wire.failures = [failure, failure]

    accepted = world.post()
    world.wire.failures = []
    swept = world.sweep()

    assert isinstance(accepted.failure, QStashError)
    assert swept.published == 1
    ids = [it.headers["Upstash-Deduplication-Id"] for it in world.wire.published]
    assert len(set(ids)) == 2
    assert len(ids) > 2
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}
    assert world.sweep().published == 0


def test_a_publish_whose_answer_was_lost_is_not_made_twice_when_its_id_is_forgotten(world: World) -> None:
    """Past QStash's shorter window its logs are asked first."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    accepted = world.post()
    world.wire.forget_ids = True

    world.sweep(seconds=11 * 60)

    assert world.wire.batches == [2]
    assert len(world.wire.published) == 2
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}


def test_what_qstash_never_got_is_published_late(world: World) -> None:
    """Absent from the logs: publish."""
    world.wire.failures = [500, 500, 500]
    accepted = world.post()

    world.sweep(seconds=3600)

    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}


def test_beyond_the_logs_a_person_decides(world: World) -> None:
    """Nobody can know whether it was published: never guess."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    event = world.post().event
    before = len(world.wire.published)
    world.wire.forgot_ms = 2**50

    swept = world.sweep(seconds=4 * 86_400)

    assert (swept.published, swept.failed) == (1, 0)
    assert len(world.wire.published) == before
    assert set(world.statuses(event.id).values()) == {Status.UNACCOUNTED}


def test_a_publish_that_can_never_succeed_is_unpublishable(world: World) -> None:
    """And doesn't stay in the outbox for ever."""
    world.wire.failures = [413, 413]

    accepted = world.post()

    assert world.statuses(accepted.event.id) == {
        "ledger": Status.UNPUBLISHABLE,
        "erp": Status.UNPUBLISHABLE,
        "builder": Status.IN_FLIGHT,
    }
    assert world.sweep().published == 0


def test_a_destination_that_qstashs_group_lacks_is_published_to_alone(world: World) -> None:
    """Somebody removed the endpoint in QStash's console: what is expected is still delivered."""
    del world.wire.topics["relay.audit"]["erp"]
    event = world.post().event
    assert world.statuses(event.id)["erp"] is Status.PENDING

    swept = world.sweep(seconds=300)

    assert swept.published == 1
    assert str(world.wire.published[-1].url).endswith("/v2/publish/https://erp.example.com/in")
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    assert world.sweep(seconds=300).published == 0


def test_a_destination_whose_callback_came_is_not_published_to_again(world: World) -> None:
    """In the middle of a deploy QStash's answer can name its new URL: the callback tells by name."""
    world.wire.topics["relay.audit"]["erp"] = "https://erp.example.com/new"
    event = world.post().event

    world.report(event, "erp", status=500)

    assert world.sweep(seconds=300).published == 0


def test_what_went_out_of_the_configuration_is_removed_and_stops_nothing(world: World) -> None:
    """A deploy can remove what an event still waits for; the outbox goes on."""
    world.wire.failures = [500, 500, 500]
    event = world.post().event
    left = {**FLAT["url_groups"]["audit"], "destinations": ["erp"]}
    destinations = {"erp": FLAT["destinations"]["erp"]}
    flat = FLAT | {"sources": {}, "url_groups": {"audit": left}, "destinations": destinations}
    world.publisher.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)
    del world.wire.topics["relay.audit"]["ledger"]

    swept = world.sweep()
    waiting = world.statuses(event.id)
    world.sweep(seconds=300)

    assert (swept.published, swept.waiting, swept.failed) == (0, 1, 0)
    assert set(waiting.values()) == {Status.PENDING, Status.IN_FLIGHT}  # the log may tell yet that it was published
    assert world.statuses(event.id) == {
        "ledger": Status.REMOVED,
        "erp": Status.IN_FLIGHT,
        "builder": Status.REMOVED,
    }


def test_an_event_is_acknowledged_though_nothing_is_there_to_publish_with(world: World) -> None:
    """No token, no keys yet: the event is durable, and the sweep's."""

    def nothing() -> Publisher:
        raise OperatorError("no token")

    accepted = world.post(publisher=nothing)

    assert isinstance(accepted.failure, OperatorError)
    assert world.sweep().published == 1


def test_a_body_too_large_is_refused_before_anything(world: World) -> None:
    """4 MiB is taken, a byte more isn't."""
    assert world.post(b"x" * BODY_MAX_BYTES, key="fits").event.size_bytes == BODY_MAX_BYTES
    with pytest.raises(BodyTooLarge):
        world.post(b"x" * (BODY_MAX_BYTES + 1))


def test_a_body_too_large_to_carry_goes_as_a_claim_check(world: World) -> None:
    """A reference, not the body; and a link that gives it."""
    event = world.post(b"x" * (CARRIED_BODY_MAX_BYTES + 1)).event

    request = world.wire.published[0]
    assert request.headers["Content-Type"] == CLAIM_CHECK_TYPE
    assert json.loads(request.content) == {
        "event_id": event.id,
        "sha256": event.sha256,
        "size_bytes": CARRIED_BODY_MAX_BYTES + 1,
        "content_type": "application/json",
        "url": claim_url(BASE, MAC, event.id, event.sha256),
        "s3": {"bucket": world.store.bucket.name, "key": f"bodies/{event.id}/{event.sha256}"},
    }
    assert world.store.body(event) == b"x" * (CARRIED_BODY_MAX_BYTES + 1)


def test_a_forged_webhook_writes_nothing(world: World) -> None:
    """Verified before saved."""
    with pytest.raises(SignatureError):
        world.post(headers={"x-hub-signature-256": "sha256=" + "00" * 32})

    assert answers.list_events(world.store, {})["events"] == []
    assert world.wire.published == []


def test_headers_that_no_header_can_carry_are_made_safe(world: World) -> None:
    """A type out of a body may hold anything."""
    world.post(json.dumps({"action": "ä\r\nX: y"}).encode())

    assert world.wire.published[0].headers["Upstash-Forward-Relay-Event-Type"] == "push.%C3%A4 X: y"
