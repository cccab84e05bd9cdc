"""Do the suites notice?  Plants faults in a copy of the code, one at a time, and says which test caught each.

`.venv/bin/python -m tests.mutants [NAME...]` ends with 0 only if every fault, or every one named, was caught.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.mutants.faults import FAULTS

if TYPE_CHECKING:
    from tests.mutants.faults import Fault

CHECKOUT = Path(__file__).parents[2]
COPIED = (
    "functions",
    "infra",
    "cli",
    "tests",
    "events",
    "docs",
    "requirements",
    "pyproject.toml",
    "relay.toml",
    "cdk.json",
)
SHARED = (".venv-aws", "node_modules")  # what a copy needs of the checkout and doesn't change
SUITES = ("tests/unit/relay", "tests/model", "tests/unit/test_architecture.py")
LIMIT_S = 600
AT_ONCE = 2
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main(names: list[str]) -> int:
    """Plant the faults called *names*, or all; print which test caught each; return how many none did."""
    chosen = [it for it in FAULTS if not names or it.name in names]
    if unknown := set(names) - {it.name for it in FAULTS}:
        raise SystemExit(
            f"there is no fault {', '.join(sorted(unknown))}: there are {', '.join(it.name for it in FAULTS)}"
        )
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        caught_by = list(pool.map(lambda it: _caught_by(it, Path(folder) / it.name), chosen))
    table = Table("fault", "caught by", box=None, pad_edge=False)
    for fault, test in zip(chosen, caught_by, strict=True):
        table.add_row(fault.name, test or "NOTHING")
    Console(width=200, highlight=False).print(table)
    left = caught_by.count(None)
    print(f"{len(chosen) - left} of {len(chosen)} caught in {time.monotonic() - began:.0f} s")
    return left


def _caught_by(fault: Fault, copy: Path) -> str | None:
    """Return the first test that fails with *fault* in the code; None where all pass."""
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name)
    for name in SHARED:
        (copy / name).symlink_to(CHECKOUT / name)
    fault.plant(copy)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy / 'functions'}{os.pathsep}{copy}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider"]
    ran = subprocess.run(  # noqa: S603  # our own tests
        [*command, *SUITES], cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    shutil.rmtree(copy)
    if ran.returncode == 0:
        return None
    found = _FAILED.search(ran.stdout)
    if ran.returncode != 1 or found is None:
        raise SystemExit(f"{fault.name}: the tests didn't run\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    return found[1]


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
