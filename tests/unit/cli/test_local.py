"""`relay check` and `relay qstash`: the commands over the configuration and the local QStash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.main import relay

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

RIGHT = """
[sources.github]
scheme = "github"
to = ["audit"]

[url_groups.audit.destinations]
erp = "https://erp.example.com/in"
"""
WRONG = """
[sources.github]
scheme = "gitub"
to = ["audits"]

[url_groups.audit.destinations]
erp = "https://erp.example.com/in"
"""


def _run(*words: str) -> Result:
    return CliRunner().invoke(relay, words, catch_exceptions=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "relay.toml"


def test_check_says_that_a_right_file_is_right(file: Path) -> None:
    file.write_text(RIGHT, encoding="utf-8")

    shown = _run("check", str(file))
    as_json = _run("check", str(file), "--json")

    assert (shown.exit_code, as_json.exit_code) == (0, 0)
    assert "is valid" in shown.stdout
    facts = {"file": str(file), "ok": True, "sources": 1, "url_groups": 1, "destinations": 1}
    assert json.loads(as_json.stdout) == facts


def test_check_names_every_mistake(file: Path) -> None:
    file.write_text(WRONG, encoding="utf-8")

    shown = _run("check", str(file))
    as_json = _run("check", str(file), "--json")

    assert (shown.exit_code, as_json.exit_code) == (1, 1)
    for path in ("sources.github.scheme", "sources.github.to"):
        assert path in shown.stdout
    assert shown.stderr == f"error: {file} has 2 mistakes: fix them, then run `relay check` again\n"
    told = [json.loads(it) for it in as_json.stdout.splitlines()]
    assert {(it["path"], it["line"], it["ok"]) for it in told} == {
        ("sources.github.scheme", 3, False),
        ("sources.github.to", 4, False),
    }


@pytest.mark.parametrize("content", [None, b"\xff", b"= nonsense"])
def test_check_of_what_is_no_configuration_is_an_error(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)

    shown = _run("check", str(file))

    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"error: {file} has 1 mistake:")


def test_dev_names_the_mistakes_of_its_file_before_it_starts_anything(file: Path) -> None:
    file.write_text(WRONG, encoding="utf-8")

    shown = _run("dev", "--config", str(file))

    assert shown.exit_code == 1
    assert "sources.github.scheme" in shown.stdout
    assert "2 mistakes" in shown.stderr


def test_dev_needs_its_file() -> None:
    assert _run("dev", "--config", "no-such-file.toml").exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_qstash_says_where_it_is_and_ends_well_with_a_signal(number: signal.Signals) -> None:
    program = "from cli.main import main; main()"
    command = [sys.executable, "-c", program, "qstash", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:  # noqa: S603
        try:
            assert running.stdout is not None
            facts = json.loads(running.stdout.readline())
            request = urllib.request.Request(  # noqa: S310  # loopback
                f"{facts['qstash_url']}/v2/keys", headers={"Authorization": f"Bearer {facts['qstash_token']}"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                keys = json.load(answer)
            os.kill(running.pid, number)
            status = running.wait(timeout=60)
        finally:
            running.kill()
    assert keys == {"current": facts["qstash_current_signing_key"], "next": facts["qstash_next_signing_key"]}
    assert status == 0


def test_qstash_on_a_port_that_is_taken_is_an_error() -> None:
    program = "import socket; it = socket.create_server(('127.0.0.1', 0)); from cli.main import relay;"
    program += "relay(['qstash', '--port', str(it.getsockname()[1])])"
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_wrong_port_is_an_error_of_usage() -> None:
    assert _run("qstash", "--port", "65536").exit_code == 2
