"""The local QStash judged by npm's ``@upstash/qstash``: the scenarios of ``js/client.mjs``, each a test of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.local_qstash import ENVIRONMENT, running_qstash

SCRIPT = Path(__file__).parent / "js" / "client.mjs"
SCENARIOS = re.findall(r'^scenario\("([^"]+)"', SCRIPT.read_text("utf-8"), re.MULTILINE)
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def told() -> dict[str, str | None]:
    """Play all scenarios; return what each ended with: nothing, or an error."""
    with running_qstash("--test-hosts") as facts, running_qstash("--test-hosts", "--plan", "free") as free:
        where = json.dumps({"paid": asdict(facts), "free": asdict(free)})
        played = subprocess.run(  # noqa: S603 - our own script
            [shutil.which("node") or "node", str(SCRIPT), where],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert played.returncode == 0, played.stderr
    outcomes = [json.loads(line) for line in played.stdout.splitlines()]
    return {outcome["name"]: outcome["error"] for outcome in outcomes}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_holds(told: dict[str, str | None], name: str) -> None:
    """The client sees what it expects of the service."""
    error = told[name]

    assert error is None, error


def test_every_scenario_is_a_test(told: dict[str, str | None]) -> None:
    """None is played without being looked at, and none is there twice."""
    assert sorted(told) == sorted(SCENARIOS)
