"""A terminal that a command is run on, and somebody who types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

TERMINAL_S = 60
PROGRAM = [sys.executable, "-c", "from cli.main import main; main()"]


def on_a_terminal(*words: str, asked: str, typed: str) -> tuple[int, str]:
    """Run a command on a terminal, and type once it has *asked*; return its status and what the terminal showed."""
    ours, its = pty.openpty()
    with subprocess.Popen([*PROGRAM, *words], stdin=its, stdout=its, stderr=its, start_new_session=True) as running:  # noqa: S603
        os.close(its)
        shown = b""
        try:
            while part := _read(ours):
                shown += part
                if typed and asked.encode() in shown:
                    os.write(ours, typed.encode())
                    typed = ""
            status = running.wait(timeout=TERMINAL_S)
        finally:
            running.kill()
            os.close(ours)
    return status, shown.decode()


def _read(terminal: int) -> bytes:
    """Return what the terminal shows next; nothing at its end, or where a command waits for what nobody types."""
    if not select.select([terminal], [], [], TERMINAL_S)[0]:
        return b""
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
