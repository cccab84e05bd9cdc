"""`make setup` on a machine that lacks something: each time it says what, and what to do, and is quiet otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MAKE = shutil.which("make") or "make"
NODE_20 = 'case "$1" in --version) echo v20.1.0;; esac'
NODE_16 = 'case "$1" in --version) echo v16.20.0;; *) exit 1;; esac'
NPM = "/bin/mkdir -p node_modules; echo added 5 packages"
NPM_OFFLINE = "echo npm error code ECONNREFUSED >&2; exit 1"
PYTHON = (
    f'if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
    "/bin/mkdir -p .venv/bin; printf '#!/bin/sh\\n' > .venv/bin/python; /bin/chmod +x .venv/bin/python"
)
PYTHON_310 = f"exec {sys.executable} -c 'import sys; sys.version_info = (3, 10, 1); exec(sys.argv[1])' \"$2\""
NO_VENV = f'if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi; echo ensurepip is not available; exit 1'
NO_NETWORK = PYTHON.replace("#!/bin/sh\\n", "#!/bin/sh\\necho Connection refused >&2; exit 1\\n")


class Machine:
    """A machine that has these programs and no others, and the files that `make setup` begins with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bin"
        self.path.mkdir()
        (self.path / "touch").symlink_to(shutil.which("touch") or "/usr/bin/touch")
        for name in ("Makefile", "package-lock.json"):
            shutil.copy(CHECKOUT / name, folder)
        (folder / "requirements").mkdir()
        (folder / "requirements" / "uv.txt").touch()

    def has(self, name: str, does: str) -> None:
        program = self.path / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        program.chmod(0o755)

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # our own Makefile
            [MAKE, *words],
            cwd=self.folder,
            env={"PATH": str(self.path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("programs", "told"),
    [
        ({}, "there is no Node: install Node 20 or newer"),
        ({"node": NODE_16, "npm": NPM}, "needs Node 20 or newer and this is v16.20.0"),
        ({"node": NODE_20}, "there is no npm"),
        ({"node": NODE_20, "npm": NPM_OFFLINE}, "ECONNREFUSED"),
        ({"node": NODE_20, "npm": NPM_OFFLINE}, "check the network and its proxies"),
    ],
)
def test_what_is_wrong_with_node_is_told(machine: Machine, programs: dict[str, str], told: str) -> None:
    for name, does in programs.items():
        machine.has(name, does)

    done = machine.make("node_modules/.ready")

    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("python", "told"),
    [
        (None, 'there is no "python3": install Python 3.11 or newer'),
        (PYTHON_310, "this is Python 3.10"),
        (PYTHON_310, "needs Python 3.11 or newer: make PYTHON=python3.11"),
        (NO_VENV, "ensurepip is not available"),
        (NO_VENV, "apt install python3-venv"),
        (NO_NETWORK, "Connection refused"),
        (NO_NETWORK, "check the network and its proxies"),
    ],
)
def test_what_is_wrong_with_python_is_told(machine: Machine, python: str | None, told: str) -> None:
    if python is not None:
        machine.has("python3", python)

    done = machine.make(".venv/.uv")

    assert done.returncode == 2
    assert told in done.stdout + done.stderr
    assert not (machine.folder / ".venv" / ".uv").exists()


def test_all_being_well_it_says_only_what_it_does(machine: Machine) -> None:
    for name, does in {"node": NODE_20, "npm": NPM, "my python/python3": PYTHON}.items():
        machine.has(name, does)

    done = machine.make("node_modules/.ready", ".venv/.uv", f"PYTHON={machine.path}/my python/python3")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "installing package-lock.json",
        f"making .venv with {machine.path}/my python/python3",
        "installing requirements/uv.txt",
    ]
    assert (machine.folder / "node_modules" / ".ready").exists()
    assert (machine.folder / ".venv" / ".uv").exists()
