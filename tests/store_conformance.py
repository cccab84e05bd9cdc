"""What the relay asks of a DynamoDB: one suite, run on every implementation there is.

A module that runs it subclasses `StoreConformance` and gives the fixture `store` (and `clock`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from relay.errors import UpstreamError
from relay.model.delivery import Attempt, Delivery, Report, Status
from relay.model.event import Conflict, Event
from relay.model.ids import event_id, iso, new_generation
from relay.model.refusal import KEPT_FOR, SLOTS, Reason, Refusal
from relay.storage import quarantine
from relay.storage.items import OUTBOX, SHARDS, WATCH, shard_of
from relay.storage.leases import REPLAYS

if TYPE_CHECKING:
    from relay.storage.store import Store


@dataclass
class Clock:
    """A clock that moves when told to."""

    at: datetime = datetime(2026, 1, 31, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


def an_event(clock: Clock, key: str = "1", **changes: object) -> Event:
    """Return an event that expects deliveries to erp and crm, in group audit."""
    event = Event(
        id=event_id("github", key),
        source="github",
        idempotency_key=key,
        event_type="push",
        received_at=clock(),
        saved_at=clock(),
        content_type="application/json",
        headers={"x-github-event": "push"},
        sha256="ab" * 32,
        size_bytes=2,
        expected={"erp": "audit", "crm": "audit"},
        generation=new_generation(),
        expires_at=clock() + timedelta(days=30),
        unpublished=frozenset({"audit"}),
    )
    return replace(event, **changes)  # type: ignore[arg-type]  # any field


def failed(event: Event, clock: Clock, number: int = 1, *, dead: bool = False, succeeded: bool = False) -> Report:
    """Return a report of an attempt of *event*."""
    attempt = Attempt(clock(), number, "msg_1", event.generation, succeeded=succeeded, status_code=500, response="no")
    return Report(attempt, dead=dead, dlq_id="1-0" if dead else None)


def outbox(store: Store, event: Event) -> list[tuple[str, str | None]]:
    """Return what is due to be published in the shard of *event*: events and destinations."""
    return [(it.event, it.destination) for it in store.due(OUTBOX, shard_of(event.id), 10)[0]]


def a_refusal(clock: Clock, **changes: object) -> Refusal:
    """Return a refusal of github, with every field there is."""
    refusal = Refusal(
        source="github",
        reason=Reason.BAD_SIGNATURE,
        message="X-Hub-Signature-256 doesn't match",
        at=clock(),
        method="POST",
        path="/webhooks/github?...",
        source_ip="203.0.113.9",
        header_names=("content-type", "x-hub-signature-256"),
        headers={"content-type": "application/json"},
        signed_at=clock() - timedelta(seconds=400),
        size_bytes=70_000,
        sha256="cd" * 32,
        body=b"\xff\x00{",
    )
    return replace(refusal, **changes)  # type: ignore[arg-type]  # any field


class StoreConformance:
    """One claim a test; the store is real."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def test_an_event_reads_back_as_it_was_saved(self, store: Store, clock: Clock) -> None:
        """Every field survives."""
        event = an_event(clock)

        assert store.add_event(event, clock() + timedelta(seconds=30)) is None

        assert store.event(event.id) == event

    def test_a_second_put_of_an_event_returns_the_first(self, store: Store, clock: Clock) -> None:
        """The put that saves is the one that deduplicates."""
        event = an_event(clock)
        store.add_event(event, clock())

        old = store.add_event(an_event(clock, event_type="other"), clock())

        assert old == event
        assert store.event(event.id) == event

    def test_of_many_puts_at_once_one_wins(self, store: Store, clock: Clock) -> None:
        """The same webhook twice within milliseconds."""
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: store.add_event(an_event(clock), clock()), range(16)))

        assert answers.count(None) == 1

    def test_an_expired_event_counts_as_absent(self, store: Store, clock: Clock) -> None:
        """TTL deletes days late; the record's life is over on time."""
        event = an_event(clock)
        store.add_event(event, clock())
        clock.at = event.expires_at

        assert store.event(event.id) is None
        assert store.history(event.id) is None
        assert store.add_event(an_event(clock), clock()) is None

    @pytest.mark.parametrize("body", [b"", b"\xff\x00\xfe", b"x" * 65_536, b"y" * 65_537, b"z" * 4_194_304])
    def test_a_body_reads_back_byte_for_byte(self, store: Store, clock: Clock, body: bytes) -> None:
        """In the table or in the bucket."""
        event = an_event(clock, size_bytes=len(body))

        store.save_body(event.id, event.sha256, body, event.expires_at)

        assert store.body(event) == body

    def test_a_body_that_is_gone_is_said(self, store: Store, clock: Clock) -> None:
        """Never an empty one in its stead."""
        with pytest.raises(UpstreamError):
            store.body(an_event(clock, "nobody"))
        with pytest.raises(UpstreamError):
            store.body(an_event(clock, "nobody", size_bytes=70_000))

    def test_history_has_expected_deliveries_that_have_no_record(self, store: Store, clock: Clock) -> None:
        """The event's put names them; one query finds all, the body aside."""
        event = an_event(clock)
        store.save_body(event.id, event.sha256, b"{}", event.expires_at)
        store.add_event(event, clock())
        store.change_delivery(event, "crm", lambda it: it.after(failed(event, clock, dead=True)))

        found = store.history(event.id)

        assert found is not None
        assert found[0] == event
        assert {it.destination: it.status for it in found[1]} == {
            "erp": Status.PENDING,
            "crm": Status.DEAD_LETTERED,
        }

    def test_a_delivery_reads_back_as_it_was_changed(self, store: Store, clock: Clock) -> None:
        """Every field survives."""
        event = an_event(clock)

        _, after = store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, dead=True)))
        clock.at += timedelta(seconds=1)
        _, after = store.change_delivery(
            event, "erp", lambda it: it.published(event.generation, "msg_1", clock(), clock())
        )
        _, after = store.change_delivery(event, "erp", lambda it: it.handed_over(clock()))

        assert store.delivery(event, "erp") == after
        assert after.status is Status.DEAD_LETTERED
        assert (after.message_id, after.dlq_id, after.version) == ("msg_1", "1-0", 3)

    def test_a_report_told_again_writes_nothing(self, store: Store, clock: Clock) -> None:
        """A true callback sent again changes nothing, its version included."""
        event = an_event(clock)
        report = failed(event, clock)
        _, once = store.change_delivery(event, "erp", lambda it: it.after(report))

        before, again = store.change_delivery(event, "erp", lambda it: it.after(report))

        assert before == again == once == store.delivery(event, "erp")

    def test_assuming_no_record_loses_nothing_where_there_is_one(self, store: Store, clock: Clock) -> None:
        """A callback can come before the publish returns."""
        event = an_event(clock)
        store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, succeeded=True)))

        _, after = store.change_delivery(
            event,
            "erp",
            lambda it: it.published(event.generation, "msg_1", clock(), clock()),
            known=Delivery.of(event, "erp"),
        )

        assert after.status is Status.DELIVERED
        assert len(after.attempts) == 1
        assert after.message_id == "msg_1"

    def test_reports_at_once_are_all_kept(self, store: Store, clock: Clock) -> None:
        """Changes in parallel don't overwrite one another."""
        event = an_event(clock)

        def report(number: int) -> None:
            store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, number)))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(report, range(1, 7)))

        assert len(store.delivery(event, "erp").attempts) == 6

    def test_what_is_saved_is_due_until_it_is_published(self, store: Store, clock: Clock) -> None:
        """The outbox mark is made by the event's own put, and goes last."""
        event = an_event(clock, unpublished=frozenset({"audit", "ci"}))
        store.add_event(event, clock() + timedelta(seconds=30))
        assert outbox(store, event) == []
        clock.at += timedelta(seconds=31)
        assert outbox(store, event) == [(event.id, None)]

        store.published(event, frozenset({"ci"}))
        halfway = store.event(event.id)
        assert halfway is not None
        assert halfway.unpublished == {"audit"}
        assert len(outbox(store, event)) == 1
        store.published(halfway, frozenset({"audit"}))

        assert outbox(store, event) == []
        assert store.event(event.id) == replace(event, unpublished=frozenset())

    def test_a_mark_of_another_generation_stays(self, store: Store, clock: Clock) -> None:
        """Removed on condition that it is still this generation's."""
        event = an_event(clock)
        store.add_event(event, clock())

        store.published(replace(event, generation=new_generation()), frozenset({"audit"}))

        assert len(outbox(store, event)) == 1

    def test_what_is_taken_off_a_mark_by_two_at_once_stays_off(self, store: Store, clock: Clock) -> None:
        """Ingest and a sweep may publish one group each; with the last one the mark goes, whoever's it is."""
        event = an_event(clock, unpublished=frozenset({"audit", "ci", "crm"}))
        store.add_event(event, clock())

        store.published(event, frozenset({"ci"}))
        store.published(event, frozenset({"audit"}))
        left = store.event(event.id)
        store.published(event, frozenset({"crm"}))

        assert left is not None
        assert left.unpublished == {"crm"}
        assert outbox(store, event) == []
        assert store.event(event.id) == replace(event, unpublished=frozenset())

    def test_a_mark_seen_with_more_than_is_left_goes_whole(self, store: Store, clock: Clock) -> None:
        """Who publishes all at once after somebody published one of them leaves nothing due."""
        event = an_event(clock, unpublished=frozenset({"audit", "ci"}))
        store.add_event(event, clock())
        store.published(event, frozenset({"ci"}))

        store.published(event, frozenset({"audit", "ci"}))

        assert outbox(store, event) == []
        assert store.event(event.id) == replace(event, unpublished=frozenset())

    def test_other_bytes_under_an_id_are_kept_and_counted_once(self, store: Store, clock: Clock) -> None:
        """Never silently dropped; the same other bytes again are no second conflict."""
        event = an_event(clock)
        store.add_event(event, clock())
        other = Conflict(event.id, "cd" * 32, 3, clock(), None, {"x-github-event": "push"})

        new = [store.add_conflict(event, other) for _ in range(2)]

        assert new == [True, False]
        assert store.conflicts(event) == [other]
        assert store.event(event.id) == replace(event, conflicts=1)
        assert store.history(event.id) is not None

    def test_what_is_in_flight_is_due_to_be_looked_after_until_it_ends(self, store: Store, clock: Clock) -> None:
        """In a queue of its own: it isn't to be published again."""
        event = an_event(clock, unpublished=frozenset())
        store.add_event(event, clock())
        shard, look_at = shard_of(event.id), clock() + timedelta(minutes=10)
        store.change_delivery(event, "erp", lambda it: it.published(event.generation, "msg_1", clock(), look_at))
        assert store.due(WATCH, shard, 10)[0] == []
        clock.at = look_at

        due, _ = store.due(WATCH, shard, 10)
        store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, succeeded=True)))

        assert [(it.event, it.destination, it.at) for it in due] == [(event.id, "erp", look_at)]
        assert outbox(store, event) == []
        assert store.due(WATCH, shard, 10)[0] == []

    def test_open_is_what_is_owed_or_in_flight_by_then(self, store: Store, clock: Clock) -> None:
        """Whenever the sweep is to turn to it."""
        began, second = clock(), timedelta(seconds=1)
        event = an_event(clock)
        empty = store.listings.has_open(began)
        store.add_event(event, clock() + timedelta(hours=1))
        owed = (store.listings.has_open(began - second), store.listings.has_open(began))
        store.published(event, frozenset({"audit"}))
        taken = store.listings.has_open(began)
        store.change_delivery(event, "erp", lambda it: it.published(event.generation, "msg_1", clock(), clock()))
        in_flight = (store.listings.has_open(began - second), store.listings.has_open(began))
        store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, dead=True)))

        assert (empty, owed, taken, in_flight) == (False, (False, True), False, (False, True))
        assert not store.listings.has_open(began)

    def test_what_is_due_comes_page_by_page_the_oldest_first(self, store: Store, clock: Clock) -> None:
        """A run goes on where its last page ended."""
        events = [event for number in range(60) if shard_of((event := an_event(clock, str(number))).id) == 0]
        for number, event in enumerate(events):
            store.add_event(event, clock() - timedelta(seconds=number))

        first, cursor = store.due(OUTBOX, 0, 2)
        second, _ = store.due(OUTBOX, 0, 100, cursor)

        assert [it.event for it in first + second] == [it.id for it in reversed(events)]
        assert len(first) == 2

    def test_a_hold_ends_by_itself(self, store: Store, clock: Clock) -> None:
        """TTL deletes late; what holds publishing is over on time."""
        assert store.state.hold() is None
        store.state.save_hold(clock() + timedelta(minutes=5), "the daily quota of QStash is used up")

        held = store.state.hold()
        clock.at += timedelta(minutes=5)

        assert held == clock()
        assert store.state.hold() is None

    def test_a_sweep_leaves_word_where_to_go_on(self, store: Store) -> None:
        """Else what comes last would never have its turn."""
        assert store.state.sweep_words() == {}
        store.state.save_sweep_words({"publish": 5})

        assert store.state.sweep_words() == {"publish": 5}

    def test_postponing_moves_what_is_due_and_marks_nothing_else(self, store: Store, clock: Clock) -> None:
        """A thing that was published meanwhile doesn't come back."""
        event = an_event(clock)
        store.add_event(event, clock())

        store.postpone_event(event, clock() + timedelta(hours=1))
        assert outbox(store, event) == []
        store.published(event, frozenset({"audit"}))
        store.postpone_event(event, clock())

        assert outbox(store, event) == []

    def test_a_replay_is_saved_with_its_generation_or_not_at_all(self, store: Store, clock: Clock) -> None:
        """Of two replays of one dead letter, one wins."""
        event = an_event(clock)
        store.add_event(event, clock())
        _, dead = store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, dead=True)))
        first, second = (dead.replayed(new_generation(), clock()) for _ in range(2))

        won = store.start_replay({"pk": "REPLAY#1", "sk": dead.id, "kind": "REPLAY"}, dead, first)
        lost = store.start_replay({"pk": "REPLAY#2", "sk": dead.id, "kind": "REPLAY"}, dead, second)

        assert (won, lost) == (True, False)
        assert store.delivery(event, "erp").generation == first.generation
        assert (event.id, "erp") in outbox(store, event)

    def test_a_lease_has_one_holder_until_it_ends(self, store: Store, clock: Clock) -> None:
        """Two sweeps at once are one."""
        assert store.leases.take(REPLAYS, "a")
        assert not store.leases.take(REPLAYS, "b")
        store.leases.give_back(REPLAYS, "b")
        assert not store.leases.take(REPLAYS, "b")
        clock.at += timedelta(seconds=61)
        assert store.leases.take(REPLAYS, "b")
        store.leases.give_back(REPLAYS, "b")
        assert store.leases.take(REPLAYS, "a")

    def test_a_lease_is_given_back_whatever_fails_within_and_only_by_its_holder(self, store: Store) -> None:
        """The next run needn't wait until it ends by itself."""
        seen: list[bool] = []

        def fail() -> None:
            with store.lease(REPLAYS, "a") as is_free:
                with store.lease(REPLAYS, "b") as is_free_twice:
                    seen.extend([is_free, is_free_twice])
                seen.append(store.leases.take(REPLAYS, "b"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()

        assert seen == [True, False, False]
        assert store.leases.take(REPLAYS, "b")

    def test_an_orphan_is_kept_and_counted_once(self, store: Store, clock: Clock) -> None:
        """However often it comes."""
        event = event_id("github", "never")

        new = [store.state.add_orphan(event, "msg.1", {"body": b"\xff"}, clock() + timedelta(days=1)) for _ in range(3)]

        assert new == [True, False, False]
        assert store.state.count("orphans") == 1

    @pytest.mark.parametrize("bare", [False, True])
    def test_a_refusal_reads_back_as_it_was_kept(self, store: Store, clock: Clock, bare: bool) -> None:  # noqa: FBT001
        """Every field survives, and so does its absence."""
        changes: dict[str, object] = {
            "source_ip": None,
            "header_names": (),
            "headers": {},
            "signed_at": None,
            "body": b"",
        }
        refusal = a_refusal(clock, **(changes if bare else {}))

        store.refusals.record(refusal, 3)

        (slot,) = store.refusals.of("github")
        assert (slot.refusal, slot.count, slot.since) == (refusal, 3, clock())

    def test_of_each_source_and_reason_the_last_are_kept_and_all_are_counted(self, store: Store, clock: Clock) -> None:
        """However many there are, the table holds a fixed number."""
        for number in range(2 * SLOTS + 3):
            clock.at += timedelta(seconds=1)
            store.refusals.record(a_refusal(clock, message=str(number)), 2)
            if number in {2 * SLOTS, 2 * SLOTS + 1}:
                store.refusals.record(a_refusal(clock, reason=Reason.MISSING_HEADER), 1)
        store.refusals.record(a_refusal(clock, source="githubs"), 1)

        kept = [it for it in store.refusals.of("github") if it.refusal.reason is Reason.BAD_SIGNATURE]

        assert sorted(int(it.refusal.message) for it in kept) == list(range(SLOTS + 3, 2 * SLOTS + 3))
        assert sum(it.count for it in kept) == 2 * (2 * SLOTS + 3)
        assert len(store.refusals.of("github")) == SLOTS + 2
        assert len(store.refusals.of("githubs")) == 1

    def test_refusals_at_once_are_all_counted_in_as_many_places(self, store: Store, clock: Clock) -> None:
        """Many function instances refuse at the same time."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: store.refusals.record(a_refusal(clock), 1), range(24)))

        kept = store.refusals.of("github")

        assert len(kept) <= SLOTS
        assert sum(it.count for it in kept) == 24

    def test_a_refusal_is_forgotten_with_what_it_counted(self, store: Store, clock: Clock) -> None:
        """TTL deletes days late; a place whose time is over begins anew."""
        store.refusals.record(a_refusal(clock), 7)
        clock.at += KEPT_FOR
        assert store.refusals.of("github") == []

        store.refusals.record(a_refusal(clock), 1)

        (slot,) = store.refusals.of("github")
        assert (slot.count, slot.since) == (1, clock())

    def test_keys_are_saved_and_the_mac_key_stays(self, store: Store) -> None:
        """Callback URLs out there must go on working."""
        assert store.deployment.keys() == {}
        store.deployment.save_keys(current="a", following="b", mac="first")
        store.deployment.save_keys(current="b", following="c", mac="second")

        assert {name: store.deployment.keys()[name] for name in ("current", "next", "mac")} == {
            "current": "b",
            "next": "c",
            "mac": "first",
        }

    def test_a_listing_is_newest_first_whole_and_without_repeats(self, store: Store, clock: Clock) -> None:
        """All shards merged, page by page."""
        ids = []
        for number in range(23):
            clock.at += timedelta(seconds=1)
            event = an_event(clock, str(number))
            store.add_event(event, clock())
            ids.append(event.id)

        assert self.listed(store, ["events"], {}, limit=5) == ids[::-1]

    def test_a_listing_filters_and_keeps_to_its_times(self, store: Store, clock: Clock) -> None:
        """Filters are attributes; times are sort keys."""
        start = clock()
        kept = []
        for number in range(12):
            clock.at = start + timedelta(minutes=number)
            event = an_event(clock, str(number), event_type="push" if number % 2 else "ping")
            store.add_event(event, clock())
            if number % 2 and 2 <= number < 9:
                kept.append(event.id)

        found = self.listed(
            store,
            ["events"],
            {"event_type": "push"},
            limit=2,
            since=iso(start + timedelta(minutes=2)),
            below=iso(start + timedelta(minutes=9)),
        )

        assert found == kept[::-1]

    def test_a_delivery_is_listed_under_the_status_it_has(self, store: Store, clock: Clock) -> None:
        """It moves when the status does."""
        event = an_event(clock)
        store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock)))
        store.change_delivery(event, "erp", lambda it: it.after(failed(event, clock, 2, dead=True)))

        assert self.listed(store, ["in_flight"], {}, limit=5) == []
        assert self.listed(store, ["dead_lettered", "delivered"], {"destination": "erp"}, limit=5) == [event.id]
        assert self.listed(store, ["dead_lettered"], {"destination": "crm"}, limit=5) == []

    def test_many_events_are_looked_up_at_once_and_an_expired_one_is_absent(self, store: Store, clock: Clock) -> None:
        """More than one request takes, the same one twice, some that there aren't."""
        events = [an_event(clock, str(number)) for number in range(3)]
        gone = an_event(clock, "gone", expires_at=clock() - timedelta(seconds=1))
        for event in (*events, gone):
            store.add_event(event, clock())
        wanted = [(str(event_id("github", str(number))), "EVENT") for number in (*range(120), 0)]

        found = store.table.get_many([*wanted, (gone.id, "EVENT")], ["received_at"])

        assert {key[0]: item["received_at"] for key, item in found.items()} == {
            event.id: "2026-01-31T09:00:00.000000Z" for event in events
        }

    def test_shards_are_used_evenly(self) -> None:
        """No partition is hot."""
        counts = [0] * SHARDS
        for number in range(800):
            counts[shard_of(event_id("github", str(number)))] += 1

        assert min(counts) > 60

    @staticmethod
    def listed(
        store: Store, partitions: list[str], equal: dict[str, str], *, limit: int, since: str = "", below: str = "~"
    ) -> list[str]:
        """Return the ids on all pages."""
        ids: list[str] = []
        for _ in range(50):
            items, at = store.listings.page(partitions, since=since or "0", below=below, equal=equal, limit=limit)
            assert len(items) <= limit
            ids += [it["pk"] for it in items]
            if at is None:
                return ids
            below = at
        raise AssertionError("the listing has no end")

    def test_what_is_kept_reads_back_and_is_kept_once(self, store: Store) -> None:
        """The second put says that it is there, and changes nothing."""
        assert store.quarantine.put("github", "a", b"\xff{}")
        assert not store.quarantine.put("github", "a", b"other")

        assert store.quarantine.get("github", "a") == b"\xff{}"
        assert store.quarantine.get("github", "b") is None

    def test_what_is_kept_is_listed_by_source_until_it_is_forgotten(self, store: Store) -> None:
        """A source whose name begins as another's doesn't get the other's; of each it is told when it was kept."""
        for source, id_ in (("github", "b"), ("github", "a"), ("github-2", "c")):
            store.quarantine.put(source, id_, b"{}")

        quarantine = store.quarantine.cells("github")
        store.quarantine.delete("github", "b")
        store.quarantine.delete("github", "b")

        assert {it.id for it in quarantine} == {"a", "b"}
        assert all(it.at.tzinfo is not None for it in quarantine)
        assert [it.id for it in store.quarantine.cells("github")] == ["a"]

    def test_there_is_room_for_so_many(self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many ask at once, and of each source."""
        monkeypatch.setattr(quarantine, "NUMBER_MAX", 5)
        later = clock() + timedelta(days=1)

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda _: store.quarantine.take_room("github", 10, later), range(16)))

        assert taken.count(True) == 5
        assert store.quarantine.count("github") == (5, 50)
        assert store.quarantine.take_room("acme", 10, later)

    def test_there_is_room_for_so_many_bytes(self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        """To the last."""
        monkeypatch.setattr(quarantine, "BYTES_MAX", 100)
        later = clock() + timedelta(days=1)

        assert [store.quarantine.take_room("github", size, later) for size in (60, 41, 40, 1)] == [
            True,
            False,
            True,
            False,
        ]

    def test_room_that_is_given_back_can_be_taken(
        self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And what was given back before isn't given back twice."""
        monkeypatch.setattr(quarantine, "NUMBER_MAX", 1)
        later = clock() + timedelta(days=1)
        store.quarantine.take_room("github", 10, later)

        store.quarantine.give_room_back("github", 10, later)
        store.quarantine.give_room_back("github", 10, later)

        assert store.quarantine.count("github") == (0, 0)
        assert [store.quarantine.take_room("github", 10, later) for _ in range(2)] == [True, False]

    def test_what_has_expired_leaves_its_room(
        self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though nobody took it off, and a crash left it counted; what hasn't expired keeps its own."""
        monkeypatch.setattr(quarantine, "NUMBER_MAX", 3)
        day = timedelta(days=1)
        for days in (1, 1, 3):
            store.quarantine.take_room("github", 10, clock() + days * day)
        full = store.quarantine.take_room("github", 10, clock() + 3 * day)
        clock.at += day

        assert (full, store.quarantine.count("github")) == (False, (1, 10))
        assert [store.quarantine.take_room("github", 10, clock() + day) for _ in range(3)] == [True, True, False]
        store.quarantine.give_room_back("github", 10, clock())  # of one that had expired: it is off already
        assert store.quarantine.count("github") == (3, 30)
