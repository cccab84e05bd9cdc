"""The local QStash as a process of its own, for tests and benchmarks that speak to it over the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("QSTASH_")}


@dataclass(frozen=True)
class Facts:
    """What the server says of itself when it is ready.

    Attributes:
        admin_token: Empty unless it was started with ``--admin``.
    """

    url: str
    token: str
    read_only_token: str
    current_signing_key: str
    next_signing_key: str
    admin_token: str
    pid: int


@contextmanager
def running_qstash(*options: str, **environment: str) -> Iterator[Facts]:
    """Run a server of its own on a free port of 127.0.0.1, and end it.

    Args:
        options: As `relay qstash` takes them, for instance ``--test-hosts``.
        environment: Variables for it, for instance ``QSTASH_TOKEN``.
    """
    command = [sys.executable, "-W", "error", "-m", "infra.local.qstash", "--json", *options]
    process = subprocess.Popen(  # noqa: S603 - our own server
        command, env=ENVIRONMENT | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        line = json.loads(process.stdout.readline())
        facts = {name.removeprefix("qstash_"): value for name, value in line.items()}
        yield Facts(**{"admin_token": "", "read_only_token": ""} | facts, pid=process.pid)
    finally:
        process.kill()
        process.communicate()
