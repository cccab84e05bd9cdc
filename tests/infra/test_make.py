"""`make deploy`: which file it takes, however it is called, and what it asks of QStash once the deploy is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.conftest import CONFIG, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ODD = [
    "relay.toml",
    "my relays/shop & co.toml",
    "it's.toml",
    'the "new" one.toml',
    "$HOME `id` $(id) #1.toml",
    "-x=y.toml",
]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[list[str]]]]:
    """Return what runs make where npx and relay only note their words; npx, and each verb of relay, end as is given."""
    told, tools = tmp_path / "told", tmp_path / "bin"
    tools.mkdir()

    def run(*words: str, **statuses: int) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
        for tool in ("npx", "relay"):
            script = f"""#!{sys.executable}
import json, sys
with open({str(told)!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps([{tool!r}, *sys.argv[1:]]) + "\\n")
sys.exit({statuses!r}.get(sys.argv[1] if {tool!r} == "relay" else {tool!r}, 0))
"""
            (tools / tool).write_text(script, encoding="utf-8")
            (tools / tool).chmod(0o755)
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "MAKEFLAGS": ""}
        # What is set up already isn't set up again.
        command = ["make", "--no-print-directory", "--old-file=setup", *words, f"BIN={tools}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
        return done, [json.loads(it) for it in lines]

    return run


@pytest.mark.parametrize("file", ODD)
def test_the_file_is_the_one_that_was_typed(make: Any, file: str) -> None:
    done, told = make("deploy", f"CONFIG={file}")

    assert done.returncode == 0, done.stderr
    assert told == [
        ["relay", "check", "--account", "--", file],
        ["npx", "cdk", "deploy", "--context", f"config={file}"],
        ["relay", "sync", "--config", file],
    ]


@pytest.mark.parametrize("file", ODD)
def test_synth_takes_it_too(make: Any, file: str) -> None:
    _, told = make("synth", f"CONFIG={file}")

    assert told == [["npx", "cdk", "synth", "--quiet", "--context", f"config={file}"]]


def test_without_a_file_it_is_relay_toml(make: Any) -> None:
    _, told = make("deploy")

    assert told == [
        ["relay", "check", "--account", "--", "relay.toml"],
        ["npx", "cdk", "deploy", "--context", "config=relay.toml"],
        ["relay", "sync", "--config", "relay.toml"],
    ]


def test_a_deploy_that_takes_over_removes_nothing_that_another_relay_may_still_use(make: Any) -> None:
    """docs/regions.md has `relay sync` come once the other is gone."""
    done, told = make("deploy", "TAKE_OVER=1")

    assert done.returncode == 0, done.stderr
    assert told[1:] == [["npx", "cdk", "deploy", "--context", "config=relay.toml", "--context", "take_over=1"]]


def test_a_deploy_that_failed_asks_nothing_more(make: Any) -> None:
    done, told = make("deploy", npx=1)

    assert done.returncode != 0
    assert [it[0] for it in told] == ["relay", "npx"]
    assert "is done" not in done.stderr


def test_where_the_account_can_not_take_it_nothing_is_deployed(make: Any) -> None:
    done, told = make("deploy", check=1)

    assert done.returncode != 0
    assert [it[:2] for it in told] == [["relay", "check"]]


def test_where_qstash_can_not_be_asked_afterwards_it_says_that_the_deploy_is_done(make: Any) -> None:
    done, _ = make("deploy", sync=1)

    assert done.returncode != 0
    said = "The deploy itself is done. What failed is the look at QStash after it, for what somebody changed there:"
    assert f"{said} once that is mended, `relay sync --config FILE` does it." in done.stderr


@pytest.mark.slow
def test_the_cdk_takes_a_file_with_blanks_and_quotes_in_its_path(tmp_path: Path) -> None:
    file = tmp_path / "my relays" / 'it\'s the "new" one.toml'
    file.parent.mkdir()
    file.write_text(CONFIG, encoding="utf-8")
    command = [shutil.which("make") or "make", "--old-file=setup", "synth", f"CONFIG={file}"]
    environment = {**os.environ, "MAKEFLAGS": "", "CDK_OUTPUT": str(tmp_path / "out")}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 0, done.stderr
    assert "warning: " + str(file) in done.stderr
    assert (tmp_path / "out" / "shop.template.json").exists()
