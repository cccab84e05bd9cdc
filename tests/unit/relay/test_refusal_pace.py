"""Refusals: how seldom a flood is written, and what it hides."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from relay.ingest.refusals import GAP_MAX, QUIET, WRITES_PER_MINUTE, RefusalPace
from relay.model.refusal import Reason
from tests.unit.relay.refusing import NOW


def flooded(
    pace: RefusalPace, keys: list[tuple[str, Reason]], seconds: int, per_second: int = 10
) -> list[tuple[int, int]]:
    """Flood one instance; return (second, amount) of every write."""
    return [
        (second, amount)
        for second in range(seconds)
        for nth in range(per_second)
        for key in keys
        if (amount := pace.take(key, NOW + timedelta(seconds=second + nth / per_second)))
    ]


def test_a_flood_is_written_ever_more_seldom_and_counted_whole() -> None:
    """At most once a second, soon once a minute."""
    pace, key = RefusalPace(), ("github", Reason.BAD_SIGNATURE)

    written = flooded(pace, [key], 600)

    assert len(written) <= 7 + 600 / 60
    gaps = [after - before for (before, _), (after, _) in pairwise(written)]
    assert min(gaps) >= 1
    assert gaps == sorted(gaps)
    assert gaps[-1] >= GAP_MAX.total_seconds()
    late = pace.take(key, NOW + timedelta(hours=1))
    assert sum(amount for _, amount in written) + late == 6001


def test_after_a_flood_a_single_refusal_is_kept_at_once_again() -> None:
    """The gap is as long as the flood lasts."""
    pace, key = RefusalPace(), ("github", Reason.BAD_SIGNATURE)
    flooded(pace, [key], 300)
    calm = NOW + timedelta(minutes=20)

    assert pace.take(key, calm)
    assert [pace.take(key, calm + timedelta(seconds=2 * n)) for n in range(1, 5)] == [1, 1, 1, 1]


def test_a_flood_over_everything_has_a_bound_of_its_own() -> None:
    """However many sources there are; the first of each is beside it."""
    keys = [(f"s{n}", reason) for n in range(40) for reason in Reason]

    written = flooded(RefusalPace(), keys, 180, per_second=1)

    assert len([second for second, _ in written if second == 0]) == len(keys)
    assert len(written) == len(keys) + 3 * WRITES_PER_MINUTE


def test_noise_on_one_source_doesnt_hide_that_another_begins() -> None:
    """Not even noise for so many reasons that no write is left in the minute."""
    pace = RefusalPace()
    flooded(pace, [("noisy", reason) for reason in Reason], 30)
    now = NOW + timedelta(seconds=30)

    assert pace.take(("github", Reason.BAD_SIGNATURE), now) == 1
    assert pace.take(("github", Reason.BAD_SIGNATURE), now + timedelta(seconds=2)) == 0


@pytest.mark.parametrize(("silent", "amount"), [(QUIET, 3), (QUIET - timedelta(seconds=1), 0)])
def test_what_was_quiet_begins_anew(silent: timedelta, amount: int) -> None:
    """With what was held back before; and only after a whole `QUIET`, else a slow drip would have no bound."""
    pace, noise, key = RefusalPace(), [("noisy", reason) for reason in Reason], ("github", Reason.BAD_SIGNATURE)
    flooded(pace, noise, 30)
    for second in (30, 32, 34):
        pace.take(key, NOW + timedelta(seconds=second))
    again = NOW + timedelta(seconds=34) + silent
    later = [(f"loud{n}", Reason.NO_SECRET) for n in range(2 * WRITES_PER_MINUTE)]
    for second in (61, 63, 65):  # the next minute's writes are spent as well
        for loud in later:
            pace.take(loud, NOW + timedelta(seconds=second))

    assert pace.take(key, again) == amount


def test_one_flooded_source_doesnt_hide_another() -> None:
    """Each source and reason has a pace of its own."""
    pace = RefusalPace()
    flooded(pace, [("github", Reason.BAD_SIGNATURE)], 90)

    assert pace.take(("calls", Reason.BAD_SIGNATURE), NOW + timedelta(seconds=90)) == 1
