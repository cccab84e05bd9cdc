"""The function audit, QStash at the wire: what it says, what it counts, and how long it may take."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

import audit
from relay import wiring
from relay.errors import UpstreamError
from relay.jobs.audit import GRACE
from relay.model.delivery import Status
from relay.runtime import deadline
from relay.runtime.http_api import logger
from relay.storage.leases import AUDIT
from tests.unit.relay.dead_letters import DeadLetters
from tests.unit.relay.ledgers import SECOND, not_due, put
from tests.unit.relay.operator import Context, wired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.relay.world import World


@pytest.fixture(autouse=True)
def written(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StringIO]:
    """Wire the function to the world; give what it logs."""
    relay = wired(world, monkeypatch, tmp_path, "RELAY_QSTASH_SECRET")
    monkeypatch.setattr(relay, "publisher", lambda: world.publisher)
    log = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    yield log
    wiring.relay.cache_clear()


def run(left_s: float = 60.0) -> dict[str, Any]:
    return audit.handler({}, Context(left_s=left_s))


def unaccounted_metric(capsys: pytest.CaptureFixture[str]) -> list[float]:
    lines = [json.loads(it) for it in capsys.readouterr().out.splitlines() if it.startswith("{")]
    return [it["Unaccounted"][0] for it in lines if "Unaccounted" in it]


def test_it_tells_what_it_did(world: World, written: StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """As its result, and in its log; each unaccounted delivery by name, with why; their number as a metric."""
    event = world.post().event
    letters = DeadLetters(world)
    put(world, event, "erp", Status.UNACCOUNTED, reason="nobody knows")
    not_due(world, event, "ledger")
    letters.add_callback(event, "builder")
    world.clock.at += GRACE + SECOND

    done = run()

    told: dict[str, Any] = {"balanced": 3, "repaired": 1, "released": 0, "settled": 1, "unaccounted": 1, "defects": []}
    told |= {"complete": True, "skipped": False, "drift": []}
    lines = {it["message"]: it for it in map(json.loads, written.getvalue().splitlines())}
    assert done == told
    assert told.items() <= lines["audited"].items()
    assert (lines["unaccounted"]["level"], lines["unaccounted"]["why"]) == ("WARNING", "nobody knows")
    assert lines["unaccounted"]["delivery_id"] == f"dlv_{event.id[4:]}.erp"
    assert lines["unaccounted"]["event_id"] == event.id
    assert unaccounted_metric(capsys) == [1]


def test_that_nothing_is_unaccounted_is_counted_too(capsys: pytest.CaptureFixture[str]) -> None:
    """So that its alarm ends."""
    run()

    assert unaccounted_metric(capsys) == [0]


def test_beside_another_run_it_counts_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Else its zero would stand beside what the other counts."""
    world.store.leases.take(AUDIT, "another")

    assert run()["skipped"] is True
    assert unaccounted_metric(capsys) == []


def test_it_ends_before_it_is_ended(world: World) -> None:
    """What there is no time for is left to the next run."""
    world.post()
    world.clock.at += GRACE + SECOND

    first = run(left_s=audit.MARGIN_S + deadline.LEAST_S + 0.01)
    second = run(left_s=audit.MARGIN_S + 9)

    assert (first["complete"], first["balanced"]) == (False, 0)
    assert (second["complete"], second["balanced"]) == (True, 3)


def test_while_qstash_is_away_it_fails(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The alarm of its errors sounds; it counts nothing that it doesn't know."""
    DeadLetters(world).failures = [503]

    with pytest.raises(UpstreamError):
        run()

    assert unaccounted_metric(capsys) == []
