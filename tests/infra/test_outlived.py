"""What is published ends before its record expires: retention is held to delays and retries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infra.config.load import load
from infra.config.mistakes import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[relay]
retention_days = {days}
[sources.github]
scheme = "github"
to = ["audit"]
{source}
[url_groups.audit]
{group}
[url_groups.audit.destinations]
erp = "https://erp.example.com/in"
"""
FAR = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")


def mistakes(folder: Path, days: int, *, source: str = "", group: str = "") -> dict[str, str]:
    """Return what is wrong with such a file, by dotted path."""
    file = folder / "relay.toml"
    file.write_text(FILE.format(days=days, source=source, group=group), encoding="utf-8")
    try:
        load(file)
    except ConfigError as error:
        return {it.path: it.message for it in error.mistakes}
    return {}


@pytest.mark.parametrize(
    ("days", "source", "group", "where"),
    [
        (1, "", "", "relay.retention_days"),  # the five retries that there are by default last 31 h
        (1, "", "retries = 5", "url_groups.audit.retries"),
        (3, "", "retries = 8", "url_groups.audit.retries"),
        (30, "retries = 40", "", "sources.github.retries"),
        (30, "retries = 999", "", "sources.github.retries"),
        (365, "retries = 400", "", "sources.github.retries"),  # the backoff is a day each, however far it is reckoned
        (2, "", 'retry_delay = "86400000"', "url_groups.audit.retry_delay"),
        (7, 'delay = "6d"', "", "sources.github.delay"),
        (30, "", f"not_before = {FAR}", "url_groups.audit.not_before"),
    ],
)
def test_what_outlives_its_record_is_a_mistake(tmp_path: Path, days: int, source: str, group: str, where: str) -> None:
    found = mistakes(tmp_path, days, source=source, group=group)

    assert list(found) == [where]
    assert f"events are kept for {days} d (relay.retention_days)" in found[where]
    assert "'audit'" in found[where]


@pytest.mark.parametrize(
    ("days", "source", "group"),
    [
        (2, "", ""),
        (1, "", "retries = 4"),
        (30, 'delay = "7d"', "retries = 20"),
        (60, "", f"not_before = {FAR}"),
        (1, "retries = 2", "retries = 9"),  # the nearest wins
        (2, "", 'delay = { expression = "body.wait_s" }'),  # each event says it: one that is too long is unpublishable
    ],
)
def test_what_ends_before_is_none(tmp_path: Path, days: int, source: str, group: str) -> None:
    assert mistakes(tmp_path, days, source=source, group=group) == {}
