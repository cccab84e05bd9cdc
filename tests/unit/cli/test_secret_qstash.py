"""`relay secret set qstash`: a token is tried where it will be used before it is kept."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from relay.qstash import regions
from relay.qstash.http import DEFAULT_URL
from tests.unit.cli.conftest import TOKEN, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.conftest import Relay, Server

KEYS = {"current": "sig_1", "next": "sig_2"}
REAL = dict(regions.REGIONS)


@pytest.fixture
def america(undeployed: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give the other region, which takes any token."""
    with serving() as other:
        other.says("GET", "/v2/keys", KEYS)
        monkeypatch.setattr(regions, "REGIONS", {"EU": undeployed.server.url, "US": other.url})
        yield other


def holds_nothing(relay: Relay) -> bool:
    return not relay.secretsmanager.list_secrets(Filters=[{"Key": "name", "Values": [relay.name]}])["SecretList"]


def nowhere() -> str:
    """Return a URL at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_the_regions_are_upstashs() -> None:
    assert REAL == {"EU": DEFAULT_URL, "US": "https://qstash-us-east-1.upstash.io"}


def test_a_token_is_tried_at_the_default_and_kept_without_a_url(undeployed: Relay) -> None:
    shown = undeployed.run("secret", "set", "qstash", stdin=TOKEN)

    assert (shown.exit_code, shown.stderr) == (0, "")
    (asked,) = undeployed.server.asked("/v2/keys")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert undeployed.kept("qstash") == {"token": TOKEN}


# -- the URL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_region_is_kept_without_a_slash_at_its_end(undeployed: Relay, america: Server, slash: str) -> None:
    shown = undeployed.run("secret", "set", "qstash", "--url", america.url + slash, stdin=TOKEN)

    assert shown.exit_code == 0, shown.stderr
    assert undeployed.kept("qstash") == {"token": TOKEN, "url": america.url}
    assert len(america.asked("/v2/keys")) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://qstash.upstash.io/v2", "must be the host alone: --url https://qstash.upstash.io"),
        ("https://qstash.upstash.io/v2/publish/", "must be the host alone: --url https://qstash.upstash.io"),
        ("https://QStash.Upstash.io:443/v2", "must be the host alone: --url https://qstash.upstash.io:443"),
        ("https://qstash.upstash.io?qstash_token=x", "must be the host alone"),
        ("https://qstash.upstash.io/#", "must be the host alone"),
        ("http://qstash.upstash.io", "must begin with https://"),
        ("ftp://127.0.0.1", "must begin with https://"),
        ("https://user:s3cr3t@qstash.upstash.io", "must be like https://"),
        ("qstash-us-east-1.upstash.io", "must be like https://"),
        ("https://", "must be like https://"),
        ("https://qstash.upstash.io:port", "must be like https://"),
        ("https://qstash upstash.io", "must be like https://"),
        ("http://[::1", "must be like https://"),
        ("", "must be like https://"),
    ],
)
def test_a_url_with_more_than_a_host_is_an_error_of_usage(undeployed: Relay, url: str, told: str) -> None:
    shown = undeployed.run("secret", "set", "qstash", "--url", url, stdin=TOKEN)

    assert shown.exit_code == 2
    assert told in shown.stderr
    assert "s3cr3t" not in shown.stderr
    assert undeployed.server.calls == []
    assert holds_nothing(undeployed)


def test_another_token_stays_at_the_url_before_and_says_so(undeployed: Relay, america: Server) -> None:
    undeployed.run("secret", "set", "qstash", "--url", america.url, stdin="token-one\r\n")

    shown = undeployed.run("secret", "set", "qstash", stdin="token-two")

    assert undeployed.kept("qstash") == {"token": "token-two", "url": america.url}
    assert f"stays {america.url}; --url {undeployed.server.url} restores" in shown.stderr
    assert undeployed.server.asked("/v2/keys") == []


def test_the_defaults_url_takes_the_one_before_away(undeployed: Relay, america: Server) -> None:
    undeployed.run("secret", "set", "qstash", "--url", america.url, stdin="token-one")

    shown = undeployed.run("secret", "set", "qstash", "--url", undeployed.server.url, stdin="token-two")

    assert (shown.exit_code, shown.stderr) == (0, "")
    assert undeployed.kept("qstash") == {"token": "token-two"}


# -- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        (f"Bearer {TOKEN}", "begins with `Bearer`"),
        (f"bearer {TOKEN}", "begins with `Bearer`"),
        (f"Authorization: Bearer {TOKEN}", "begins with `Authorization:`"),
        (f"QSTASH_TOKEN={TOKEN}", "begins with `QSTASH_TOKEN=`"),
        (f'export QSTASH_TOKEN="{TOKEN}"', "begins with `QSTASH_TOKEN=`"),
        (f'"{TOKEN}"', "is in quotes"),
        (f"'{TOKEN}'", "is in quotes"),
        ("a b", "has neither spaces nor accents"),
    ],
)
def test_a_token_pasted_with_more_is_told(undeployed: Relay, pasted: str, told: str) -> None:
    shown = undeployed.run("secret", "set", "qstash", stdin=pasted)

    assert shown.exit_code == 1
    assert told in shown.stderr
    assert TOKEN not in shown.output
    assert undeployed.server.calls == []
    assert holds_nothing(undeployed)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, {"error": "unable to authenticate: invalid token"}),
        (
            404,
            {"error": "user (x) not found in this region (eu-central-1). Check that …"},
        ),
    ],
)
def test_a_token_of_the_other_region_is_told_with_its_url(
    undeployed: Relay, america: Server, status: int, said: dict[str, str]
) -> None:
    undeployed.server.says("GET", "/v2/keys", said, status=status)

    shown = undeployed.run("secret", "set", "qstash", stdin=TOKEN)

    assert shown.exit_code == 1
    assert shown.stderr == f"error: the token belongs to the US region: add --url {america.url}\n"
    assert holds_nothing(undeployed)


def test_a_token_that_no_region_takes_is_refused(undeployed: Relay, america: Server) -> None:
    for server in (undeployed.server, america):
        server.says("GET", "/v2/keys", {"error": "unable to authenticate: invalid token"}, status=401)

    shown = undeployed.run("secret", "set", "qstash", stdin=TOKEN)

    assert shown.exit_code == 1
    assert f"QStash at {undeployed.server.url} refuses the token (401): copy QSTASH_TOKEN" in shown.stderr
    assert holds_nothing(undeployed)


def test_a_token_for_another_server_is_shown_to_no_region(undeployed: Relay, america: Server) -> None:
    with serving() as own:
        own.says("GET", "/v2/keys", {"error": "unable to authenticate: invalid token"}, status=401)
        shown = undeployed.run("secret", "set", "qstash", "--url", own.url, stdin=TOKEN)

    assert shown.exit_code == 1
    assert (undeployed.server.calls, america.calls) == ([], [])


# -- no QStash --------------------------------------------------------------------------------------------------------


def test_where_nothing_answers_the_token_is_kept_only_with_force(undeployed: Relay) -> None:
    words = ("secret", "set", "qstash", "--url", nowhere())

    shown = undeployed.run(*words, stdin=TOKEN)
    assert shown.exit_code == 1
    assert shown.stderr.startswith(f"error: QStash doesn't answer at {words[-1]} (")
    assert "check the network, HTTPS_PROXY and --url, or store the token untested with --force" in shown.stderr
    assert holds_nothing(undeployed)

    forced = undeployed.run(*words, "--force", stdin=TOKEN)
    assert forced.exit_code == 0
    assert "the token is stored all the same" in forced.stderr
    assert undeployed.kept("qstash") == {"token": TOKEN, "url": words[-1]}


@pytest.mark.parametrize(
    ("status", "answer"), [(200, b"<html>"), (200, {"ok": True}), (503, b""), (404, b"nothing here")]
)
def test_what_is_no_qstash_is_not_taken_for_one(undeployed: Relay, status: int, answer: object) -> None:
    with serving() as other:
        other.says("GET", "/v2/keys", answer, status=status)
        shown = undeployed.run("secret", "set", "qstash", "--url", other.url, stdin=TOKEN)

    assert shown.exit_code == 1
    assert "refuses the token" not in shown.stderr
    assert holds_nothing(undeployed)


def test_a_proxy_stands_between_the_command_and_qstash(undeployed: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a tunnel; this one opens none, and what it says isn't taken for QStash's."""
    monkeypatch.setattr(regions, "REGIONS", REAL)
    with serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        shown = undeployed.run("secret", "set", "qstash", stdin=TOKEN)

    assert {(it.method, it.path) for it in proxy.calls} == {("CONNECT", "qstash.upstash.io:443")}
    assert shown.exit_code == 1
    assert "QStash doesn't answer at https://qstash.upstash.io (" in shown.stderr
    assert holds_nothing(undeployed)
