"""The verbs over the real store, with QStash played at the wire."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay import callbacks, query, reconcile
from relay.accept import BODY_MAX_BYTES
from relay.errors import (
    BadRequest,
    BodyTooLarge,
    NotFound,
    OperatorError,
    QStashError,
    SignatureError,
    Undeliverable,
    UpstreamError,
)
from relay.model import Event, EventId, Status
from relay.publish import CARRIED_BODY_MAX_BYTES, CLAIM_CHECK_TYPE, Publisher
from relay.replay import replay_deliveries, replay_event
from relay.settings import Settings
from relay.settle import settle
from relay.sweep import refresh_keys, sweep
from relay.targets import deliver
from tests.unit.relay.world import BASE, FLAT, MAC, World

if TYPE_CHECKING:
    from tests.conftest import LocalClients


@pytest.fixture
def world(local_clients: LocalClients) -> World:
    return World(local_clients)


# -- accept ---------------------------------------------------------------------------------------------------------


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
    """Ingest acknowledges; the sweep publishes under the same deduplication id."""
    world.wire.failures = [failure]

    accepted = world.post()
    swept = world.sweep()

    assert isinstance(accepted.failure, QStashError)
    assert swept.published == 1
    ids = [it.headers["Upstash-Deduplication-Id"] for it in world.wire.published]
    assert len(ids) == 3
    assert len(set(ids)) == 2
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}
    assert world.sweep().published == 0


def test_a_publish_whose_answer_was_lost_is_not_made_twice_when_its_id_is_forgotten(world: World) -> None:
    """Past QStash's shorter window its logs are asked first."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    accepted = world.post()
    world.wire.forget_ids = True

    world.sweep(seconds=11 * 60)

    assert [it.url.path for it in world.wire.published].count("/v2/publish/relay.audit") == 1
    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}


def test_what_qstash_never_got_is_published_late(world: World) -> None:
    """Absent from the logs: publish."""
    world.wire.failures = [500, 500]
    accepted = world.post()

    world.sweep(seconds=3600)

    assert set(world.statuses(accepted.event.id).values()) == {Status.IN_FLIGHT}


def test_beyond_the_logs_a_person_decides(world: World) -> None:
    """Nobody can know whether it was published: never guess."""
    world.wire.failures = [500, 500]
    world.post()

    swept = world.sweep(seconds=4 * 86_400)

    assert (swept.published, swept.failed) == (0, 1)
    assert len(world.wire.published) == 2


def test_a_publish_that_can_never_succeed_is_unpublishable(world: World) -> None:
    """And doesn't stay in the outbox for ever."""
    world.wire.failures = [412]

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

    swept = world.sweep(seconds=150)

    assert swept.published == 1
    assert str(world.wire.published[-1].url).endswith("/v2/publish/https://erp.example.com/in")
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    assert world.sweep(seconds=150).published == 0


def test_a_destination_whose_callback_came_is_not_published_to_again(world: World) -> None:
    """In the middle of a deploy QStash's answer can name its new URL: the callback tells by name."""
    world.wire.topics["relay.audit"]["erp"] = "https://erp.example.com/new"
    event = world.post().event

    world.report(event, "erp", status=500)

    assert world.sweep(seconds=150).published == 0


def test_what_went_out_of_the_configuration_is_unpublishable_and_stops_nothing(world: World) -> None:
    """A deploy can remove what an event still waits for; the outbox goes on."""
    world.wire.failures = [500, 500]
    event = world.post().event
    left = {**FLAT["url_groups"]["audit"], "destinations": ["erp"]}
    destinations = {"erp": FLAT["destinations"]["erp"]}
    flat = FLAT | {"sources": {}, "url_groups": {"audit": left}, "destinations": destinations}
    world.publisher.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)
    del world.wire.topics["relay.audit"]["ledger"]

    swept = world.sweep()

    assert (swept.published, swept.failed) == (1, 0)
    assert world.statuses(event.id) == {
        "ledger": Status.UNPUBLISHABLE,
        "erp": Status.IN_FLIGHT,
        "builder": Status.UNPUBLISHABLE,
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
    """A reference, not the body."""
    event = world.post(b"x" * (CARRIED_BODY_MAX_BYTES + 1)).event

    request = world.wire.published[0]
    assert request.headers["Content-Type"] == CLAIM_CHECK_TYPE
    assert json.loads(request.content)["sha256"] == event.sha256
    assert world.store.body(event) == b"x" * (CARRIED_BODY_MAX_BYTES + 1)


def test_a_forged_webhook_writes_nothing(world: World) -> None:
    """Verified before saved."""
    with pytest.raises(SignatureError):
        world.post(headers={"x-hub-signature-256": "sha256=" + "00" * 32})

    assert query.list_events(world.store, {})["events"] == []
    assert world.wire.published == []


def test_headers_that_no_header_can_carry_are_made_safe(world: World) -> None:
    """A type out of a body may hold anything."""
    world.post(json.dumps({"action": "ä\r\nX: y"}).encode())

    assert world.wire.published[0].headers["Upstash-Forward-Relay-Event-Type"] == "push.%C3%A4%0D%0AX: y"


# -- settle ---------------------------------------------------------------------------------------------------------


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
    shown = query.show_event(world.store, event.id, with_body=True)
    erp = next(it for it in shown["deliveries"] if it["destination"] == "erp")
    assert [(it["number"], it["status_code"], it["outcome"]) for it in erp["attempts"]] == [
        (1, 500, "failed"),
        (2, 200, "succeeded"),
    ]
    assert erp["attempts"][0]["response"] == "oops"
    ledger = next(it for it in shown["deliveries"] if it["destination"] == "ledger")
    assert ledger["dlq_id"] == "17-0"
    assert shown["body"] == "{}"


def test_attempts_are_shown_in_the_order_they_were_made(world: World) -> None:
    """Callbacks overtake one another; a replay's attempts come after those before it."""
    event = world.post().event
    for message, retried in [("msg_a", 1), ("msg_a", 0), ("msg_b", 0), ("msg_a", 2)]:
        world.clock.at += timedelta(seconds=1)
        world.report(event, "erp", status=500, sourceMessageId=message, retried=retried)

    shown = query.attempts_json(world.store.delivery(event, "erp"))

    assert [(it["message_id"], it["number"]) for it in shown] == [
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


def test_an_endpoint_without_a_name_is_known_by_its_url(world: World) -> None:
    """The callback's url is the destination's."""
    event = world.post().event

    world.report(event, "erp", endpointName=None, url="https://erp.example.com/in")

    assert world.statuses(event.id)["erp"] is Status.DELIVERED


@pytest.mark.parametrize("change", ["mac", "event", "kind", "short"])
def test_a_callback_path_that_the_relay_did_not_make_is_refused(world: World, change: str) -> None:
    """A destination knows the signing keys' effect, never the MAC's."""
    event = world.post().event
    path = callbacks.Address("callback", event.id, event.generation, "g.audit").url("", MAC)
    forged = {
        "mac": path[:-1] + ("0" if path[-1] != "0" else "1"),
        "event": path.replace(event.id, event.id[:-1] + "x"),
        "kind": path.replace("callback", "failure"),
        "short": path.rpartition("/")[0],
    }[change]

    with pytest.raises(SignatureError):
        settle(forged, b"{}", mac_key=MAC, settings=world.settings, store=world.store)


@pytest.mark.parametrize("unknown", ["event", "destination"])
def test_a_callback_that_fits_nothing_is_kept_and_counted(world: World, unknown: str) -> None:
    """Never lost: an expired record, a destination that was removed."""
    event = world.post().event
    for _ in range(2):
        if unknown == "event":
            path = callbacks.Address("callback", EventId("rly_gone"), event.generation, "g.audit").url("", MAC)
            body = json.dumps({"sourceMessageId": "m", "status": 200}).encode()
            settled = settle(path, body, mac_key=MAC, settings=world.settings, store=world.store)
        else:
            settled = world.report(event, "gone")
        assert settled.after is None

    assert world.store.count("orphans") == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"sourceMessageId": "m", "status": "x"}', b"\xff", b"[" * 99_999]
)
def test_a_body_that_is_no_callback_is_refused_plainly(world: World, body: bytes) -> None:
    """A 400, never a stack trace."""
    event = world.post().event
    path = callbacks.Address("callback", event.id, event.generation, "g.audit").url("", MAC)

    with pytest.raises(BadRequest):
        settle(path, body, mac_key=MAC, settings=world.settings, store=world.store)


# -- deliver --------------------------------------------------------------------------------------------------------


class Bus:
    """EventBridge's client as far as deliver uses it: what it is given, and what it answers."""

    def __init__(self, answer: Any = None) -> None:
        self.entries: list[Any] = []
        self.answer = answer or {"FailedEntryCount": 0}

    def put_events(self, *, Entries: list[Any]) -> Any:  # noqa: N803  # AWS's name
        self.entries += Entries
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def hand_over(world: World, event: Event, bus: Bus, body: bytes = b"{}", name: str = "ledger") -> Event:
    headers = {"relay-event-id": event.id}
    return deliver(name, headers=headers, body=body, settings=world.settings, store=world.store, client=bus)


def test_a_delivery_is_handed_to_the_bus_and_recorded(world: World) -> None:
    """With the delivery's id, so that a consumer can deduplicate."""
    event, bus = world.post().event, Bus()

    hand_over(world, event, bus)

    detail = json.loads(bus.entries[0]["Detail"])
    assert bus.entries[0]["DetailType"] == "github"
    assert bus.entries[0]["Source"] == "relay.github"
    assert detail["body"] == {}
    assert detail["delivery_id"].endswith(".ledger")
    assert world.store.delivery(event, "ledger").handed_over_at == world.clock()


def test_a_failed_hand_over_is_not_recorded_and_is_retried(world: World) -> None:
    """QStash sends it again after a non-2xx."""
    event = world.post().event

    with pytest.raises(UpstreamError):
        hand_over(world, event, Bus({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}))

    assert world.store.delivery(event, "ledger").handed_over_at is None


def test_what_the_bus_will_never_take_is_not_retried(world: World) -> None:
    """489, straight to the dead letters."""
    from botocore.exceptions import ClientError

    event = world.post().event
    error = ClientError({"Error": {"Code": "ValidationException", "Message": "too large"}}, "PutEvents")

    with pytest.raises(Undeliverable):
        hand_over(world, event, Bus(error))


def test_a_delivery_whose_body_is_not_the_events_is_refused(world: World) -> None:
    """QStash's signature covers body and URL, not the header that names the event."""
    one, other, bus = world.post().event, world.post(b"[]", key="d-2").event, Bus()

    with pytest.raises(BadRequest):
        hand_over(world, other, bus)
    with pytest.raises(NotFound):
        hand_over(world, one, bus, name="erp")

    assert bus.entries == []


# -- replay ---------------------------------------------------------------------------------------------------------


def test_a_replayed_dead_letter_is_published_to_its_destination_alone(world: World) -> None:
    """A new generation, a new deduplication id: QStash doesn't swallow it."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2, dlqId="17-0")
    world.report(event, "builder", scope="g.ci")
    before = len(world.wire.published)

    replay = replay_event(
        world.store, event.id, destinations=None, include_delivered=False, by="arn:me", reason="repaired"
    )
    swept = world.sweep(seconds=1)

    assert [it.destination for it in replay.deliveries] == ["erp"]
    assert {name for name, _ in replay.skipped} == {it for it in (x[0] for x in replay.skipped) if "erp" not in it}
    assert swept.published == 1
    (again,) = world.wire.published[before:]
    assert str(again.url).endswith("/v2/publish/https://erp.example.com/in")
    ids = {it.headers["Upstash-Deduplication-Id"] for it in world.wire.published}
    assert len(ids) == 3
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT
    generation = replay.deliveries[0].generation
    world.report(event, "erp", generation=generation, scope="d.erp", sourceMessageId="msg_new")
    assert world.statuses(event.id)["erp"] is Status.DELIVERED


def test_each_replay_has_a_deduplication_id_of_its_own(world: World) -> None:
    """A second replay to the same destination isn't swallowed as a duplicate of the first."""
    event = world.post().event
    generation = event.generation
    for _ in range(3):
        world.report(event, "erp", "failure", status=500, retried=2, generation=generation, scope="d.erp")
        replay = replay_event(
            world.store, event.id, destinations=["erp"], include_delivered=False, by=None, reason=None
        )
        generation = replay.deliveries[0].generation
        world.sweep(seconds=1)

    ids = [it.headers["Upstash-Deduplication-Id"] for it in world.wire.published]
    assert len(set(ids)) == len(ids) == 2 + 3


def test_a_late_report_of_the_old_generation_does_not_touch_the_new_one(world: World) -> None:
    """The replay is in flight until its own report comes."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    replay_event(world.store, event.id, destinations=["erp"], include_delivered=False, by=None, reason=None)
    world.sweep(seconds=1)

    world.report(event, "erp", status=500, retried=1)

    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_what_is_still_on_its_way_is_not_replayed(world: World) -> None:
    """Only a terminal delivery gets a new generation."""
    event = world.post().event
    delivery = world.store.delivery(event, "erp")

    replay = replay_deliveries(world.store, [delivery.id], by=None, reason=None)

    assert replay.deliveries == []
    assert replay.skipped == [(delivery.id, "it is in_flight")]


# -- sweep, sync, query -----------------------------------------------------------------------------------------------


def test_two_sweeps_at_once_are_one(world: World) -> None:
    """Under a lease."""
    world.wire.failures = [500, 500]
    world.post()
    world.clock.at += timedelta(seconds=40)
    assert world.store.take_lease("sweep", "another", timedelta(seconds=60))

    assert sweep(world.publisher, owner="a", seconds_left=lambda: 30).skipped


def test_a_sweep_that_runs_out_of_time_goes_on_next_time(world: World) -> None:
    """Bounded per run."""
    world.wire.failures = [500] * 6
    for number in range(3):
        world.post(key=str(number))
    world.clock.at += timedelta(seconds=40)
    left = iter([30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

    first = sweep(world.publisher, owner="a", seconds_left=lambda: next(left, 0))
    second = sweep(world.publisher, owner="b", seconds_left=lambda: 30)

    assert first.published < 3
    assert first.published + second.published == 3


def test_signing_keys_are_read_from_qstash_and_the_mac_key_is_made_once(world: World) -> None:
    """Keys roll by themselves."""
    assert refresh_keys(world.store, world.qstash)
    mac = world.store.keys()["mac"]
    assert not refresh_keys(world.store, world.qstash)

    assert world.store.keys()["current"] == "sig_a"
    assert world.store.keys()["mac"] == mac


def wanted(*names: str) -> str:
    return json.dumps(
        {"relay": "relay", "groups": {"relay.audit": [{"name": n, "url": f"https://{n}.example"} for n in names]}}
    )


def test_a_change_adds_first_and_removes_in_the_clean_up(world: World) -> None:
    """No event is missed in between."""

    def add(text: str) -> str:
        return reconcile.add(text, qstash=world.qstash, store=world.store)

    world.wire.topics = {"other.x": {"a": "https://a"}, "relaying.x": {"a": "https://a"}}
    old = add(wanted("a", "b"))

    new = add(wanted("b", "c"))
    during = set(world.wire.topics["relay.audit"])
    reconcile.remove(old, "relay", qstash=world.qstash, store=world.store)

    assert during == {"a", "b", "c"}
    assert set(world.wire.topics["relay.audit"]) == {"b", "c"}
    reconcile.remove(new, "relay", qstash=world.qstash, store=world.store)
    assert set(world.wire.topics) == {"other.x", "relaying.x"}


@pytest.mark.parametrize("asked_again", [True, False])
def test_a_rollback_applies_the_old_state(world: World, *, asked_again: bool) -> None:
    """Whether or not CloudFormation asks for the old state again before it deletes the new one."""
    old = reconcile.add(wanted("a", "b"), qstash=world.qstash, store=world.store)
    world.clock.at += timedelta(seconds=1)
    new = reconcile.add(wanted("b", "c").replace("https://b", "https://moved"), qstash=world.qstash, store=world.store)
    world.clock.at += timedelta(seconds=1)

    if asked_again:
        assert reconcile.add(wanted("a", "b"), qstash=world.qstash, store=world.store) == old
    reconcile.remove(new, "relay", qstash=world.qstash, store=world.store)

    assert world.wire.topics["relay.audit"] == {"a": "https://a.example", "b": "https://b.example"}


@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ({"colour": "red"}, "unknown_filter", "colour"),
        ({"status": "lost"}, "bad_filter", "status"),
        ({"since": "yesterday"}, "bad_filter", "since"),
        ({"until": "2026-01-31T09:00:00"}, "bad_filter", "until"),
        ({"limit": "0"}, "bad_filter", "limit"),
        ({"limit": "9999999999"}, "bad_filter", "limit"),
        ({"cursor": "x"}, "bad_cursor", "cursor"),
        ({"cursor": "bnVsbA"}, "bad_cursor", "cursor"),
    ],
)
def test_a_filter_or_cursor_that_there_is_not_is_named(
    world: World, asked: dict[str, str], code: str, says: str
) -> None:
    """400, with what to do."""
    for listing in (query.list_events, query.list_deliveries):
        with pytest.raises(BadRequest, match=says) as refused:
            listing(world.store, asked)
        assert refused.value.code == code


def test_a_cursor_of_another_query_is_refused(world: World) -> None:
    """It would skip or repeat."""
    for number in range(3):
        world.clock.at += timedelta(seconds=1)
        world.post(key=str(number))
    cursor = query.list_events(world.store, {"limit": "2"})["cursor"]

    assert len(query.list_events(world.store, {"limit": "2", "cursor": cursor})["events"]) == 1
    with pytest.raises(BadRequest):
        query.list_events(world.store, {"limit": "2", "cursor": cursor, "source": "github"})


def test_events_are_found_by_what_became_of_them(world: World) -> None:
    """At 3 a.m.: which events died, and where."""
    one = world.post(key="1").event
    world.clock.at += timedelta(seconds=1)
    world.post(key="2")
    world.report(one, "erp", "failure", status=500, retried=2)

    found = query.list_events(world.store, {"status": "dead_lettered"})["events"]
    deliveries = query.list_deliveries(world.store, {"destination": "erp"})["deliveries"]

    assert [it["id"] for it in found] == [one.id]
    assert {it["status"] for it in deliveries} == {"dead_lettered", "in_flight"}
    assert query.list_events(world.store, {"destination": "erp", "status": "delivered"})["events"] == []


def test_an_event_is_found_by_its_sources_own_id(world: World) -> None:
    """Or by a delivery's id."""
    event = world.post(key="guid:1").event

    assert query.resolve("github:guid:1", world.settings) == event.id
    assert query.resolve(f"dlv_{event.id[4:]}.erp", world.settings) == event.id
    assert query.resolve(event.id, world.settings) == event.id


def test_an_event_needs_one_table_query(world: World) -> None:
    """Deliveries and attempts included."""
    event = world.post().event
    calls: list[str] = []
    world.store.table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    query.show_event(world.store, event.id, with_body=False)

    assert calls == ["Query"]
