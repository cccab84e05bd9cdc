"""The local QStash under requests that nobody would write: answered as described or refused, and alive afterwards.

Schemathesis generates valid and invalid requests from `qstash_openapi.yaml`.  What a well-behaved client
can't send, Hypothesis writes to a socket.  No request names a destination outside this machine.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import socketserver
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from tests.local_qstash import Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 5.0
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
BOUNDED = settings(
    derandomize=True, database=None, deadline=None, max_examples=300, suppress_health_check=list(HealthCheck)
)

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

ENDPOINTS = [{"url": "https://example.com/hook", "name": "one"}, {"url": "http://127.0.0.1:1/closed"}]
FULL = {  # every setting that an object shows
    "Content-Type": "text/plain",
    "Upstash-Callback": "https://example.org/",
    "Upstash-Delay": "1h",
    "Upstash-Failure-Callback": "https://mock.httpstatus.io/200",
    "Upstash-Flow-Control-Key": "never-paused",
    "Upstash-Flow-Control-Value": "rate=1000, parallelism=100, period=1m",
    "Upstash-Label": "a,b",
    "Upstash-Redact-Fields": "header[content-type]",
    "Upstash-Retry-Delay": "1000",
    "Upstash-Timeout": "10s",
}


def stays_here(request: str) -> bool:
    """Return whether every URL within *request* leads to a host that is answered inside the server, or nowhere."""
    hosts = re.findall(r"https?(?::|%3a)(?:/|%2f){2}((?:(?!%2f|%3f|%23)[^/?#&\s\"'\\])*)", request, re.IGNORECASE)
    return {host.replace("%3A", ":") for host in hosts} <= HOSTS | NO_HOSTS


class Adapter(HTTPAdapter):
    """Sends no request that would make the server call another machine, and names what exists."""

    def __init__(self, qstash: Facts) -> None:
        super().__init__()
        self._qstash = qstash
        self._makers = {"a-message": self._message, "a-schedule": self._schedule, "a-dead-letter": self._dead_letter}
        self._call("POST", "/v2/topics/a-group/endpoints", body=json.dumps({"endpoints": ENDPOINTS}).encode())
        for key in ("key", "a b/c?d"):
            self._call("POST", "/v2/publish/a-group", FULL | {"Upstash-Flow-Control-Key": key})
        self._call("POST", "/v2/schedules/a-group", {"Upstash-Cron": "@every 1s", "Upstash-Schedule-Id": "runs"})

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        path, body = (request.url or "").removeprefix(self._qstash.url), request.body
        for placeholder, make in self._makers.items():
            if placeholder in path or (isinstance(body, bytes) and placeholder.encode() in body):
                made = make()
                path = path.replace(placeholder, made)
                body = body.replace(placeholder.encode(), made.encode()) if isinstance(body, bytes) else body
        assume(stays_here(f"{path}\n{request.headers}\n{body!r}"))
        request.url = self._qstash.url + path
        request.prepare_body(body, None)
        return super().send(request, *args, **options)

    def _message(self) -> str:
        return str(self._call("POST", "/v2/publish/https://example.com/hook", FULL, b"{}")["messageId"])

    def _schedule(self) -> str:
        headers = FULL | {"Upstash-Cron": "0 0 29 2 *"}
        return str(self._call("POST", "/v2/schedules/https://example.com/hook", headers, b"\xff")["scheduleId"])

    def _dead_letter(self) -> str:
        headers = FULL | {"Upstash-Retries": "0", "Upstash-Delay": "0s"}
        message_id = self._call("POST", "/v2/publish/https://mock.httpstatus.io/404", headers)["messageId"]
        await_state(self._qstash, message_id, {"FAILED"})
        return str(self._call("GET", f"/v2/dlq?messageId={message_id}")["messages"][0]["dlqId"])

    def _call(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Any:
        lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        return exchange(self._qstash, method, path.encode(), [bearer(self._qstash), *lines], body).json()


@pytest.fixture(scope="module")
def server() -> Iterator[Facts]:
    """Run a server for all tests here: what one leaves behind, the others meet."""
    with running_qstash("--test-hosts") as facts:
        yield facts


@pytest.fixture(scope="module")
def session(server: Facts) -> Iterator[requests.Session]:
    """Open connections that are used again."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", Adapter(server))
        yield session


@pytest.fixture
def qstash(server: Facts) -> Iterator[Facts]:
    """Let a test have the server, and see that it still delivers afterwards."""
    yield server
    sent = exchange(server, "POST", b"/v2/publish/https://mock.httpstatus.io/200", [bearer(server)])
    assert sent.status == 200
    await_state(server, sent.json()["messageId"], {"DELIVERED"})


@DESCRIPTION.parametrize()
@settings(BOUNDED, max_examples=15)
def test_every_answer_is_as_described(case: schemathesis.Case[Any], qstash: Facts, session: requests.Session) -> None:
    """Valid or not: no fault, and a status and an object that are described."""
    headers = {"Authorization": f"Bearer {qstash.token}"}
    response = case.call_and_validate(qstash.url, session, headers=headers)
    assert not response.content or response.headers["content-type"] == ["application/json"]


@pytest.mark.parametrize("path", sorted(PATHS))
def test_only_a_token_opens_and_the_read_only_one_opens_no_more_than_get(qstash: Facts, path: str) -> None:
    """A wrong token is refused with 401 whatever is asked for, the read-only one with 403."""
    target = re.sub(r"\{.*?\}", "one", path)
    wrong = [b"Bearer", b"Bearer " + qstash.token.encode()[:-1], qstash.token.encode(), b"Bearer \xff", b"Basic eDp5"]
    for method in PATHS[path]:
        for authorization in wrong:
            answer = exchange(qstash, method.upper(), target.encode(), [(b"Authorization", authorization)], b"{}")
            assert (answer.status, answer.json()) == (401, {"error": "unable to authenticate: invalid token"})
        reader = (b"Authorization", b"Bearer " + qstash.read_only_token.encode())
        answer = exchange(qstash, method.upper(), target.encode(), [reader], b"{}")
        assert (answer.status == 403) == (method != "get"), (method, answer)


@pytest.mark.parametrize(
    "path", ["/", "/v1/publish/one", "/v2", "/v2/", "/v2/key", "/v2/keys/", "/v2/keys/x", "/V2/keys"]
)
def test_what_is_not_described_is_not_there(qstash: Facts, path: str) -> None:
    """An unknown route is 404, not a redirect to one that exists."""
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = exchange(qstash, method, path.encode(), [bearer(qstash)], b"{}")
        assert (answer.status, list(answer.json())) == (404, ["error"]), (method, answer)


# What Hypothesis writes itself.


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
    deadline = time.monotonic() + DEADLINE_S
    while not {row["state"] for row in exchange(qstash, "GET", target, [bearer(qstash)]).json()["logs"]} & wanted:
        assert time.monotonic() < deadline, f"{sent} is none of {wanted}"
        time.sleep(0.005)


def is_answer_or_refusal(answer: Answer, method: str = "") -> bool:
    """Return whether an answer is one that a client can read: JSON, and if it is a refusal, one that says why."""
    if method == "HEAD":
        return answer.status < 500 and not answer.body
    if answer.status >= 400:
        return answer.status < 500 and answer.content_type == "application/json" and list(answer.json()) == ["error"]
    return answer.status in (200, 201, 202) and answer.content_type == "application/json" and answer.json() is not None


ROUTES = sorted({path.partition("{")[0] for path in PATHS})
TAILS = st.lists(
    st.sampled_from(
        [b"/", b"//", b"?", b"&", b"=", b"%", b"%2F", b"%00", b"%zz", b"%ED%A0%80", b"%FF", b"%3Fx", b"%23", b"#"]
        + [b"'", b'"', b"<", b"[", b"]", b"|", b"\\", b"^", b"`", b"..", b";", b"@", b":", b"+", b"one", b"pause"]
        + [b"/pause", b"/resume", b"/endpoints", b"retry", b"count=", b"order=", b"cursor=", b"state=", b"9" * 30]
        + [b"fromDate=", b"upstash-retries=", b"upstash-delay=1s", b"upstash-forward-a%0d%0ab=1", b"qstash_token=x"]
        + [f"{scheme}{host}/".encode("latin-1") for scheme in ("http://", "HTTPS://") for host in HOSTS | NO_HOSTS]
        + ["é".encode(), b"\xff", b"\x7f", b"\x01"]
    ),
    max_size=8,
).map(b"".join)
STARTS = ["/", "/v2/nothing", "//v2/keys", "/v2//keys", "*", "http://qstash/v2/keys", *ROUTES]
TARGETS = st.builds(lambda start, tail: start.encode() + tail, st.sampled_from(STARTS), TAILS)
SETTINGS = [
    *("Method", "Delay", "Not-Before", "Retries", "Retry-Delay", "Timeout", "Label", "Cron", "Schedule-Id"),
    *("Queue-Name", "Deduplication-Id", "Content-Based-Deduplication", "Flow-Control-Key", "Flow-Control-Value"),
    *("Callback", "Callback-Retries", "Callback-Delay", "Callback-Callback", "Callback-Forward-A", "Failure-Callback"),
    *("Failure-Callback-Retries", "Redact-Fields", "Header-Forward", "Forward-", "Forward-A", "Forward-Host"),
    *("Forward-Content-Length", "Forward-Transfer-Encoding", "Forward-Content-Type", "Forward-Upstash-Signature"),
    *("Forward-Connection", "Forward-Accept-Encoding", "Forward-Expect", "Telemetry-Sdk", "", "Nothing"),
]
NAMES = [f"Upstash-{name}" for name in SETTINGS] + ["Content-Type", "Cookie", "X-One", "Expect-Ct"]
VALUES = [
    *("", "0", "1", "-1", "9" * 30, "1s", "0s", "1d" * 999, "true", "F", "GET", "post", "a:b", "a,b", ",", "="),
    *("[", '"', "retried", "1/0", "0/0", "(" * 999, "pow(9, pow(9, 9))", "max()", "1e999", "-" * 999, "sqrt(-1)"),
    *("rate=1", "parallelism=1, rate=1, period=1s", "rate=0", "rate=1, rate=1", "period=1s", "rate=1, period=99d"),
    *("body, header[a]", "header[]", "header[[", "* * * * *", "0 0 30 2 *", "@every 1s", "@every 99999999h", "@"),
    *("TZ=../../etc/passwd 0 0 * * *", "CRON_TZ=\x80 0 0 * * *", "TZ=Europe 0 0 * * *", "*/0 * * * *", "1-0 * * * *"),
    *("\u0663", "é", "\ud800", "\x80\xff", "\t", "x" * 20_000, "one", "http:", "https://example.com/?\u00e9"),
    *(f"http://{host}/" for host in sorted(HOSTS | NO_HOSTS)),
]
WIRE_VALUES = st.one_of(
    st.sampled_from([value.encode("utf-8", "surrogatepass") for value in VALUES]),
    st.binary(max_size=9).map(lambda value: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", value)),
)
HEADERS = st.lists(st.tuples(st.sampled_from([name.encode() for name in NAMES]), WIRE_VALUES), max_size=8)
ODD_HEADERS = st.sampled_from(
    [
        *((b"Host", host) for host in (b"[", b"", b"a b", b"x/pause?", b"\xff", b"::", b"a:b:c")),
        *((b"Authorization", value) for value in (b"", b"Bearer", b"Basic eDp5", b"\xff", b"Bearer \xff")),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"websocket"),
        (b"Upgrade", b"h2c"),
        (b"Content-Encoding", b"gzip"),
        (b"X" * 9_000, b"1"),
    ]
)


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
    TARGETS,
    HEADERS,
    st.lists(ODD_HEADERS, max_size=1),
    st.sampled_from([b"", b"x", b"{}", b"[]", b"null", b"\xff", b"\x00" * 9]),
)
@settings(BOUNDED, max_examples=1_000)
def test_whatever_is_sent_gets_an_answer(
    qstash: Facts,
    method: str,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    odd: list[tuple[bytes, bytes]],
    body: bytes,
) -> None:
    """Only what is no HTTP is answered by the parser, which speaks no JSON."""
    assume(stays_here(f"{target!r} {headers!r}"))
    answer = exchange(qstash, method, target, [*odd, bearer(qstash), *headers], body)
    event = (method, target, headers, answer)
    if answer.content_type.startswith("text/plain") and answer.status == 400:
        assert re.search(rb"[\x00-\x20\x7f-\xff]|^(?!/)", target) or odd, event
    else:
        assert is_answer_or_refusal(answer, method), event


def test_whatever_is_published_ends(qstash: Facts) -> None:
    """A publish that is accepted is delivered or fails: none is forgotten half way."""
    waiting = re.compile(rb"(?i)upstash-(delay|not-before|retries|flow-control-.*|cron|queue-name)")
    accepted: dict[str, object] = {}

    @given(st.sampled_from(sorted(HOSTS | NO_HOSTS)), TAILS, HEADERS)
    @BOUNDED
    def publish(host: str, tail: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        target = b"/v2/publish/http://" + host.encode("latin-1") + tail
        assume(stays_here(f"{target!r} {headers!r}") and not waiting.search(target))
        headers = [(name, value) for name, value in headers if not waiting.match(name)]
        answer = exchange(qstash, "POST", target, [bearer(qstash), (b"Upstash-Retries", b"0"), *headers], b"body")
        if answer.status == 200:
            accepted[answer.json()["messageId"]] = (target, headers)

    publish()
    assert len(accepted) > BOUNDED.max_examples / 10
    for message_id, sent in accepted.items():
        await_state(qstash, message_id, {"DELIVERED", "FAILED"}, sent)


class Destination(socketserver.StreamRequestHandler):
    """Keeps what it gets, undecoded, and answers 200."""

    got: ClassVar[dict[str, tuple[bytes, list[bytes], bytes]]] = {}

    def handle(self) -> None:
        target = self.rfile.readline().split(b" ")[1]
        lines = list(iter(lambda: self.rfile.readline().rstrip(b"\r\n"), b""))
        known = {name.lower(): value for name, _, value in (line.decode("latin-1").partition(": ") for line in lines)}
        self.got[known["upstash-message-id"]] = target, lines, self.rfile.read(int(known["content-length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def destination() -> Iterator[str]:
    """Run a destination."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Destination) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


OF_A_URL = [*"/?&=:;@,+-._~!$'()*", "//", "%20", "%2F", "%2f", "%00", "%FF", "..", "/../", "a", "B", "x=1", "#"]
UNUSUAL = ['"', "<", "[", "]", "{", "|", "\\", "^", "`", "%", "%zz"]  # no URL has these, and yet they are sent


@given(
    st.lists(st.sampled_from(OF_A_URL + UNUSUAL), max_size=9).map("".join),
    st.binary(max_size=9).map(lambda value: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", value).strip()),
    st.binary(max_size=99),
)
@BOUNDED
def test_a_destination_gets_what_was_published(
    qstash: Facts, destination: str, tail: str, value: bytes, body: bytes
) -> None:
    """Path, query, forwarded headers and body arrive byte for byte; what can't be delivered is refused at once."""
    path, mark, query = ("/" + tail).partition("#")[0].partition("?")
    headers = [bearer(qstash), (b"Upstash-Forward-X-One", value), (b"Content-Type", b"a/b")]
    answer = exchange(qstash, "POST", f"/v2/publish/{destination}/{tail}".encode(), headers, body)
    if answer.status == 400:
        assert not value.isascii() or set(UNUSUAL) & set(re.sub("%[0-9A-Fa-f]{2}", "", tail)), (tail, answer)
        return
    message_id = answer.json()["messageId"]
    deadline = time.monotonic() + DEADLINE_S
    while message_id not in Destination.got:
        assert time.monotonic() < deadline, (tail, value, body)
        time.sleep(0.001)
    target, lines, got = Destination.got.pop(message_id)
    assert target.decode() == path + mark * bool(query) + query
    assert {b"X-One: " + value, b"Content-Type: a/b"} <= set(lines)
    assert got == body


NO_HTTP = [
    *(b"\r\n\r\n", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", b"GET\r\n\r\n", b"GET /v2/keys HTTP/9.9\r\n\r\n"),
    *(b"BREW /v2/keys HTTP/1.1\r\n\r\n", b"GET /v2/keys HTTP/1.1\nHost q\n\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"POST /v2/batch HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n[]" for length in (b"-1", b"x", b"9" * 40)),
    b"POST /v2/batch HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
    b"POST /v2/batch HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v2/batch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n",
    b"POST /v2/batch HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n[]",
    b"POST /v2/batch HTTP/1.1\r\nHost: q\r\nX: \x00\r\n\r\n",
    b"GET /v2/keys HTTP/1.1\r\nHost: q\r\n\xff: 1\r\n\r\n",
]


def test_what_is_no_http_harms_nobody(qstash: Facts) -> None:
    """It is refused, or its connection ends, or it is waited for: the others are answered meanwhile."""
    for request in NO_HTTP:
        with socket.create_connection(("127.0.0.1", port(qstash)), timeout=DEADLINE_S) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            began = connection.recv(12)
        assert began == b"" or re.match(rb"HTTP/1\.1 [24]", began), (request, began)


@pytest.mark.parametrize("sizes", [[2], [1, 1], [0], []], ids=str)
def test_a_body_may_come_in_chunks(qstash: Facts, sizes: list[int]) -> None:
    """A body without a length is read to its end; so is one that takes its time."""
    text = iter(b"[]")
    chunks = [b"%x;x=1\r\n" % size + bytes(itertools.islice(text, size)) + b"\r\n" for size in sizes if size]
    with socket.create_connection(("127.0.0.1", port(qstash)), timeout=DEADLINE_S) as connection:
        connection.sendall(b"POST /v2/batch HTTP/1.1\r\nHost: q\r\nTransfer-Encoding: chunked\r\n")
        connection.sendall(b": ".join(bearer(qstash)) + b"\r\nConnection: close\r\n\r\n")
        for chunk in [*chunks, b"0\r\nX-Trailer: 1\r\n\r\n"]:
            time.sleep(0.01)
            connection.sendall(chunk)
        answer = read_answer(connection)
    assert answer.status == (200 if sum(sizes) else 400), answer


LEAVES = st.one_of(
    st.sampled_from(VALUES),
    st.text(st.characters(), max_size=5),
    st.none() | st.booleans() | st.integers() | st.floats(),
    st.sampled_from([10**400, [], {}, [""], [None], {"": None}, [[["one"]]]]),
)
WRITTEN = {  # a route that takes JSON -> what it takes, more or less
    b"POST /v2/batch": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "destination": st.sampled_from(["https://example.com/", "http://127.0.0.1:1/", "one"]) | LEAVES,
                "queue": st.sampled_from(["one", None]) | LEAVES,
                "body": LEAVES,
                "headers": st.dictionaries(st.sampled_from(NAMES) | st.text(st.characters(), max_size=5), LEAVES)
                | LEAVES,
            },
        )
        | LEAVES,
        max_size=3,
    )
    | LEAVES,
    b"POST /v2/queues": st.fixed_dictionaries(
        {}, optional={"queueName": st.just("one") | LEAVES, "parallelism": LEAVES, "paused": LEAVES, "x": LEAVES}
    )
    | LEAVES,
    **dict.fromkeys(
        (b"POST /v2/topics/one/endpoints", b"DELETE /v2/topics/one/endpoints"),
        st.fixed_dictionaries(
            {"endpoints": st.lists(st.fixed_dictionaries({}, optional={"url": LEAVES, "name": LEAVES}) | LEAVES)}
        )
        | st.dictionaries(st.just("endpoints"), LEAVES)
        | LEAVES,
    ),
    b"PATCH /v2/topics/one": st.dictionaries(
        st.just("headers"), st.dictionaries(st.sampled_from(NAMES), LEAVES | st.lists(LEAVES)) | LEAVES
    )
    | LEAVES,
    **dict.fromkeys(
        (b"DELETE /v2/messages", b"DELETE /v2/dlq", b"POST /v2/dlq/retry"),
        st.dictionaries(
            st.sampled_from(["messageIds", "dlqIds", "url", "count", "fromDate", "cursor", "order", "label", "x"]),
            LEAVES | st.lists(LEAVES, max_size=3),
        )
        | LEAVES,
    ),
}
UNWRITABLE = [
    *(b"", b" ", b"NaN", b"-Infinity", b"1e999", b"[1,]", b"{'a': 1}", b'"\\ud800"', b"1" * 5_000, b"\xef\xbb\xbf[]"),
    *(b"[" * 100_000, b"[" * 9_000 + b"]" * 9_000, b'{"headers":' * 100_000, b"\x00", b'"\x00"', b"\xff\xfe[\x00]\x00"),
    *(b"\xff", b'{"a": 1, "a": 2}', b'[{"destination": "one", "headers": ' + b"[" * 990 + b"]" * 990 + b"}]"),
]


@given(st.sampled_from(sorted(WRITTEN)).flatmap(lambda route: st.tuples(st.just(route), WRITTEN[route])))
@BOUNDED
def test_any_json_is_taken_or_refused(qstash: Facts, call: tuple[bytes, Any]) -> None:
    """Wrong types, huge numbers, lone surrogates: a body of the right shape, or of any other."""
    route, value = call
    body = json.dumps(value).encode()
    assume(stays_here(body.decode()))
    method, _, target = route.partition(b" ")
    answer = exchange(qstash, method.decode(), target, [bearer(qstash)], body)
    assert is_answer_or_refusal(answer), (route, body, answer)


@pytest.mark.parametrize("route", sorted(WRITTEN), ids=bytes.decode)
def test_what_is_no_json_is_refused(qstash: Facts, route: bytes) -> None:
    """Whatever the parser of JSON makes of it: an answer, no fault."""
    method, _, target = route.partition(b" ")
    for body in UNWRITABLE:
        answer = exchange(qstash, method.decode(), target, [bearer(qstash)], body)
        assert is_answer_or_refusal(answer), (body[:50], answer)
