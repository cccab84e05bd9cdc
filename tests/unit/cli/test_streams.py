"""The command on any terminal: whatever its encoding, closed, or gone in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from relay.model import event_id
from tests.unit.cli.conftest import event

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Relay

PROGRAM = [sys.executable, "-c", "from cli.main import main; main()"]
SHOWN = {**event(1, idempotency_key="Grüße-日本-☃"), "deliveries": [], "headers": {"x-a": "ä→☃"}}
CRON = """
[sources.nightly]
cron = "0 3 * * *"
timezone = "Europe/Berlin"
to = ["audit"]
[url_groups.audit.destinations]
erp = "https://erp.example.com/in"
"""


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a process of its own, its standard streams encoded as *variables* say."""
    environment = {**os.environ, "PYTHONUTF8": "0", **variables}
    typed = subprocess.DEVNULL
    return subprocess.run([*PROGRAM, *words], capture_output=True, check=False, env=environment, stdin=typed)  # noqa: S603


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "words",
    [
        ("secret", "set", "--help"),
        ("scheme", "show", "stripe"),
        ("event", "show", "Grüße"),
    ],
    ids=" ".join,
)
def test_no_encoding_makes_a_traceback(words: tuple[str, ...], encoding: str) -> None:
    shown = run(*words, PYTHONIOENCODING=encoding)

    assert b"Traceback" not in shown.stderr
    assert shown.returncode == (2 if "Grüße" in words else 0)
    assert shown.stdout or shown.stderr


@pytest.mark.parametrize("flag", [(), ("--json",)], ids=["people", "program"])
def test_what_strangers_write_is_shown_as_far_as_the_encoding_goes(deployed: Relay, flag: tuple[str, ...]) -> None:
    deployed.server.says("GET", f"/v1/events/{event_id('github', 'x')}", SHOWN)

    shown = run("event", "show", "github:x", *flag, PYTHONIOENCODING="ascii")

    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.isascii()
    assert (b"Gr??e-??-?" if not flag else rb"Gr\u00fc\u00dfe") in shown.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_makes_no_traceback(closed: str, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    quoted = f"'{sys.executable}' -c 'from cli.main import main; main()'"
    for words in ("scheme list", "secret set github"):
        subprocess.run(["sh", "-c", f"{quoted} {words} 2>{errors} {closed}"], check=False, stdin=subprocess.DEVNULL)  # noqa: S603, S607
        assert "Traceback" not in errors.read_text()


def test_who_stops_reading_makes_no_traceback() -> None:
    quoted = f"'{sys.executable}' -c 'from cli.main import main; main()'"
    shown = subprocess.run(["sh", "-c", f"{quoted} scheme list | head -1"], check=False, capture_output=True)  # noqa: S603, S607

    assert shown.stderr == b""
    assert shown.stdout.startswith(b"SCHEME")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_time_zones_are_known_where_the_machine_has_none(tmp_path: Path, zone: str) -> None:
    """As in a slim container."""
    file = tmp_path / "relay.toml"
    file.write_text(CRON.replace("Europe/Berlin", zone), encoding="utf-8")

    shown = run("check", str(file), PYTHONTZPATH="")

    assert (shown.returncode, shown.stderr) == (0, b"")
