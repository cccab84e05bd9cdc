"""What QStash refuses: the destination that is why waits for itself, the others have it now, and nothing is doubled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.concern import Concern
from relay.model.delivery import SWEEP_AFTER, Status
from relay.publishing.publisher import RETRIED_FOR
from relay.qstash.message_log import LOG_LAG
from tests.flat import publishing
from tests.unit.relay.slow import slow_aws
from tests.unit.relay.world import FLAT, routed

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World

ERP = "erp.example.com"
HOUR = timedelta(hours=1)
MINUTE_S = 60.0
ALL_IN_FLIGHT = {"ledger": Status.IN_FLIGHT, "erp": Status.IN_FLIGHT, "builder": Status.IN_FLIGHT}


def without(name: str, status: Status = Status.PENDING) -> dict[str, Status]:
    return ALL_IN_FLIGHT | {name: status}


def made(world: World) -> dict[str, int]:
    """Return how many messages QStash has made for each URL."""
    found: dict[str, int] = {}
    for row in world.wire.logs:
        if row["state"] == "CREATED":
            found[row["url"]] = found.get(row["url"], 0) + 1
    return found


def once_each(world: World, events: int = 1) -> bool:
    """Tell whether QStash has made one message for each delivery."""
    urls = {world.settings.destination_url(name) for name in ("ledger", "erp", "builder")}
    return made(world) == dict.fromkeys(urls, events)


def for_(world: World, age: timedelta, every: timedelta = timedelta(minutes=15)) -> None:
    """Have the sweep come again and again for so long."""
    for _ in range(int(age / every)):
        world.sweep(every.total_seconds())


def unheard_at_erp(world: World, host: str = ERP) -> Event:
    """Return an event that QStash has taken, unheard, before it couldn't resolve a name any more."""
    world.wire.failures = [httpx.ReadTimeout("void")]
    event = world.post().event
    world.wire.unresolvable = {host}
    return event


# -- one endpoint of a group --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "endpoint resolves to a loopback address: {}", "no words of ours: {}"])
def test_a_group_that_is_refused_for_one_endpoint_is_published_to_each_alone_at_once(world: World, words: str) -> None:
    """Its first publish is refused for certain, so the healthy ones needn't wait; whatever QStash's words are."""
    world.wire.refusal = words or world.wire.refusal
    world.wire.unresolvable = {ERP}

    accepted = world.post()

    assert world.statuses(accepted.event.id) == without("erp")
    assert ERP in str(world.delivery(accepted.event, "erp").reason)
    assert world.delivery(accepted.event, "ledger").reason is None
    assert accepted.failure is not None
    assert world.store.event(accepted.event.id).unpublished == frozenset()  # type: ignore[union-attr]


def test_a_name_that_resolves_again_is_delivered_to(world: World) -> None:
    """By itself, within minutes, and each destination once."""
    world.wire.unresolvable = {ERP}
    event = world.post().event
    for_(world, HOUR)
    world.wire.unresolvable = set()

    world.sweep(15 * MINUTE_S)

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert world.delivery(event, "erp").reason is None
    assert once_each(world)


def test_a_name_that_doesnt_resolve_for_a_day_is_final_for_its_destination_alone(world: World) -> None:
    """Not before; with QStash's own words."""
    world.wire.unresolvable = {ERP}
    event = world.post().event

    for_(world, RETRIED_FOR[Concern.ENDPOINT] - HOUR)
    before = world.statuses(event.id)
    for_(world, 2 * HOUR)

    assert before == without("erp")
    assert world.statuses(event.id) == without("erp", Status.UNPUBLISHABLE)
    assert "unable to resolve host" in str(world.delivery(event, "erp").reason)
    assert set(made(world).values()) == {1}


def test_a_refusal_that_nobody_knows_is_tried_for_hours_before_it_is_final(world: World) -> None:
    world.wire.refused = {b"{}": 422}
    event = world.post().event

    for_(world, RETRIED_FOR[Concern.UNKNOWN] - HOUR)
    before = set(world.statuses(event.id).values())
    for_(world, 2 * HOUR)

    assert before == {Status.PENDING}
    assert set(world.statuses(event.id).values()) == {Status.UNPUBLISHABLE}
    assert "not this one" in str(world.delivery(event, "erp").reason)


def test_what_is_old_as_it_is_refused_first_is_tried_again_all_the_same(world: World) -> None:
    """A day of an outage isn't a day of refusals."""
    event = world.save()
    world.wire.unresolvable = {ERP}

    world.sweep(2 * 86_400)
    for_(world, HOUR)
    world.wire.unresolvable = set()
    world.sweep(15 * MINUTE_S)

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_a_destination_that_is_refused_keeps_no_other_event_waiting(world: World) -> None:
    """Neither of its batch, nor of its shard, nor of the others."""
    world.wire.unresolvable = {"ci.example.com"}
    events = [world.save(key=str(number)) for number in range(30)]

    world.sweep()

    assert all(world.statuses(it.id) == without("builder") for it in events)


# -- after a doubtful answer the log is asked -----------------------------------------------------------------------


def test_after_an_answer_that_was_lost_a_refused_group_is_in_flight_by_the_log(world: World) -> None:
    """It was taken before the name went: published alone as well it would be doubled."""
    event = unheard_at_erp(world)

    for_(world, HOUR, every=timedelta(minutes=1))

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


@pytest.mark.parametrize("lag", [timedelta(minutes=1), LOG_LAG - timedelta(seconds=1)], ids=str)
def test_so_it_is_where_the_log_lags(world: World, lag: timedelta) -> None:
    """None is published alone before its log can tell."""
    world.wire.lag = lag
    event = unheard_at_erp(world)

    for_(world, HOUR, every=timedelta(minutes=1))

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_a_group_that_the_sweep_finds_refused_is_published_alone_once_the_log_cant_lag(world: World) -> None:
    """Whoever saved it may have been heard by QStash, and not have heard it."""
    world.wire.lag = LOG_LAG
    event = world.save()
    world.wire.unresolvable = {ERP}

    world.sweep()
    at_once = world.statuses(event.id)
    world.sweep(LOG_LAG.total_seconds())

    assert set(at_once.values()) == {Status.PENDING, Status.IN_FLIGHT}  # the other group's
    assert world.statuses(event.id) == without("erp")


def test_a_batch_that_failed_before_its_parts_were_refused_is_in_doubt(world: World) -> None:
    """QStash may have taken it, and said 500."""
    taken: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/batch" and not taken:
            world.wire(request)
            taken.append("batch")
            world.wire.unresolvable = {ERP}
            return httpx.Response(500)
        return world.wire(request)

    world.rewire(answer)

    event = world.post().event
    for_(world, HOUR, every=timedelta(minutes=1))

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_a_split_whose_mark_couldnt_be_taken_off_publishes_nothing_alone(world: World) -> None:
    """The group has its turn first; once its name resolves again it is published once, to the group."""
    real = world.store.published
    world.wire.unresolvable = {ERP}
    world.store.published = lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    event = world.post().event
    world.store.published = real  # type: ignore[method-assign]
    world.wire.unresolvable = set()

    for_(world, HOUR, every=timedelta(minutes=1))

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_what_was_published_alone_is_published_again_under_the_same_id(world: World) -> None:
    """An answer that is lost after the split is one publish for QStash."""
    world.wire.unresolvable = {ERP}
    event = world.post().event
    world.wire.unresolvable = set()
    world.clock.at += SWEEP_AFTER
    world.wire.failures = [httpx.ReadTimeout("void")]

    world.sweep(MINUTE_S)
    world.sweep(MINUTE_S)

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


# -- others ---------------------------------------------------------------------------------------------------------


def test_a_destination_with_headers_of_its_own_is_refused_for_itself(world: World) -> None:
    """It is published to alone from the start; what is left of its group's share needn't be asked about again."""
    destinations = FLAT["destinations"] | {"erp": FLAT["destinations"]["erp"] | {"headers": {"X-Key": "a"}}}
    world.deploy(FLAT | {"destinations": destinations})
    del world.wire.topics["relay.audit"]["erp"]
    world.wire.unresolvable = {ERP}

    event = world.post().event
    world.wire.unresolvable = set()
    before = world.statuses(event.id)
    world.sweep(MINUTE_S)

    assert before == without("erp")
    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_a_callback_url_that_qstash_cant_resolve_is_the_relays_own_trouble(world: World) -> None:
    """All wait until it is mended, and none of them ends."""
    world.wire.refusal = "invalid callback url: unable to resolve host: {}"
    world.wire.unresolvable = {ERP, "ci.example.com", "relay.example.com"}
    event = world.post().event
    for_(world, 2 * RETRIED_FOR[Concern.ENDPOINT])
    world.wire.unresolvable = set()

    world.sweep(15 * MINUTE_S)

    assert world.statuses(event.id) == ALL_IN_FLIGHT
    assert once_each(world)


def test_a_replay_that_is_refused_keeps_trying(world: World) -> None:
    """A new generation has a day of its own."""
    event = world.post().event
    world.report(event, "erp", "failure", status=500, retried=2)
    world.wire.unresolvable = {ERP}
    world.clock.at += HOUR
    again = world.post()
    for_(world, HOUR)
    before = world.delivery(event, "erp").status
    world.wire.unresolvable = set()

    world.sweep(15 * MINUTE_S)

    assert (len(again.reopened), before) == (1, Status.PENDING)
    assert world.delivery(event, "erp").status is Status.IN_FLIGHT
    assert made(world)[f"https://{ERP}/in"] == 2


def test_a_log_that_has_forgotten_what_was_refused_leaves_nothing_to_a_person(world: World) -> None:
    """As it was refused last, the log was asked, and had nothing: only what came since is in question."""
    world.wire.page_max = 2
    world.wire.unresolvable = {ERP}
    event = world.post().event
    for hour in range(12):
        world.sweep(900)
        world.wire.forgot_ms = int((world.clock.at - timedelta(minutes=30)).timestamp() * 1000)
        for number in range(30):
            world.wire.say(f"other_{hour}_{number}", "CREATED", label="other", url="https://other.example.com")

    assert world.delivery(event, "erp").status is Status.PENDING


@pytest.mark.parametrize("status", [401, 404])
def test_what_its_owner_must_mend_splits_no_group(world: World, status: int) -> None:
    """Alone it would be refused as well, or QStash has no say in it."""
    world.deploy(routed(audit=publishing()))
    world.wire.failures = [status]

    event = world.post().event

    assert len(world.wire.published) == 1
    assert world.store.event(event.id).unpublished == {"audit"}  # type: ignore[union-attr]


def test_with_no_time_left_a_split_is_the_sweeps(world: World) -> None:
    """The healthy ones have it with the next sweep: their group's refusal was certain."""
    world.wire.unresolvable = {ERP}
    slow: list[Any] = [0.0]
    real = world.wire.publish

    def then_slow(request: httpx.Request) -> httpx.Response:
        slow[0] = 0.3
        return real(request)

    world.wire.publish = then_slow  # type: ignore[method-assign]
    with slow_aws(world, lambda: slow[0]):
        event = world.post().event

    world.sweep(MINUTE_S)

    assert world.statuses(event.id) == without("erp")
    assert set(made(world).values()) == {1}
