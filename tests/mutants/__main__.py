"""Do the suites notice?  Plants faults in a copy of the code, one at a time, and says which test caught each.

The tests nearest to a fault are asked first, and all the others only if those let it pass.

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
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

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
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "relay.toml",
    "cdk.json",
)
SHARED = (".venv-aws", "node_modules")  # what a copy needs of the checkout and doesn't change
SUITES = ("tests/unit/relay", "tests/model", "tests/unit/test_architecture.py")
LIMIT_S = 900
AT_ONCE = 2
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_NOTHING_RAN = 5  # pytest's exit status


def main(names: list[str]) -> int:
    """Plant the faults called *names*, or all; print which test catches each, as it does; return how many none did."""
    chosen = [it for it in FAULTS if not names or it.name in names]
    if unknown := set(names) - {it.name for it in FAULTS}:
        raise SystemExit(
            f"there is no fault {', '.join(sorted(unknown))}: there are {', '.join(it.name for it in FAULTS)}"
        )
    console, began, left = Console(highlight=False, soft_wrap=True), time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(_caught_by, it, Path(folder) / it.name): it for it in chosen}
        for number, done in enumerate(as_completed(running), 1):
            fault, test = running[done], done.result()
            if test is None:
                left.append(fault.name)
            console.print(f"{number:>3} of {len(chosen)}  {fault.name:<48} {test or 'NOTHING'}", markup=False)
    console.print(f"{len(chosen) - len(left)} of {len(chosen)} caught in {time.monotonic() - began:.0f} s")
    if left:
        console.print(f"not caught: {', '.join(sorted(left))}")
    return len(left)


def _caught_by(fault: Fault, copy: Path) -> str | None:
    """Return the first test that fails with *fault* in the code; None where all pass."""
    _copy(copy)
    fault.plant(copy)
    near = [*fault.near(copy)]
    try:
        found = _first_failure(fault, copy, near) if near else None
        return found or _first_failure(fault, copy, [*SUITES, *(f"--ignore={it}" for it in near)])
    finally:
        shutil.rmtree(copy)


def _copy(copy: Path) -> None:
    """Copy the checkout to *copy*, compiled modules included: they are as good there, but for the fault's own."""
    copy.mkdir(parents=True)
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("node_modules"))
        else:
            shutil.copy2(source, copy / name)
    for name in SHARED:
        (copy / name).symlink_to(CHECKOUT / name)


def _first_failure(fault: Fault, copy: Path, words: list[str]) -> str | None:
    """Return the first test that fails of those that *words* tell pytest."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy / 'functions'}{os.pathsep}{copy}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--hypothesis-profile=whole"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", *words]
    ran = subprocess.run(  # noqa: S603  # our own tests
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if ran.returncode in {0, _NOTHING_RAN}:
        return None
    found = _FAILED.search(ran.stdout)
    if ran.returncode != 1 or found is None:
        raise SystemExit(f"{fault.name}: the tests didn't run\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}")
    return found[1]


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
