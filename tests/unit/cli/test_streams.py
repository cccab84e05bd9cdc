"""What the command writes to, whatever it is: no terminal and no pipe makes it fail with a traceback."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.conftest import event
from tests.unit.cli.terminal import PROGRAM, on_a_terminal

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

GERMAN = "größe"
CHINESE = "订单"


def run(*words: str, encoding: str = "utf-8", redirected: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own, its streams in *encoding* and redirected as *redirected* says."""
    return subprocess.run(  # noqa: S603  # our own command
        ["/bin/sh", "-c", f'"$@" {redirected}', "sh", *PROGRAM, *words],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def foreign(deployed: Relay) -> Relay:
    """Give a relay with an event whose type and body few encodings can say."""
    found = event(1, type=f"{GERMAN}.{CHINESE}", idempotency_key=CHINESE)
    deployed.server.says("GET", "/v1/events", {"events": [found], "cursor": None})
    whole = {**found, "headers": {"x-name": GERMAN}, "deliveries": [], "body": f"{GERMAN} {CHINESE} \u2192"}
    deployed.server.says("GET", f"/v1/events/{found['id']}", whole)
    return deployed


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [("utf-8", f"{GERMAN}.{CHINESE}"), ("ascii", "gr??e.??"), ("cp1252", f"{GERMAN}.??")],
)
@pytest.mark.usefixtures("foreign")
def test_what_a_terminal_cannot_show_is_replaced(encoding: str, seen: str) -> None:
    """In tables, in what is written line by line, and in their order."""
    listed = run("event", "list", encoding=encoding)
    shown = run("event", "show", event(1)["id"], "--body", encoding=encoding)

    assert (listed.returncode, listed.stderr) == (0, b"")
    assert seen in listed.stdout.decode(encoding)
    assert (shown.returncode, shown.stderr) == (0, b"")
    text = shown.stdout.decode(encoding)
    assert seen in text
    assert text.splitlines()[-2:] == ["Body", f"{seen.replace('.', ' ')} {'→' if encoding == 'utf-8' else '?'}"]


@pytest.mark.usefixtures("foreign")
def test_json_is_the_same_in_any_encoding() -> None:
    assert run("event", "list", "--json", encoding="ascii").stdout == run("event", "list", "--json").stdout != b""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.usefixtures("undeployed")
def test_an_error_is_told_in_any_encoding(encoding: str) -> None:
    """What is wrong may stand in what was typed."""
    for words, status in ((("event", "show", CHINESE), 2), (("check", f"{CHINESE}.toml"), 1), ((CHINESE,), 2)):
        told = run(*words, encoding=encoding)

        assert told.returncode == status
        assert b"Traceback" not in told.stderr
        assert told.stderr.decode(encoding) != ""


@pytest.mark.parametrize("words", [(), ("event", "show"), ("scheme", "verify"), ("qstash",)], ids=" ".join)
def test_help_is_shown_in_any_encoding(words: tuple[str, ...]) -> None:
    told = run(*words, "--help", encoding="ascii")

    assert (told.returncode, told.stderr) == (0, b"")
    assert told.stdout.decode("ascii").startswith("Usage: relay")


@pytest.mark.parametrize("words", [("scheme", "list"), ("scheme", "list", "--json")], ids=" ".join)
def test_output_that_nobody_takes_ends_the_command(words: tuple[str, ...]) -> None:
    """A reader that leaves, a stream that is closed, a disk that is full."""
    left = run(*words, redirected="| true")
    closed = run(*words, redirected=">&-")
    nothing = run(*words, redirected="<&- >&- 2>&-")
    full = run(*words, redirected=">/dev/full")

    assert left.stderr == b""
    assert (closed.returncode, closed.stderr) == (0, b"")
    assert nothing.returncode == 0
    assert (full.returncode, full.stderr) == (1, b"error: the output can't be written: No space left on device\n")


@pytest.mark.usefixtures("deployed")
def test_a_command_that_asks_is_told_of_a_closed_input() -> None:
    told = run("secret", "set", "github", redirected="<&-")

    assert told.returncode == 1
    assert told.stderr.startswith(b"error: ")


@pytest.mark.parametrize(
    "variables",
    [{"COLUMNS": "20", "TERM": "dumb"}, {"COLUMNS": "1", "NO_COLOR": "1"}],
    ids=str,
)
@pytest.mark.usefixtures("foreign")
def test_a_terminal_may_be_narrow_and_plain(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Ids are whole all the same."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    for words in (("event", "list"), ("event", "show", event(1)["id"], "--body")):
        status, shown = on_a_terminal(*words, asked="", typed="")

        assert status == 0, shown
        assert event(1)["id"] in shown
        assert "Traceback" not in shown
        assert "\x1b[3" not in shown or "NO_COLOR" not in variables
