"""Processes and a folder that live no longer than their sandbox.  Hides process groups, signals and the watchdog.

Every process leads a process group, so that its children (the local AWS's workers) end with it.  SIGINT and SIGTERM
become exceptions, even while a process starts, so that leaving the sandbox cleans up.  If the sandbox's own process is
killed, the watchdog cleans up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE_S = 5  # while it creates a custom resource, the local AWS may ignore SIGTERM for an hour
POLL_S = 0.02
LOG_TAIL_LINES = 25
LOG_CAUSES = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT")  # no proxies, no credentials, no PYTHONPATH


class LocalError(Exception):
    """A process on this machine didn't start or failed; the text names it and says what to do."""


class Process:
    """A process of a sandbox, the leader of its process group."""

    def __init__(self, name: str, running: subprocess.Popen[bytes], out: Path, log: Path) -> None:
        self.name = name
        self.pid = running.pid
        self._running = running
        self._out = out
        self._log = log

    @property
    def status(self) -> int | None:
        """The exit status; None while the process runs."""
        return self._running.poll()

    @property
    def output(self) -> str:
        """The standard output so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    def failed(self, what: str, todo: str) -> LocalError:
        """Return the error for a process that did *what*, with the end of its log and the advice *todo*."""
        text = self._log.read_text(encoding="utf-8", errors="replace") + self.output
        lines = text.splitlines()
        # CloudFormation names the cause before the rollback, which can be longer than the tail.
        telling = [line for line in lines[:-LOG_TAIL_LINES] if "_FAILED" in line][:LOG_CAUSES]
        tail = "\n".join("  | " + line for line in telling + lines[-LOG_TAIL_LINES:])
        return LocalError(f"{self.name} {what}: {todo}" + (f"\n{tail}" if tail else ""))

    def wait(self, timeout_s: float, todo: str) -> None:
        """Wait until the process has ended with status 0.

        Raises:
            LocalError: The process failed, or didn't end within *timeout_s*.
        """
        self.wait_until(lambda: self.status is not None, timeout_s, todo, may_end=True)
        if self.status != 0:
            raise self.failed(f"failed (exit status {self.status})", todo)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float, todo: str, *, may_end: bool = False) -> None:
        """Wait until *ready* returns true.

        Raises:
            LocalError: The process ended first, or *timeout_s* seconds passed.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not may_end and self.status is not None:
                raise self.failed(f"ended at once (exit status {self.status})", todo)
            if time.monotonic() > deadline:
                raise self.failed(f"wasn't ready after {timeout_s:g} s", todo)
            time.sleep(POLL_S)

    def end(self, deadline: float) -> None:
        """Wait until *deadline* (monotonic seconds) for the end, then kill the rest of the process group."""
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(self.pid, signal.SIGKILL)
        self._running.wait()


class Sandbox:
    """A private folder and processes; leaving the context ends the processes and removes the folder."""

    folder: Path

    def __enter__(self) -> Self:
        self._processes: list[Process] = []
        self._handlers: dict[int, object] = {}
        self._deferring = False
        self._pending: int | None = None
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            with self._signals_deferred():
                self._watchdog = subprocess.Popen(  # noqa: S603  # our own script
                    [sys.executable, "-I", "-S", _WATCHDOG], stdin=subprocess.PIPE, start_new_session=True
                )
                self.folder = Path(tempfile.mkdtemp(prefix="fanout-relay-"))
                self._tell("folder", self.folder)
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up()

    def environment(self, **more: str) -> dict[str, str]:
        """Return a minimal environment: the path and locale of this process, a home in the folder, and *more*."""
        home = self.folder / "home"
        temporary = self.folder / "tmp"
        home.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {**passed_on, "HOME": str(home), "TMPDIR": str(temporary), **more}

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], *, cwd: Path | None = None
    ) -> Process:
        """Start *command* as the leader of a new process group; errors call it *name*."""
        stem = f"{len(self._processes)}-{name.replace(' ', '-')}"
        out, log = self.folder / f"{stem}.out", self.folder / f"{stem}.log"
        with self._signals_deferred(), out.open("wb") as out_file, log.open("wb") as log_file:
            running = subprocess.Popen(  # noqa: S603  # our own commands
                [*command],
                env=environment,
                cwd=cwd or self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=log_file,
                start_new_session=True,
            )
            self._tell("group", running.pid)
            process = Process(name, running, out, log)
            self._processes.append(process)
        return process

    def _tell(self, word: str, what: object) -> None:
        assert self._watchdog.stdin is not None  # noqa: S101  # opened as a pipe
        with suppress(BrokenPipeError):
            self._watchdog.stdin.write(f"{word} {what}\n".encode())
            self._watchdog.stdin.flush()

    # -- signals ------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _: object) -> None:
        if self._deferring:
            self._pending = number
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    @contextmanager
    def _signals_deferred(self) -> Iterator[None]:
        """Defer signals: a process must be in the list before a signal may end the sandbox."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._pending is not None:
            number, self._pending = self._pending, None
            self._on_signal(number, None)

    def _clean_up(self) -> None:
        self._deferring = True
        for process in self._processes:
            if process.status is None:
                _signal_group(process.pid, signal.SIGCONT)  # a stopped one couldn't end
                _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for process in reversed(self._processes):
            process.end(deadline)
            self._tell("forget", process.pid)
        if hasattr(self, "_watchdog"):  # it removes the folder
            assert self._watchdog.stdin is not None  # noqa: S101  # opened as a pipe
            self._watchdog.stdin.close()
            self._watchdog.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # the value that signal() returned
        if self._pending is not None:  # a deferred signal acts now
            signal.raise_signal(self._pending)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
