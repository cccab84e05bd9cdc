"""The local AWS with a bound on its processes: calls wait for their turn, and none is refused."""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.aws import server
from infra.local.processes.sandbox import Sandbox

CODE = """
import os, time
def handler(event, context):
    time.sleep(0.1)
    return os.getpid()
"""
CALLS = 12


def zipped(code: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("code.py", code)
    return file.getvalue()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_function_has_as_many_processes_as_were_asked_for(workers: int) -> None:
    """However many call it at once; each call is answered."""
    with Sandbox() as sandbox, ThreadPoolExecutor(CALLS) as callers:
        process = server.start(sandbox, workers=workers)
        process.await_ready()
        client = process.client("lambda")
        for name in ("one", "other"):
            client.create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role="arn:aws:iam::000000000000:role/any",
                Handler="code.handler",
                Code={"ZipFile": zipped(CODE)},
            )

        def call(name: str) -> int:
            answer = client.invoke(FunctionName=name)
            assert "FunctionError" not in answer
            return int(json.load(answer["Payload"]))

        seen = list(callers.map(call, ["one"] * CALLS + ["other"]))

    assert len(set(seen[:CALLS])) == workers
    assert seen[CALLS] not in seen[:CALLS]
