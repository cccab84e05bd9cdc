"""Mistakes in a configuration: each has a dotted path, a line, and a message that says what to do.

Hides pydantic's words, and how the line of a setting is found.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import ValidationError

Wrong = tuple[str, str]  # a dotted path, and the message

_WANTED = {
    "expression": 'say what of the event, like expression = "body.wait_s"',
    "key": 'say what shares the limits, like key = "{body.account}"',
    "secret": "name it, as in `relay secret set destination:NAME`",
    "signature": 'say where the signature is, like "X-Signature: {hex}"',
}
_WORDS = (
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("valid dictionary or instance of Destination", 'URL, or a table like { eventbridge = "default", … }'),
    ("valid dictionary or instance of", "table:"),
    ("valid dictionary", "table"),
    ("a valid integer", "a whole number"),
    ("valid ", ""),
)
_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(#.*)?")
_LONG_TEXT = re.compile(r"'{3}|\"{3}")
_SETTING = re.compile(r"\s*([\w.\"'-]+)\s*=")


@dataclass(frozen=True)
class Mistake:
    """One mistake: the dotted path of the setting, its line if known, and what is wrong and what to do."""

    path: str
    line: int | None
    message: str

    def at(self, file: Path) -> str:
        """Return the mistake as a line of text, with its place in *file*."""
        place = f"{file}:{self.line}" if self.line else str(file)
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """The configuration can't be used; *mistakes* holds all of them, in the order of the file."""

    def __init__(self, file: Path, mistakes: Iterable[Mistake]) -> None:
        self.file = file
        self.mistakes = sorted(mistakes, key=lambda it: (it.line or 0, it.path, it.message))
        super().__init__("\n".join(it.at(file) for it in self.mistakes))


def told(error: ValidationError, settings_of: Callable[[Sequence[str | int]], list[str]]) -> list[Wrong]:
    """Return the mistakes in *error*, in our words; *settings_of* returns the settings of the table at a path."""
    found = []
    for fault in error.errors(include_url=False):
        steps, kind, message = steps_of(fault["loc"]), fault["type"], fault["msg"]
        if kind == "extra_forbidden":
            words = f"there is no such setting{nearest(str(steps[-1]), settings_of(steps[:-1]))}"
        elif kind == "missing":
            words = "is missing: " + _WANTED.get(str(steps[-1]), "set it")
        elif kind == "model_type" and not message.endswith("Destination") and (known := settings_of(steps)):
            words = f"must be a table of {', '.join(sorted(known))}"
        else:
            words = message
            if kind != "value_error":  # our own words
                for theirs, ours in _WORDS:
                    words = words.replace(theirs, ours)
            words = words.removeprefix("Value error, ")
        found.append((dotted(steps), words))
    return found


def steps_of(loc: Iterable[str | int]) -> list[str | int]:
    """Return the keys and list indices of pydantic's *loc*, without its words for which form of a value it took."""
    return [it for it in loc if it not in ("[key]", "(text)", "(table)")]


def dotted(steps: Iterable[str | int]) -> str:
    """Return *steps* as a path like `sources.github.routes[0].when`."""
    return "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in steps).removeprefix(".")


def nearest(name: str, known: Sequence[str], listed_by: str | None = None) -> str:
    """Return the end of a sentence that says there is no *name*: a near name, or all names.

    Args:
        listed_by: The command that lists all names, where those are too many for a sentence.
    """
    if meant := near(name, known):
        return meant
    if listed_by:
        return f": `{listed_by}` lists all"
    return f" (known: {', '.join(sorted(known))})" if known else ""


def near(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence that asks whether the *known* name nearest to *name* was meant, if one is near."""
    found = difflib.get_close_matches(name, known, n=1)
    return f": did you mean '{found[0]}'?" if found else ""


def located(wrong: Iterable[Wrong], text: str) -> set[Mistake]:
    """Return *wrong* with the lines that the settings have in *text*, or those of the nearest tables around them."""
    lines = _lines(text)
    found = set()
    for path, message in wrong:
        at = path
        while at and at not in lines:
            at = re.sub(r"(^|\.)[^.\[]*$|\[\d+\]$", "", at)
        found.add(Mistake(path, lines.get(at), message))
    return found


def _lines(text: str) -> dict[str, int]:
    """Return the line of every setting by dotted path: a guess, good enough to point at."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}  # of the tables in each array of tables
    table, inside = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if not inside and (header := _TABLE.fullmatch(line)):
            table = _table(re.sub(r"[\s\"']", "", header[2]), counts, another=header[1] == "[[")
            for outer in accumulate(re.findall(r"\.?[^.]+", table)):
                found.setdefault(outer, number)
        elif not inside and (setting := _SETTING.match(line)):
            found.setdefault(".".join(filter(None, (table, re.sub(r"[\"']", "", setting[1])))), number)
        for quotes in _LONG_TEXT.findall(line):
            inside = "" if inside == quotes else inside or quotes
    return found


def _table(name: str, counts: dict[str, int], *, another: bool) -> str:
    """Return the path of the table called *name*, with its number in an array of tables; *another* is a new one."""
    path = ""
    for part in name.split("."):
        path = f"{path}.{part}".removeprefix(".")
        if another and path.count(".") == name.count("."):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path += f"[{counts[path]}]"
    return path


def names_in(raw: Mapping[str, Any], table: str) -> list[str]:
    """Return the names in the *table* of the file, or none where that is no table."""
    found = raw.get(table)
    return list(found) if isinstance(found, dict) else []


def walked(raw: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield everything in *raw* with the keys and indices that lead there, however deep it is."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), raw)]
    while left:
        steps, value = left.pop()
        yield steps, value
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        left.extend(((*steps, key), it) for key, it in inner)
