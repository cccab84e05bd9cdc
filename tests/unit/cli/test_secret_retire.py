"""`relay secret retire`: what is taken away, and what is asked first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cli.conftest import TOKEN, entry, values
from tests.unit.cli.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay


def test_retire_takes_the_older_away_and_nothing_else(undeployed: Relay) -> None:
    newest, acme = entry("s3cr3t-new", hours=3), [entry("s3cr3t-a"), entry("s3cr3t-b")]
    undeployed.keep("sources", {"github": [newest, entry("s3cr3t-old", days=9), entry("s3cr3t-older")], "acme": acme})

    shown = undeployed.run("secret", "retire", "github")

    assert shown.exit_code == 0, shown.stderr
    assert undeployed.kept("sources") == {"github": [newest], "acme": acme}
    assert "github has its newest signing secret left, set 3 h ago; 2 retired" in shown.stdout


def test_retire_tells_a_program_how_many_are_left(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new"), entry("s3cr3t-old")]})

    some = undeployed.run("secret", "retire", "github", "--json")
    all_ = undeployed.run("secret", "retire", "github", "--all", "--yes", "--json")

    expected = {"name": "github", "secret": f"{undeployed.name}/sources"}
    assert json.loads(some.stdout) == {**expected, "values": 1, "retired": 1}
    assert json.loads(all_.stdout) == {**expected, "values": 0, "retired": 1}


def test_the_only_secret_is_not_retired_unless_all_is_said(undeployed: Relay) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new")]})

    shown = undeployed.run("secret", "retire", "github")

    assert shown.exit_code == 1
    assert "only one" in shown.stderr
    assert "--all" in shown.stderr
    assert values(undeployed, "github") == ["s3cr3t-new"]


def test_retire_all_leaves_none_and_says_what_follows(undeployed: Relay) -> None:
    """It doesn't ask where there is nobody to answer, but must have been told."""
    undeployed.keep("sources", {"github": [entry("s3cr3t-new"), entry("s3cr3t-old")], "acme": [entry("s3cr3t-a")]})

    untold = undeployed.run("secret", "retire", "github", "--all")
    assert untold.exit_code == 2
    assert "--yes" in untold.stderr
    assert len(values(undeployed, "github")) == 2

    shown = undeployed.run("secret", "retire", "github", "--all", "--yes")
    assert shown.exit_code == 0, shown.stderr
    assert list(undeployed.kept("sources")) == ["acme"]
    assert "503" in shown.stdout
    assert "relay secret set github" in shown.stdout


@pytest.mark.parametrize(
    ("flags", "typed", "status"), [((), "n\n", 1), ((), "\n", 1), ((), "y\n", 0), (("--yes",), "", 0)]
)
def test_retire_all_on_a_terminal_asks_unless_told_yes(
    undeployed: Relay, flags: tuple[str, ...], typed: str, status: int
) -> None:
    undeployed.keep("sources", {"github": [entry("s3cr3t-new")]})
    asked = "Delete all signing secrets of github?"

    ended, shown = on_a_terminal("secret", "retire", "github", "--all", *flags, asked=asked, typed=typed)

    assert (ended, asked in shown) == (status, not flags), shown
    assert ("github" in undeployed.kept("sources")) is bool(status)


@pytest.mark.parametrize("flags", [(), ("--all", "--yes")])
@pytest.mark.parametrize("held", [None, {}, {"github": []}, {"acme": [{"value": "s3cr3t-a"}]}], ids=json.dumps)
def test_there_must_be_something_to_retire(undeployed: Relay, held: Any, flags: tuple[str, ...]) -> None:
    if held is not None:
        undeployed.keep("sources", held)

    shown = undeployed.run("secret", "retire", "github", *flags)

    assert shown.exit_code == 1
    assert "github has no signing secret" in shown.stderr


def test_qstashs_token_is_not_retired_but_replaced(undeployed: Relay) -> None:
    undeployed.keep("qstash", {"token": TOKEN})

    shown = undeployed.run("secret", "retire", "qstash", "--all", "--yes")

    assert shown.exit_code == 2
    assert "relay secret set qstash" in shown.stderr
    assert undeployed.kept("qstash") == {"token": TOKEN}
