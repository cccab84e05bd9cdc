"""`cdk synth`, as a person types it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.infra.conftest import CONFIG, ROOT

if TYPE_CHECKING:
    from pathlib import Path

CDK = ROOT / "node_modules" / ".bin" / "cdk"


def app(*context: str, outdir: Path) -> subprocess.CompletedProcess[str]:
    """Run `cdk synth --quiet` with *context*."""
    flags = [it for one in context for it in ("--context", one)]
    return subprocess.run(  # noqa: S603  # our own command
        [CDK, "synth", "--quiet", "--output", outdir, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(autouse=True)
def _installed() -> None:
    if not CDK.exists():
        pytest.skip("the CDK's command line isn't installed: run `make setup`")


def test_cdk_synth_makes_the_stack_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")

    done = app(f"config={tmp_path / 'relay.toml'}", outdir=tmp_path / "out")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == ""
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert "shop" in manifest["artifacts"]
    assert (tmp_path / "out" / "shop.template.json").is_file()


def test_a_wrong_configuration_is_told_whole_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text('[relay]\nname = "A.b"\nretention = 3\n', encoding="utf-8")

    done = app(f"config={tmp_path / 'relay.toml'}", outdir=tmp_path / "out")

    assert done.returncode == 1
    assert "relay.name: must be" in done.stderr
    assert "relay.retention: there is no such setting" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").glob("*.json")) == []
