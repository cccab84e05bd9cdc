"""What the fuzzing of the local QStash stands on: its description, requests over a socket, and their answers."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemathesis
from hypothesis import HealthCheck, settings

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.local_qstash import Facts


DEADLINE_S = 90.0  # a machine may be busy with much else
HOSTS = {"127.0.0.1:1", "[::1]:1", "example.com", "example.org", "mock.httpstatus.io", "httpbin.org"}  # none is called
NO_HOSTS = {
    "",
    "[",
    "[::1",
    "127.0.0.1:0",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:x",
    "a..b",
    "xn--",
    "-",
    "\xff",
}
CASES_IN_CHECK = 50
CASES = int(os.environ.get("FUZZ_CASES", CASES_IN_CHECK))  # of an operation; `make fuzz` asks for more
BOUNDED = settings(
    derandomize=CASES == CASES_IN_CHECK,
    database=None,
    deadline=None,
    max_examples=CASES,
    suppress_health_check=list(HealthCheck),
)
SOCKETS = settings(BOUNDED, max_examples=6 * CASES)
OFF = {"enabled": False}
CONFIG = {
    "generation": {"deterministic": True},
    # Where the description enumerates, it gives examples: what is not among them need not be refused.
    # And tokens have a test of their own, which is faster.
    "checks": {"negative_data_rejection": OFF, "ignored_auth": OFF},
    "operations": [  # two templates match these paths, and each forgets the methods of the other
        {"include-path": path, "checks": dict.fromkeys(("unsupported_method", "allow_header_conformance"), OFF)}
        for path in ("/v2/schedules/{id}", "/v2/schedules/{destination}", "/v2/dlq/retry")
    ],
}
DESCRIPTION = schemathesis.openapi.from_path(
    Path(__file__).with_name("qstash_openapi.yaml"),
    config=schemathesis.Config.from_dict(CONFIG),
)
DESCRIPTION.validate()
PATHS: dict[str, list[str]] = {
    path: [method for method in item if method in ("get", "post", "patch", "delete")]
    for path, item in DESCRIPTION.raw_schema["paths"].items()
}


def stays_here(request: str) -> bool:
    """Return whether every URL within *request* leads to a host that is answered inside the server, or nowhere."""
    hosts = re.findall(r"https?(?::|%3a)(?:/|%2f){2}((?:(?!%2f|%3f|%23)[^/?#&\s\"'\\])*)", request, re.IGNORECASE)
    return {host.replace("%3A", ":") for host in hosts} <= HOSTS | NO_HOSTS


@dataclass(frozen=True)
class Answer:
    """What came back over a socket."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def exchange(
    qstash: Facts, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes = b""
) -> Answer:
    """Write one request, byte for byte, and read its answer."""
    own = [(b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
    host = [] if any(name.lower() == b"host" for name, _ in headers) else [(b"Host", b"qstash")]
    lines = [name + b": " + value for name, value in [*host, *headers, *own]]
    with socket.create_connection(("127.0.0.1", port(qstash)), timeout=DEADLINE_S) as connection:
        connection.sendall(b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", body]))
        return read_answer(connection, method)


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    """Read what must be a well-formed answer."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers.get("content-type", ""), response.read())


def port(qstash: Facts) -> int:
    return int(qstash.url.rpartition(":")[2])


def bearer(qstash: Facts) -> tuple[bytes, bytes]:
    return b"Authorization", b"Bearer " + qstash.token.encode()


def await_state(qstash: Facts, message_id: str, wanted: set[str], sent: object = "a plain publish") -> None:
    """Wait until a message has come into one of the states *wanted*."""
    target = f"/v2/logs?messageId={message_id}".encode()

    def states() -> set[str]:
        return {row["state"] for row in exchange(qstash, "GET", target, [bearer(qstash)]).json()["logs"]}

    eventually(lambda: states() & wanted, f"{sent} is one of {wanted}", DEADLINE_S)


def is_answer_or_refusal(answer: Answer, method: str = "") -> bool:
    """Return whether an answer is one that a client can read: JSON, and if it is a refusal, one that says why."""
    if method == "HEAD":
        return answer.status < 500 and not answer.body
    if answer.status >= 400:
        return answer.status < 500 and answer.content_type == "application/json" and list(answer.json()) == ["error"]
    return answer.status in (200, 201, 202) and answer.content_type == "application/json" and answer.json() is not None
