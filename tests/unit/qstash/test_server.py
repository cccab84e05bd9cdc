"""The server as a process, and what it may import."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import jwt
import pytest

import infra.local.qstash
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(infra.local.qstash.__file__).parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("QSTASH_")}
DEADLINE_S = 60.0
STANDS_ON = {"aiohttp", "click", "cronsim", "pydantic", "starlette", "uvicorn", "uvloop", "yarl"}


def command(*options: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "infra.local.qstash", *options]


@contextmanager
def started(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server, and hand over the process and the first line it prints."""
    process = subprocess.Popen(  # noqa: S603 - our own server
        command(*options),
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


class Destination(BaseHTTPRequestHandler):
    """Keeps the request lines and bodies it gets, and answers 200."""

    protocol_version = "HTTP/1.1"
    got: ClassVar[list[tuple[str, bytes, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.requestline, body, self.headers["Upstash-Signature"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def destination() -> Iterator[str]:
    Destination.got.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Destination) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_started_server_delivers_byte_for_byte_what_its_keys_verify(destination: str) -> None:
    """The URL as published (``//``, escapes, quotes) is what is called, and what is signed."""
    body = bytes(range(256)) * 1_000
    url = f"{destination}//a%20b/c;d'?x=1&y=%20&z=\"[]"
    with started("--json") as (_, line):
        facts = json.loads(line)
        with socket.create_connection(("127.0.0.1", int(facts["qstash_url"].rpartition(":")[2]))) as connection:
            head = (
                f"POST /v2/publish/{url} HTTP/1.1\r\nHost: q\r\nConnection: close\r\n"
                f"Authorization: Bearer {facts['qstash_token']}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            assert connection.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: Destination.got, "a delivery came")
        requestline, got, signature = Destination.got[0]
        assert (requestline, got) == (f"POST {url.removeprefix(destination)} HTTP/1.1", body)
        options: Any = {"require": ["exp", "nbf", "iat", "sub"]}
        key = facts["qstash_current_signing_key"]
        assert jwt.decode(signature, key, algorithms=["HS256"], issuer="Upstash", options=options)["sub"] == url


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """Head and body of an answer are two writes, and the kernel holds the second back for 40 ms unless told not to."""
    with started("--json") as (_, line):
        facts = json.loads(line)
        with httpx.Client(headers={"Authorization": f"Bearer {facts['qstash_token']}"}) as client:

            def took_s() -> float:
                begun = time.monotonic()
                assert client.get(facts["qstash_url"] + "/v2/keys").status_code == 200
                return time.monotonic() - begun

            assert min(took_s() for _ in range(20)) < 0.03


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_0_and_drops_what_is_pending(number: signal.Signals) -> None:
    with started("--json") as (process, line), socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        facts = json.loads(line)
        with httpx.Client(
            base_url=facts["qstash_url"], headers={"Authorization": f"Bearer {facts['qstash_token']}"}
        ) as client:
            for to in ("http://127.0.0.1:9/refused", f"http://127.0.0.1:{deaf.getsockname()[1]}/hangs"):
                assert client.post(f"/v2/publish/{to}").status_code == 200
            eventually(lambda: client.get("/v2/logs?state=RETRY").json()["logs"], "a retry is logged")
            with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as half_sent:
                half_sent.sendall(
                    b"POST /v2/publish/http://127.0.0.1:9 HTTP/1.1\r\nHost: q\r\nContent-Length: 9\r\n"
                    b"Expect: 100-continue\r\nAuthorization: Bearer " + facts["qstash_token"].encode() + b"\r\n\r\n"
                )
                assert half_sent.recv(12) == b"HTTP/1.1 100"
                begun = time.monotonic()
                process.send_signal(number)
                assert process.wait(DEADLINE_S) == 0
                assert time.monotonic() - begun < 1
        assert process.stdout
        assert process.stderr
        assert process.stdout.read() == ""
        errors = process.stderr.read()
        assert "attempt 1/4 POST http://127.0.0.1:9/refused -> ClientConnectorError" in errors
        assert "Traceback" not in errors
        assert "never awaited" not in errors


def test_without_json_it_prints_lines_to_copy_and_paste() -> None:
    with started("--grace", "0", QSTASH_TOKEN="mine now") as (process, line):
        assert process.stdout
        lines = [line, *(process.stdout.readline() for _ in range(3))]
        assert lines[0].startswith("export QSTASH_URL=http://127.0.0.1:")
        assert lines[1] == "export QSTASH_TOKEN='mine now'\n"
        assert lines[2] == "export QSTASH_CURRENT_SIGNING_KEY=sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r\n"
        assert lines[3] == "export QSTASH_NEXT_SIGNING_KEY=sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs\n"


def test_a_port_that_cannot_be_had_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(  # noqa: S603 - our own server
            command("--port", port), env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"qstash: cannot listen on 127.0.0.1:{port}: ")
    assert ended.stderr.count("\n") == 1


def test_it_imports_nothing_of_the_relay() -> None:
    """It may stand in for QStash for anything, so it knows nothing of what it stands in for."""
    foreign = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                foreign |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inside = len(path.relative_to(PACKAGE).parts)
                assert node.level <= inside, f"{path.name} reaches out of its package"
                foreign |= {(node.module or "").partition(".")[0]} if node.level == 0 else set()
    assert foreign - set(sys.stdlib_module_names) == STANDS_ON
