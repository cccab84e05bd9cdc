"""Schedules: cron expressions and time zones, as QStash reads them, and how often one runs.

The local QStash reads the expressions, so that an expression that passes here runs there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator

from infra.config.canaries import known_gap_s
from infra.config.mistakes import near
from infra.local.qstash.language.cron import Cron, read_cron
from infra.local.qstash.language.grammar import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.config.mistakes import Wrong

_FROM = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # a set time, so that a file is right or wrong on every day


def _cron(text: str) -> str:
    if re.match(r"\s*(CRON_)?TZ=", text):
        raise ValueError("must have no time zone in it: set timezone")
    try:
        read_cron(text)
    except Refused as error:
        why = error.text.removeprefix("Invalid cron expression ")
        raise ValueError(f'isn\'t cron: {why} (five fields, no seconds, like "0 3 * * *", or @daily)') from None
    return text.strip()


CronText = Annotated[str, AfterValidator(_cron)]


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory"})  # whose clock depends on the machine


def mistakes(at: str, cron: str | None, zone: str | None) -> Iterator[Wrong]:
    """Yield the mistakes in a schedule's cron and time zone; *at* is the source's dotted path."""
    if zone is None:
        yield f"{at}.timezone", 'is missing: say whose clock the cron means, like "Europe/Berlin" or "UTC"'
    elif zone not in _zones():
        hint = near(zone, sorted(_zones()))
        yield f"{at}.timezone", f"there is no time zone '{zone}'{hint or ': take a name like Europe/Berlin'}"
    elif cron is not None and _read(cron, zone).next_s(_FROM) is None:
        yield f"{at}.cron", "never runs, since no year has such a day: correct the day or the month"


def gap_s(cron: str, zone: str) -> int:
    """Return the longest time between two runs in a row, in seconds."""
    return known_gap_s(f"CRON_TZ={zone} {cron}")


def _read(cron: str, zone: str) -> Cron:
    return read_cron(f"CRON_TZ={zone} {cron}")
