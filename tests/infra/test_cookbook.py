"""Every recipe of docs/cookbook.md is a relay.toml that can be deployed; every mistake there is refused, as it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from relay.config.settings import Settings
from tests.infra.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"### ([^\n]+)\n(?:(?!###).)*?```toml\n(.*?)```", TEXT, re.DOTALL)
ALL = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
RECIPES = [it for it in ALL if not it.startswith("# refused: ")]
MISTAKES = [it for it in ALL if it.startswith("# refused: ")]


def test_each_capability_and_each_mistake_has_a_recipe() -> None:
    """Eight of one, and ten of the other, at least."""
    capabilities, mistakes = TEXT.split("## Mistakes")

    assert capabilities.count("\n### ") >= 8
    assert mistakes.count("\n### ") >= 10
    assert len(BLOCKS) == TEXT.count("\n### ")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_can_be_deployed(tmp_path: Path, recipe: str) -> None:
    (tmp_path / "relay.toml").write_text(recipe, encoding="utf-8")

    config = load(tmp_path / "relay.toml")

    Settings.of({"RELAY_BASE_URLS": "https://r.example"}, flatten(config))
    assert config.warnings == ()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_in_these_words(tmp_path: Path, mistake: str) -> None:
    (tmp_path / "relay.toml").write_text(mistake, encoding="utf-8")

    with pytest.raises(ConfigError) as told:
        load(tmp_path / "relay.toml")

    assert mistake.partition("\n")[0].removeprefix("# refused: ") in str(told.value)
    assert len(told.value.mistakes) == 1
