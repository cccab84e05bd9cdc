"""Have the Python SDKs of webhook providers judge requests: JSON lines of cases in, JSON lines of verdicts out.

Runs in ``.venv-sdks`` (``python -m tests.gate.provider_sdks.judge < cases.jsonl``), where the SDKs are.  An SDK that
raises, whatever it raises, has said "invalid"; except that "valid" with an error is what it says of a good signature
over a body that, only then, it could not parse.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from importlib import import_module
from typing import Any

from tests.gate.provider_sdks.asking import Oracle, Request
from tests.gate.provider_sdks.oracles import ORACLES


def judge(case: dict[str, Any], by: Oracle) -> dict[str, str | None]:
    """Return what *by* says of *case* with the clock at the case's ``now``; what it prints is dropped."""
    clock = import_module("time_machine").travel(case["now"], tick=False)
    error = None
    valid: Any = False
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), clock:
        try:
            valid = by.ask(Request.of(case))
        except Exception as raised:  # noqa: BLE001 - an SDK that raises anything has refused
            error = type(raised).__name__
            valid = by.parses_last and isinstance(raised, json.JSONDecodeError)
    return {"id": case["id"], "sdk": by.sdk, "verdict": "valid" if valid else "invalid", "error": error}


def main() -> None:
    """Judge the cases of standard input by every SDK that knows their scheme."""
    os.environ.pop("TEST_MODE", None)  # with it, Paddle's SDK looks at no age
    for line in sys.stdin:
        case = json.loads(line)
        for by in ORACLES:
            if case["scheme"] in by.schemes:
                sys.stdout.write(json.dumps(judge(case, by)) + "\n")


if __name__ == "__main__":
    main()
