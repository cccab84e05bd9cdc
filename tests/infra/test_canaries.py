"""The alarm on a canary's silence: how long it waits, by its cron expression, and what the stack makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from infra.config import flatten, models
from infra.config.canaries import Silence, longest_gap_s, silence
from infra.local.qstash.language.cron import read_cron
from infra.stack import stack
from tests.infra.conftest import CONFIG, synthesize

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S, DAY_S = 3_600, 86_400
FROM_S = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "longest_s"),
    [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("0,1 * * * *", 59 * 60),
        ("0 * * * *", HOUR_S),
        ("0 */2 * * *", 3 * HOUR_S),  # the clocks skip its 2:00
        ("0 3 * * *", 25 * HOUR_S),  # the clocks are put back
        ("30 2 * * *", 47 * HOUR_S),  # the clocks skip it: there is none that day
        ("*/10 9-17 * * 1-5", 64 * HOUR_S + 600),  # a weekend, in which the clocks are put back
    ],
)
def test_the_longest_time_between_two_ticks_is_found(cron: str, longest_s: int) -> None:
    assert longest_gap_s(read_cron(f"CRON_TZ=Europe/Berlin {cron}")) == longest_s


@pytest.mark.parametrize("cron", ["0 3 * * *", "15 */7 * * *", "0 9,17 * * 1-5", "30 1 1,15 * *", "0 0 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_no_year_has_a_longer_one(cron: str, zone: str) -> None:
    """Looked for tick by tick."""
    schedule = read_cron(f"CRON_TZ={zone} {cron}")
    runs = [schedule.next_s(FROM_S) or 0.0]
    while runs[-1] and runs[-1] < FROM_S + 367 * DAY_S:
        runs.append(schedule.next_s(runs[-1]) or 0.0)
    gaps = [after - before for before, after in pairwise(runs)]

    assert longest_gap_s(schedule) == (max(gaps) if gaps else 367 * DAY_S)


@pytest.mark.parametrize(
    ("cron", "waits"),
    [
        ("* * * * *", Silence(120, 1)),
        ("*/7 * * * *", Silence(14 * 60, 1)),
        ("0 */2 * * *", Silence(6 * HOUR_S, 1)),
        ("0 3 * * *", Silence(DAY_S, 3)),
        ("@every 90s", Silence(180, 1)),
    ],
)
def test_an_alarm_waits_twice_as_long_at_least(cron: str, waits: Silence) -> None:
    """In periods that CloudWatch has: whole minutes, a day at most."""
    assert silence(cron, "Europe/Berlin") == waits


@pytest.mark.parametrize(
    ("cron", "says"), [("0 3 * * 0", "three and a half days"), ("0 0 30 2 *", "three"), ("x", "cron")]
)
def test_a_canary_whose_silence_cant_be_told_is_refused(cron: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        silence(cron, "Europe/Berlin")


def test_every_canary_has_an_alarm_on_its_silence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whichever function heard of the delivery; and no other source has one."""

    def with_canaries(wanted: models.Config) -> dict[str, Any]:
        made = flatten.flatten(wanted)
        schedule = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "body": "", "content_type": "", "retries": 5}
        canary = {**made["sources"]["github"], "schedule": schedule, "canary": True}
        return {**made, "sources": {**made["sources"], "night-watch": canary, "quiet": {**canary, "canary": False}}}

    monkeypatch.setattr(stack, "flatten", with_canaries)
    found = synthesize(tmp_path, CONFIG, local=False).of_type("AWS::CloudWatch::Alarm")

    alarms = [it["Properties"] for it in found.values() if it["Properties"]["MetricName"] == "CanaryTime"]

    assert len(alarms) == 1
    told = alarms[0]
    assert (told["Namespace"], told["Statistic"]) == ("FanoutRelay", "SampleCount")
    assert {it["Name"]: it["Value"] for it in told["Dimensions"]} == {"relay": "shop", "source": "night-watch"}
    assert (told["Period"], told["EvaluationPeriods"]) == (DAY_S, 3)
    assert (told["ComparisonOperator"], told["Threshold"]) == ("LessThanThreshold", 1)
    assert told["TreatMissingData"] == "breaching"
    assert "night-watch" in told["AlarmDescription"]
