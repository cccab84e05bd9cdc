"""Nothing that was started in a sandbox outlives it, however it ends; what fails is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from infra.local.processes import sandbox as sandbox_module
from infra.local.processes.sandbox import LocalError, Process, Sandbox
from tests.unit.local.leftovers import PROC, processes_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_proc = pytest.mark.skipif(not PROC.exists(), reason="looks for processes in /proc, which Linux has")

SCRIPT = """
import sys, time
from infra.local.processes.sandbox import Sandbox
with Sandbox() as sandbox:
    shell = ["sh", "-c", "sleep 600 & sleep 600"]
    sandbox.start("a sleeper", shell, sandbox.environment())
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox."""
    with Sandbox() as entered:
        yield entered


def start(sandbox: Sandbox, script: str) -> Process:
    """Start a shell *script* in *sandbox*; it has begun when this returns."""
    process = sandbox.start("the thing", ["sh", "-c", f"echo begun; {script}"], sandbox.environment())
    process.wait_until(lambda: "begun" in process.output, 5, "look")
    return process


def alive(pid: int) -> bool:
    """Tell whether there is a process *pid*."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_leaving_ends_processes_with_their_children_and_removes_the_folder() -> None:
    with Sandbox() as sandbox:
        process = start(sandbox, "sleep 600 & echo $!; wait")
        process.wait_until(lambda: process.output.count("\n") == 2, 5, "look")
        child = int(process.output.split()[1])

    assert not alive(process.pid)
    eventually(lambda: not alive(child), "the child ends")
    assert not sandbox.folder.exists()


@pytest.mark.parametrize("hindrance", ["trap '' TERM", "kill -STOP $$"], ids=["deaf", "stopped"])
def test_a_process_that_does_not_listen_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch, hindrance: str) -> None:
    monkeypatch.setattr(sandbox_module, "PATIENCE_S", 0.3)
    with Sandbox() as sandbox:
        process = start(sandbox, f"{hindrance}; echo now; while :; do sleep 600; done")

    assert not alive(process.pid)


def test_an_error_in_a_sandbox_is_not_hidden_and_leaves_nothing() -> None:
    sandbox = Sandbox()

    def fail() -> None:
        with sandbox:
            start(sandbox, "sleep 600")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert not sandbox.folder.exists()


def test_sandboxes_do_not_touch_one_another(sandbox: Sandbox) -> None:
    process = start(sandbox, "sleep 600")

    with Sandbox() as other:
        start(other, "sleep 600")

    assert process.status is None
    assert sandbox.folder.exists()


@needs_proc
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_leaves_nothing_behind(tmp_path: Path, number: int, status: int) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(  # noqa: S603  # our own script
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"started\n"

        running.send_signal(number)

        assert running.wait(10) == status
    eventually(lambda: not processes_of(tmp_path), "its processes end")
    eventually(lambda: not list(tmp_path.iterdir()), "its folder goes")


def test_the_handlers_of_signals_are_put_back() -> None:
    before = [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)]

    with Sandbox():
        pass

    assert [signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_process_is_given_nothing_of_ours(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")

    environment = sandbox.environment(GIVEN="1")

    assert environment["HOME"].startswith(str(sandbox.folder))
    assert environment["GIVEN"] == "1"
    assert not {"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"} & set(environment)


def test_a_failure_tells_what_failed_its_last_words_and_what_to_do(sandbox: Sandbox) -> None:
    process = start(sandbox, "echo 'no room left' >&2; exit 3")

    with pytest.raises(LocalError) as told:
        process.wait(5, "make room")

    assert all(word in str(told.value) for word in ("the thing", "exit status 3", "no room left", "make room"))


def test_a_cause_that_a_long_rollback_buries_is_told(sandbox: Sandbox) -> None:
    """CloudFormation names the cause first, and then undoes everything, line by line."""
    process = start(sandbox, "echo 'CREATE_FAILED Table: no'; for n in $(seq 99); do echo DELETE $n; done; exit 1")

    with pytest.raises(LocalError, match="CREATE_FAILED Table: no"):
        process.wait(10, "look")


def test_a_process_that_ends_instead_of_getting_ready_is_told_at_once(sandbox: Sandbox) -> None:
    process = start(sandbox, "exit 0")
    began = time.monotonic()

    with pytest.raises(LocalError, match="ended at once"):
        process.wait_until(lambda: False, 60, "look")

    assert time.monotonic() - began < 30


def test_a_process_that_never_gets_ready_is_told(sandbox: Sandbox) -> None:
    process = start(sandbox, "sleep 600")

    with pytest.raises(LocalError, match="wasn't ready"):
        process.wait_until(lambda: False, 0.1, "look")
