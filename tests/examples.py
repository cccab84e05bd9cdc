"""How many examples a property is tried with: as many as it needs in a whole run, fewer in a shorter one."""

from __future__ import annotations

from hypothesis import settings


def examples(whole: int) -> int:
    """Return how many to try where *whole* are enough: all of them, or the share that the profile asks for."""
    return max(1, whole * settings().max_examples // settings.get_profile("whole").max_examples)
