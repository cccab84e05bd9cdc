"""Starting the relay on this machine: what can go wrong is told with what to do, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local import dev
from infra.local.aws import server
from infra.local.aws.server import free_port
from infra.local.processes.sandbox import LocalError, Sandbox
from tests.unit.local.leftovers import PROC, processes_of
from tests.waiting import eventually

CONFIG = """
[sources.github]
scheme = "github"
to = ["audit"]
[url_groups.audit]
destinations = { erp = "http://127.0.0.1:9/erp" }
"""
SCRIPT = """
import sys
from pathlib import Path
from infra.local.dev import running
with running(Path(sys.argv[1]), step=lambda it: print(it, flush=True)):
    print("too late", flush=True)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A relay.toml without a mistake."""
    path = tmp_path / "relay.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where sandboxes are made."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(path))
    return path


def failure(config: Path, **environ: str) -> str:
    """Return what is told when the relay doesn't start."""
    with pytest.raises(LocalError) as told, dev.running(config, own_qstash=bool(environ), environ=environ):
        pass
    return str(told.value)


def test_a_mistake_in_the_configuration_is_told_by_its_path(config: Path, temporary: Path) -> None:
    config.write_text(CONFIG.replace('scheme = "github"', 'scheme = "gitbuh"'))

    assert "sources.github.scheme" in failure(config)
    assert list(temporary.iterdir()) == []


def test_a_missing_configuration_is_told(tmp_path: Path) -> None:
    assert "nowhere.toml" in failure(tmp_path / "nowhere.toml")


def test_a_qstash_without_its_token_is_told(config: Path, temporary: Path) -> None:
    assert "set both" in failure(config, QSTASH_URL="http://127.0.0.1:9")
    assert "set both" in failure(config, QSTASH_TOKEN="token")
    assert list(temporary.iterdir()) == []


def test_a_qstash_of_ones_own_has_no_admin_api_and_that_is_told(config: Path, temporary: Path) -> None:
    environ = {"QSTASH_URL": "http://127.0.0.1:9", "QSTASH_TOKEN": "token"}

    with (
        pytest.raises(LocalError, match="--own-qstash or --admin"),
        dev.running(config, admin=True, own_qstash=True, environ=environ),
    ):
        pass

    assert list(temporary.iterdir()) == []


def test_what_a_local_aws_is_given_is_in_its_environment() -> None:
    """And so in that of every function that it runs."""
    with Sandbox() as sandbox:
        process = server.start(sandbox, variables={"CHAOS_FOLDER": "somewhere"})
        process.await_ready()
        environment = (PROC / str(process.process.pid) / "environ").read_bytes().split(b"\0")

    assert b"CHAOS_FOLDER=somewhere" in environment


def test_a_qstash_that_is_not_there_is_told_and_what_was_started_ended(config: Path, temporary: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    told = failure(config, QSTASH_URL=url, QSTASH_TOKEN="token")

    assert url in told
    assert "check QSTASH_URL and QSTASH_TOKEN" in told
    assert list(temporary.iterdir()) == []


def test_a_local_aws_that_is_not_installed_is_told(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PYTHON", Path("/nowhere/python"))

    assert "run `make setup`" in failure(config)


def test_a_machine_without_node_is_told(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert "Node.js" in failure(config)


def test_a_local_aws_that_cannot_have_its_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox() as first, Sandbox() as second:
        taken = server.start(first)
        taken.await_ready()
        monkeypatch.setattr(server, "free_port", lambda: taken.port)
        late = server.start(second)

        with pytest.raises(LocalError, match="the local AWS"):
            late.process.wait_until(lambda: False, 20, "free its port")


def test_two_local_aws_run_at_once_and_share_nothing() -> None:
    with Sandbox() as one, Sandbox() as other:
        first, second = server.start(one), server.start(other)
        first.await_ready()
        second.await_ready()
        first.client("s3").create_bucket(Bucket="mine")

        assert second.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.skipif(not PROC.exists(), reason="looks for processes in /proc, which Linux has")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.0, 0.4, 1.5])
def test_a_signal_during_the_start_leaves_nothing_behind(
    config: Path, temporary: Path, number: signal.Signals, after_s: float
) -> None:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(  # noqa: S603  # our own script
        [sys.executable, "-c", SCRIPT, str(config)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        time.sleep(after_s)  # whatever is then being started

        starting.send_signal(number)

        assert b"too late" not in starting.stdout.read()
        assert starting.wait(20) in {128 + number, -number}
    eventually(lambda: not processes_of(temporary), "its processes end")
    assert list(temporary.iterdir()) == []
