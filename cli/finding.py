"""What a look at one thing found, as `relay doctor` and `relay check --account` tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "look", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        state: `missing` keeps the relay from working; `look` doesn't, and is worth a look; `skipped` can't be told.
        todo: The exact next command, or what else to do.
    """

    check: str
    state: State
    found: str
    todo: str | None = None


def split(message: str) -> tuple[str, str | None]:
    """Return a failure's message as what was found and, after its last colon, what to do."""
    found, colon, todo = message.rpartition(": ")
    return (found, todo) if colon else (message, None)
