"""Reconciliation over the real store, GitHub at the wire: what is missing is asked for, within bounds, and shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay import query
from relay.errors import RelayError
from relay.github import GitHub
from relay.missing import Records
from relay.model import event_id
from relay.reconcile import Reconciled, reconcile
from relay.settings import Settings
from tests.github_api import HOOK, TOKEN, GitHubApi, Hook
from tests.unit.relay.world import BASE, FLAT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.relay.world import World

ORG = "orgs/octo-org/hooks/7"
OTHERS = "https://old.example.com/github"
MINUTE = timedelta(minutes=1)
RUNS_EVERY = timedelta(minutes=15)
LIMITED = {"x-ratelimit-remaining": "0"}


class Reconciling:
    """A relay whose source github names hooks, and GitHub, whose hook posts to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = GitHubApi(clock=lambda: world.clock.at)
        self.up = True
        self.refusing = 0
        self.hook = self.add_hook(HOOK)
        self.configure(HOOK)

    def add_hook(self, name: str, url: str = f"{BASE}/webhooks/github") -> Hook:
        self.api.hooks[name] = Hook(url, SECRET, self.post)
        return self.api.hooks[name]

    def configure(self, *hooks: str, retention_days: int = 30) -> None:
        source = FLAT["sources"]["github"] | {"reconcile": list(hooks)}
        flat = FLAT | {"sources": {"github": source}, "retention_days": retention_days}
        self.world.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        if url == OTHERS:
            return 200
        if self.refusing:
            return self.refusing
        if not self.up:
            return 0
        kind = {"x-github-event": headers["x-github-event"]}
        return 200 if self.world.post(body, headers["x-github-delivery"], kind).duplicate else 202

    def lose(self, count: int = 1, **how: Any) -> list[str]:
        """Have events sent that never come; return their guids."""
        return [self.api.send(**{"status": 0, **how}).guid for _ in range(count)]

    def run(
        self, after: timedelta = RUNS_EVERY, seconds: Iterator[float] | None = None, token: str = TOKEN
    ) -> Reconciled:
        self.world.clock.at += after
        return reconcile(
            self.world.settings,
            store=self.world.store,
            github=GitHub(token, transport=httpx.MockTransport(self.api)),
            owner=self.world.clock.at.isoformat(),
            seconds_left=lambda: next(seconds, 0) if seconds else 60,
        )

    def shown(self, guid: str) -> dict[str, Any]:
        return query.show_event(self.world.store, event_id("github", guid), with_body=False)

    def has(self, guid: str) -> bool:
        return self.world.store.event(event_id("github", guid)) is not None


@pytest.fixture
def it(world: World) -> Reconciling:
    return Reconciling(world)


# -- what is missing ----------------------------------------------------------------------------------------------


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
    listed = query.list_events(it.world.store, {})["events"]
    assert {row["idempotency_key"]: row["reconciled_at"] is not None for row in listed} == {lost: True, came: False}
    of_status = query.list_events(it.world.store, {"status": "in_flight"})["events"]
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


# -- what was meant for others ------------------------------------------------------------------------------------


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


# -- bounds -------------------------------------------------------------------------------------------------------


def test_asking_is_half_an_hour_apart_and_ends_after_five(it: Reconciling) -> None:
    """Then it is missing, and shown as such until it comes or is a week old."""
    (lost,) = it.lose()
    it.up = False

    asked = []
    missing = []
    counted = []
    for _ in range(20):
        done = it.run()
        asked.append(done.asked)
        missing.append([one.guid for one in done.missing])
        counted.append(query.show_config(it.world.settings, it.world.store)["counts"]["missing"])

    assert counted == [len(one) for one in missing]
    assert asked == [1, 0] * 5 + [0] * 10
    assert missing == [[]] * 10 + [[lost]] * 10
    assert len(it.api.repeated) == 5


def test_what_github_has_no_more_is_not_asked_for_and_is_missing(it: Reconciling) -> None:
    """However few askings were spent: nothing but a person's hand can help now."""
    (lost,) = it.lose()
    it.up = False
    it.run()

    done = it.run(after=timedelta(hours=73))

    assert (done.asked, len(it.api.repeated)) == (0, 1)
    assert [one.guid for one in done.missing] == [lost]


def test_what_was_missing_and_came_at_last_is_not_missing_any_more(it: Reconciling) -> None:
    """A person had it sent again by hand."""
    (lost,) = it.lose()
    it.up = False
    for _ in range(11):
        it.run()
    it.up = True
    it.api.send(guid=lost)

    done = it.run()

    assert (done.missing, done.arrived) == ([], 1)


def test_a_run_asks_for_a_hundred_the_oldest_first(it: Reconciling) -> None:
    """GitHub forgets the oldest first, and others need its rate limit, too."""
    guids = []
    for _ in range(130):
        guids += it.lose()
        it.world.clock.at += timedelta(seconds=1)

    first, second = it.run(), it.run()

    assert (first.asked, first.waiting, second.asked, second.arrived) == (100, 130, 30, 100)
    assert [guid for guid in guids[:100] if not it.has(guid)] == []


def test_the_first_run_looks_as_far_back_as_github_can_send_again(it: Reconciling) -> None:
    old, kept = it.lose()[0], ""
    it.world.clock.at += timedelta(hours=3)
    kept = it.lose()[0]

    done = it.run(after=timedelta(hours=70))

    assert (done.looked_at, it.has(old), it.has(kept)) == (1, False, True)


def test_an_event_whose_record_has_expired_is_not_missing(it: Reconciling) -> None:
    """With a retention shorter than GitHub's memory it would be delivered twice."""
    it.configure(HOOK, retention_days=1)
    it.api.send()

    done = it.run(after=timedelta(hours=30))

    assert (done.looked_at, done.asked) == (0, 0)


def test_a_run_reads_the_list_only_back_to_the_last_one(it: Reconciling) -> None:
    """Each sending is paid for once."""
    it.api.per_page = 10
    for _ in range(40):
        it.api.send()
        it.world.clock.at += timedelta(seconds=1)
    first = it.run()
    pages = len(it.api.asked)
    it.api.send()

    second = it.run()

    assert (first.looked_at, pages) == (40, 4)
    assert (second.looked_at, len(it.api.asked) - pages) == (1, 1)


def test_a_look_at_a_hundred_sendings_is_one_read_of_the_table(it: Reconciling) -> None:
    for _ in range(100):
        it.api.send()
    calls: list[str] = []
    events = it.world.store.table.client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    it.run()

    assert calls.count("BatchGetItem") == 1
    assert "GetItem" not in calls


# -- what the relay refused ---------------------------------------------------------------------------------------


def test_what_was_refused_is_shown_soon_and_asked_for_ever_more_rarely(it: Reconciling) -> None:
    """The secret is wrong: that is known within the hour, and there are askings left a day later."""
    it.refusing = 401
    (lost,) = it.lose(status=401)

    at = []
    shown = []
    for number in range(48 * 4):
        done = it.run()
        at += [number] * done.asked
        shown += [number] * len(done.missing)

    assert [number / 4 for number in at] == [0, 0.5, 2.5, 10.5, 42.5]  # hours
    assert shown[0] == 2
    assert not it.has(lost)


def test_once_the_secret_is_mended_what_was_refused_is_asked_for_at_once(it: Reconciling) -> None:
    """What is accepted since is the sign; it is kept for runs that come later."""
    it.refusing = 401
    (lost,) = it.lose(status=401)
    for _ in range(13):
        it.run()
    it.refusing = 0
    it.api.send()

    mended = it.run()
    after = it.run()

    assert (mended.asked, after.arrived, after.missing) == (1, 1, [])
    assert it.shown(lost)["reconciled_at"] is not None


def test_a_body_that_is_too_large_is_asked_for_once(it: Reconciling) -> None:
    """The same bytes stay too large, whatever else is accepted."""
    it.refusing = 413
    (lost,) = it.lose(status=413)
    it.run()
    it.refusing = 0
    it.api.send()

    done = [it.run() for _ in range(4)]

    assert len(it.api.repeated) == 1
    assert [[one.guid for one in run.missing] for run in done[1:]] == [[lost]] * 3


# -- GitHub's refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 0])
def test_what_nobody_refused_is_asked_for_every_half_hour(it: Reconciling, status: int) -> None:
    """A gateway that has no room says 429: that is no word of the relay's."""
    it.refusing = status
    it.up = False
    it.lose(status=status)

    done = [it.run() for _ in range(8)]

    assert [one.asked for one in done] == [1, 0] * 4
    assert done[-1].missing == []


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(403, headers=LIMITED, json={"message": "API rate limit exceeded"}),
        httpx.Response(403, headers={"retry-after": "60"}, json={"message": "secondary rate limit"}),
        httpx.Response(429, headers=LIMITED),
        httpx.Response(502),
        httpx.ConnectTimeout("slow"),
    ],
    ids=["used up", "secondary", "429", "outage", "silence"],
)
@pytest.mark.parametrize("at", [0, 1, 2], ids=["list", "details", "asking"])
def test_what_passes_by_itself_ends_the_run_and_costs_no_asking(
    it: Reconciling, failure: httpx.Response | Exception, at: int
) -> None:
    """The next run goes on where it ended."""
    lost = it.lose(2)
    it.api.failures = [*[None] * at, failure]

    stopped = it.run()
    calls = len(it.api.asked)
    again = it.run()

    assert stopped.stopped
    assert (stopped.asked, stopped.refused, calls) == (0, {}, at + 1)
    assert (again.stopped, again.asked) == (None, 2)
    assert all(map(it.has, lost))
    assert all(one.asked == 0 for one in stopped.missing)


def test_a_list_whose_reading_was_cut_short_goes_on_at_its_page(it: Reconciling) -> None:
    """What was read before isn't read again, and what came meanwhile is the run's after."""
    it.api.per_page = 10
    lost = it.lose(25)
    it.api.failures = [None, httpx.Response(403, headers=LIMITED)]

    first = it.run()
    meanwhile = it.lose()
    second = it.run()
    third = it.run()

    assert (first.looked_at, first.waiting, second.looked_at, second.asked) == (10, 10, 15, 25)
    assert third.looked_at == 1 + second.asked
    assert all(map(it.has, lost + meanwhile))


def test_a_run_that_runs_out_of_time_goes_on_next_time(it: Reconciling) -> None:
    it.api.per_page = 10
    lost = it.lose(25)

    first = it.run(seconds=iter([60, 60, 0]))
    second = it.run()
    it.run()

    assert (first.stopped, first.looked_at, second.looked_at) == ("out of time", 20, 5)
    assert all(map(it.has, lost))


def test_a_page_that_is_gone_has_the_list_read_from_the_newest(it: Reconciling) -> None:
    """Else a cursor that GitHub has forgotten would end every run."""
    it.api.per_page = 10
    it.lose(15)
    it.api.failures = [None, httpx.Response(502)]
    it.run()
    it.api.failures = [httpx.Response(422, json={"message": "Invalid cursor"})]

    done = it.run()

    assert (done.refused, done.looked_at, done.waiting) == ({}, 15, 15)


def test_a_hook_that_github_refuses_is_named_and_keeps_no_other_from_it(it: Reconciling) -> None:
    it.add_hook(ORG)
    it.configure("repos/octo-org/gone/hooks/1", ORG)
    (lost,) = it.lose(hook=ORG)

    done = it.run()

    assert list(done.refused) == ["repos/octo-org/gone/hooks/1"]
    assert "404: Not Found" in done.refused["repos/octo-org/gone/hooks/1"]
    assert it.has(lost)


def test_a_hook_whose_list_is_refused_has_no_askings_spent(it: Reconciling) -> None:
    """It is one refusal, not one an event."""
    it.lose(3)
    it.up = False
    it.run()
    del it.api.hooks[HOOK]
    calls = len(it.api.asked)

    done = it.run(after=timedelta(hours=1))

    assert (len(it.api.asked) - calls, done.asked, done.waiting) == (1, 0, 3)


def test_a_token_that_github_refuses_is_told_and_costs_no_asking(it: Reconciling) -> None:
    it.lose()

    refused = it.run(token="ghp_old")
    mended = it.run()

    assert "401: Bad credentials" in refused.refused[HOOK]
    assert mended.asked == 1


def test_a_token_that_may_not_ask_is_told_and_costs_no_asking(it: Reconciling) -> None:
    (lost,) = it.lose()
    forbidden = httpx.Response(403, json={"message": "Resource not accessible by personal access token"})
    it.api.failures = [None, None, forbidden]

    refused = it.run()
    mended = it.run()

    assert "not accessible" in refused.refused[HOOK]
    assert (refused.asked, mended.asked, it.has(lost)) == (0, 1, True)


def test_a_sending_that_github_has_no_more_refuses_no_hook(it: Reconciling) -> None:
    lost = it.lose(2)
    it.api.failures = [None, httpx.Response(404, json={"message": "Not Found"})]

    done = it.run()

    assert (done.refused, done.stopped) == ({}, None)
    assert [it.has(guid) for guid in lost] == [False, True]


# -- runs ---------------------------------------------------------------------------------------------------------


def test_two_runs_at_once_are_one(it: Reconciling) -> None:
    """Under a lease, which ends by itself: EventBridge may call twice."""
    it.lose()
    it.world.clock.at += timedelta(minutes=10)
    assert it.world.store.take_lease("reconcile", "another", timedelta(minutes=6))

    during, after = it.run(after=MINUTE), it.run(after=6 * MINUTE)

    assert (during.skipped, during.asked, after.asked) == (True, 0, 1)


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
