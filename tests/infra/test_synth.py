"""`cdk synth`, as a person types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.infra.conftest import CONFIG, ROOT

if TYPE_CHECKING:
    from pathlib import Path

CDK = ROOT / "node_modules" / ".bin" / "cdk"


def test_cdk_synth_makes_the_stack_and_says_what_is_doubtful(tmp_path: Path) -> None:
    assert CDK.exists(), "the CDK's command line isn't installed: run `make setup`"
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")
    command = [
        str(CDK),
        "synth",
        "--quiet",
        "--output",
        str(tmp_path / "out"),
        "--context",
        f"config={tmp_path / 'relay.toml'}",
        "--context",
        "take_over=1",
    ]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603

    assert (done.returncode, done.stdout) == (0, "")
    (warning,) = done.stderr.splitlines()
    assert warning.startswith(f"warning: {tmp_path / 'relay.toml'}:28: url_groups.ci.retries: ")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert "shop" in manifest["artifacts"]
    template = json.loads((tmp_path / "out" / "shop.template.json").read_text(encoding="utf-8"))
    (sync,) = [it for it in template["Resources"].values() if it["Type"] == "Custom::QStash"]
    assert sync["Properties"]["TakeOver"] == "1"


def test_without_an_environment_the_cdk_says_what_to_run(tmp_path: Path) -> None:
    command = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["app"]

    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602

    assert (done.returncode, done.stderr) == (1, "There is no .venv here: run `make setup` first.\n")


def test_a_wrong_configuration_is_told_whole_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text('[relay]\nname = "A.b"\nretention = 3\n', encoding="utf-8")

    context = json.dumps({"config": str(tmp_path / "relay.toml")})
    environment = {**os.environ, "CDK_CONTEXT_JSON": context, "CDK_OUTDIR": str(tmp_path / "out")}

    done = subprocess.run(  # what cdk.json has the CDK run
        [sys.executable, "-m", "infra.app"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "relay.name: must be" in done.stderr
    assert "relay.retention: there is no such setting" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").glob("*.json")) == []


def test_to_take_over_is_said_as_1_and_no_other_way(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(CONFIG, encoding="utf-8")
    context = json.dumps({"config": str(tmp_path / "relay.toml"), "take_over": "yes"})
    environment = {**os.environ, "CDK_CONTEXT_JSON": context, "CDK_OUTDIR": str(tmp_path / "out")}

    command = [sys.executable, "-m", "infra.app"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("take_over is yes: set it to 1")
