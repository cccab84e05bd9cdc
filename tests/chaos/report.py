"""What a run is told as: lines for people, the tables of docs/reliability.md, and the figures of README.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.run import Outcome

README = Path(__file__).parents[2] / "README.md"
PAGE = README.parent / "docs" / "reliability.md"
BEGIN = "<!-- chaos: begin -->"
END = "<!-- chaos: end -->"
FINDINGS_SHOWN = 60
README_FIGURES = ("sent", "accepted", "expected deliveries", "delivered", "dead-lettered", "lost", "unaccounted")


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
    return _between(text, _tables(outcome))


def readme(text: str, outcome: Outcome) -> str:
    """Return the README *text* with the figures of *outcome* between its markers.

    Raises:
        ValueError: It has no markers.
    """
    return _between(text, _figures(outcome))


def _between(text: str, written: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{written}\n{END}{after}"


def _figures(outcome: Outcome) -> str:
    figures = {name: figure for name, _, figure in (it.partition(": ") for it in outcome.ledger.lines())}
    return "\n".join(
        [
            f"| {' | '.join(('seed', *README_FIGURES))} |",
            f"| {' | '.join(['---:'] * (1 + len(README_FIGURES)))} |",
            f"| {' | '.join((str(outcome.seed), *(figures[name] for name in README_FIGURES)))} |",
            "",
            f"Doubled: {figures['doubled']}.",
        ]
    )


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
