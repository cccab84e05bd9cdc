"""Every link between README.md and the pages of docs/ leads to something that is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs.pages import PAGES, README, ROOT, anchors, links

if TYPE_CHECKING:
    from pathlib import Path

LINKS = [(page, link) for page in PAGES for link in links(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page.name}:{link}" for page, link in LINKS])
def test_a_link_leads_somewhere(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page

    assert target.exists()
    assert not anchor or anchor in anchors(target.read_text(encoding="utf-8"))


def test_each_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README.read_text(encoding="utf-8"))}

    assert set(PAGES) - {README} <= linked


MODULE = re.compile(r"\b(?:functions/)?(?:relay|infra|cli|tests)/[a-z_/]+\.(?:py|toml)\b")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_a_module_that_a_page_names_is_there(page: Path) -> None:
    named = set(MODULE.findall(page.read_text(encoding="utf-8")))

    assert [
        name for name in sorted(named) if not any((top / name).is_file() for top in (ROOT, ROOT / "functions"))
    ] == []


def test_an_anchor_is_what_github_makes_of_a_heading() -> None:
    text = "# `[relay.throttle]`\n## What a *tick* is\n## Who, and when?\n## Who and when\n```sh\n# none\n```\n"

    assert anchors(text) == {"relaythrottle", "what-a-tick-is", "who-and-when", "who-and-when-1"}
