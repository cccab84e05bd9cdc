"""Write down what the providers' SDKs say of every case: ``.venv/bin/python -m tests.gate.provider_sdks.freeze``.

The tests that a developer waits for read the file; the gate asks the SDKs again, and asserts that it still holds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests" / "data" / "provider_cases.jsonl"
PYTHON = [str(ROOT / ".venv-sdks" / "bin" / "python"), "-m"]
JAVASCRIPT_JUDGE = Path(__file__).parent / "js" / "judge.mjs"
JAVASCRIPT_SDKS = JAVASCRIPT_JUDGE.parent / "node_modules"
TIMEOUT_S = 300
OF_SDKS = ("verdicts",)
"""What a line of the file holds beside the case."""


def build() -> list[dict[str, Any]]:
    """Return the cases, built where the SDKs are."""
    return _lines([*PYTHON, "tests.gate.provider_sdks.cases"], "")


def judge_in_python(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the verdicts of the Python SDKs."""
    return _lines([*PYTHON, "tests.gate.provider_sdks.judge"], _written(cases))


def judge_in_javascript(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the verdicts of the JavaScript SDKs."""
    return _lines([shutil.which("node") or "node", str(JAVASCRIPT_JUDGE)], _written(cases))


def _lines(command: list[str], given: str) -> list[dict[str, Any]]:
    """Return the JSON lines that *command* prints, of *given*."""
    ran = subprocess.run(  # noqa: S603 - our own scripts
        command,
        cwd=ROOT,
        env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "PYTHONUTF8": "1"},
        input=given.encode(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr.decode()}")
    return [json.loads(line) for line in ran.stdout.decode().split("\n") if line]


def _written(items: list[dict[str, Any]]) -> str:
    """Return JSON lines, one for each of *items*, always the same for the same."""
    return "".join(f"{json.dumps(item, ensure_ascii=False, separators=(',', ':'))}\n" for item in items)


def frozen() -> list[dict[str, Any]]:
    """Return the lines of the file: cases with their verdicts."""
    return [json.loads(line) for line in FILE.read_text("utf-8").split("\n") if line]


def cases_of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cases alone, as they were built."""
    return [{name: value for name, value in line.items() if name not in OF_SDKS} for line in lines]


def main() -> None:
    """Build, judge, and write the file."""
    if not JAVASCRIPT_SDKS.exists():
        sys.exit("the JavaScript SDKs are not installed: make setup")
    cases = build()
    verdicts: dict[str, dict[str, str]] = {case["id"]: {} for case in cases}
    for said in [*judge_in_python(cases), *judge_in_javascript(cases)]:
        verdicts[said["id"]][said["sdk"]] = said["verdict"]
    unheard = [case["id"] for case in cases if not verdicts[case["id"]] and "expected" not in case]
    if unheard:
        sys.exit(f"no SDK knows {', '.join(unheard)}")
    FILE.parent.mkdir(exist_ok=True)
    lines = [{**case, "verdicts": dict(sorted(verdicts[case["id"]].items()))} for case in cases]
    FILE.write_text(_written(lines), "utf-8")
    sys.stdout.write(f"{len(cases)} cases, {sum(map(len, verdicts.values()))} verdicts\n")


if __name__ == "__main__":
    main()
