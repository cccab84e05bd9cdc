"""What is counted is counted for one relay: an account may have several, and the alarms of each are its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from relay import wiring
from relay.runtime import metrics
from relay.runtime.metrics import Metric
from tests.unit.relay.world import FLAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.relay.operator import Operator


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one line of CloudWatch's embedded metric format that was written."""
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("count", "name", "value"),
    [
        *((lambda it=it: metrics.count(it, 3), it.value, 3.0) for it in Metric),
        (lambda: metrics.count_defect(ZeroDivisionError()), "Defects", 1.0),
        (lambda: metrics.count_refused("github", "bad_signature"), "Refused", 1.0),
        (lambda: metrics.time_canary("shop", "alive", 7), "CanaryTime", 7.0),
    ],
)
def test_every_metric_is_of_the_relay_that_emits_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    count: Callable[[], None],
    name: str,
    value: float,
) -> None:
    """In each of its sets of dimensions, so that no figure is of two relays."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "sweep")

    count()

    told = emitted(capsys)
    (declared,) = told["_aws"]["CloudWatchMetrics"]
    assert [it["Name"] for it in declared["Metrics"]] == [name]
    assert (told["relay"], told["service"], told[name]) == ("shop", "sweep", [value])
    assert ["relay", "service"] in [sorted(it) for it in declared["Dimensions"]]
    assert all("relay" in it for it in declared["Dimensions"])


def test_a_defect_says_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count_defect(ZeroDivisionError())

    assert "ZeroDivisionError" in emitted(capsys)["where"]


def test_a_function_counts_for_the_relay_whose_configuration_it_has(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its first call on."""
    metrics.count_for("another")
    wiring.relay.cache_clear()

    operator.ask("GET /v1/config")
    capsys.readouterr()
    metrics.count(Metric.ACCEPTED)

    assert emitted(capsys)["relay"] == FLAT["name"]
