"""How long a canary may be silent before an alarm: twice the longest time between two of its ticks.

Hides how that time is found from a cron expression, and how long CloudWatch can wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from infra.local.qstash.language.cron import read_cron
from infra.local.qstash.language.grammar import Refused

if TYPE_CHECKING:
    from infra.local.qstash.language.cron import Cron

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
PERIOD_MAX_S = DAY_S  # CloudWatch: one period of an alarm
SILENCE_MAX_S = 7 * DAY_S  # CloudWatch: all periods of an alarm together
# One fixed year, so that the same configuration is the same stack: the clocks change twice in it, wherever they do.
_FROM_S = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
_UNTIL_S = _FROM_S + 367 * DAY_S


@dataclass(frozen=True)
class Silence:
    """How long an alarm waits: a number of periods without a sample, each of so many seconds."""

    period_s: int
    periods: int


def silence(cron: str, timezone: str) -> Silence:
    """Return how long the canary that ticks at *cron* in *timezone* must be silent for an alarm.

    Raises:
        ValueError: It ticks too seldom for CloudWatch to tell its silence, or *cron* is no expression.
    """
    try:
        gap_s = known_gap_s(f"CRON_TZ={timezone} {cron}")
    except Refused as refused:
        raise ValueError(refused.text) from None
    if 2 * gap_s > SILENCE_MAX_S:
        raise ValueError(
            "a canary must tick at least every three and a half days: an alarm waits for two ticks, and 7 days at most"
        )
    wanted_s = -(-2 * gap_s // MINUTE_S) * MINUTE_S
    period_s = min(PERIOD_MAX_S, wanted_s)
    periods = -(-wanted_s // period_s)
    return Silence(period_s, periods)


@cache
def known_gap_s(expression: str) -> int:
    """Return `longest_gap_s` of the cron *expression*: kept, since a year of ticks takes a second.

    Raises:
        Refused: *expression* isn't cron.
    """
    return longest_gap_s(read_cron(expression))


def longest_gap_s(cron: Cron) -> int:
    """Return the longest time between two runs of *cron*, in seconds, changes of the clocks included.

    Every gap longer than the longest known one holds a point of any grid that is as fine as that; so the year is looked
    at in such steps.  What is shorter than an hour shows in the first two days, if all gaps are.
    """
    if cron.every_s:
        return cron.every_s
    first = cron.next_s(_FROM_S)
    if first is None or first > _UNTIL_S:
        return 367 * DAY_S
    longest, at = 0.0, first
    while at < _UNTIL_S:
        step = longest if at < first + 2 * DAY_S else max(longest, HOUR_S)
        after = cron.next_s(at + step)
        if after is None:
            return 367 * DAY_S
        if cron.next_s(after - longest - MINUTE_S) == after:
            longest = after - _run_before(cron, after, at)
        at = after
    return int(longest)


def _run_before(cron: Cron, run: float, earliest: float) -> float:
    """Return the last run of *cron* before *run*, not before *earliest*, which is a run: both whole minutes."""
    low, high = int(earliest // MINUTE_S), int(run // MINUTE_S) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cron.next_s(middle * MINUTE_S) == run else (middle + 1, high)
    return float(low * MINUTE_S)
