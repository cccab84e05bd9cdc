"""Cron expressions: when a schedule runs.

QStash reads them as the standard parser of Go's robfig/cron v3 does, and so does this module; it refuses a few
spellings which that one lets through without a sense: ``*-5``, ``+5``, a field of commas, a negative duration.

Zones come from the system's time zone database (the PyPI package tzdata where a machine has none); UTC needs neither.

Source: https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from .grammar import Refused

SEARCH_YEARS = 5
STEP_S = 3 * 86_400  # no zone has ever changed its offset twice within three days

_SECOND = timedelta(seconds=1)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (  # in their order: name, lowest, highest, names
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=([^ \t]*)[ \t]+(.*)", re.DOTALL)
_TERM = re.compile(r"(?:[*?]|([0-9]{1,18}|[A-Za-z]{3})(?:-([0-9]{1,18}|[A-Za-z]{3}))?)(?:/([0-9]{1,18}))?")
_PART = r"([0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})(ns|[u\u00b5\u03bc]s|ms|s|m|h)"
_UNIT_NS = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6}
_UNIT_NS |= {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9}


@dataclass(frozen=True)
class Cron:
    """A cron expression as `read_cron` makes it: either a spec in a zone, or an interval."""

    text: str  # as given, stripped of blanks at both ends
    zone: tzinfo = UTC
    spec: str = ""  # five fields, each `*` or numbers with commas between them
    every_s: int = 0  # 0: not an interval

    def next_s(self, after_s: float) -> float | None:
        """Return the first run later than *after_s*, both in Unix seconds.

        A run is at every instant whose local time matches. A time that a change of the clocks skips has no run that
        day, and one that it repeats has two.

        Returns:
            None where none comes by the end of the fifth year from now, for instance on 30 February.
        """
        at = math.floor(after_s) + (self.every_s or 1)
        if self.every_s:
            return float(at)
        last_year = self._local(at).year + SEARCH_YEARS
        while (local := self._local(at).replace(tzinfo=None)).year <= last_year:
            try:
                match = next(CronSim(self.spec, local - _SECOND))
            except CronSimError:  # none of its months has such a day
                return None
            run = at + (match - local) // _SECOND  # unless the offset changes on the way there
            at = self._offset_end(at, min(run, at + STEP_S))
            if at > run:
                return float(run)
        return None

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    def _offset_end(self, at: int, last: int) -> int:
        """Return the first second after *at* that has another UTC offset, or ``last + 1``."""
        offset = self._local(at).utcoffset()
        return at + bisect_left(range(at, last + 1), 1, key=lambda second: self._local(second).utcoffset() != offset)


def read_cron(text: str) -> Cron:
    """Read five fields or a descriptor such as ``@daily`` or ``@every 1h30m``, after an optional ``CRON_TZ=Zone``.

    Raises:
        Refused: For every other text.
    """
    text = text.strip(" \t")
    zoned = _ZONE.fullmatch(text)
    zone, spec = (_zone(zoned[1]), zoned[2]) if zoned else (UTC, text)
    if spec.startswith("@every "):
        return Cron(text, zone, every_s=_every_s(spec.removeprefix("@every ")))
    if spec.startswith("@") and spec not in _DESCRIPTORS:
        raise _refused(f"unrecognized descriptor: {spec!r}")
    fields = re.split(r"[ \t]+", _DESCRIPTORS.get(spec, spec))
    if not text:
        raise _refused("empty spec string")
    if len(fields) != len(_FIELDS):
        raise _refused(f"expected exactly 5 fields, found {len(fields)}: {spec!r}")
    return Cron(text, zone, " ".join(_field(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)))


def _refused(why: str) -> Refused:
    return Refused(400, f"Invalid cron expression {why}")


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name in ("", "UTC") else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _refused(f"provided bad location {name!r}: unknown time zone") from error


def _every_s(text: str) -> int:
    if not re.fullmatch(rf"0|({_PART})+", text):
        raise _refused(f"failed to parse duration {text!r}: expected for instance 1h30m10s")
    ns = sum(Fraction(number) * _UNIT_NS[unit] for number, unit in re.findall(_PART, text))
    if ns >= 1 << 63:
        raise _refused(f"failed to parse duration {text!r}: more than 292 years")
    return max(1, int(ns // 10**9))


def _field(text: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> str:
    """Spell a field out, so that CronSim's grammar, which is another, has nothing to say about what it means.

    Only a star without a step stays one: beside it the other of the two day fields alone decides.
    """

    def number(word: str) -> int:
        if word.lower() in names:
            return names.index(word.lower()) + lowest
        if not word.isdecimal():
            raise _refused(f"{name}: {word!r} is neither a number nor a name")
        return int(word)

    star, numbers = False, set[int]()
    for term in filter(None, text.split(",")):
        found = _TERM.fullmatch(term)
        if not found:
            raise _refused(f"{name}: failed to parse {term!r}")
        first, last, step = found.groups()
        start = number(first) if first else lowest
        end = number(last) if last else start if first and not step else highest
        if not lowest <= start <= end <= highest or (step and not int(step)):
            raise _refused(f"{name}: {term!r} is not a range within {lowest}-{highest} and a step of 1 or more")
        star |= not first and int(step or 1) == 1
        numbers.update(range(start, end + 1, int(step or 1)))
    if not numbers:
        raise _refused(f"{name}: nothing in {text!r}")
    return "*" if star else ",".join(map(str, sorted(numbers)))
