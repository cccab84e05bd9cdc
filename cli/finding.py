"""A finding of `relay doctor` or `relay check --account`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "look", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: The check's name.
        state: `ok`; `missing`: the relay can't work; `look`: the relay works, but a person should look; `skipped`:
            the check couldn't be made.
        found: What the check saw, for people.
        todo: The exact next command, or another step for a person; None if there is nothing to do.
    """

    check: str
    state: State
    found: str
    todo: str | None = None


def split(message: str) -> tuple[str, str | None]:
    """Split an error's message at its last colon into the error and the advice."""
    found, colon, todo = message.rpartition(": ")
    return (found, todo) if colon else (message, None)
