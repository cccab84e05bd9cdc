"""Starts the local AWS with a limit of processes for each function, which ministack has no setting for.

Without it, ministack starts a process for each call that finds none free: a hundred senders at once need gigabytes of
memory and minutes of starting.  With it, a call waits for a free process of its function.  No function of the relay
waits for a call of itself, so no call waits for ever.

This is a script for the local AWS's own environment: `emulator.py N`.
"""

from __future__ import annotations

import sys
import threading
from functools import wraps
from typing import TYPE_CHECKING, Any

from ministack.app import main
from ministack.services import lambda_svc

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[dict[str, Any], Any, str], dict[str, Any]]


def bounded(run: Run, most: int) -> Run:
    """Wrap *run*, which executes a function: at most *most* calls of each function run, and others wait."""
    turns: dict[str, threading.BoundedSemaphore] = {}

    @wraps(run)
    def waiting(function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
        name = (function.get("config") or function).get("FunctionName", "")
        with turns.setdefault(name, threading.BoundedSemaphore(most)):
            return run(function, event, request_id)

    return waiting


if __name__ == "__main__":
    lambda_svc._execute_function_warm = bounded(lambda_svc._execute_function_warm, int(sys.argv.pop()))  # noqa: SLF001
    main()
