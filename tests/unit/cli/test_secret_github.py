"""`relay secret` and the token for GitHub's API: a secret of its own, that no source's can be taken for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.client import aws
from tests.aws_wire import wire_of
from tests.unit.cli.test_secret_list import rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

TOKEN = "github_pat_s3cr3t"


def reconciling(relay: Relay) -> None:
    """Have the deployed source github ask for reconciliation."""
    sources = relay.configure()["sources"]
    sources["github"]["reconcile"] = ["orgs/octo-org/hooks/1"]
    relay.configure(sources=sources)


def test_it_is_kept_apart_from_all_others_and_replaced_by_the_next(deployed: Relay) -> None:
    """Before or after the deploy, whatever sources there are."""
    before = deployed.kept("sources")
    first = deployed.run("secret", "set", "github-api", stdin=f"{TOKEN}-old\n")

    second = deployed.run("secret", "set", "github-api", "--json", stdin=TOKEN)

    assert first.stdout == f"{deployed.name}/github: github-api is set\n"
    told = {"name": "github-api", "secret": f"{deployed.name}/github", "values": 1, "changed": True}
    assert json.loads(second.stdout) == told
    assert deployed.kept("github") == {"token": TOKEN}
    assert deployed.kept("sources") == before
    assert (first.stderr, second.stderr) == ("", "")


@pytest.mark.parametrize("value", ["two words", "tökën", ""], ids=["space", "accent", "empty"])
def test_what_can_be_no_token_is_refused_and_not_shown(undeployed: Relay, value: str) -> None:
    shown = undeployed.run("secret", "set", "github-api", stdin=value)

    assert shown.exit_code == 1
    assert shown.stderr.startswith("error: ")
    assert not value or value not in shown.output
    with pytest.raises(undeployed.secretsmanager.exceptions.ResourceNotFoundException):
        undeployed.kept("github")


@pytest.mark.parametrize(
    "words",
    [
        ("set", "github-api", "--replace"),
        ("set", "github-api", "--force"),
        ("set", "github-api", "--url", "https://ghe.example.com"),
        ("retire", "github-api"),
        ("retire", "github-api", "--all", "--yes"),
    ],
    ids=" ".join,
)
def test_what_is_for_sources_or_qstash_is_a_mistake_of_usage(undeployed: Relay, words: tuple[str, ...]) -> None:
    assert undeployed.run("secret", *words, stdin=TOKEN).exit_code == 2


def test_list_shows_it_where_it_is_needed_and_where_it_is_there(deployed: Relay) -> None:
    """Nobody else hears of it."""
    unneeded = rows(deployed.run("secret", "list").stdout)
    reconciling(deployed)
    needed = rows(deployed.run("secret", "list").stdout)
    deployed.run("secret", "set", "github-api", stdin=TOKEN)
    there = rows(deployed.run("secret", "list").stdout)

    assert [it[0] for it in unneeded] == ["qstash", "github", "acme"]
    assert [it[:2] for it in needed[:2]] == [["qstash", "none"], ["github-api", "none"]]
    assert there[1][:2] == ["github-api", "1"]
    assert there[1][2].endswith(" s")


@pytest.mark.parametrize("needed", [True, False])
def test_where_it_may_not_be_read_that_is_told_if_it_is_needed(deployed: Relay, *, needed: bool) -> None:
    """AWS denies what isn't there, too: whoever doesn't reconcile needn't know."""
    deployed.keep("qstash", {"token": "t"})
    if needed:
        reconciling(deployed)
    with wire_of(aws.client("secretsmanager")) as wire:
        wire.refusals[f"{deployed.name}/github"] = "AccessDeniedException"

        shown = deployed.run("secret", "list")

    assert shown.exit_code == 0
    assert (["github-api", "?"] in [it[:2] for it in rows(shown.stdout)]) is needed
    assert (f"{deployed.name}/github can't be shown" in shown.stderr) is needed
