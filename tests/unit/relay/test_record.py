"""Recording over the real store: what QStash's callbacks tell of each delivery."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from relay import urls
from relay.errors import BadRequest, SignatureError
from relay.ledger.record import settle
from relay.model.delivery import Status
from relay.model.ids import EventId, new_generation
from relay.query import answers, views
from tests.unit.relay.world import MAC, World


def test_callbacks_tell_each_destinations_story(world: World) -> None:
    """Attempts by number, the last one decides."""
    event = world.post().event

    world.report(event, "erp", status=500, body=base64.b64encode(b"oops").decode())
    world.report(event, "erp", status=200, retried=1)
    world.report(event, "ledger", status=0, retried=2)
    world.report(event, "ledger", "failure", status=500, retried=2, dlqId="17-0")
    world.report(event, "builder", scope="g.ci", status=204)

    assert world.statuses(event.id) == {
        "erp": Status.DELIVERED,
        "ledger": Status.DEAD_LETTERED,
        "builder": Status.DELIVERED,
    }
    found = answers.show_event(world.store, event.id, with_body=True)
    erp = next(it for it in found["deliveries"] if it["destination"] == "erp")
    assert [(it["number"], it["status_code"], it["outcome"]) for it in erp["attempts"]] == [
        (1, 500, "failed"),
        (2, 200, "succeeded"),
    ]
    assert erp["attempts"][0]["response"] == "oops"
    ledger = next(it for it in found["deliveries"] if it["destination"] == "ledger")
    assert ledger["dlq_id"] == "17-0"
    assert found["body"] == "{}"


def test_attempts_are_shown_in_the_order_they_were_made(world: World) -> None:
    """Callbacks overtake one another; a replay's attempts come after those before it."""
    event = world.post().event
    for message, retried in [("msg_a", 1), ("msg_a", 0), ("msg_b", 0), ("msg_a", 2)]:
        world.clock.at += timedelta(seconds=1)
        world.report(event, "erp", status=500, sourceMessageId=message, retried=retried)

    told = views.attempts_json(world.store.delivery(event, "erp"))

    assert [(it["message_id"], it["number"]) for it in told] == [
        ("msg_a", 1),
        ("msg_a", 2),
        ("msg_a", 3),
        ("msg_b", 1),
    ]


def test_a_489_is_dead_at_its_first_attempt(world: World) -> None:
    """The failure callback says so, retries left or not."""
    event = world.post().event

    world.report(event, "erp", "failure", status=489, dlqId="17-0")

    assert world.statuses(event.id)["erp"] is Status.DEAD_LETTERED


def test_a_callback_that_doesnt_say_how_many_attempts_there_are_is_of_none_that_was_the_last(world: World) -> None:
    """A null says as little as a name that isn't there."""
    event = world.post().event

    world.report(event, "erp", status=500, maxRetries=None)

    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_an_endpoint_without_a_name_is_known_by_its_url(world: World) -> None:
    """The callback's url is the destination's."""
    event = world.post().event

    world.report(event, "erp", endpointName=None, url="https://erp.example.com/in")

    assert world.statuses(event.id)["erp"] is Status.DELIVERED


@pytest.mark.parametrize("change", ["mac", "event", "kind", "short"])
def test_a_callback_path_that_the_relay_did_not_make_is_refused(world: World, change: str) -> None:
    """A destination knows the signing keys' effect, never the MAC's."""
    event = world.post().event
    path = urls.CallbackAddress("callback", event.id, event.generation, "g.audit").url("", MAC)
    forged = {
        "mac": path[:-1] + ("0" if path[-1] != "0" else "1"),
        "event": path.replace(event.id, event.id[:-1] + "x"),
        "kind": path.replace("callback", "failure"),
        "short": path.rpartition("/")[0],
    }[change]

    with pytest.raises(SignatureError):
        settle(forged, b"{}", mac_key=MAC, settings=world.settings, store=world.store)


@pytest.mark.parametrize("scope", ["g.audit", "d.erp"])
def test_a_callback_of_an_event_that_is_gone_is_kept_and_counted_once(world: World, scope: str) -> None:
    """Never lost: its record may have expired."""
    path = urls.CallbackAddress("callback", EventId("rly_gone"), new_generation(), scope).url("", MAC)
    body = json.dumps({"sourceMessageId": "m", "status": 200, "endpointName": "erp"}).encode()

    with world.acting("record"):
        settled = [settle(path, body, mac_key=MAC, settings=world.settings, store=world.store) for _ in range(2)]

    assert [(it.after, it.new_orphan, it.unexpected) for it in settled] == [(None, True, None), (None, False, None)]
    assert world.store.state.count("orphans") == 1


@pytest.mark.parametrize(("scope", "name"), [("d.gone", "gone"), ("g.other", "gone"), ("g.audit", None)])
def test_so_is_one_of_a_destination_that_the_event_was_never_published_to(
    world: World, scope: str, name: str | None
) -> None:
    event = world.post().event

    settled = world.report(event, name or "", endpointName=name, scope=scope)

    assert (settled.after, settled.new_orphan, settled.unexpected) == (None, True, None)
    assert world.store.state.count("orphans") == 1


def test_an_endpoint_that_joined_the_group_while_the_event_was_on_its_way_is_nothing_to_look_into(world: World) -> None:
    """In a deploy what is new is there first; nothing is owed to it of what came before."""
    event = world.post().event

    settled = world.report(event, "joined")

    assert (settled.after, settled.new_orphan, settled.unexpected) == (None, False, "joined")
    assert world.store.state.count("orphans") == 0
    assert "joined" not in world.statuses(event.id)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"sourceMessageId": "m", "status": "x"}', b"\xff", b"[" * 99_999]
)
def test_a_body_that_is_no_callback_is_refused_plainly(world: World, body: bytes) -> None:
    """A 400, never a stack trace."""
    event = world.post().event
    path = urls.CallbackAddress("callback", event.id, event.generation, "g.audit").url("", MAC)

    with pytest.raises(BadRequest):
        settle(path, body, mac_key=MAC, settings=world.settings, store=world.store)
