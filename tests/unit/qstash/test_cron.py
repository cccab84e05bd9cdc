"""Cron expressions."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.local.qstash.language.cron import read_cron
from infra.local.qstash.language.grammar import Refused

NEW_YORK = "TZ=America/New_York "
BERLIN = "TZ=Europe/Berlin "
LORD_HOWE = "TZ=Australia/Lord_Howe "


def runs(expression: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """Return the next runs as ISO 8601 local times of *zone*."""
    cron, at_s, found = read_cron(expression), datetime.fromisoformat(after).timestamp(), list[str]()
    for _ in range(count):
        run_s = cron.next_s(at_s)
        assert run_s is not None
        found.append(datetime.fromtimestamp(run_s, ZoneInfo(zone)).isoformat(timespec="minutes"))
        at_s = run_s
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2024-02-28T10:01+00:00"),
        ("0/15 * * * *", "2024-02-28T10:15+00:00"),
        ("58/2 * * * *", "2024-02-28T10:58+00:00"),
        ("0-0/2 * * * *", "2024-02-28T11:00+00:00"),
        ("1,,2 * * * *", "2024-02-28T10:01+00:00"),
        ("? ? ? ? ?", "2024-02-28T10:01+00:00"),
        ("*/999999999999 * * * *", "2024-02-28T11:00+00:00"),
        ("5-59/20 9-17 * * *", "2024-02-28T10:05+00:00"),
        ("30 9 * * mon-FRI", "2024-02-29T09:30+00:00"),
        ("0 0 1 jAn *", "2025-01-01T00:00+00:00"),
        ("0 0 * * SAT", "2024-03-02T00:00+00:00"),
        ("0 0 31 * *", "2024-03-31T00:00+00:00"),
        ("0 0 29 2 *", "2024-02-29T00:00+00:00"),
        ("\t 0   0\t29 2 * ", "2024-02-29T00:00+00:00"),
        ("@yearly", "2025-01-01T00:00+00:00"),
        ("@annually", "2025-01-01T00:00+00:00"),
        ("@monthly", "2024-03-01T00:00+00:00"),
        ("@weekly", "2024-03-03T00:00+00:00"),
        ("@daily", "2024-02-29T00:00+00:00"),
        ("@midnight", "2024-02-29T00:00+00:00"),
        ("@hourly", "2024-02-28T11:00+00:00"),
        ("CRON_TZ=Asia/Kolkata @daily", "2024-02-28T18:30+00:00"),
        ("TZ=Asia/Kolkata 0 16 * * *", "2024-02-28T10:30+00:00"),
        ("TZ=UTC @hourly", "2024-02-28T11:00+00:00"),
        ("TZ= @hourly", "2024-02-28T11:00+00:00"),
    ],
)
def test_a_wednesday_at_ten_in_utc_is_followed_by(expression: str, expected: str) -> None:
    assert runs(expression, "2024-02-28T10:00:00+00:00", 1) == [expected]


@pytest.mark.parametrize(
    ("expression", "days"),
    [
        ("0 0 13 * FRI", [5, 12, 13, 19]),  # two restricted fields: either
        ("0 0 13 * *", [13, 13, 13, 13]),
        ("0 0 * * FRI", [5, 12, 19, 26]),
        ("0 0 */1 * FRI", [5, 12, 19, 26]),  # a step of 1 restricts nothing
        ("0 0 13,* * FRI", [5, 12, 19, 26]),  # nor does a list with a star in it
        ("0 0 ? * FRI", [5, 12, 19, 26]),
        ("0 0 */20 * FRI", [5, 12, 19, 21]),  # any other step does
        ("0 0 13 * */6", [6, 7, 13, 14]),
        ("0 0 13 * 5/2", [5, 12, 13, 19]),  # a step stops at Saturday
        ("0 0 13 * 0-6", [2, 3, 4, 5]),  # and all the days there are is not a star
        ("0 0 30 2 FRI", [2, 9, 16, 23]),
    ],
)
def test_the_two_day_fields_together(expression: str, days: list[int]) -> None:
    assert [int(run[8:10]) for run in runs(expression, "2024-01-01T00:00:00+00:00", 4)] == days


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        (NEW_YORK + "30 2 11 Mar ?", "2012-03-11T00:00:00-05:00", ["2013-03-11T02:30-04:00"]),
        (NEW_YORK + "0 2 * * *", "2012-03-11T00:00:00-05:00", ["2012-03-12T02:00-04:00"]),
        (NEW_YORK + "@hourly", "2012-03-11T00:00:00-05:00", ["2012-03-11T01:00-05:00", "2012-03-11T03:00-04:00"]),
        (NEW_YORK + "*/30 * * * *", "2012-03-11T01:00-05:00", ["2012-03-11T01:30-05:00", "2012-03-11T03:00-04:00"]),
        (
            NEW_YORK + "0 1 * * *",
            "2012-11-04T00:00:00-04:00",
            ["2012-11-04T01:00-04:00", "2012-11-04T01:00-05:00", "2012-11-05T01:00-05:00"],
        ),
        (
            NEW_YORK + "@hourly",
            "2012-11-04T00:00:00-04:00",
            ["2012-11-04T01:00-04:00", "2012-11-04T01:00-05:00", "2012-11-04T02:00-05:00"],
        ),
        (BERLIN + "30 2 * * *", "2024-03-30T12:00:00+01:00", ["2024-04-01T02:30+02:00"]),
        (BERLIN + "30 2 * * *", "2024-10-26T12:00:00+02:00", ["2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00"]),
        (BERLIN + "0 12 1 * *", "2024-03-02T00:00:00+01:00", ["2024-04-01T12:00+02:00", "2024-05-01T12:00+02:00"]),
        # Three changes before the next July, of which the first, for Ramadan, repeats the time.
        (
            "TZ=Africa/Casablanca 30 2 20 7 *",
            "2012-07-20T02:00:00+01:00",
            ["2012-07-20T02:30+01:00", "2012-07-20T02:30+00:00", "2013-07-20T02:30+00:00"],
        ),
        # The clocks of Lord Howe change by half an hour: from 02:00 to 02:30, and from 02:00 back to 01:30.
        (
            LORD_HOWE + "*/15 1-2 * * *",
            "2024-10-06T01:30:00+10:30",
            ["2024-10-06T01:45+10:30", "2024-10-06T02:30+11:00", "2024-10-06T02:45+11:00"],
        ),
        (LORD_HOWE + "45 1 * * *", "2024-04-06T12:00:00+11:00", ["2024-04-07T01:45+11:00", "2024-04-07T01:45+10:30"]),
    ],
)
def test_a_run_is_at_every_instant_whose_local_time_matches(expression: str, after: str, expected: list[str]) -> None:
    zone = expression.removeprefix("TZ=").partition(" ")[0]
    assert runs(expression, after, len(expected), zone) == expected


@pytest.mark.parametrize(("after_s", "run_s"), [(59.999, 60), (60, 120), (60.001, 120), (-0.5, 0)])
def test_a_run_is_later_than_the_instant_given(after_s: float, run_s: float) -> None:
    assert read_cron("* * * * *").next_s(after_s) == run_s


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("1h30m10s", 5_410),
        ("90s", 90),
        ("1.5h", 5_400),
        (".5m", 30),
        ("0.7s0.2s0.1s", 1),
        ("2.9s", 2),
        ("2s1500ms", 3),
        ("3000000us", 3),
        ("3000000\u00b5s", 3),
        ("3000000\u03bcs", 3),
        ("9ns", 1),
        ("0", 1),
    ],
)
def test_every_so_often(duration: str, seconds: int) -> None:
    for text in (f"@every {duration}", f"TZ=Europe/Berlin @every {duration}"):
        assert read_cron(text).next_s(1_000.9) == 1_000 + seconds


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 ?", NEW_YORK + "0 0 30 2 *", "0 0 29 2 *"])
def test_there_is_none_within_five_years(expression: str) -> None:
    after = datetime(2096, 3, 1, tzinfo=UTC).timestamp()  # 2100 is no leap year

    assert read_cron(expression).next_s(after) is None


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_fifth_year_from_now_is_searched_to_its_end(zone: str) -> None:
    after = datetime(2019, 1, 1, 12, tzinfo=UTC).timestamp()

    assert read_cron(f"TZ={zone} 0 0 29 2 *").next_s(after) == datetime(2020, 2, 29, tzinfo=ZoneInfo(zone)).timestamp()
    after = datetime(2099, 1, 1, 12, tzinfo=UTC).timestamp()
    assert read_cron(f"TZ={zone} 0 0 29 2 *").next_s(after) == datetime(2104, 2, 29, tzinfo=ZoneInfo(zone)).timestamp()


def test_the_text_is_kept_without_the_blanks_around_it() -> None:
    assert read_cron(" \tTZ=UTC  0 0  * * SUN\t ").text == "TZ=UTC  0 0  * * SUN"


@pytest.mark.parametrize("text", ["", "   ", "\t"])
def test_an_empty_expression(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_cron(text)

    assert (refused.value.status, refused.value.text) == (400, "Invalid cron expression empty spec string")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("* * * * * *", "expected exactly 5 fields, found 6"),
        ("TZ=UTC", "expected exactly 5 fields"),
        ("TZ=UTC ", "expected exactly 5 fields"),
        ("*\n* * * *", "expected exactly 5 fields"),
        ("*\x1c* * * *", "expected exactly 5 fields"),
        ("* * * * \x00", "day of week: failed to parse"),
        ("* * * * 1\n", "day of week: failed to parse"),
        ("60 * * * *", "minute: '60' is not a range within 0-59"),
        ("* 24 * * *", "hour: '24'"),
        ("* * 0 * *", "day of month: '0'"),
        ("* * 32 * *", "day of month: '32'"),
        ("* * * 0 *", "month: '0'"),
        ("* * * 13 *", "month: '13'"),
        ("* * * * 7", "day of week: '7'"),
        ("* * * * 5-7", "day of week: '5-7'"),
        ("5-3 * * * *", "minute: '5-3'"),
        ("*/0 * * * *", "minute: '*/0'"),
        ("*/ * * * *", "minute: failed to parse"),
        ("1-2-3 * * * *", "minute: failed to parse"),
        ("1/2/3 * * * *", "minute: failed to parse"),
        ("*-5 * * * *", "minute: failed to parse"),
        ("-5 * * * *", "minute: failed to parse"),
        ("+5 * * * *", "minute: failed to parse"),
        ("1.5 * * * *", "minute: failed to parse"),
        (", * * * *", "minute: nothing in ','"),
        ("\u0665 * * * *", "minute: failed to parse"),
        ("* * * * \u017fun", "day of week: failed to parse"),
        (f"{'9' * 5_000} * * * *", "minute: failed to parse"),
        (f"*/{'9' * 5_000} * * * *", "minute: failed to parse"),
        ("* * L * *", "day of month: failed to parse"),
        ("* * 15W * *", "day of month: failed to parse"),
        ("* * * * 5L", "day of week: failed to parse"),
        ("* * * * MON#2", "day of week: failed to parse"),
        ("* * * * JAN", "day of week: 'JAN' is neither"),
        ("* * * MON *", "month: 'MON' is neither"),
        ("JAN * * * *", "minute: 'JAN' is neither"),
        ("@", "unrecognized descriptor: '@'"),
        ("@Daily", "unrecognized descriptor"),
        ("@reboot", "unrecognized descriptor"),
        ("@every", "unrecognized descriptor"),
        ("@every x", "failed to parse duration 'x'"),
        ("@every 5", "failed to parse duration"),
        ("@every -5m", "failed to parse duration"),
        ("@every 1d", "failed to parse duration"),
        ("@every .s", "failed to parse duration"),
        ("@every 5m\n", "failed to parse duration"),
        (f"@every {'9' * 5_000}s", "failed to parse duration"),
        ("@every 2562048h", "failed to parse duration '2562048h': more than 292 years"),
        ("TZ=Mars/Base @daily", "provided bad location 'Mars/Base': unknown time zone"),
        ("TZ=../UTC @daily", "provided bad location"),
        ("TZ=America/../UTC @daily", "provided bad location"),
        ("TZ=/usr/share/zoneinfo/UTC @daily", "provided bad location"),
        ("TZ=America @daily", "provided bad location"),
        ("TZ=\x00 @daily", "provided bad location"),
        ("TZ=\udc80 @daily", "provided bad location"),
        (f"TZ={'a' * 5_000} @daily", "provided bad location"),
        ("TZ=UTC TZ=UTC @daily", "expected exactly 5 fields"),
        ("tz=UTC @daily", "expected exactly 5 fields"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused) as refused:
        read_cron(text)

    assert refused.value.status == 400
    assert refused.value.text.startswith(f"Invalid cron expression {why}")


SHREDS = st.sampled_from(
    [*"*?,-/ \t@#LW0159\n\x00\u00b5", "TZ=", "CRON_TZ=", "UTC ", "../", "MON", "@every ", "1h", "."]
)


@given(st.text() | st.lists(SHREDS).map("".join) | st.text().map(lambda name: f"TZ={name} @daily"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        read_cron(text).next_s(1_700_000_000)


# One hour or so before or after every kind of change; the last two change nothing.
CHANGES = {
    "America/New_York": ("2012-03-11T07:00:00+00:00", "2012-11-04T06:00:00+00:00"),
    "Europe/Berlin": ("2024-03-31T01:00:00+00:00", "2024-10-27T01:00:00+00:00"),
    "Australia/Lord_Howe": ("2024-10-05T15:30:00+00:00", "2024-04-06T15:00:00+00:00"),
    "America/Sao_Paulo": ("2018-11-04T03:00:00+00:00", "2018-02-18T02:00:00+00:00"),  # at midnight
    "Pacific/Apia": ("2011-12-30T10:00:00+00:00",),  # a whole day is skipped
    "Asia/Kolkata": ("2024-01-01T00:00:00+00:00",),
    "UTC": ("2024-02-29T00:00:00+00:00",),
}
HORIZON = timedelta(days=4)


def a_field(lowest: int, highest: int) -> st.SearchStrategy[frozenset[int] | None]:
    """Generate the numbers of a field; None for a star."""
    return st.none() | st.frozensets(st.integers(lowest, highest), min_size=1, max_size=4)


def matches(local: datetime, fields: list[frozenset[int] | None]) -> bool:
    minute, hour, day, month, weekday = fields
    values = ((minute, local.minute), (hour, local.hour), (month, local.month))
    if not all(numbers is None or value in numbers for numbers, value in values):
        return False
    on_days = [n for n in ((day, local.day), (weekday, local.isoweekday() % 7)) if n[0] is not None]
    return not on_days or any(numbers is not None and value in numbers for numbers, value in on_days)


@given(
    st.tuples(a_field(0, 59), a_field(0, 4) | a_field(0, 23), a_field(1, 31), st.none(), a_field(0, 6)),
    st.sampled_from([(zone, change) for zone, changes in CHANGES.items() for change in changes]),
    st.integers(-90_000, 20_000),
)
@example((frozenset({30}), frozenset({1}), None, None, None), ("America/New_York", CHANGES["America/New_York"][1]), 60)
def test_a_search_minute_by_minute_finds_the_same(
    fields: tuple[frozenset[int] | None, ...], where: tuple[str, str], apart_s: int
) -> None:
    zone, change = where
    after = datetime.fromisoformat(change) + timedelta(seconds=apart_s)
    text = " ".join("*" if numbers is None else ",".join(map(str, numbers)) for numbers in fields)
    minute = after.replace(second=0) + timedelta(minutes=1)
    expected = None
    while minute < after + HORIZON and expected is None:
        expected = minute.timestamp() if matches(minute.astimezone(ZoneInfo(zone)), list(fields)) else None
        minute += timedelta(minutes=1)

    found = read_cron(f"CRON_TZ={zone} {text}").next_s(after.timestamp())

    if expected is None:
        assert found is None or found >= minute.timestamp()
    else:
        assert found == expected
