"""What a call leaves in the log: its own line, and nothing of the call before."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.errors import SignatureError
from relay.runtime.http_api import Request, Response, answering, logger, note

if TYPE_CHECKING:
    from collections.abc import Callable


def line_of(verb: Callable[[Request], Response], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the log line of a call of *verb*."""
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    event = {"routeKey": "ANY /webhooks/{source}", "requestContext": {"http": {"method": "POST"}}}
    answering(verb)(event, None)
    (line,) = written.getvalue().splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


def refuse(_: Request) -> Response:
    note(event_id="rly_1", source="github")
    raise SignatureError("X-Sig doesn't match")


def take(_: Request) -> Response:
    note(source="stripe")
    return Response(202, {})


def test_a_line_tells_of_its_own_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function instance answers many; whoever reads at night must not see another's error."""
    refused = line_of(refuse, monkeypatch)
    taken = line_of(take, monkeypatch)

    assert (refused["status"], refused["error"], refused["event_id"]) == (401, "signature", "rly_1")
    assert (taken["status"], taken["source"]) == (202, "stripe")
    assert {"error", "reason", "event_id"} & taken.keys() == set()


def test_a_text_is_answered_as_it_is_and_anything_else_as_json() -> None:
    assert Response(200, "hi", {"content-type": "text/plain"}).wire() == {
        "statusCode": 200,
        "headers": {"content-type": "text/plain"},
        "body": "hi",
    }
    assert Response(202, {"a": 1}).wire()["body"] == '{"a":1}'


@pytest.mark.parametrize(("ip", "shown"), [("203.0.113.9", "203.0.113.9"), (None, None)])
def test_the_caller_is_whom_the_api_saw(ip: str | None, shown: str | None) -> None:
    http = {"method": "POST"} | ({"sourceIp": ip} if ip else {})

    assert Request.of({"requestContext": {"http": http}, "headers": {"X-Forwarded-For": "10.0.0.1"}}).source_ip == shown


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/webhooks/github/", "github"),
        ("/webhooks/github//", None),
        ("/webhooks//", None),
        ("/webhooks/github/x", None),
        ("/webhooks/github/\n", None),
        ("/x/webhooks/github/", None),
        ("/github/", None),
        ("/", None),
    ],
)
def test_only_one_slash_more_is_the_same_source(path: str, source: str | None) -> None:
    """Its URL stays the one that was called: some schemes sign it."""
    request = Request.of({"routeKey": "$default", "rawPath": path, "rawQueryString": "a=1"})

    assert request.route == ("ANY /webhooks/{source}" if source else "$default")
    assert request.path_parameters.get("source") == source
    assert request.urls(("https://relay.example.com",)) == [f"https://relay.example.com{path}?a=1"]
