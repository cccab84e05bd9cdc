"""Publishing once QStash may have forgotten the id: its log is asked first; never two messages for one delivery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from relay.model.delivery import Status
from relay.publishing.answers import Done, Failed
from relay.publishing.deduplication import SAME_ID_WINDOW, UNTRACEABLE
from relay.qstash.client import CLOCK_MARGIN, LOG_LITTLE_PAGES
from relay.qstash.message_log import LOG_LAG, LOG_RETENTION

if TYPE_CHECKING:
    from relay.model.event import Event
    from relay.publishing.messages import Publication
    from tests.unit.relay.world import World

LATE = SAME_ID_WINDOW + timedelta(minutes=2)


def unheard(world: World, key: str = "d-1") -> Event:
    """Return an event that QStash has taken, though its answer was lost."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    return world.post(key=key).event


def packed(world: World, *events: Event) -> list[Publication]:
    """Return what *events* owe: two publications each."""
    return [publication for event in events for publication in world.owed_publications(event)]


def test_the_log_is_asked_once_for_all(world: World) -> None:
    """In bulk: a page of the outbox costs a call, not one an event."""
    events = [unheard(world, key=str(number)) for number in range(3)]
    world.wire.forget_ids = True
    world.clock.at += LATE

    outcomes = world.publisher.publish(packed(world, *events))

    assert outcomes == [Done()] * 6
    assert [it.url.params.get_list("label") for it in world.wire.log_calls] == [sorted(it.label for it in events)]
    assert len(world.wire.published) == 6
    assert {status for it in events for status in world.statuses(it.id).values()} == {Status.IN_FLIGHT}


def test_within_the_window_the_log_is_not_asked(world: World) -> None:
    """The same id again is safe, and the log lags."""
    event = unheard(world)
    world.clock.at += SAME_ID_WINDOW

    world.publisher.publish(packed(world, event))

    assert world.wire.log_calls == []
    assert len(world.wire.taken) == 2


def test_past_the_window_it_is(world: World) -> None:
    """QStash's docs say ten minutes, and ninety days."""
    event = unheard(world)
    world.clock.at += SAME_ID_WINDOW + timedelta(seconds=1)

    world.publisher.publish(packed(world, event))

    assert len(world.wire.log_calls) == 1
    assert world.message(event, "erp") == world.wire.logs[1]["messageId"]


def partly_there(world: World) -> Event:
    """Return an event whose group lacked erp in QStash as it was published, unheard; the log was asked since."""
    erp = world.wire.topics["relay.audit"].pop("erp")
    event = unheard(world)
    world.wire.topics["relay.audit"]["erp"] = erp
    world.wire.forget_ids = True
    world.sweep(LATE.total_seconds())
    return event


def test_of_a_group_that_is_there_in_part_the_rest_is_owed(world: World) -> None:
    """Its line may come yet, so not before the log can't lag any more; and the group isn't published to again."""
    event = partly_there(world)

    erp = world.delivery(event, "erp")
    assert (erp.status, erp.due_at) == (Status.PENDING, world.clock.at + LOG_LAG)
    assert world.statuses(event.id) == {
        "ledger": Status.IN_FLIGHT,
        "erp": Status.PENDING,
        "builder": Status.IN_FLIGHT,
    }
    assert len(world.wire.published) == 2


def test_the_rest_is_published_to_alone_once_the_log_still_lacks_it(world: World) -> None:
    """One message for each delivery, in the end."""
    event = partly_there(world)

    world.sweep(LOG_LAG.total_seconds())
    world.sweep(LOG_LAG.total_seconds())

    assert [str(it.url) for it in world.wire.published[2:]] == [
        "https://qstash.example.com/v2/publish/https://erp.example.com/in"
    ]
    assert world.delivery(event, "erp").status is Status.IN_FLIGHT


def test_the_rest_is_not_published_to_where_its_line_came_late(world: World) -> None:
    """It was in the group's message after all: a second one would be a double."""
    event = partly_there(world)
    world.wire.say("msg_late", "CREATED", url="https://erp.example.com/in", label=event.label, endpointName="erp")

    world.sweep(LOG_LAG.total_seconds())

    assert len(world.wire.published) == 2
    assert world.message(event, "erp") == "msg_late"


def test_nothing_late_is_published_while_the_log_fails(world: World) -> None:
    """All of it stays in the outbox; what is young goes on its way."""
    late = unheard(world)
    world.wire.forget_ids = True
    world.clock.at += LATE
    young = world.save(key="young")
    world.wire.broken = {"GET /v2/logs": 500}

    outcomes = world.publisher.publish(packed(world, late, young))

    assert [getattr(it.error, "answered", None) for it in outcomes[:2] if isinstance(it, Failed)] == [500, 500]
    assert outcomes[2:] == [Done(), Done()]
    assert set(world.statuses(late.id).values()) == {Status.PENDING}
    assert set(world.statuses(young.id).values()) == {Status.IN_FLIGHT}


def forgotten(world: World) -> Event:
    """Return an unheard event whose lines the log has forgotten, among many others that it has."""
    event = unheard(world)
    world.wire.page_max = 2
    world.clock.at += LATE
    world.wire.forgot_ms = int(world.clock.at.timestamp() * 1000)
    for number in range(2 * LOG_LITTLE_PAGES + 1):
        world.wire.say(f"other_{number}", "CREATED", label="other")
    return event


def test_where_the_log_was_cut_by_number_a_person_decides(world: World) -> None:
    """Absent means nothing there: it may have been published, so nobody guesses."""
    event = forgotten(world)

    outcomes = world.publisher.publish(packed(world, event))

    assert outcomes == [Done(), Done()]
    assert len(world.wire.published) == 2
    assert set(world.statuses(event.id).values()) == {Status.UNACCOUNTED}
    assert UNTRACEABLE in str(world.delivery(event, "erp").reason)
    assert world.store.event(event.id).unpublished == frozenset()  # type: ignore[union-attr]


def test_where_the_log_goes_back_further_what_it_lacks_is_published(world: World) -> None:
    """An older line, whosever, proves that nothing since was forgotten."""
    world.wire.say("older", "CREATED", label="other")
    world.clock.at += CLOCK_MARGIN
    event = world.save()
    world.wire.page_max = 2
    world.clock.at += LATE
    for number in range(2 * LOG_LITTLE_PAGES + 1):
        world.wire.say(f"other_{number}", "CREATED", label="other")

    world.publisher.publish(packed(world, event))

    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_where_the_whole_log_is_one_page_what_it_lacks_is_published(world: World) -> None:
    """A young account's log has nothing older, and has forgotten nothing."""
    event = world.save()
    world.clock.at += LATE
    world.wire.say("other", "CREATED", label="other")

    world.publisher.publish(packed(world, event))

    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


@pytest.mark.parametrize(
    ("age", "status"),
    [(LOG_RETENTION, Status.IN_FLIGHT), (LOG_RETENTION + timedelta(seconds=1), Status.UNACCOUNTED)],
)
def test_the_log_is_believed_for_as_long_as_it_is_kept(world: World, age: timedelta, status: Status) -> None:
    """Three days on the free plan; beyond, an empty log says nothing."""
    event = world.save()
    world.clock.at += age

    world.publisher.publish(packed(world, event))

    assert set(world.statuses(event.id).values()) == {status}


def test_what_the_log_still_shows_is_in_flight_however_old(world: World) -> None:
    """A larger plan's log is kept for longer."""
    event = unheard(world)
    world.wire.forget_ids = True
    world.clock.at += LOG_RETENTION * 2

    world.publisher.publish(packed(world, event))

    assert len(world.wire.published) == 2
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


def test_the_log_is_asked_of_the_time_when_it_may_have_been_published_first(world: World) -> None:
    """Not of now, where it always reaches."""
    event = forgotten(world)

    world.publisher.publish(packed(world, event))

    asked = {it.url.params["toDate"] for it in world.wire.log_calls if "toDate" in it.url.params}
    assert {datetime.fromtimestamp(int(it) / 1000, UTC) for it in asked} == {event.received_at - CLOCK_MARGIN}


def test_each_is_judged_by_its_own_age(world: World) -> None:
    """The log reaches back to the younger one, so that is published; the older one is a person's."""
    older = world.save(key="older")
    world.clock.at += timedelta(minutes=1)
    world.wire.forgot_ms = int(world.clock.at.timestamp() * 1000)
    world.wire.say("between", "CREATED", label="other")
    world.clock.at += timedelta(minutes=1)
    younger = world.save(key="younger")
    world.clock.at += LATE
    world.wire.page_max = 2
    for number in range(2 * LOG_LITTLE_PAGES + 1):
        world.wire.say(f"other_{number}", "CREATED", label="other")

    outcomes = world.publisher.publish(packed(world, older, younger))

    assert outcomes == [Done()] * 4
    assert set(world.statuses(older.id).values()) == {Status.UNACCOUNTED}
    assert set(world.statuses(younger.id).values()) == {Status.IN_FLIGHT}


def test_what_is_refused_now_and_was_taken_before_is_in_flight(world: World) -> None:
    """Its answer was lost; a deploy changed what is published since."""
    event = unheard(world)
    world.wire.refused = {b"{}": 400}

    done = world.sweep(40)

    assert (done.published, done.failed) == (1, 0)
    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}
    assert world.message(event, "erp") == world.wire.logs[1]["messageId"]


def test_what_is_refused_while_the_log_fails_stays_owed(world: World) -> None:
    event = unheard(world)
    world.wire.refused = {b"{}": 400}
    world.wire.broken = {"GET /v2/logs": 500}

    done = world.sweep(40)

    assert (done.published, done.failed) == (0, 1)
    assert set(world.statuses(event.id).values()) == {Status.PENDING}


@pytest.mark.parametrize(
    ("age", "status"), [(LOG_LAG - timedelta(seconds=1), Status.PENDING), (LOG_LAG, Status.UNPUBLISHABLE)]
)
def test_what_is_refused_and_isnt_in_the_log_is_unpublishable_once_that_cant_lag(
    world: World, age: timedelta, status: Status
) -> None:
    event = world.save()
    world.wire.refused = {b"{}": 413}

    world.sweep(age.total_seconds())

    assert set(world.statuses(event.id).values()) == {status}
