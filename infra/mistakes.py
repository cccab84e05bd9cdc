"""How mistakes of a configuration are told: by dotted path and line, in words that say what to do.

Hides pydantic's words and how a setting's line is found.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pydantic import ValidationError

Wrong = tuple[str, str]  # a dotted path, and what is wrong there

_LATER = {
    *("routes", "cron", "timezone", "body", "delay", "flow_control", "headers"),
    *("sqs", "sns", "lambda", "step_functions", "s3", "transform"),
}
_WANTED = {
    "scheme": 'say how the source signs, like scheme = "github"',
    "to": "name the URL groups that get the source's events",
    "destinations": "a URL group needs a destination",
    "signature": 'say where the signature is, like "X-Signature: {hex}"',
}
_WORDS = (
    ("Value error, ", ""),
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("valid dictionary or instance of Destination", 'URL, or a table like { eventbridge = "default", … }'),
    ("valid dictionary or instance of", "table:"),
    ("valid dictionary", "table"),
    ("a valid integer", "a whole number"),
    ("valid ", ""),
)
_TABLE = re.compile(r"\s*\[\[?([^\[\]]+)\]\]?\s*(#.*)?")
_SETTING = re.compile(r"\s*([\w.\"'-]+)\s*=")


@dataclass(frozen=True)
class Mistake:
    """One mistake: the dotted path of the setting, its line if known, and what is wrong and what to do."""

    path: str
    line: int | None
    message: str


class ConfigError(Exception):
    """The configuration can't be used; *mistakes* holds all of them, in the order of the file."""

    def __init__(self, file: Path, mistakes: Iterable[Mistake]) -> None:
        self.file = file
        self.mistakes = sorted(mistakes, key=lambda it: (it.line or 0, it.path, it.message))
        super().__init__("\n".join(self._told(it) for it in self.mistakes))

    def _told(self, mistake: Mistake) -> str:
        place = f"{self.file}:{mistake.line}" if mistake.line else str(self.file)
        return f"{place}: {mistake.path}: {mistake.message}" if mistake.path else f"{place}: {mistake.message}"


def told(error: ValidationError, settings_of: Callable[[Sequence[str]], list[str]]) -> list[Wrong]:
    """Return what *error* found, in our words; *settings_of* says which settings the table at a path has."""
    found = []
    for it in error.errors(include_url=False):
        steps = [str(step) for step in it["loc"] if step != "[key]"]
        if it["type"] == "extra_forbidden":
            words = _unknown(steps[-1], settings_of(steps[:-1]))
        elif it["type"] == "missing":
            words = "is missing: " + _WANTED.get(steps[-1], "set it")
        else:
            words = it["msg"]
            for theirs, ours in _WORDS:
                words = words.replace(theirs, ours)
        found.append((".".join(steps), words))
    return found


def nearest(name: str, known: Sequence[str], listed_by: str | None = None) -> str:
    """Return the end of a sentence that says there is no *name*: what could have been meant.

    Args:
        listed_by: The command that lists what there is, where that is too much for a sentence.
    """
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f": did you mean '{near[0]}'?"
    if listed_by:
        return f": `{listed_by}` has all that there are"
    return f": there are {', '.join(sorted(known))}" if known else ""


def located(wrong: Iterable[Wrong], text: str) -> set[Mistake]:
    """Return *wrong* with the lines that the settings have in *text*, or those of the nearest tables around them."""
    lines = _lines(text)
    found = set()
    for path, message in wrong:
        at = path
        while at and at not in lines:
            at = at.rpartition(".")[0]
        found.add(Mistake(path, lines.get(at), message))
    return found


def _unknown(name: str, known: Sequence[str]) -> str:
    if name in _LATER:
        return f"this version has no '{name}' yet: take it out"
    return f"there is no such setting{nearest(name, known)}"


def _lines(text: str) -> dict[str, int]:
    """Return the line of every setting by dotted path: a guess, good enough to point at."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.fullmatch(line):
            table = re.sub(r"[\s\"']", "", header[1])
            found.setdefault(table, number)
        elif setting := _SETTING.match(line):
            found.setdefault(".".join(filter(None, (table, re.sub(r"[\"']", "", setting[1])))), number)
    return found
