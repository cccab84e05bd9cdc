"""docs/reliability.md and docs/querying.md list what the stack has: every alarm, every route of the HTTP API."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from relay.query.routes import ROUTES, served_by
from tests.infra.conftest import CONFIG, ROOT, Synthesized, synthesize

if TYPE_CHECKING:
    from pathlib import Path

FAILURES = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").partition("\n## The promise")[0]
QUERYING = (ROOT / "docs" / "querying.md").read_text(encoding="utf-8")
COSTS = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
ALARM_USD = 0.10  # a month.  Source: https://aws.amazon.com/cloudwatch/pricing/
CANARY = """
[sources.alive]
cron = "*/15 * * * *"
timezone = "UTC"
canary = true
to = ["audit"]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A stack with all that is off by default and has an alarm."""
    said = 'reconcile = "repos/acme/shop/hooks/1"\nquarantine = "3d"\n'
    config = CONFIG.replace("[sources.github]\n", f"[sources.github]\n{said}") + CANARY
    folder: Path = tmp_path_factory.mktemp("whole")
    return synthesize(folder, config, local=False)


def _alarms(stack: Synthesized) -> set[str]:
    """Return the names of the alarms: a logical id is `Alarms`, the name without dashes, and a hash."""
    return {it.removeprefix("Alarms")[:-8] for it in stack.of_type("AWS::CloudWatch::Alarm")}


def test_each_alarm_stands_beside_the_failure_that_it_tells(whole: Synthesized) -> None:
    rows = [line.strip("|").split("|") for line in FAILURES.splitlines() if line.startswith("| ")][2:]
    named = {name for row in rows for name in re.findall(r"`([A-Z][\w-]+)`", row[3])}

    assert all(len(row) == 5 for row in rows)
    assert {it.replace("Canary-NAME", "Canaryalive") for it in named} == _alarms(whole)


def test_the_costs_are_those_of_as_many_alarms_as_there_are(real: Synthesized) -> None:
    (said,) = re.findall(r"^\| (\d+) alarms .* \| up to \$(\S+) \|$", COSTS, re.MULTILINE)

    count = len(_alarms(real))

    assert said == (str(count), f"{count * ALARM_USD:.2f}")


def test_the_page_has_every_route_of_the_api() -> None:
    listed = {
        f"{method} {path}"
        for method, paths in re.findall(r"^\| `(GET|POST)` \| (.*) \|$", QUERYING, re.MULTILINE)
        for path in re.findall(r"`([^`]+)`", paths)
    }

    assert listed == {re.sub(r"\{\w+_id\}", "{id}", route.key) for route in ROUTES}


def test_the_gateway_has_every_route_of_the_api(whole: Synthesized) -> None:
    keys = [route["Properties"]["RouteKey"] for route in whole.of_type("AWS::ApiGatewayV2::Route").values()]

    assert sorted(key for key in keys if " /v1/" in key) == sorted(route.key for route in ROUTES)


@pytest.mark.parametrize("function", sorted({route.function for route in ROUTES}))
def test_every_verb_of_a_route_is_in_the_handler_of_its_function(function: str) -> None:
    handler = importlib.import_module(function)

    verbs = [route.verb for route in served_by(function).values() if route.verb]

    assert [verb for verb in verbs if not callable(getattr(handler, verb, None))] == []
