"""Requests as they go over the wire, and answers that no server should give."""

from __future__ import annotations

import asyncio
import gzip
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.qstash.app import app
from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import TOKEN, run, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Wire:
    """A destination that keeps the bytes it gets, and sends the bytes it is told to, one entry a request."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)  # None: close the connection as the next request comes on it
        self.heads: list[list[bytes]] = []
        self.came_from: list[str] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (head := await _head(reader)) and (answer := self.answers.pop(0)) is not None:
            self.heads.append(head)
            self.came_from.append(writer.get_extra_info("peername")[0])
            length = next((int(line.split(b": ")[1]) for line in head if line.startswith(b"Content-Length: ")), 0)
            await reader.readexactly(length)
            writer.write(answer)
            if b"Content-Length: 0" not in answer:
                break
        writer.close()


async def _head(reader: asyncio.StreamReader) -> list[bytes]:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).rstrip(b"\r\n").split(b"\r\n")
    except asyncio.IncompleteReadError:
        return []


@asynccontextmanager
async def relaying(*answers: bytes | None) -> AsyncIterator[tuple[Wire, httpx.AsyncClient]]:
    """Run a server whose deliveries go over real sockets, and a destination for them."""
    wire = Wire(*answers)
    application = app(settings=Settings(limits=Limits(message_bytes=1_000_000)), admin_token=TOKEN)
    async with await asyncio.start_server(wire, "127.0.0.1", 0) as server, serving(application) as client:
        wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield wire, client


async def outcome(client: httpx.AsyncClient, url: str, **settings: str) -> dict[str, Any]:
    """Publish without retries, and return how it ended, with the status and the error of a failed attempt."""
    # In a batch, since the test's own client would tidy up a URL that stands in a path.
    headers = {f"Upstash-{name.replace('_', '-')}": value for name, value in ({"retries": "0"} | settings).items()}
    published = await client.post("/v2/batch", json=[{"destination": url, "headers": headers}])
    assert published.status_code == 200, published.text
    for _ in range(400):
        log = await client.get("/v2/logs", params={"messageId": published.json()[0]["messageId"]})
        states = {row["state"]: row for row in log.json()["logs"]}
        for state in states.keys() & {"DELIVERED", "FAILED"}:
            row = states.get("ERROR", {})
            return {"state": state, "error": row.get("error"), "status": row.get("responseStatus")}
        await asyncio.sleep(0.01)
    raise AssertionError(states)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_nothing_but_what_was_published_and_qstashs_own_headers_goes_out(method: str) -> None:
    @run
    async def body() -> None:
        async with relaying(OK) as (wire, client):
            url = f"{wire.url}//a%20b/%2F/../c?x=%20&y=%C3%A9&x=1&z"
            assert (await outcome(client, url, Method=method, forward_x_odd="é"))["state"] == "DELIVERED"
            requestline, *lines = wire.heads[0]
            assert requestline == b"%s //a%%20b/%%2F/../c?x=%%20&y=%%C3%%A9&x=1&z HTTP/1.1" % method.encode()
            names = {line.split(b":")[0] for line in lines} - {b"Content-Length"}
            ours = {b"Upstash-Message-Id", b"Upstash-Retried", b"Upstash-Signature", b"Upstash-Caller-Ip"}
            assert names == ours | {b"Host", b"User-Agent", b"Accept-Encoding", b"X-Odd"}
            assert {b"User-Agent: Upstash-QStash", b"Accept-Encoding: gzip", "X-Odd: é".encode()} <= set(lines)

    body()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_a_request_is_never_sent_again_by_itself(method: str) -> None:
    """A client library that repeats what it calls idempotent would double a delivery without a cause."""

    @run
    async def body() -> None:
        async with relaying(OK, None, OK) as (wire, client):
            assert (await outcome(client, wire.url, method=method))["state"] == "DELIVERED"
            assert (await outcome(client, wire.url, method=method))["state"] == "FAILED"
            assert len(wire.heads) == 1

    body()


@pytest.mark.parametrize(
    ("answer", "state", "status"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "FAILED", 302),
        (b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", "DELIVERED", None),
        (b"HTTP/1.1 500 E\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000, "FAILED", 500),
        (b"HTTP/1.1 500 E\r\nX-Long: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n", "FAILED", 500),
        (b"HTTP/1.1 500 E\r\nX-Odd: \xff\xfe\r\nContent-Length: 0\r\n\r\n", "FAILED", 500),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "FAILED", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "FAILED", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "FAILED", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "FAILED", 0),
        (b"HTTP/1.1 99999 OK\r\n\r\n", "FAILED", 0),
        (b"\x00\xff garbage \r\n\r\n", "FAILED", 0),
        (b"", "FAILED", 0),
    ],
)
def test_whatever_a_destination_answers_ends_the_attempt(answer: bytes, state: str, status: int | None) -> None:
    @run
    async def body() -> None:
        async with relaying(answer) as (wire, client):
            found = await outcome(client, wire.url)
            assert (found["state"], found["status"]) == (state, status)
            assert bool(found["error"]) == (status == 0)

    body()


@run
async def test_an_answers_body_is_decoded_and_kept_up_to_what_a_message_may_hold() -> None:
    packed = gzip.compress(b"sorry " * 1_000)
    head = b"HTTP/1.1 404 N\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with relaying(head + packed, b"HTTP/1.1 404 N\r\n\r\n" + b"y" * 3_000_000) as (wire, client):
        for text in ("sorry " * 1_000, "y" * 1_000_000):
            await outcome(client, wire.url)
            dead = (await client.get("/v2/dlq", params={"order": "latestFirst"})).json()["messages"][0]
            assert dead["responseBody"] == text


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid", "u:p@127.0.0.1:1"])
def test_a_destination_that_cannot_be_reached_is_a_failed_attempt(host: str) -> None:
    @run
    async def body() -> None:
        async with relaying() as (_, client):
            found = await outcome(client, f"http://{host}/", forward_authorization="Bearer x")
            assert (found["state"], found["status"]) == ("FAILED", 0)
            assert found["error"]

    body()


@run
async def test_a_large_body_goes_out_whole() -> None:
    async with relaying(OK) as (wire, client):
        published = await client.post(f"/v2/publish/{wire.url}", content=b"x" * 999_999)
        assert published.status_code == 200
        for _ in range(400):
            if wire.heads:
                break
            await asyncio.sleep(0.01)
        assert b"Content-Length: 999999" in wire.heads[0]


@run
async def test_what_is_told_to_comes_from_another_address_of_this_machine() -> None:
    """Where it has others: Linux has all of 127.0.0.0/8; else from the one that it has."""
    async with relaying(OK, OK, OK) as (wire, client):
        await outcome(client, wire.url)
        rule = {"on": "delivery", "do": "elsewhere"}
        assert (await client.post("/admin/rules", json=rule)).status_code == 200
        for _ in range(2):
            assert (await outcome(client, wire.url))["state"] == "DELIVERED"
        others = ["127.0.0.2", "127.0.0.3"] if sys.platform == "linux" else ["127.0.0.1"] * 2
        assert wire.came_from == ["127.0.0.1", *others]
