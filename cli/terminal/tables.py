"""Tables, facts and lines for people, on a terminal and in a pipe; ids are never cut.

The only module that prints with rich.  Control characters in strangers' texts never reach the terminal.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.terminal.options import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

STYLES = {
    "delivered": "green",
    "succeeded": "green",
    "ok": "green",
    "in_flight": "cyan",
    "pending": "yellow",
    "paused": "yellow",
    "held": "yellow",
    "look": "yellow",
    "skipped": "dim",
    "dead_lettered": "red",
    "unpublishable": "red",
    "unaccounted": "red",
    "removed": "dim",
    "cancelled": "dim",
    "failed": "red",
    "dead": "red",
    "idle": "dim",
    "missing": "red",
}
PIPE_WIDTH_MAX = 10_000
TENTHS_BELOW_S = 10
GAP = 2
NARROWEST = 8  # characters of a column that wraps
WHOLE_MAX = 64  # characters of a word that `facts` keeps whole: a SHA-256 fits
WIDTH_MIN = 20  # characters of a terminal


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: The text at the top.
        cell: Returns the value of a record's cell.
        whole: Never wrap a cell, however narrow the terminal: people copy ids.
    """

    title: str
    cell: Callable[[Mapping[str, Any]], object]
    whole: bool = False


def table(columns: Iterable[Column], records: Iterable[Mapping[str, Any]]) -> None:
    """Print *records* as a table."""
    wanted = list(columns)
    shown = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    rows = [[_text(column.cell(record)) for column in wanted] for record in records]
    needed = 0
    for index, column in enumerate(wanted):
        widest = max([len(column.title), *(row[index].cell_len for row in rows)])
        narrowest = widest if column.whole else min(widest, max(len(column.title), NARROWEST))
        needed += narrowest + GAP
        shown.add_column(column.title, header_style="bold", overflow="fold", no_wrap=column.whole, min_width=narrowest)
    for row in rows:
        shown.add_row(*row)
    _print(shown, needed)


def facts(pairs: Mapping[str, object]) -> None:
    """Print *pairs* as two columns, without those whose value is None."""
    shown = Table.grid(padding=(0, GAP, 0, 0))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    needed = 0
    for name, value in pairs.items():
        if value is not None:
            text = _text(value)
            widest = max((len(word) for word in text.plain.split()), default=0)  # may be an id, which people copy
            needed = max(needed, len(name) + GAP + min(widest, WHOLE_MAX))
            shown.add_row(name, text)
    _print(shown, needed)


def heading(text: str) -> None:
    """Print a title."""
    _print(Text(f"\n{text}", style="bold"))


def line(text: str) -> None:
    """Print one line for people."""
    _print(_text(text))


def time_text(value: object) -> str:
    """Return an ISO 8601 time in whole seconds for people, such as 2026-11-24 08:31:08Z."""
    if not isinstance(value, str):
        return "-"
    try:
        return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%SZ")
    except ValueError:
        return value


def age_text(moment: datetime | None) -> str:
    """Return the time since *moment* in its largest whole unit, such as 3 d."""
    if moment is None:
        return "?"
    return _whole_text(max(0, int((datetime.now(UTC) - moment).total_seconds())))


def ago_text(value: object) -> str:
    """Return the time since an ISO 8601 time, such as 3 d ago."""
    try:
        return f"{age_text(datetime.fromisoformat(value))} ago" if isinstance(value, str) else "-"
    except ValueError:
        return "-"


def span_text(seconds: float | None) -> str:
    """Return a duration for people, such as 1.5 s or 3 min."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < TENTHS_BELOW_S else _whole_text(int(seconds))


def _whole_text(seconds: int) -> str:
    """Return *seconds* in their largest whole unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def size_text(size_bytes: object) -> str:
    """Return a number of bytes for people, such as 9.8 KiB."""
    if not isinstance(size_bytes, int):
        return "-"
    if size_bytes < 1024:
        return f"{size_bytes} B"
    return f"{size_bytes / 1024:.1f} KiB" if size_bytes < 1024**2 else f"{size_bytes / 1024**2:.1f} MiB"


def _text(value: object) -> Text:
    text = "-" if value is None or value == "" else printable(str(value))
    return Text(text, style=STYLES.get(text, ""))


def _print(shown: Table | Text, needed: int = 0) -> None:
    """Print *shown* at full width in a pipe; on a terminal at its width, but never below *needed* characters."""
    terminal = sys.stdout.isatty()
    if not terminal:
        wide = Console(file=sys.stdout, width=PIPE_WIDTH_MAX)
        needed = Measurement.get(wide, wide.options, shown).maximum
    width = max(needed, Console().width if terminal else 1, WIDTH_MIN)
    console = Console(file=sys.stdout, width=width, highlight=False, no_color=not terminal)
    if terminal:
        console.print(shown, crop=False)
        return
    with console.capture() as captured:
        console.print(shown, crop=False)
    sys.stdout.writelines(f"{it.rstrip()}\n" for it in captured.get().splitlines())
