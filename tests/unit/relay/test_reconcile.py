"""Reconciliation: what is missing is asked for, once, and shown as reconciled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import RelayError
from relay.model.ids import event_id
from relay.query import answers
from relay.reconciliation.missing import Records
from relay.storage.leases import RECONCILE
from tests.github_api import HOOK
from tests.unit.relay.reconciling import MINUTE, ORG, OTHERS, RUNS_EVERY, Reconciling
from tests.unit.relay.world import BASE

if TYPE_CHECKING:
    from tests.unit.relay.world import World


@pytest.fixture
def it(world: World) -> Reconciling:
    return Reconciling(world)


# -- what is missing -----------------------------------------------------------------------------------------------


def test_an_event_that_never_came_is_asked_for_and_shown_as_reconciled(it: Reconciling) -> None:
    """In its record, its own page and the listing; the one that came by itself is not."""
    (lost,) = it.lose(body=b'{"a": 1}')
    came = it.api.send().guid

    first = it.run()
    during = it.shown(lost)["reconciled_at"]
    second = it.run()
    third = it.run()

    assert (first.looked_at, first.asked, second.arrived, second.asked) == (2, 1, 1, 0)
    assert (third.looked_at, third.arrived) == (0, 0)
    assert during is None
    assert it.shown(lost)["reconciled_at"] == "2026-01-31T09:30:00.000000Z"
    assert it.shown(lost)["received_at"] == "2026-01-31T09:15:00.000000Z"
    assert it.shown(came)["reconciled_at"] is None
    listed = answers.list_events(it.world.store, {})["events"]
    assert {row["idempotency_key"]: row["reconciled_at"] is not None for row in listed} == {lost: True, came: False}
    of_status = answers.list_events(it.world.store, {"status": "in_flight"})["events"]
    assert {row["idempotency_key"]: row["reconciled_at"] is not None for row in of_status} == {lost: True, came: False}


def test_the_mark_stays_as_it_was_first_made_and_changes_nothing_else(it: Reconciling) -> None:
    """An update of a small item, once."""
    (lost,) = it.lose()
    it.run()
    before = it.world.store.event(event_id("github", lost))
    it.run()
    marked = it.world.store.event(event_id("github", lost))

    for _ in range(3):
        it.run()

    assert before is not None
    assert marked == replace(before, reconciled_at=it.world.began + 2 * RUNS_EVERY)
    assert it.world.store.event(event_id("github", lost)) == marked


def test_a_mark_is_made_once_and_only_on_what_is_there(it: Reconciling) -> None:
    """Two runs may find the same event, and a record may have expired: neither may leave half a record."""
    came = it.api.send().guid
    records = Records(it.world.store, it.world.settings.sources["github"])

    for guid in (came, "unknown", came):
        records.mark(guid)
        it.world.clock.at += MINUTE

    assert it.shown(came)["reconciled_at"] == "2026-01-31T09:00:00.000000Z"
    assert it.world.store.table.get(event_id("github", "unknown"), "EVENT") is None


def test_what_the_ledger_has_is_never_asked_for(it: Reconciling) -> None:
    """Whatever GitHub was answered, or believes: a connection may break after the event was saved."""
    kept = it.api.send().guid
    it.hook.deliveries[0] = replace(it.hook.deliveries[0], status_code=0)

    done = [it.run() for _ in range(3)]

    assert it.has(kept)
    assert it.api.repeated == []
    assert sum(one.looked_at for one in done) == 1


def test_what_was_acknowledged_and_is_not_in_the_ledger_is_asked_for(it: Reconciling) -> None:
    """GitHub's word isn't taken for it: the ledger is what the relay proves with."""
    (lost,) = it.lose(status=202)

    it.run()

    assert it.has(lost)


def test_a_ping_is_an_event_like_any_other(it: Reconciling) -> None:
    """GitHub's scheme has no handshake, so a ping that is missing is asked for until it is there, and no longer."""
    (ping,) = it.lose(event="ping")

    for _ in range(4):
        it.run()

    assert it.has(ping)
    assert len(it.api.repeated) == 1


def test_what_is_younger_than_the_grace_is_left_to_the_next_run(it: Reconciling) -> None:
    """It may be under way."""
    it.lose()

    young = it.run(after=4 * MINUTE)
    grown = it.run(after=2 * MINUTE)

    assert (young.looked_at, young.asked, grown.asked) == (0, 0, 1)


def test_the_sendings_of_one_event_are_one_and_its_newest_is_asked_for(it: Reconciling) -> None:
    """GitHub keeps each for three days, so the newest can be asked for longest."""
    (lost,) = it.lose()
    it.world.clock.at += MINUTE
    it.lose(guid=lost)
    newest = it.hook.deliveries[-1].id

    done = it.run()

    assert (done.looked_at, it.api.repeated) == (2, [newest])


def test_what_a_person_sent_again_by_hand_is_not_asked_for(it: Reconciling) -> None:
    (lost,) = it.lose()
    it.world.clock.at += MINUTE
    it.api.send(guid=lost)

    assert it.run().asked == 0


def test_an_event_that_two_hooks_send_is_asked_for_once(it: Reconciling) -> None:
    """A repository's hook and its organization's give it the same guid, so it is one event."""
    it.add_hook(ORG)
    it.configure(HOOK, ORG)
    (lost,) = it.lose()
    it.lose(hook=ORG, guid=lost)

    done = it.run()

    assert (done.asked, len(it.api.repeated)) == (1, 1)


def test_an_event_that_came_late_by_itself_is_not_called_reconciled(it: Reconciling) -> None:
    """It had been in the spool, say: its record has the time at which it came, before anybody asked."""
    (lost,) = it.lose()
    it.up = False
    it.run()
    now = it.world.clock.at
    it.world.clock.at = it.world.began
    it.world.post(key=lost)
    it.world.clock.at = now

    done = it.run()

    assert (done.arrived, done.waiting, len(done.missing)) == (0, 0, 0)
    assert it.shown(lost)["reconciled_at"] is None


# -- what was meant for others -------------------------------------------------------------------------------------


def test_what_went_to_another_url_is_nobodys_loss(it: Reconciling) -> None:
    """The hook posted to what was there before the relay: its destinations had it all."""
    it.hook.url = OTHERS
    before = [it.api.send(status=status).guid for status in (200, 413, 500)]
    it.hook.url = f"{BASE}/webhooks/github/"
    (lost,) = it.lose()

    first = it.run()
    second = it.run(after=timedelta(hours=73))

    assert (first.elsewhere, first.asked, first.waiting) == (3, 1, 1)
    assert (second.arrived, second.missing) == (1, [])
    assert [it.has(guid) for guid in (*before, lost)] == [False, False, False, True]


# -- runs ----------------------------------------------------------------------------------------------------------


def test_two_runs_at_once_are_one(it: Reconciling) -> None:
    """Under a lease, which ends by itself: EventBridge may call twice."""
    it.lose()
    it.world.clock.at += timedelta(minutes=10)
    assert it.world.store.leases.take(RECONCILE, "another")

    during, after = it.run(after=MINUTE), it.run(after=6 * MINUTE)

    assert (during.skipped, during.asked, after.asked) == (True, 0, 1)


@pytest.mark.local_aws
def test_a_table_that_fails_leaves_the_list_to_be_read_again(it: Reconciling) -> None:
    """What is missing is kept before the list counts as read."""
    (lost,) = it.lose()
    client = it.world.store.table.client

    def fail(params: dict[str, Any], **_: Any) -> None:
        if b"GUID#" in params["body"]:
            params["url"] = "http://127.0.0.1:9/"

    client.meta.events.register("before-call.dynamodb.PutItem", fail)
    with pytest.raises(RelayError):
        it.run()
    client.meta.events.unregister("before-call.dynamodb.PutItem", fail)

    assert it.run().asked == 1
    assert it.has(lost)


def test_a_hook_that_is_named_no_more_is_not_asked(it: Reconciling) -> None:
    it.lose()
    it.up = False
    it.run()
    it.add_hook(ORG)
    it.configure(ORG)

    done = it.run(after=timedelta(hours=80))

    assert (done.asked, done.waiting, done.missing) == (0, 0, [])


@pytest.mark.local_aws
def test_where_no_source_names_a_hook_nothing_is_asked(it: Reconciling) -> None:
    """Off until it is asked for: neither GitHub nor the ledger."""
    it.lose()
    it.configure()
    calls: list[str] = []
    events = it.world.store.table.client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    it.run()

    assert it.api.asked == []
    assert calls == ["PutItem", "UpdateItem"]  # the lease
