"""`relay secret set qstash`: a token is kept where QStash takes it, and nowhere else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from cli import qstash_account
from relay import caller

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay, Server

KEYS = {"current": "sig_a", "next": "sig_b"}
REFUSAL = {"error": "invalid token"}


@pytest.fixture
def qstash(server: Server) -> Server:
    """Give a QStash that takes any token."""
    server.says("GET", "/v2/keys", KEYS)
    return server


def nothing_kept(relay: Relay) -> bool:
    with pytest.raises(relay.secretsmanager.exceptions.ResourceNotFoundException):
        relay.kept("qstash")
    return True


@pytest.mark.parametrize("end", ["", "/"])
def test_a_token_that_qstash_takes_is_kept_with_the_url_it_was_tried_at(
    undeployed: Relay, qstash: Server, end: str
) -> None:
    shown = undeployed.run("secret", "set", "qstash", "--url", qstash.url + end, stdin="token-one\r\n")

    assert shown.exit_code == 0, shown.stderr
    assert undeployed.kept("qstash") == {"token": "token-one", "url": qstash.url}
    assert [it.headers["authorization"] for it in qstash.asked("/v2/keys")] == ["Bearer token-one"]


def test_a_new_token_is_tried_at_the_url_that_is_kept(undeployed: Relay, qstash: Server) -> None:
    undeployed.run("secret", "set", "qstash", "--url", qstash.url, stdin="token-one")

    shown = undeployed.run("secret", "set", "qstash", stdin="token-two")

    assert shown.exit_code == 0, shown.stderr
    assert undeployed.kept("qstash") == {"token": "token-two", "url": qstash.url}


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_qstash_refuses_is_not_kept(undeployed: Relay, qstash: Server, status: int) -> None:
    undeployed.run("secret", "set", "qstash", "--url", qstash.url, stdin="token-one")
    qstash.says("GET", "/v2/keys", REFUSAL, status=status)

    shown = undeployed.run("secret", "set", "qstash", stdin="token-two")

    assert shown.exit_code == 1
    assert "refuses the token: copy QSTASH_TOKEN" in shown.stderr
    assert "token-two" not in shown.output
    assert undeployed.kept("qstash")["token"] == "token-one"


@pytest.mark.parametrize(
    ("status", "answer"), [(404, {"message": "Not Found"}), (500, {}), (200, b"<html>"), (200, {"a": 1})]
)
def test_what_answers_like_no_qstash_is_told(undeployed: Relay, qstash: Server, status: int, answer: object) -> None:
    qstash.says("GET", "/v2/keys", answer, status=status)

    shown = undeployed.run("secret", "set", "qstash", "--url", qstash.url, stdin="token-one")

    assert shown.exit_code == 1
    assert "can't be asked whether it takes the token" in shown.stderr
    assert "--force" in shown.stderr
    assert nothing_kept(undeployed)


def test_a_qstash_that_cannot_be_reached_needs_force(undeployed: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

    refused = undeployed.run("secret", "set", "qstash", "--url", url, stdin="token-one")
    forced = undeployed.run("secret", "set", "qstash", "--url", url, "--force", stdin="token-one")

    assert (refused.exit_code, forced.exit_code) == (1, 0)
    assert undeployed.kept("qstash") == {"token": "token-one", "url": url}


def test_a_token_of_the_other_region_is_told_with_its_url(
    undeployed: Relay, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both of Upstash's regions are this one server, under its two names."""
    other = server.url.replace("127.0.0.1", "localhost")
    monkeypatch.setattr(qstash_account, "REGIONS", {"EU": server.url, "US": other})
    server.answers["GET", "/v2/keys"] = [(401, b"{}"), (200, b'{"current":"a","next":"b"}')]

    shown = undeployed.run("secret", "set", "qstash", "--url", server.url, stdin="token-one")

    assert shown.exit_code == 1
    assert f"it is of the US region: add --url {other}" in shown.stderr
    assert nothing_kept(undeployed)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://qstash.upstash.io/v2", "give https://qstash.upstash.io"),
        ("https://qstash.upstash.io/v2/publish/", "give https://qstash.upstash.io"),
        ("http://qstash.upstash.io", "in the clear"),
        ("https://qstash.upstash.io?a=b", "more than scheme and host"),
        ("https://u:p@qstash.upstash.io", "more than scheme and host"),
        ("qstash.upstash.io", "must be like"),
        ("https://qstash.upstash.io:port", "Port"),
        ("http://[::1", "URL"),
    ],
)
def test_a_url_that_is_no_region_is_an_error_of_usage(undeployed: Relay, url: str, said: str) -> None:
    shown = undeployed.run("secret", "set", "qstash", "--url", url, stdin="token-one")

    assert shown.exit_code == 2
    assert said.lower() in " ".join(shown.stderr.split()).lower()
    assert nothing_kept(undeployed)


@pytest.mark.parametrize("token", ['"eyJVc2VySUQi"', "'x'", "QSTASH_TOKEN=eyJVc2Vy", "Bearer_x", "Bearer x", "`x`"])
def test_what_was_pasted_with_more_than_the_token_is_told(undeployed: Relay, qstash: Server, token: str) -> None:
    assert undeployed.run("secret", "set", "qstash", "--url", qstash.url, stdin=token).exit_code == 1
    assert qstash.calls == []


def test_a_token_that_ends_like_base64_does_is_one(undeployed: Relay, qstash: Server) -> None:
    assert undeployed.run("secret", "set", "qstash", "--url", qstash.url, stdin="ABCD==").exit_code == 0


def test_the_regions_are_upstashs() -> None:
    assert caller.REGIONS == {"EU": "https://qstash.upstash.io", "US": "https://qstash-us-east-1.upstash.io"}
    assert caller.REGIONS["EU"] == caller.DEFAULT_URL
