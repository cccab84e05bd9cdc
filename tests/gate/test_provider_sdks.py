"""The verdicts on file are still what the providers' own SDKs say, and the cases still what their builder makes.

The relay's verifier is held against the same file by the unit tests, without the SDKs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.gate.provider_sdks import freeze

FROZEN = freeze.frozen()
SDKS = sorted({sdk for line in FROZEN for sdk in line["verdicts"]})


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, str]]:
    """Ask every SDK again; return the verdict of each by the id of the case."""
    cases = freeze.cases_of(FROZEN)
    verdicts: dict[str, dict[str, str]] = defaultdict(dict)
    for verdict in [*freeze.judge_in_python(cases), *freeze.judge_in_javascript(cases)]:
        verdicts[verdict["sdk"]][verdict["id"]] = verdict["verdict"]
    return verdicts


@pytest.mark.parametrize("sdk", SDKS)
def test_an_sdk_says_what_it_said(said: dict[str, dict[str, str]], sdk: str) -> None:
    """What is on file of an SDK is what it says now, of the same cases."""
    on_file = {line["id"]: line["verdicts"][sdk] for line in FROZEN if sdk in line["verdicts"]}

    now = said[sdk]

    assert now == on_file


def test_every_sdk_is_on_file(said: dict[str, dict[str, str]]) -> None:
    """No SDK is asked whose verdicts are not kept, and none is kept that is no longer asked."""
    assert sorted(said) == SDKS


def test_the_cases_are_built_the_same_again() -> None:
    """The file holds what the builder makes, in its order."""
    assert freeze.build() == freeze.cases_of(FROZEN)


def test_every_sdk_accepts_something_and_refuses_something() -> None:
    """An SDK that is asked in a wrong way refuses everything, and would go unnoticed."""
    verdicts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in FROZEN:
        for sdk, verdict in line["verdicts"].items():
            verdicts[sdk, line["scheme"]][verdict] += 1

    one_sided = {pair: dict(count) for pair, count in verdicts.items() if len(count) < 2}

    assert one_sided == {}


def test_every_case_has_a_judge() -> None:
    """A case has the verdict of an SDK, or what its scheme's documented formula expects."""
    unjudged: list[Any] = [line["id"] for line in FROZEN if not line["verdicts"] and "expected" not in line]

    assert unjudged == []
