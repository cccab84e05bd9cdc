"""The audit and QStash's dead letters: what they tell is recorded, what nobody needs there goes, the rest stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from relay.config.settings import Settings
from relay.jobs.audit import GRACE, Audited
from relay.model.delivery import Status
from relay.qstash import client
from relay.replay.deliveries import replay_event
from tests.unit.relay.ledgers import SECOND, audited, put
from tests.unit.relay.slow import left
from tests.unit.relay.world import BASE, FLAT

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.dead_letters import DeadLetters
    from tests.unit.relay.world import World


def replayed(world: World, event: Event, name: str) -> str:
    """Have the delivery replayed, and published; return its new generation."""
    again = replay_event(
        world.store, event.id, world.router, destinations=[name], include_delivered=True, by=None, reason=None
    )
    world.sweep(seconds=1)
    return again.deliveries[0].generation


@pytest.mark.parametrize("name", ["erp", "ledger", "builder"])
@pytest.mark.parametrize("status", [Status.IN_FLIGHT, Status.PENDING, Status.UNACCOUNTED, Status.UNPUBLISHABLE])
def test_a_delivery_whose_callback_was_lost_is_dead_lettered(
    world: World, letters: DeadLetters, name: str, status: Status
) -> None:
    """Its dead letter stays in QStash: it is what a person may look at."""
    event = world.post().event
    put(world, event, name, status)
    dead = letters.add_delivery(event, name, messageId="msg_9", maxRetries=4, responseStatus=502)

    done = audited(world)

    delivery = world.store.delivery(event, name)
    (attempt,) = delivery.attempts.values()
    assert (delivery.status, delivery.dlq_id) == (Status.DEAD_LETTERED, dead)
    assert (attempt.message_id, attempt.number, attempt.status_code, attempt.succeeded) == ("msg_9", 5, 502, False)
    assert attempt.generation == event.generation
    assert (letters.ids, done.settled) == ([dead], 1)


def test_a_dead_letter_is_known_by_its_url_where_it_names_no_endpoint(world: World, letters: DeadLetters) -> None:
    event = world.post().event
    dead = letters.add_delivery(event, "builder", endpointName=None)

    audited(world)

    assert world.store.delivery(event, "builder").dlq_id == dead


def test_an_attempt_that_is_known_is_not_made_up_again(world: World, letters: DeadLetters) -> None:
    """A 489 ends a message before its retries are spent: what was reported counts, of it the last."""
    event = world.post().event
    for retried in (0, 1):
        world.report(event, "erp", status=489, retried=retried, sourceMessageId="msg_9")
    dead = letters.add_delivery(event, "erp", messageId="msg_9", responseStatus=489)

    audited(world)

    delivery = world.store.delivery(event, "erp")
    assert (delivery.status, delivery.dlq_id) == (Status.DEAD_LETTERED, dead)
    assert sorted(delivery.attempts) == ["msg_9.1", "msg_9.2"]


def test_a_dead_letter_that_nobody_told_the_id_of_gets_it(world: World, letters: DeadLetters) -> None:
    """So that a replay can delete it; the delivery itself was settled before."""
    event = world.post().event
    world.report(event, "erp", status=500, retried=2)
    dead = letters.add_delivery(event, "erp")

    done = audited(world)

    assert world.store.delivery(event, "erp").dlq_id == dead
    assert done.settled == 0


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.CANCELLED, Status.REMOVED])
def test_what_ended_otherwise_stays_as_it_is(world: World, letters: DeadLetters, status: Status) -> None:
    """Somebody may have sent the dead letter again, in QStash's console."""
    event = world.post().event
    before = put(world, event, "erp", status)
    dead = letters.add_delivery(event, "erp")

    done = audited(world)

    assert world.store.delivery(event, "erp") == before
    assert (letters.ids, done.settled) == ([dead], 0)


def test_the_dead_letter_of_a_generation_that_was_replaced_goes(world: World, letters: DeadLetters) -> None:
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    letters.add_delivery(event, "erp")
    generation = replayed(world, event, "erp")
    now = letters.add_delivery(event, "erp", generation=generation)

    done = audited(world)

    delivery = world.store.delivery(event, "erp")
    assert (delivery.status, delivery.dlq_id, delivery.generation) == (Status.DEAD_LETTERED, now, generation)
    assert (letters.ids, done.settled) == ([now], 1)


def share_a_url(world: World) -> None:
    """Have the relay configured with a destination in another group that has the URL of erp."""
    twin = FLAT["destinations"]["erp"] | {"group": "ci"}
    groups = FLAT["url_groups"] | {"ci": FLAT["url_groups"]["ci"] | {"destinations": ["twin"]}}
    flat = FLAT | {"destinations": FLAT["destinations"] | {"twin": twin}, "url_groups": groups}
    world.settings = world.publisher.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)


def test_of_two_destinations_with_one_url_the_one_that_a_group_names_died(world: World, letters: DeadLetters) -> None:
    share_a_url(world)
    event = world.post().event
    dead = letters.add_delivery(event, "erp")

    audited(world)

    assert world.store.delivery(event, "erp").dlq_id == dead
    assert world.statuses(event.id)["twin"] is Status.IN_FLIGHT


def test_of_two_destinations_with_one_url_the_one_that_died_is_told(world: World, letters: DeadLetters) -> None:
    """What was published to a URL alone names no endpoint: its failure callback says which delivery it was."""
    share_a_url(world)
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    dead = letters.add_delivery(event, "erp", generation=replayed(world, event, "erp"))

    audited(world)

    assert world.store.delivery(event, "erp").dlq_id == dead
    assert world.statuses(event.id)["twin"] is Status.IN_FLIGHT
    assert letters.ids == [dead]


@pytest.mark.parametrize(
    "letter",
    [
        {"base": "https://other.example.com"},
        {"base": f"{BASE}.au"},
        {"mac": "another relay's"},
        {"failureCallback": None},
        {"failureCallback": f"{BASE}/qstash/failure/x"},
    ],
    ids=str,
)
def test_a_dead_letter_of_another_deployment_is_never_touched(
    world: World, letters: DeadLetters, letter: dict[str, Any]
) -> None:
    """It may know the same event under another generation, or be behind a URL that begins like this one's."""
    event = world.post().event
    of_another = letters.add_delivery(event, "erp", generation="of-another", **letter)
    of_this = letters.add_delivery(event, "erp", **letter)

    done = audited(world)

    assert (letters.ids, done.settled) == ([of_another, of_this], 0)
    assert world.statuses(event.id)["erp"] is Status.IN_FLIGHT


def test_a_dead_letter_of_a_destination_that_the_event_does_not_know_stays(world: World, letters: DeadLetters) -> None:
    event = world.post().event
    dead = letters.add_delivery(event, "erp", endpointName="gone", url="https://gone.example.com")

    done = audited(world)

    assert (letters.ids, done.settled) == ([dead], 0)


def test_a_dead_letter_of_an_event_that_is_not_there_stays(world: World, letters: DeadLetters) -> None:
    """It is past the ledger's time."""
    event = world.post().event
    world.clock.at = event.expires_at
    dead = letters.add_delivery(event, "erp")

    done = audited(world)

    assert (letters.ids, done.settled) == ([dead], 0)


# -- all of them, once --------------------------------------------------------------------------------------------


def test_every_page_is_read_though_letters_go_meanwhile(world: World, letters: DeadLetters) -> None:
    letters.page_max = 2
    events = [world.post(key=str(number)).event for number in range(7)]
    for event in events:
        letters.add_callback(event, "erp")

    done = audited(world)

    assert (letters.ids, done.settled) == ([], 7)


def test_letters_since_the_last_audit_are_asked_for_and_an_hour_before(world: World, letters: DeadLetters) -> None:
    """All there are by the first; a list that lags shows some late."""
    audited(world)
    last = world.clock.at
    audited(world)

    first, second = letters.asked
    assert "fromDate" not in first
    assert int(second["fromDate"]) == int((last - timedelta(hours=1)).timestamp() * 1000)


def short(world: World, letters: DeadLetters) -> Audited:
    """Run the audit with time for two pages of QStash's dead letters: it is slow."""
    world.clock.at += GRACE + SECOND
    letters.takes_s = 3.5
    done = audited(world, after=timedelta(0), seconds=left(world, 20))
    letters.takes_s = 0.0
    return done


def test_more_letters_than_one_audit_reads_are_read_by_the_next(world: World, letters: DeadLetters) -> None:
    """However long ago they died, and though they stay in QStash."""
    letters.page_max = 2
    events = [world.post(key=str(number)).event for number in range(6)]
    dead = [letters.add_delivery(event, "erp") for event in events]
    world.clock.at += timedelta(hours=9)

    first, second, third = short(world, letters), audited(world), audited(world)

    assert (first.settled, second.settled, third.settled) == (4, 2, 0)
    assert letters.ids == dead
    assert "fromDate" in letters.asked[-1]


def test_an_audit_whose_place_in_the_list_qstash_has_forgotten_begins_again(world: World, letters: DeadLetters) -> None:
    letters.page_max = 1
    for number in range(3):
        letters.add_callback(world.post(key=str(number)).event, "erp")
    short(world, letters)
    letters.failures = [400]

    done = audited(world)

    assert (letters.ids, done.settled) == ([], 1)


# -- large ones, and slow ones ----------------------------------------------------------------------------------------


def test_letters_too_large_together_are_read_one_by_one(
    world: World, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback's holds its source's body, twice: forty were seen to be 840 MB; no more is read than has room."""
    monkeypatch.setattr(client, "ANSWER_MAX_BYTES", 40_000)
    events = [world.post(key=str(number)).event for number in range(7)]
    for event in events:
        letters.add_delivery(event, "erp", body="x" * 21_000)

    done = audited(world)

    assert [it["count"] for it in letters.asked] == ["10", "3", *["1"] * 7]
    assert (done.settled, done.complete, done.defects) == (7, True, [])


def test_a_letter_that_is_too_large_alone_keeps_no_audit_from_the_ledger(
    world: World, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person hears of it."""
    monkeypatch.setattr(client, "ANSWER_MAX_BYTES", 1_000)
    monkeypatch.setattr(client, "ONE_MAX_BYTES", 2_000)
    letters.add_delivery(world.post().event, "erp", body="x" * 3_000)

    done = audited(world)

    assert (done.balanced, done.complete) == (3, True)
    assert "over 2000 bytes" in done.defects[0]


def test_however_slow_the_list_is_the_ledger_is_balanced_and_the_next_audit_goes_on(
    world: World, letters: DeadLetters
) -> None:
    """The list has its share of a run."""
    letters.page_max = 1
    events = [world.post(key=str(number)).event for number in range(12)]
    for event in events:
        letters.add_delivery(event, "erp")
    letters.takes_s = 9.0
    runs = []
    for _ in range(4):
        world.clock.at += GRACE + SECOND
        ends = left(world, 100)
        runs.append(audited(world, after=timedelta(0), seconds=ends))
        assert ends() > 0

    assert all(it.complete for it in runs)
    assert [it.settled for it in runs] == [4, 4, 4, 0]
