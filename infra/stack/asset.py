"""The directory that every function runs: only code that runs there, and the same bytes for the same input.

Wheels come for Lambda's platform, so that no docker is needed; they are installed once for a lock file and kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
LOCK = ROOT / "requirements" / "functions.txt"
PUBLIC_KEYS_LOCK = ROOT / "requirements" / "public-keys.txt"  # large, and slow to import: only where it is needed
CACHE = ROOT / "build" / "wheels"
PLATFORM = ("--python-platform", "aarch64-manylinux2014", "--python-version", "3.13")
# An installer's notes about an installation; they differ from one to the next, and nothing at run time reads them.
_INSTALLER_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
_NOISE = ("__pycache__", "*.pyc", ".*")


class AssetError(Exception):
    """The asset can't be built; the message says why in a line."""


@contextmanager
def built(
    flat: Mapping[str, Any], *, bundled: bool = True, locks: Sequence[Path] = (LOCK,), cache: Path = CACHE
) -> Iterator[Path]:
    """Yield a directory with the functions, *flat* as relay.json and, if *bundled*, the packages in *locks*.

    The directory is gone afterwards: the CDK copies it when the stack is made.

    Raises:
        AssetError: The dependencies can't be installed.
    """
    with tempfile.TemporaryDirectory(prefix="relay-asset-") as temporary:
        directory = Path(temporary) / "asset"
        shutil.copytree(FUNCTIONS, directory, ignore=shutil.ignore_patterns(*_NOISE))
        _open_to_all(directory)  # a copy of what is read-only is, too
        (directory / "relay.json").write_text(json.dumps(flat, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for lock in locks if bundled else ():
            shutil.copytree(wheels(lock, cache), directory, dirs_exist_ok=True)
            _open_to_all(directory)
        _open_to_all(directory)
        yield directory


def _open_to_all(directory: Path) -> None:
    """Let everybody read what is in *directory*, whatever this shell's umask: Lambda runs it as a user of its own."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def wheels(lock: Path = LOCK, cache: Path = CACHE) -> Path:
    """Return a directory with the packages in *lock* for Lambda's platform; install them only once.

    Raises:
        AssetError: They can't be installed.
    """
    if not lock.is_file():
        raise AssetError(f"{lock.name} is missing: run `make lock`, which writes it")
    key = hashlib.sha256(b"\0".join([lock.read_bytes(), Path(__file__).read_bytes()])).hexdigest()[:16]
    ready = cache / key
    if ready.is_dir():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=cache) as temporary:
        target = Path(temporary) / "wheels"
        _install(lock, target)
        _strip(target)
        try:
            target.replace(ready)  # at once or not at all: a build that was cut off leaves nothing that looks ready
        except OSError:
            if not ready.is_dir():  # else another build was first, with the same
                raise
    return ready


def _install(lock: Path, target: Path) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise AssetError("uv is missing: run `make setup`")
    command = [uv, "pip", "install", "--quiet", "--no-progress", "--target", str(target), *PLATFORM]
    command += ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--link-mode", "copy"]
    done = subprocess.run(  # noqa: S603  # our own command, no shell
        [*command, "--requirement", str(lock)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # whatever this shell's locale says of what uv draws
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    if done.returncode != 0:
        said = " ".join(re.sub(r"[^\x20-\x7e]", " ", done.stderr).split())  # uv draws a tree
        raise AssetError(f"uv could not install {lock.name} for Lambda: {said or f'status {done.returncode}'}")


def _strip(target: Path) -> None:
    """Remove the files of *target* that don't run in Lambda."""
    for directory in (target / "bin", *target.glob("*/tests")):
        shutil.rmtree(directory, ignore_errors=True)
    for path in sorted(target.rglob("*")):
        noted = path.parent.suffix == ".dist-info" and path.name in _INSTALLER_NOTES
        if noted or path.suffix == ".pyc" or (path.parent == target and path.name.startswith(".")):
            path.unlink()
