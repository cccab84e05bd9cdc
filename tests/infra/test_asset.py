"""The asset holds what runs in Lambda and nothing else, and the same input makes the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from infra.stack import asset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAT = {"name": "relay", "sources": {}}
EM_AARCH64 = 183  # the ELF header's machine


@pytest.fixture(scope="module")
def bundled() -> Iterator[Path]:
    """The asset as it goes to AWS."""
    with asset.built(FLAT) as directory:
        yield directory


def digest(directory: Path) -> str:
    """Return a hash of all paths and bytes below *directory*."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(directory)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_asset_holds_the_functions_their_configuration_and_what_they_import(bundled: Path) -> None:
    names = {path.name for path in bundled.iterdir() if path.suffix != ".dist-info"}

    ours = {path.name for path in asset.FUNCTIONS.iterdir() if not path.name.startswith(("__pycache__", "."))}
    locked = {line.split("==")[0] for line in asset.LOCK.read_text().splitlines() if "==" in line}
    installed = {path.name.split("-")[0].replace("_", "-") for path in bundled.glob("*.dist-info")}
    assert ours < names
    assert {"relay.json", "httpx", "jwt", "aws_lambda_powertools"} < names
    assert installed == locked


@pytest.mark.parametrize(
    "unwanted",
    [
        *("boto3", "botocore", "pydantic", "pydantic_core", "aws_cdk", "infra", "cli", "tests", "test", "bin"),
        *("*.pyc", "__pycache__", "RECORD", "INSTALLER", "direct_url.json", ".*"),
    ],
)
def test_the_asset_holds_nothing_else(bundled: Path, unwanted: str) -> None:
    assert list(bundled.rglob(unwanted)) == []


def test_the_asset_holds_licences_and_versions(bundled: Path) -> None:
    for distribution in bundled.glob("*.dist-info"):
        assert (distribution / "METADATA").is_file()


def test_compiled_extensions_are_lambdas(bundled: Path) -> None:
    for path in bundled.rglob("*.so*"):
        header = path.read_bytes()[:20]
        assert struct.unpack_from("<H", header, 18) == (EM_AARCH64,)


def test_where_a_source_signs_with_a_public_key_the_asset_holds_what_it_takes() -> None:
    """Compiled for Lambda, whatever this machine is; other assets don't hold it, since PyJWT would load it."""
    with asset.built(FLAT, locks=(asset.LOCK, asset.PUBLIC_KEYS_LOCK)) as directory:
        extensions = list((directory / "cryptography").rglob("*.so"))
        machines = {struct.unpack_from("<H", it.read_bytes()[:20], 18)[0] for it in directory.rglob("*.so")}
        names = {path.name for path in directory.iterdir()}

    assert {"httpx", "jwt", "cryptography", "relay.json", "ingest.py"} < names
    assert extensions
    assert machines == {EM_AARCH64}


def test_else_it_doesnt(bundled: Path) -> None:
    assert not (bundled / "cryptography").exists()


def test_the_configuration_is_beside_the_functions(bundled: Path) -> None:
    assert json.loads((bundled / "relay.json").read_text(encoding="utf-8")) == FLAT


def test_the_local_asset_holds_the_functions_and_their_configuration_only() -> None:
    with asset.built(FLAT, bundled=False) as directory:
        names = {path.name for path in directory.iterdir()}

    ours = {path.name for path in asset.FUNCTIONS.iterdir() if not path.name.startswith(("__pycache__", "."))}
    assert names == ours | {"relay.json"}


def test_nothing_of_the_build_stays_behind() -> None:
    with asset.built(FLAT, bundled=False) as directory:
        assert directory.is_dir()

    assert not directory.parent.exists()


def test_two_builds_from_nothing_are_the_same(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        with asset.built(FLAT, cache=tmp_path / name) as directory:
            digests.append(digest(directory))

    assert digests[0] == digests[1]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_everybody_may_read_it_whatever_this_shells_umask(tmp_path: Path, umask: int) -> None:
    """Lambda runs the functions as a user of its own."""
    before = os.umask(umask)
    try:
        with asset.built(FLAT, cache=tmp_path) as directory:
            modes = {(it.is_dir(), stat.S_IMODE(it.stat().st_mode)) for it in (directory, *directory.rglob("*"))}
    finally:
        os.umask(before)

    assert modes == {(True, 0o755), (False, 0o644)}


@pytest.mark.parametrize("modes", [(0o700, 0o600), (0o500, 0o400), (0o2775, 0o775)])
def test_everybody_may_read_it_whatever_the_checkouts_modes(
    modes: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions, cached = tmp_path / "functions", tmp_path / "cached"
    shutil.copytree(asset.FUNCTIONS, functions, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(asset.wheels(), cached)
    for top in (functions, cached):
        for path in sorted((top, *top.rglob("*")), reverse=True):
            path.chmod(modes[0] if path.is_dir() else modes[1])
    monkeypatch.setattr(asset, "FUNCTIONS", functions)
    monkeypatch.setattr(asset, "wheels", lambda *_: cached)

    with asset.built(FLAT) as directory:
        found = {(it.is_dir(), stat.S_IMODE(it.stat().st_mode)) for it in (directory, *directory.rglob("*"))}

    assert found == {(True, 0o755), (False, 0o644)}


def test_a_checkout_has_the_same_bytes_whatever_git_is_set_to(tmp_path: Path) -> None:
    """Else the asset's hash is another one, and neither make nor a shell can read what is theirs."""
    if not (asset.ROOT / ".git").exists():
        pytest.skip("this is no clone")
    clone = ["git", "clone", "--quiet", "--config", "core.autocrlf=true", str(asset.ROOT), str(tmp_path / "clone")]
    subprocess.run(clone, check=True)  # noqa: S603

    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=tmp_path / "clone", capture_output=True, check=True)  # noqa: S607

    assert listed.stdout
    assert [line for line in listed.stdout.splitlines() if b"w/crlf" in line or b"w/mixed" in line] == []


def test_a_lock_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "functions.txt"
    shutil.copy(asset.LOCK, lock)
    first = asset.wheels(lock, tmp_path / "cache")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))  # no uv beside it either

    again = asset.wheels(lock, tmp_path / "cache")

    assert again == first
    lock.write_text(lock.read_text() + "\n# changed\n")
    with pytest.raises(asset.AssetError, match="run `make setup`"):
        asset.wheels(lock, tmp_path / "cache")


def test_what_uv_says_is_told_in_one_line_and_nothing_looks_ready(tmp_path: Path) -> None:
    lock = tmp_path / "functions.txt"
    lock.write_text("httpx==0.28.1\n", encoding="utf-8")  # no hash

    with pytest.raises(asset.AssetError) as caught:
        asset.wheels(lock, tmp_path / "cache")

    assert "httpx" in str(caught.value)
    assert "hash" in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(asset.AssetError, match="make lock"):
        asset.wheels(tmp_path / "none.txt", tmp_path / "cache")
