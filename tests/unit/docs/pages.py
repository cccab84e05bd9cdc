"""README.md and docs/*.md, read as GitHub shows them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def prose(text: str) -> str:
    """Return *text* without its blocks of code."""
    return _BLOCK.sub("", text)


def code(text: str) -> list[str]:
    """Return the lines of *text*'s blocks of shell, and its inline code, each without a comment at its end."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [*filter(None, lines), *(" ".join(it.strip("`").split()) for it in re.findall(r"`[^`]+`", prose(text)))]


def links(text: str) -> list[str]:
    """Return where the links and pictures of *text* lead that lead to no other host."""
    found: list[str] = _LINK.findall(_INLINE.sub("", prose(text)))
    return [it for it in found if "://" not in it]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of *text*."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found
