"""What the function sync does of a deploy's requests where QStash or the table fail: a deploy lasts, a delete ends."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import sync as function
from relay import wiring
from relay.deployment import sync
from relay.errors import Defect, OperatorError, QStashError
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.runtime.http_api import logger
from tests.unit.relay.operator import wired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.relay.world import World

ERP = {"name": "erp", "url": "https://erp.example.com/in?key=s3cret"}
OLD = json.dumps({"groups": {"relay.audit": [ERP]}, "alone": {}})
NEW = json.dumps({"groups": {"relay.new": [ERP]}, "alone": {}})
AWAY = [httpx.Response(503), httpx.ReadTimeout("void"), httpx.Response(429, headers={"Retry-After": "2"})]


class Run:
    """Runs of the function, and QStash, of which calls fail as is said.

    Attributes:
        left_s: What is left of a run's time, which passes only as it waits.
        fails: Calls that fail, by the beginning of `METHOD path`: what each meets, one after the other; a bare status
            is what all meet from then on, and of an exception the call was done, and its answer got lost.
        log_group_name: Where it logs: as Lambda says it.
    """

    log_group_name = "/relay/sync-logs"
    aws_request_id = "one"

    def __init__(self, world: World) -> None:
        self.world = world
        self.left_s = 300.0
        self.slept: list[float] = []
        self.fails: dict[str, list[Any]] = {}

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s * 1000)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left_s -= seconds

    def __call__(self, request: httpx.Request) -> httpx.Response:
        for call, what in self.fails.items():
            if what and f"{request.method} {request.url.path}".startswith(call):
                found = what[0] if isinstance(what[0], int) else what.pop(0)
                if isinstance(found, Exception):
                    self.world.wire(request)  # it was done, and the answer lost
                    raise found
                return httpx.Response(found) if isinstance(found, int) else found
        return self.world.wire(request)

    def ask(self, kind: str, desired: str, state: str | None = None) -> str:
        self.left_s = 300.0
        self.world.clock.at += timedelta(seconds=1)
        event: dict[str, Any] = {"RequestType": kind, "ResourceProperties": {"Desired": desired}}
        answer = function.handler(event | ({"PhysicalResourceId": state} if state else {}), self)
        return str(answer["PhysicalResourceId"])

    def deploy(self) -> tuple[str, str]:
        """Deploy, and begin to deploy something else; return both states."""
        old = self.ask("Create", OLD)
        return old, self.ask("Update", NEW, old)

    @property
    def states(self) -> set[str]:
        return set(self.world.store.deployment.desired())


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    log = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    return log


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: StringIO) -> Iterator[Run]:
    run = Run(world)
    world.wire.topics.clear()
    relay = wired(world, monkeypatch, tmp_path, "RELAY_QSTASH_SECRET")
    qstash = QStash(
        QStashHttp("token", "https://qstash.example.com", transport=httpx.MockTransport(run), now=world.clock)
    )
    relay._qstash = (("token", None), qstash)  # noqa: SLF001  # as the token in Secrets Manager would make it
    monkeypatch.setattr(relay.secrets, "qstash", lambda _: ("token", None))
    monkeypatch.setattr("time.sleep", run.sleep)
    assert log.getvalue() == ""
    yield run
    wiring.relay.cache_clear()


def warned(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(it) for it in log.getvalue().splitlines() if '"WARNING"' in it]


# -- a deploy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["GET /v2/keys", "GET /v2/topics", "POST /v2/topics", "GET /v2/queues"])
def test_a_call_that_fails_in_passing_fails_no_deploy(run: Run, call: str) -> None:
    run.fails = {call: [*AWAY]}

    run.ask("Create", OLD)

    assert run.world.wire.topics == {"relay.audit": {"erp": ERP["url"]}}
    assert run.slept == [1, 2, 4]


@pytest.mark.parametrize(("asked", "body"), [({"x1": "1"}, ""), ({}, '{"x1": true}'), ({}, "x1")], ids=str)
def test_what_sync_doesnt_know_is_refused_before_anything_is_mended(run: Run, asked: dict[str, str], body: str) -> None:
    """Somebody who asks for a dry run must not get a sync."""
    run.ask("Create", OLD)
    held = dict(run.world.wire.topics)
    run.world.wire.topics.clear()
    event = {"routeKey": "POST /v1/sync", "queryStringParameters": asked, "body": body}

    answer = function.handler(event, run)

    assert answer["statusCode"] == 400
    assert held
    assert run.world.wire.topics == {}


def test_a_deploy_that_fails_for_good_says_which_log_tells_more(run: Run) -> None:
    run.fails = {"POST /v2/topics": [400]}

    with pytest.raises(QStashError, match=r"POST was answered 400: (.|\n)*Log group: /relay/sync-logs$"):
        run.ask("Create", OLD)

    assert run.slept == []


def test_what_nobody_thought_of_does_too_and_tells_nothing_of_what_it_was_about(run: Run) -> None:
    with pytest.raises(Defect, match=r"JSONDecodeError in relay\.deployment(.|\n)*Log group: /relay/sync-logs$"):
        run.ask("Create", "s3cret")


def test_one_that_has_no_time_left_fails_in_time_and_has_taken_back_what_it_changed(run: Run) -> None:
    before = run.ask("Create", OLD)
    there = deepcopy(run.world.wire.topics)
    desired = json.dumps({"groups": {"relay.audit": [ERP], "relay.a": [ERP], "relay.b": [ERP]}, "alone": {}})
    run.fails = {"POST /v2/topics/relay.b": [503]}

    with pytest.raises(QStashError):
        run.ask("Update", desired, before)

    assert run.left_s > 10
    assert run.world.wire.topics == there
    assert run.states == {before}


def test_what_is_left_is_told_and_a_rollback_that_asks_for_the_state_of_before_mends_it(run: Run) -> None:
    before = run.ask("Create", OLD)
    there = deepcopy(run.world.wire.topics)
    desired = json.dumps({"groups": {"relay.a": [ERP], "relay.b": [ERP]}, "alone": {}})
    run.fails = {"POST /v2/topics/relay.b": [400], "DELETE": [400]}

    with pytest.raises(QStashError) as told:
        run.ask("Update", desired, before)
    run.fails = {}

    assert "couldn't all be taken back (the rollback does that" in str(told.value)
    assert "remove URL group relay.a" in str(told.value)
    assert run.world.wire.topics.keys() > there.keys()
    assert run.ask("Update", OLD, before) == before
    assert run.world.wire.topics == there


def test_a_state_that_was_saved_though_nobody_heard_of_it_is_not_put_there_again(run: Run) -> None:
    """CloudFormation took the deploy for failed, and asks for the state that it knows."""
    before, lost = run.deploy()

    run.ask("Update", OLD, before)

    assert run.states == {before} != {lost}
    assert set(run.world.wire.topics) == {"relay.audit"}


def test_the_same_state_once_more_removes_nothing(run: Run) -> None:
    """As a deploy asks that doesn't take over any more what the one before took over: others may still use it."""
    before = run.ask("Create", OLD)
    run.world.wire.topics["relay.taken"] = {"a": "https://a.io/"}

    run.ask("Update", OLD, before)

    assert "relay.taken" in run.world.wire.topics


# -- a delete ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "status"),
    [
        *(("GET /v2/topics", status) for status in (400, 401, 403, 404, 405, 500, 503)),
        *(("DELETE /v2/topics", status) for status in (400, 401, 403, 405, 500, 503)),  # what isn't there is fine
    ],
)
def test_a_destroy_ends_whatever_qstash_answers_and_says_what_may_be_left(
    run: Run, log: StringIO, call: str, status: int
) -> None:
    state = run.ask("Create", OLD)
    run.fails = {call: [status]}

    assert run.ask("Delete", OLD, state) == state

    assert warned(log)[-1]["may_be_left"] == ["URL group relay.audit (erp https://erp.example.com/in)"]
    assert "s3cret" not in log.getvalue()
    assert run.left_s > 0
    assert run.states == set()


def test_a_destroy_tries_again_what_fails_in_passing(run: Run) -> None:
    state = run.ask("Create", OLD)
    run.fails = {"GET /v2/topics": [*AWAY], "DELETE /v2/topics": [httpx.Response(502)]}

    run.ask("Delete", OLD, state)

    assert (run.world.wire.topics, run.states) == ({}, set())


def no_token(_: str) -> Any:
    raise OperatorError("the secret relay/qstash has no token")


@pytest.mark.parametrize("breaks", ["secrets", "table"])
def test_a_destroy_ends_without_a_token_and_without_a_table(
    run: Run, log: StringIO, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    state = run.ask("Create", OLD)
    relay = wiring.relay("RELAY_QSTASH_SECRET")
    if breaks == "secrets":
        monkeypatch.setattr(relay.secrets, "qstash", no_token)
    else:
        monkeypatch.setattr(relay.store.table, "name", "gone")

    assert run.ask("Delete", OLD, state) == state

    reasons = [it["message"] for it in warned(log)]
    assert "not removed from QStash" in reasons
    assert ("the table still has the state, or is gone" in reasons) == (breaks == "table")


def test_a_clean_up_that_gives_up_has_the_old_state_never_put_into_qstash_again(run: Run) -> None:
    """Else the end of the new one would, for the old one would be the newest that remains."""
    old, new = run.deploy()
    run.fails = {"DELETE /v2/topics/relay.audit": [405]}

    run.ask("Delete", OLD, old)
    run.fails = {}

    assert run.states == {new}
    qstash, store = wiring.relay("RELAY_QSTASH_SECRET").qstash, run.world.store
    assert [str(it) for it in sync.drift("relay", qstash=qstash, store=store)] == ["remove URL group relay.audit"]
    run.ask("Delete", NEW, new)
    assert set(run.world.wire.topics) == {"relay.audit"}
    assert run.states == set()


def test_a_state_that_nobody_can_read_keeps_no_delete(run: Run) -> None:
    assert run.ask("Delete", "no JSON", "AWSCDK::x") == "AWSCDK::x"
