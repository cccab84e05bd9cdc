"""Ends the processes of a local relay once the relay's own process is gone, even by SIGKILL.

This is a script, without imports that take time.  Standard input names what to end, one a line: `group ID` (a process
group), `forget ID` (that group has ended), `folder PATH`.  When the writer dies, the pipe closes.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Read lines until the pipe closes, then end every group and remove every folder that is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: list[int] = []
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "folder":
            folders.append(rest)
        elif word == "group":
            groups.append(int(rest))
        elif int(rest) in groups:
            groups.remove(int(rest))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
