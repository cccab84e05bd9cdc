"""`reconcile` in relay.toml: which webhooks on GitHub it takes, and what is told of those that it doesn't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.config.flatten import flatten
from infra.config.load import load
from infra.config.mistakes import ConfigError
from relay.config.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = """
[sources.github]
scheme = "github"
to = ["audit"]
{github}
[sources.other]
scheme = "{scheme}"
to = ["audit"]
{other}
[url_groups.audit.destinations]
ledger = "https://example.com/in"
"""


def flat(folder: Path, github: str = "", other: str = "", scheme: str = "github") -> dict[str, Any]:
    """Return the flat configuration of two sources, each with a line more."""
    file = folder / "relay.toml"
    file.write_text(SOURCES.format(github=github, other=other, scheme=scheme), encoding="utf-8")
    return flatten(load(file))


@pytest.mark.parametrize(
    ("said", "hooks"),
    [
        ('"repos/octo-org/hello-world/hooks/123"', ["repos/octo-org/hello-world/hooks/123"]),
        ('"orgs/octo-org/hooks/1"', ["orgs/octo-org/hooks/1"]),
        ('["repos/a/.github/hooks/1", "repos/a/..b/hooks/2"]', ["repos/a/.github/hooks/1", "repos/a/..b/hooks/2"]),
    ],
    ids=["repository", "organization", "several"],
)
def test_a_hook_or_several_reach_the_functions_as_a_list(tmp_path: Path, said: str, hooks: list[str]) -> None:
    found = flat(tmp_path, github=f"reconcile = {said}")

    settings = Settings.of({"RELAY_BASE_URLS": "https://r.example"}, found)

    assert settings.sources["github"].reconcile == tuple(hooks)
    assert settings.sources["other"].reconcile == ()
    assert "reconcile" not in found["sources"]["other"]  # off until it is asked for


@pytest.mark.parametrize(
    "hook",
    [
        "/repos/octo-org/hello-world/hooks/123",
        "repos/octo-org/hello-world/hooks/123/",
        "repos/octo-org/hello-world/hooks/web",
        "repos/octo-org/../hooks/1",
        "repos/octo-org/hooks/1",
        "orgs/octo org/hooks/1",
        "orgs/octo-org/hooks/1?per_page=1",
        "https://api.github.com/repos/octo-org/hello-world/hooks/123",
        "",
    ],
)
@pytest.mark.parametrize(
    ("form", "at"), [('"{}"', "[0]"), ('["orgs/o/hooks/1", "{}"]', "[1]")], ids=["one", "in a list"]
)
def test_what_is_no_hook_is_told_with_how_one_looks(tmp_path: Path, hook: str, form: str, at: str) -> None:
    """It becomes a part of a URL that the token is sent to."""
    with pytest.raises(ConfigError) as told:
        flat(tmp_path, github=f"reconcile = {form.format(hook)}")

    (mistake,) = told.value.mistakes
    assert (mistake.path, mistake.line) == (f"sources.github.reconcile{at}", 5)
    assert 'like "repos/OWNER/REPO/hooks/123"' in mistake.message


@pytest.mark.parametrize(
    ("github", "other", "scheme", "path", "said"),
    [
        ("reconcile = []", "", "github", "sources.github.reconcile", "is empty"),
        ("reconcile = 3", "", "github", "sources.github.reconcile", "list"),
        ("", 'reconcile = "orgs/o/hooks/1"', "gitea", "sources.other.reconcile", 'scheme = "github" alone'),
        ('reconcile = "orgs/o/hooks/1"', 'reconcile = "orgs/O/hooks/1"', "github", "sources.other.reconcile", "twice"),
        ('reconcile = ["orgs/o/hooks/1", "orgs/o/hooks/1"]', "", "github", "sources.github.reconcile", "twice"),
    ],
    ids=["empty", "no list", "not GitHub", "of two sources", "twice in one"],
)
def test_a_list_that_can_not_be_meant_is_told(
    tmp_path: Path, github: str, other: str, scheme: str, path: str, said: str
) -> None:
    with pytest.raises(ConfigError) as told:
        flat(tmp_path, github, other, scheme)

    (mistake,) = told.value.mistakes
    assert mistake.path == path
    assert said in mistake.message
