"""README.md can be read in two minutes, and what it says is so: its commands, its configuration and its figures."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click
import pytest
from click.testing import CliRunner

from cli.main import relay
from relay.model.delivery import MEANINGS, Status
from tests.unit.docs.pages import PAGES, README, ROOT, code, prose

if TYPE_CHECKING:
    from pathlib import Path

TEXT = README.read_text(encoding="utf-8")
WORDS_MAX = 1000
PICTURE = ROOT / "docs" / "demo.svg"
COMMANDS = [(page, it) for page in PAGES for it in code(page.read_text(encoding="utf-8")) if it.startswith("relay ")]
TARGETS = [(page, it) for page in PAGES for it in code(page.read_text(encoding="utf-8")) if it.startswith("make ")]


def _ids(found: list[tuple[Path, str]]) -> list[str]:
    return [f"{page.name}:{it}" for page, it in found]


def _named(command: str) -> tuple[click.Command, list[str]]:
    """Return which `relay` command *command* is, and the words after its name.

    Raises:
        LookupError: There is none.
    """
    try:
        words = shlex.split(command)[1:]
    except ValueError as error:
        raise LookupError(str(error)) from error
    found: click.Command = relay
    while isinstance(found, click.Group) and words and words[0] not in ("…", "..."):
        while words and words[0].startswith("--"):  # of `relay` itself
            words = words[2 if words[0] == "--name" else 1 :]
        if words[0] not in found.commands:
            raise LookupError(f"there is no `relay … {words[0]}`")
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=_ids(COMMANDS))
def test_a_command_is_there_with_its_options(page: Path, command: str) -> None:
    found, words = _named(command)

    options = {name for it in (*found.params, *relay.params) for name in (*it.opts, *it.secondary_opts)} | {"--help"}
    assert {it.partition("=")[0] for it in words if it.startswith("--")} <= options, page


@pytest.mark.parametrize(("page", "command"), TARGETS, ids=_ids(TARGETS))
def test_a_make_target_is_there(page: Path, command: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert command.split()[1] in targets, page


def test_a_command_that_is_not_there_is_noticed() -> None:
    with pytest.raises(LookupError, match="recieve"):
        _named("relay event recieve --since 2h")


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(prose(TEXT).split()) <= WORDS_MAX


def test_the_configuration_of_the_readme_is_right(tmp_path: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "relay.toml"
    file.write_text(toml, encoding="utf-8")

    result = CliRunner().invoke(relay, ["check", "--strict", str(file)])

    assert result.exit_code == 0, result.output


def test_the_figures_of_the_latest_run_are_those_of_the_page() -> None:
    """`make chaos` writes both."""
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    run = page.partition("<!-- chaos: begin -->")[2].partition("<!-- chaos: end -->")[0]
    told = dict(re.findall(r"^\| ([\w -]+) \| ([^|]+) \|$", run, re.MULTILINE))
    seed = re.findall(r"SEED=(\d+)", run)

    shown = TEXT.partition("<!-- chaos: begin -->")[2].partition("<!-- chaos: end -->")[0]
    names, _, figures = ([it.strip() for it in line.strip("|").split("|")] for line in shown.split("\n")[1:4])

    assert names[0] == "seed"
    assert figures == [*seed, *(told[name] for name in names[1:])]
    assert f"\nDoubled: {told['doubled']}.\n" in shown
    assert {"accepted", "delivered", "lost", "unaccounted"} < set(names)


def test_the_prices_are_those_of_the_page() -> None:
    costs = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    prices = re.findall(r"\$[\d.]*\d", TEXT)

    assert len(prices) == 3
    assert all(f"{it} |" in costs or f"{it}**" in costs for it in prices)


def test_the_lines_of_each_table_of_prices_add_up_to_its_total() -> None:
    tables = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8").split("| --- | --- |")[1:]
    assert len(tables) == 2
    for table in tables:
        *lines, total = [float(price) for price in re.findall(r"^\|.*\| \D*\$([\d.]+)\D* \|$", table, re.MULTILINE)]
        assert len(lines) >= 3
        assert sum(lines) == pytest.approx(total)


def test_every_status_is_explained_in_the_same_words() -> None:
    page = (ROOT / "docs" / "querying.md").read_text(encoding="utf-8").partition("| a delivery is | when |\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("\n\n")[0], re.MULTILINE)
    listed, _ = _named("relay delivery list")
    (status,) = [option for option in listed.params if option.name == "status"]
    assert isinstance(status.type, click.Choice)

    assert set(MEANINGS) == set(Status)
    assert rows == list(MEANINGS.items())
    assert [*status.type.choices] == [name for name, _ in rows]


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    """GitHub shows it as a picture, which loads nothing; and a page that asks for it tells nobody else."""
    text = PICTURE.read_text(encoding="utf-8")
    ET.fromstring(text)  # noqa: S314  # our own file

    urls = set(re.findall(r"https?://[^\s\"'<>)]+", text))

    assert urls <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@font-face" not in text
    assert str(ROOT) not in text


def test_the_picture_shows_commands_that_are_there() -> None:
    shown = "".join(f"{it}\n" for it in ET.parse(PICTURE).getroot().itertext()).replace("\xa0", " ")  # noqa: S314
    commands = [it.removesuffix("…") for it in re.findall(r"^\$ (relay .+)$", shown, re.MULTILINE)]

    assert len(commands) >= 4
    assert all(_named(it) for it in commands)
