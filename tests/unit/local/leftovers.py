"""What is left of processes on this machine: told by the folder that their environment names."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of living processes whose environment names *folder*."""
    found = []
    for process in PROC.glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found
