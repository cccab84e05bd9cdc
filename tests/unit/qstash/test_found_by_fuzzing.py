"""Requests that the fuzzer found a fault with, each as small as it gets."""

from __future__ import annotations

import asyncio
import json

import pytest

from infra.local.qstash.broker.messages import Outgoing
from infra.local.qstash.broker.state import Settings
from infra.local.qstash.broker.web import Web
from infra.local.qstash.language.grammar import evaluate

from .fakes import local, run


@run
async def test_405_names_the_methods_that_the_path_has() -> None:
    """RFC 9110, section 15.5.6: it must, and all of them."""
    async with local() as server:
        response = await server.http.put("/v2/messages/one")
        assert response.status_code == 405
        assert {"GET", "DELETE"} <= set(response.headers.get("allow", "").split(", "))


@run
async def test_a_log_row_shows_no_more_than_log_rows_do() -> None:
    """Other objects name the caller, a row of the log does not."""
    async with local() as server:
        await server.publish()
        (row, *_) = (await server.get("/v2/logs"))["logs"]
        assert "callerIP" not in row


@run
async def test_a_callback_forwards_a_header_whatever_its_name() -> None:
    """A name that has "callback" in it is no setting of a callback's callback."""
    async with local() as server:
        await server.publish(callback="https://reports.test/", callback_forward_x_callback_token="one")
        (report,) = server.destination.to("reports.test")
        assert report.headers.get("x-callback-token") == "one"


@run
async def test_a_report_is_not_reported() -> None:
    """Else each holds the one before, a third longer, until the memory is full."""
    async with local() as server:
        url = "https://reports.test/"
        await server.publish(callback=url, callback_callback=url, callback_failure_callback=url)
        assert len(server.destination.to("reports.test")) == 1


@run
async def test_a_flow_control_key_may_hold_anything() -> None:
    """It is text, not a name; in a path it comes percent-encoded, slashes included."""
    async with local() as server:
        await server.publish(flow_control_key="a b/c?d", flow_control_value="rate=1")
        response = await server.http.post("/v2/flowControl/a%20b%2Fc%3Fd/pause")
        assert response.status_code == 200
        state = await server.get("/v2/flowControl/a%20b%2Fc%3Fd")
        assert (state["flowControlKey"], state["isPaused"]) == ("a b/c?d", True)


@pytest.mark.parametrize("port", ["-1", "65536", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """The attempt would fail with an error that is no network's, and the message stay active for ever."""

    @run
    async def publish() -> None:
        async with local() as server:
            await server.publish(f"http://127.0.0.1:{port}/", expect=400)

    publish()


@pytest.mark.parametrize("name", ["a b", "é", "", "a:b", "\ud800"])
def test_a_header_that_cannot_be_sent_is_refused_though_all_are_forwarded(name: str) -> None:
    """In a batch a header's name can be any text, and such a message could never be delivered."""

    @run
    async def publish() -> None:
        async with local() as server:
            item = {"destination": "https://a.test/", "headers": {"Upstash-Header-Forward": "true", name: "one"}}
            response = await server.http.post("/v2/batch", content=json.dumps([item]))
            assert response.status_code == 400

    publish()


@run
async def test_a_count_of_none_cancels_none() -> None:
    """At most 0 are not 1."""
    async with local() as server:
        message_id = (await server.publish(delay="1h"))["messageId"]
        await server.http.delete("/v2/messages?count=0")
        assert (await server.http.get(f"/v2/messages/{message_id}")).status_code == 200


def test_a_number_may_begin_with_its_point_and_have_an_exponent() -> None:
    """As 1e3 and .5 may: one grammar of numbers."""
    assert evaluate(".5e3", 0) == 500


@run
async def test_a_forwarded_authorization_wins_over_that_of_the_url() -> None:
    """A URL with credentials in it, and a header beside: the header is what the publisher said in so many words."""
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as destination:
        url = f"http://user:password@127.0.0.1:{destination.sockets[0].getsockname()[1]}/"
        web = Web(Settings())
        try:
            await web(Outgoing("POST", url, {"Authorization": ["Bearer one"]}, b""))
        finally:
            await web.close()
    assert b"\r\nAuthorization: Bearer one\r\n" in heads[0]
