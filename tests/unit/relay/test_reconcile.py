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
def reconciling(world: World) -> Reconciling:
    return Reconciling(world)


# -- what is missing -----------------------------------------------------------------------------------------------


def test_an_event_that_never_came_is_asked_for_and_shown_as_reconciled(reconciling: Reconciling) -> None:
    """In its record, its own page and the listing; the one that came by itself is not."""
    (lost,) = reconciling.lose(body=b'{"a": 1}')
    came = reconciling.api.send().guid

    first = reconciling.run()
    during = reconciling.shown(lost)["reconciled_at"]
    second = reconciling.run()
    third = reconciling.run()

    assert (first.looked_at, first.asked, second.arrived, second.asked) == (2, 1, 1, 0)
    assert (third.looked_at, third.arrived) == (0, 0)
    assert during is None
    assert reconciling.shown(lost)["reconciled_at"] == "2026-01-31T09:30:00.000000Z"
    assert reconciling.shown(lost)["received_at"] == "2026-01-31T09:15:00.000000Z"
    assert reconciling.shown(came)["reconciled_at"] is None
    listed = answers.list_events(reconciling.world.store, {})["events"]
    assert {row["idempotency_key"]: row["reconciled_at"] is not None for row in listed} == {lost: True, came: False}
    of_status = answers.list_events(reconciling.world.store, {"status": "in_flight"})["events"]
    assert {row["idempotency_key"]: row["reconciled_at"] is not None for row in of_status} == {lost: True, came: False}


def test_the_mark_stays_as_it_was_first_made_and_changes_nothing_else(reconciling: Reconciling) -> None:
    """An update of a small item, once."""
    (lost,) = reconciling.lose()
    reconciling.run()
    before = reconciling.world.store.event(event_id("github", lost))
    reconciling.run()
    marked = reconciling.world.store.event(event_id("github", lost))

    for _ in range(3):
        reconciling.run()

    assert before is not None
    assert marked == replace(before, reconciled_at=reconciling.world.began + 2 * RUNS_EVERY)
    assert reconciling.world.store.event(event_id("github", lost)) == marked


def test_a_mark_is_made_once_and_only_on_what_is_there(reconciling: Reconciling) -> None:
    """Two runs may find the same event, and a record may have expired: neither may leave half a record."""
    came = reconciling.api.send().guid
    records = Records(reconciling.world.store, reconciling.world.settings.sources["github"])

    for guid in (came, "unknown", came):
        records.mark(guid)
        reconciling.world.clock.at += MINUTE

    assert reconciling.shown(came)["reconciled_at"] == "2026-01-31T09:00:00.000000Z"
    assert reconciling.world.store.table.get(event_id("github", "unknown"), "EVENT") is None


def test_what_the_ledger_has_is_never_asked_for(reconciling: Reconciling) -> None:
    """Whatever GitHub was answered, or believes: a connection may break after the event was saved."""
    kept = reconciling.api.send().guid
    reconciling.hook.deliveries[0] = replace(reconciling.hook.deliveries[0], status_code=0)

    done = [reconciling.run() for _ in range(3)]

    assert reconciling.has(kept)
    assert reconciling.api.repeated == []
    assert sum(one.looked_at for one in done) == 1


def test_what_was_acknowledged_and_is_not_in_the_ledger_is_asked_for(reconciling: Reconciling) -> None:
    """GitHub's word isn't taken for it: the ledger is what the relay proves with."""
    (lost,) = reconciling.lose(status=202)

    reconciling.run()

    assert reconciling.has(lost)


def test_a_ping_is_an_event_like_any_other(reconciling: Reconciling) -> None:
    """GitHub's scheme has no handshake, so a ping that is missing is asked for until it is there, and no longer."""
    (ping,) = reconciling.lose(event="ping")

    for _ in range(4):
        reconciling.run()

    assert reconciling.has(ping)
    assert len(reconciling.api.repeated) == 1


def test_what_is_younger_than_the_grace_is_left_to_the_next_run(reconciling: Reconciling) -> None:
    """It may be under way."""
    reconciling.lose()

    young = reconciling.run(after=4 * MINUTE)
    grown = reconciling.run(after=2 * MINUTE)

    assert (young.looked_at, young.asked, grown.asked) == (0, 0, 1)


def test_the_sendings_of_one_event_are_one_and_its_newest_is_asked_for(reconciling: Reconciling) -> None:
    """GitHub keeps each for three days, so the newest can be asked for longest."""
    (lost,) = reconciling.lose()
    reconciling.world.clock.at += MINUTE
    reconciling.lose(guid=lost)
    newest = reconciling.hook.deliveries[-1].id

    done = reconciling.run()

    assert (done.looked_at, reconciling.api.repeated) == (2, [newest])


def test_what_a_person_sent_again_by_hand_is_not_asked_for(reconciling: Reconciling) -> None:
    (lost,) = reconciling.lose()
    reconciling.world.clock.at += MINUTE
    reconciling.api.send(guid=lost)

    assert reconciling.run().asked == 0


def test_an_event_that_two_hooks_send_is_asked_for_once(reconciling: Reconciling) -> None:
    """A repository's hook and its organization's give it the same guid, so it is one event."""
    reconciling.add_hook(ORG)
    reconciling.configure(HOOK, ORG)
    (lost,) = reconciling.lose()
    reconciling.lose(hook=ORG, guid=lost)

    done = reconciling.run()

    assert (done.asked, len(reconciling.api.repeated)) == (1, 1)


def test_an_event_that_came_late_by_itself_is_not_called_reconciled(reconciling: Reconciling) -> None:
    """It had been in the spool, say: its record has the time at which it came, before anybody asked."""
    (lost,) = reconciling.lose()
    reconciling.up = False
    reconciling.run()
    now = reconciling.world.clock.at
    reconciling.world.clock.at = reconciling.world.began
    reconciling.world.post(key=lost)
    reconciling.world.clock.at = now

    done = reconciling.run()

    assert (done.arrived, done.waiting, len(done.missing)) == (0, 0, 0)
    assert reconciling.shown(lost)["reconciled_at"] is None


# -- what was meant for others -------------------------------------------------------------------------------------


def test_what_went_to_another_url_is_nobodys_loss(reconciling: Reconciling) -> None:
    """The hook posted to what was there before the relay: its destinations had it all."""
    reconciling.hook.url = OTHERS
    before = [reconciling.api.send(status=status).guid for status in (200, 413, 500)]
    reconciling.hook.url = f"{BASE}/webhooks/github/"
    (lost,) = reconciling.lose()

    first = reconciling.run()
    second = reconciling.run(after=timedelta(hours=73))

    assert (first.elsewhere, first.asked, first.waiting) == (3, 1, 1)
    assert (second.arrived, second.missing) == (1, [])
    assert [reconciling.has(guid) for guid in (*before, lost)] == [False, False, False, True]


# -- runs ----------------------------------------------------------------------------------------------------------


def test_two_runs_at_once_are_one(reconciling: Reconciling) -> None:
    """Under a lease, which ends by itself: EventBridge may call twice."""
    reconciling.lose()
    reconciling.world.clock.at += timedelta(minutes=10)
    assert reconciling.world.store.leases.take(RECONCILE, "another")

    during, after = reconciling.run(after=MINUTE), reconciling.run(after=6 * MINUTE)

    assert (during.skipped, during.asked, after.asked) == (True, 0, 1)


@pytest.mark.local_aws
def test_a_table_that_fails_leaves_the_list_to_be_read_again(reconciling: Reconciling) -> None:
    """What is missing is kept before the list counts as read."""
    (lost,) = reconciling.lose()
    client = reconciling.world.store.table.client

    def fail(params: dict[str, Any], **_: Any) -> None:
        if b"GUID#" in params["body"]:
            params["url"] = "http://127.0.0.1:9/"

    client.meta.events.register("before-call.dynamodb.PutItem", fail)
    with pytest.raises(RelayError):
        reconciling.run()
    client.meta.events.unregister("before-call.dynamodb.PutItem", fail)

    assert reconciling.run().asked == 1
    assert reconciling.has(lost)


def test_a_hook_that_is_named_no_more_is_not_asked(reconciling: Reconciling) -> None:
    reconciling.lose()
    reconciling.up = False
    reconciling.run()
    reconciling.add_hook(ORG)
    reconciling.configure(ORG)

    done = reconciling.run(after=timedelta(hours=80))

    assert (done.asked, done.waiting, done.missing) == (0, 0, [])


@pytest.mark.local_aws
def test_where_no_source_names_a_hook_nothing_is_asked(reconciling: Reconciling) -> None:
    """Off until it is asked for: neither GitHub nor the ledger."""
    reconciling.lose()
    reconciling.configure()
    calls: list[str] = []
    events = reconciling.world.store.table.client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    reconciling.run()

    assert reconciling.api.asked == []
    assert calls == ["PutItem", "UpdateItem"]  # the lease
