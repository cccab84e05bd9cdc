"""What a run is told as: lines for people, and the tables of docs/reliability.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.run import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- chaos: begin -->"
END = "<!-- chaos: end -->"
FINDINGS_SHOWN = 60


def lines(outcome: Outcome) -> list[str]:
    """Return all there is to say of a run; the ledger last, what is wrong with the run after it."""
    shown, more = outcome.ledger.findings[:FINDINGS_SHOWN], len(outcome.ledger.findings) - FINDINGS_SHOWN
    return [
        f"seed: {outcome.seed}",
        *(f"struck: {kind}: {number}" for kind, number in sorted(outcome.struck.items())),
        f"webhooks a second: {outcome.rate:.1f}",
        *(f"seconds of {what}: {figure}" for what, figure in outcome.took_s.items()),
        *outcome.ledger.lines(),
        *(f"  {it}" for it in shown),
        *([f"  and {more} more"] if more > 0 else []),
        *([f"invalid: never struck: {', '.join(outcome.missing)}"] if outcome.missing else []),
    ]


def page(text: str, outcome: Outcome) -> str:
    """Return the page *text* with the tables of *outcome* between its markers.

    Raises:
        ValueError: It has no markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{_tables(outcome)}\n{END}{after}"


def _tables(outcome: Outcome) -> str:
    figures = [it.partition(": ") for it in outcome.ledger.lines()]
    return "\n".join(
        [
            f"`make chaos SEED={outcome.seed} COUNT={outcome.count}`:",
            "",
            "| ledger | |",
            "| --- | --- |",
            *(f"| {name} | {figure} |" for name, _, figure in figures),
            "",
            "| fault | struck |",
            "| --- | --- |",
            *(f"| {kind} | {number} |" for kind, number in sorted(outcome.struck.items())),
        ]
    )
