"""docs/operations.md says what is: its settings can be deployed, and its table is what the functions may write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from infra.config.load import load
from infra.stack.gateway import COUNTED
from infra.stack.writes import LEADING_KEYS
from tests.infra.conftest import CONFIG, ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"```toml\n\[relay\]\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_settings_of_the_page_can_be_deployed(tmp_path: Path, settings: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(CONFIG.replace("[relay]\n", f"[relay]\n{settings}"), encoding="utf-8")

    said = load(file).relay.model_fields_set

    assert said - {"name", "retention_days"} == set(re.findall(r"^(\w+) =", settings, re.MULTILINE))


def test_the_page_has_each_of_the_three_settings() -> None:
    assert len(SETTINGS) == 2
    assert all(it in "".join(SETTINGS) for it in ("alarm_emails", "throttle", "concurrency"))


def test_the_page_says_what_each_function_may_write() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`[^|]*) \|", TEXT, re.MULTILINE)

    assert {verb: tuple(re.findall(r"`([^`]+)`", keys)) for verb, keys in rows} == LEADING_KEYS


def test_the_alarms_that_the_page_names_are_there() -> None:
    assert {"Throttled"} <= COUNTED.keys()
    assert '"IngestThrottles"' in (ROOT / "infra" / "stack" / "alarms.py").read_text(encoding="utf-8")
