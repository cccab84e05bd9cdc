"""Starts the local AWS with so many processes for each function at most.  Hides what it is told by no setting.

Left alone its Lambda starts a process for each call that finds none free: a hundred senders at once are gigabytes of
memory and minutes of starting.  Here a call waits until one of its function's processes is free.  No function of the
relay waits for a call of itself, so none of them waits for ever.

A script that runs in the local AWS's own environment: `emulator.py N`.
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
    """Return *run*, which executes a function, so that *most* executions of each are under way and others wait."""
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
