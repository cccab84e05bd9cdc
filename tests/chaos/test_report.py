"""What a run writes into the pages: its figures, between the markers and nowhere else."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.chaos.ledger import BY_REPLAY, Ledger
from tests.chaos.report import BEGIN, END, PAGE, README, page, readme
from tests.chaos.run import Outcome

if TYPE_CHECKING:
    from pathlib import Path

LEDGER = Ledger(
    sent=20, accepted=19, refused=1, expected=40, delivered=37, dead_lettered=3, doubled=Counter({BY_REPLAY: 2})
)
OUTCOME = Outcome(seed=7, count=20, ledger=LEDGER, struck=Counter({"callback lost": 5}), missing=[])
TEXT = f"before\n{BEGIN}\nof another run\n{END}\nafter\n"


def test_the_page_has_the_ledger_and_the_faults() -> None:
    written = page(TEXT, OUTCOME)

    assert "| expected deliveries | 40 |" in written
    assert "| callback lost | 5 |" in written
    assert "of another run" not in written


def test_the_readme_has_the_figures_of_the_run() -> None:
    assert readme(TEXT, OUTCOME) == (
        f"before\n{BEGIN}\n"
        "| seed | sent | accepted | expected deliveries | delivered | dead-lettered | lost | unaccounted |\n"
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 7 | 20 | 19 | 40 | 37 | 3 | 0 | 0 |\n"
        "\n"
        f"Doubled: 2 ({BY_REPLAY}: 2).\n"
        f"{END}\nafter\n"
    )


@pytest.mark.parametrize("file", [PAGE, README], ids=lambda it: it.name)
def test_the_pages_have_the_markers(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert text.count(BEGIN) == text.count(END) == 1


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        readme("none", OUTCOME)
