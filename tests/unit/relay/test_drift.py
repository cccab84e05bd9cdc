"""What differs in QStash from what the last deploy said is found within an hour, though nobody deploys or asks."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import audit
from relay import wiring
from relay.deployment import states, sync
from relay.jobs.drift import EVERY
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.runtime.deadline import LEAST_S
from relay.runtime.http_api import logger
from relay.storage.leases import AUDIT
from tests.unit.relay.dead_letters import DeadLetters
from tests.unit.relay.ledgers import SECOND
from tests.unit.relay.operator import Context, wired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.relay.world import World

MINUTES = timedelta(minutes=5)
GROUP = "relay.ci"


@pytest.fixture(autouse=True)
def written(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StringIO]:
    """Wire the function to the world, in which something is deployed; give what it logs."""
    DeadLetters(world)
    relay = wired(world, monkeypatch, tmp_path, "RELAY_QSTASH_SECRET")
    monkeypatch.setattr(relay, "publisher", lambda: world.publisher)
    log = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    deploy(world)
    yield log
    wiring.relay.cache_clear()


def deploy(world: World, *names: str) -> str:
    """Have a deploy begin which brings destinations of these *names*; return its state."""
    world.clock.at += SECOND
    there = {name: dict(endpoints) for name, endpoints in world.wire.topics.items()}
    there["relay.ci"] |= {name: f"https://{name}.example.com/in" for name in names}
    groups = {name: [{"name": it, "url": url} for it, url in them.items()] for name, them in there.items()}
    take_over = not world.store.deployment.desired()
    wanted = json.dumps({"groups": groups})
    return sync.add(wanted, "relay", qstash=world.qstash, store=world.store, take_over=take_over)


def run(world: World, after: timedelta = timedelta(0), *, left_s: float = 60.0) -> list[str] | None:
    """Return what the audit says that differs, *after* a time; it is run as the rule does."""
    world.clock.at += after
    told: list[str] | None = audit.handler({}, Context(left_s=left_s))["drift"]
    return told


def counted(capsys: pytest.CaptureFixture[str], metric: str = "Drift") -> list[float]:
    lines = [json.loads(it) for it in capsys.readouterr().out.splitlines() if it.startswith("{")]
    return [it[metric][0] for it in lines if metric in it]


def warnings(log: StringIO) -> list[dict[str, Any]]:
    return [it for it in map(json.loads, log.getvalue().splitlines()) if it["level"] == "WARNING"]


def test_it_is_looked_for_once_an_hour(world: World, written: StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(world)
    world.wire.topics.pop(GROUP)

    early = [run(world, MINUTES) for _ in range(11)]
    found = run(world, MINUTES)

    assert (first, early, found) == ([], [None] * 11, ["set builder of relay.ci"])
    assert counted(capsys) == [0, 1]
    (warning,) = warnings(written)
    assert (warning["differs"], warning["in_all"]) == (["set builder of relay.ci"], 1)
    assert world.store.state.last_look() == {"at": world.store.state.last_audit()["drift"]["at"], "differs": 1}


def test_while_anything_differs_each_audit_looks_so_that_the_alarm_ends_once_it_is_mended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.wire.topics.pop(GROUP)

    told = [run(world), run(world, MINUTES)]
    sync.mend("relay", qstash=world.qstash, store=world.store)
    told += [run(world, MINUTES), run(world, MINUTES)]

    assert told == [["set builder of relay.ci"], ["set builder of relay.ci"], [], None]
    assert counted(capsys) == [1, 1, 0]


def test_while_a_deploy_is_under_way_nobody_looks_and_one_that_failed_hides_nothing_for_long(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both states stay in the table where CloudFormation could neither go on nor back."""
    deploy(world, "crm")
    world.wire.topics.pop(GROUP)

    under_way = [run(world), run(world, states.DEPLOY_LASTS - SECOND)]
    assert (under_way, counted(capsys)) == ([None, None], [])

    assert run(world, SECOND) == ["set builder, crm of relay.ci"]


def test_once_a_deploy_is_done_it_is_held_to_that_one(world: World) -> None:
    old = next(iter(world.store.deployment.desired()))
    deploy(world, "crm")

    sync.remove(old, "relay", qstash=world.qstash, store=world.store)

    assert run(world) == []


@pytest.mark.parametrize("status", [401, 500, 503])
def test_a_qstash_that_can_not_be_asked_leaves_the_balance_as_it_is_and_is_asked_next_time(
    world: World, written: StringIO, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    world.post()
    world.wire.broken = {"GET /v2/topics": status}
    world.clock.at += EVERY

    done = audit.handler({}, Context())
    shown = capsys.readouterr().out

    assert (done["balanced"], done["complete"], done["drift"]) == (3, True, None)
    assert '"Drift"' not in shown
    assert '"Defects"' not in shown
    assert [it["message"] for it in warnings(written)] == ["QStash can't be compared"]
    world.wire.broken = {}
    assert run(world, MINUTES) == []


class Ending(Context):
    """A run that is ended once the world's clock has gone on so far."""

    def __init__(self, world: World, left_s: float) -> None:
        super().__init__(left_s=left_s)
        self._world, self._ends = world, world.clock.at + timedelta(seconds=left_s)

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends - self._world.clock.at) / timedelta(milliseconds=1))


def test_a_slow_qstash_has_the_look_end_before_the_run_is_ended(world: World, written: StringIO) -> None:
    """The next audit looks."""
    left_s = audit.MARGIN_S + 1

    quick, letters = world.publisher.qstash, DeadLetters(world)

    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/topics":
            world.clock.at += timedelta(seconds=left_s - audit.LAST_S)
        return letters(request)

    transport = httpx.MockTransport(slow)
    world.publisher.qstash = QStash(
        QStashHttp("token", "https://qstash.example.com", transport=transport, now=world.clock)
    )

    done = audit.handler({}, Ending(world, left_s))

    assert (done["complete"], done["drift"]) == (True, None)
    assert [it["message"] for it in warnings(written)] == ["QStash can't be compared"]
    world.publisher.qstash = quick
    assert run(world, MINUTES) == []


def test_the_look_has_time_of_its_own_whatever_the_balance_took() -> None:
    """Else a relay that is always behind would never look."""
    done = audit.handler({}, Context(left_s=audit.MARGIN_S + LEAST_S + 0.01))

    assert (done["complete"], done["drift"]) == (False, [])


def test_where_our_own_code_fails_at_it_the_audit_is_done_all_the_same(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.post()
    world.store.deployment.save_desired({"a": {"state": "{", "at": "2026-01-01T00:00:00.000Z"}}, ["groups"])
    world.clock.at += EVERY

    done = audit.handler({}, Context())

    assert (done["balanced"], done["drift"]) == (3, None)
    assert counted(capsys, "Defects") == [1]


def test_the_word_of_the_audit_is_kept_beside_that_of_the_look(world: World) -> None:
    run(world)
    said = world.store.state.last_audit()
    run(world, MINUTES)

    assert said["until"] < world.store.state.last_audit()["until"]
    assert world.store.state.last_audit()["drift"] == said["drift"]


def test_beside_another_audit_nobody_looks_and_its_word_stays(world: World) -> None:
    world.store.leases.take(AUDIT, "another")

    assert run(world) is None
    assert world.store.state.last_audit() == {}


def test_before_a_deploy_has_said_anything_nothing_differs(world: World) -> None:
    world.store.deployment.save_desired({}, [])

    assert run(world) == []


def test_a_line_of_the_log_has_room_for_what_differs(world: World, written: StringIO) -> None:
    world.wire.topics |= {f"relay.{'g' * 60}{number}": {"a": "https://a.io/"} for number in range(300)}

    told = run(world)

    (warning,) = warnings(written)
    assert warning["in_all"] == 300
    assert told == warning["differs"]
    assert len(json.dumps(warning)) < 100_000
