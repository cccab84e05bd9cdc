"""The planted faults: each still fits the code, else `make mutants` would try nothing with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: it.name)
def test_a_fault_stands_in_the_code_once_and_its_tests_are_there(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text(encoding="utf-8").count(fault.right) == 1
    assert fault.near(ROOT)
    assert all((ROOT / it.partition("::")[0]).exists() for it in fault.near(ROOT))


def test_each_fault_has_a_name_of_its_own() -> None:
    assert len({it.name for it in FAULTS}) == len(FAULTS)
