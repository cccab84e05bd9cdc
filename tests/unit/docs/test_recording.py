"""The picture of the demo is an excerpt by rule: what is left out, what is cut, and nothing else changed."""

from __future__ import annotations

import re
import sys

import pytest

from infra.docs.recording import SHOWN_COLUMNS, excerpt, lines, picture, recorded

PRINTED = (
    "Three destinations: \x1b[32mhealthy\x1b[0m.\r\n\r\n"
    "\x1b[?25l⠋ starting \x1b[33m0:00:00\x1b[0m\r\x1b[2K⠙ ready \x1b[33m0:00:09\x1b[0m\r\n\x1b[?25h"
    "\r\n\x1b[1m$ relay send push.json\x1b[0m\r\nSTATUS  EVENT\r\n202     rly_a\r\n"
    "\r\n$ relay event show rly_a\r\nevent  rly_a\r\n\r\nHeaders\r\nx-github-event  push\r\n"
    "\r\nThe dead destination is repaired.\r\n"
    "\r\n$ relay delivery list\r\n" + "d" * 200 + "\r\n"
)


def test_of_a_line_that_was_written_over_the_last_is_there() -> None:
    assert [it.plain for it in lines("one\rtwo\r\nthree\r\n")] == ["two", "three", ""]


def test_progress_and_some_commands_are_left_out_and_long_lines_are_cut() -> None:
    shown = [it.plain for it in excerpt(lines(PRINTED))]

    assert shown == [
        "Three destinations: healthy.",
        "",
        "$ relay send push.json",
        "STATUS  EVENT",
        "202     rly_a",
        "",
        "The dead destination is repaired.",
        "",
        "$ relay delivery list",
        "d" * (SHOWN_COLUMNS - 1) + "…",
    ]


def test_the_picture_has_colours_and_loads_no_font() -> None:
    svg = picture(excerpt(lines(PRINTED)))

    assert "healthy" in svg
    assert len(set(re.findall(r"fill: #[0-9a-f]{6}", svg))) >= 2
    assert "@font-face" not in svg
    assert "https://" not in svg


def test_what_a_command_printed_is_there_whole() -> None:
    svg = picture(excerpt(lines(PRINTED)))

    assert "202&#160;&#160;&#160;&#160;&#160;rly_a" in svg


def test_a_command_is_recorded_as_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    told = "from rich.console import Console; it = Console(); it.print(f'[red]{it.width}[/red]', highlight=False)"

    (shown, _) = lines(recorded((sys.executable, "-c", told)))

    assert shown.plain == "150"
    assert [str(it.style) for it in shown.spans] == ["color(1)"]


def test_a_demo_that_fails_is_no_picture() -> None:
    with pytest.raises(SystemExit, match=r"ended with status 3:\nit broke"):
        recorded((sys.executable, "-c", "print('it broke'); raise SystemExit(3)"))
