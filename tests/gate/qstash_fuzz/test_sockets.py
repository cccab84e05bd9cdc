"""What a well-behaved client can't send, written to a socket: answered or refused, and the server lives on.

No request names a destination outside this machine.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_qstash import Facts

from .steps import (
    CASES,
    DEADLINE_S,
    HOSTS,
    NO_HOSTS,
    PATHS,
    SOCKETS,
    await_state,
    bearer,
    exchange,
    is_answer_or_refusal,
    port,
    read_answer,
    stays_here,
)

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
ANY_HEADER = st.tuples(st.sampled_from([name.encode() for name in NAMES]), WIRE_VALUES)
HEADERS = st.lists(ANY_HEADER, max_size=8)
FEW_HEADERS = st.lists(ANY_HEADER, max_size=1)  # of several, one is nearly always refused
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
@settings(SOCKETS, max_examples=20 * CASES)
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

    @given(st.sampled_from(sorted(HOSTS | NO_HOSTS)), TAILS, HEADERS | FEW_HEADERS)
    @SOCKETS
    def publish(host: str, tail: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        target = b"/v2/publish/http://" + host.encode("latin-1") + tail
        assume(stays_here(f"{target!r} {headers!r}") and not waiting.search(target))
        headers = [(name, value) for name, value in headers if not waiting.match(name)]
        answer = exchange(qstash, "POST", target, [bearer(qstash), (b"Upstash-Retries", b"0"), *headers], b"body")
        if answer.status == 200:
            accepted[answer.json()["messageId"]] = (target, headers)

    publish()
    assert len(accepted) > SOCKETS.max_examples / 10  # else it would be true of next to nothing
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
@SOCKETS
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
    eventually(lambda: message_id in Destination.got, f"{tail!r} is reached", DEADLINE_S)
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
            time.sleep(0.01)  # so that the server reads each on its own
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
@SOCKETS
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
