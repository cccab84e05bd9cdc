"""The small languages in QStash's headers."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.qstash.language.grammar import (
    DAY_S,
    Refused,
    canonical,
    destination_url,
    duration_s,
    evaluate,
    flag,
    reset_delay_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "seconds"), [("50s", 50), ("3m", 180), ("10h", 36_000), ("1d10h30m", 124_200), ("1h30m3s", 5_403)]
)
def test_a_duration_is_read_as_seconds(text: str, seconds: int) -> None:
    assert duration_s(text, "x") == seconds


@pytest.mark.parametrize("text", ["", "30", "1.5s", "-1s", "1w", "s", "1s ", "1 s", "٣s"])
def test_a_duration_needs_a_number_and_a_unit(text: str) -> None:
    with pytest.raises(Refused):
        duration_s(text, "x")


@pytest.mark.parametrize(
    ("expression", "retried", "ms"),
    [
        ("1000", 0, 1_000),
        ("1000 * (1 + retried)", 2, 3_000),
        ("pow(2, retried) * 1000", 3, 8_000),
        ("max(1000, pow(2, retried) * 100)", 1, 1_000),
        ("7000 * retried", 0, 0),
        ("7 - 2 - 1", 0, 4),
        ("2 + 3 * 4", 0, 14),
        ("8 / 2 / 2", 0, 2),
        ("-(3 - 5) * 10", 0, 20),
        ("round(1.6) + floor(1.6) + ceil(1.2) + abs(-1) + sqrt(4)", 0, 8),
        ("min(5, 3, 4) + max(1)", 0, 4),
        ("exp(0) + 1e2 + .5", 0, 101.5),
        ("-5", 0, 0),
    ],
)
def test_a_retry_delay_is_computed(expression: str, retried: int, ms: float) -> None:
    assert evaluate(expression, retried) == ms


@pytest.mark.parametrize("expression", ["1/retried", "pow(10, 999)", "exp(1000)", "sqrt(-1)", "0/0", "1e999"])
def test_a_retry_delay_without_a_finite_value_is_a_day(expression: str) -> None:
    assert evaluate(expression, 0) == DAY_S * 1000


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "(1",
        "1)",
        "2 ** 3",
        "2 // 3",
        "x",
        "retried()",
        "pow(1)",
        "pow(1, 2, 3)",
        "sqrt()",
        "__import__('os')",
        "().__class__",
        "retried.real",
        "1 2",
        "1; 2",
        "lambda: 1",
        "(" * 400 + "1" + ")" * 400,
        "1+" * 600 + "1",
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(Refused) as refused:
        evaluate(expression, 0)
    assert refused.value.status == 400


@given(text=st.text(max_size=60) | st.text("0123456789.+-*/(), retidpowminexabsqu", max_size=60))
def test_any_text_is_a_delay_within_a_day_or_refused(text: str) -> None:
    """No other error leaves the evaluator, and whether it refuses does not depend on how often was retried."""
    outcomes: list[bool | str] = []
    for retried in (0, 7):
        try:
            outcomes.append(0 <= evaluate(text, retried) <= DAY_S * 1000)
        except Refused:
            outcomes.append("refused")
    assert outcomes in ([True, True], ["refused", "refused"])


_NUMBERS = st.integers(0, 1000).map(lambda number: (str(number), float(number)))


def _joined(
    pairs: st.SearchStrategy[tuple[str, float]],
) -> st.SearchStrategy[tuple[str, float]]:
    operators: dict[str, Callable[[float, float], float]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
    }
    return st.tuples(pairs, st.sampled_from(sorted(operators)), pairs).map(
        lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", operators[t[1]](t[0][1], t[2][1]))
    )


@given(pair=st.recursive(_NUMBERS, _joined, max_leaves=8))
def test_an_expression_has_the_value_arithmetic_gives_it(pair: tuple[str, float]) -> None:
    text, value = pair
    assert evaluate(text, 0) == min(max(value, 0), DAY_S * 1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("0", 0),
        ("1.5", 1.5),
        ("6m5s", 365),
        ("250ms", 0.25),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0),
        ("86400", DAY_S),
        ("86401", None),
        ("1800000000", None),
        ("soon", None),
        ("", None),
        ("-1", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_a_reset_is_seconds_a_duration_or_a_date_within_a_day(text: str, seconds: float | None) -> None:
    assert reset_delay_s(text, 100) == (None if seconds is None else pytest.approx(seconds))


@given(text=st.text(max_size=40))
def test_any_reset_header_is_a_wait_within_a_day_or_ignored(text: str) -> None:
    wait = reset_delay_s(text, 1_800_000_000)
    assert wait is None or (math.isfinite(wait) and 0 <= wait <= DAY_S)


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true_is_spelled_as_go_spells_it(text: str) -> None:
    assert flag(text, "x")
    with pytest.raises(Refused):
        flag(f"{text}!", "x")


@given(text=st.text(max_size=40) | st.text(max_size=20).map("https://{}".format))
def test_any_text_is_a_url_unchanged_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):
        assert destination_url(text) == text


def test_header_names_are_spelled_as_go_spells_them() -> None:
    assert canonical("x-GITHUB-event") == "X-Github-Event"
