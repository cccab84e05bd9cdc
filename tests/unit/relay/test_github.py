"""GitHub's API at the wire: what is asked, what of the answer counts, and which refusals pass by themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import GitHubError
from relay.reconciliation.github import GitHub, Sending
from relay.reconciliation.missing import Missing
from tests.github_api import HOOK, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

ROW: dict[str, Any] = {
    "id": 12345678901234567,
    "guid": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
    "delivered_at": "2026-11-23T02:13:58Z",
    "redelivery": False,
    "duration": 0.27,
    "status": "OK",
    "status_code": 502,
    "event": "issues",
    "action": "opened",
    "installation_id": 123,
    "repository_id": 456,
}
AT = datetime(2026, 11, 23, tzinfo=UTC)


def client(answer: httpx.Response | Exception, asked: list[httpx.Request] | None = None) -> GitHub:
    """Return a client whose every request is given *answer*."""

    def play(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return GitHub(TOKEN, "https://ghe.example.com/api/v3/", transport=httpx.MockTransport(play))


def test_a_list_is_asked_for_as_github_documents_it() -> None:
    """A hundred a page, the version of the API said, and the token where it belongs."""
    asked: list[httpx.Request] = []

    sendings, cursor = client(httpx.Response(200, json=[ROW]), asked).sendings(HOOK, "v1_7")

    assert str(asked[0].url) == f"https://ghe.example.com/api/v3/{HOOK}/deliveries?per_page=100&cursor=v1_7"
    assert asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert asked[0].headers["accept"] == "application/vnd.github+json"
    assert asked[0].headers["x-github-api-version"] == "2022-11-28"
    assert asked[0].headers["user-agent"] == "fanout-relay"
    at = datetime(2026, 11, 23, 2, 13, 58, tzinfo=UTC)
    assert sendings == [Sending(ROW["id"], ROW["guid"], at, 502, "issues.opened")]
    assert cursor is None


@pytest.mark.parametrize("empty", [{"status_code": None}, {"status_code": 0}, {"action": None}, {"event": None}])
def test_what_github_leaves_empty_is_empty_here(empty: dict[str, None]) -> None:
    (sending,), _ = client(httpx.Response(200, json=[ROW | empty])).sendings(HOOK)

    assert (sending.status, sending.event_type) in {(0, "issues.opened"), (502, "issues"), (502, "opened")}


def test_the_next_page_is_asked_of_the_same_server_whatever_the_link_names() -> None:
    """A token must not follow a URL out of an answer."""
    link = (
        '<https://evil.example/x?per_page=1&cursor=v1_8>; rel="next", <https://evil.example/?cursor=v1_9>; rel="last"'
    )
    asked: list[httpx.Request] = []
    github = client(httpx.Response(200, json=[ROW], headers={"link": link}), asked)

    _, cursor = github.sendings(HOOK)
    github.sendings(HOOK, cursor)

    assert cursor == "v1_8"
    assert {it.url.host for it in asked} == {"ghe.example.com"}
    assert asked[1].url.params["cursor"] == "v1_8"


def test_no_redirection_is_followed() -> None:
    """GitHub answers 301 for a repository that was renamed: the owner names it anew."""
    moved = httpx.Response(301, headers={"location": "https://evil.example/"}, json={"message": "Moved Permanently"})
    asked: list[httpx.Request] = []

    with pytest.raises(GitHubError, match="301: Moved Permanently") as refused:
        client(moved, asked).sendings(HOOK)

    assert not refused.value.passing
    assert len(asked) == 1


def test_where_a_sending_went_is_told_without_its_query() -> None:
    asked: list[httpx.Request] = []
    github = client(httpx.Response(200, json=ROW | {"url": "https://relay.example.com/webhooks/github?a=b"}), asked)

    assert github.url_of(HOOK, 7) == "https://relay.example.com/webhooks/github"
    assert asked[0].url.path == f"/api/v3/{HOOK}/deliveries/7"
    assert client(httpx.Response(200, json=ROW)).url_of(HOOK, 7) is None


def test_a_sending_is_asked_for_again_by_its_id() -> None:
    asked: list[httpx.Request] = []

    client(httpx.Response(202, json={}), asked).send_again(HOOK, 7)

    assert (asked[0].method, asked[0].url.path) == ("POST", f"/api/v3/{HOOK}/deliveries/7/attempts")


@pytest.mark.parametrize(
    ("answer", "passing", "answered"),
    [
        (httpx.Response(401, json={"message": "Bad credentials"}), False, 401),
        (httpx.Response(403, json={"message": "Resource not accessible by personal access token"}), False, 403),
        (httpx.Response(403, headers={"x-ratelimit-remaining": "4999"}), False, 403),
        (httpx.Response(403, headers={"x-ratelimit-remaining": "0"}), True, 403),
        (httpx.Response(403, headers={"retry-after": "60"}), True, 403),
        (httpx.Response(429), True, 429),
        (httpx.Response(404, json=["no message"]), False, 404),
        (httpx.Response(422, content=b"\xff"), False, 422),
        (httpx.Response(500), True, 500),
        (httpx.ReadTimeout("slow"), True, None),
        (httpx.ConnectError("refused"), True, None),
    ],
    ids=str,
)
def test_a_refusal_says_whether_it_passes_by_itself(
    answer: httpx.Response | Exception,
    passing: bool,  # noqa: FBT001  # pytest gives it by name
    answered: int | None,
) -> None:
    """What doesn't is the owner's to mend."""
    github = client(answer)
    calls: list[Callable[[], object]] = [
        lambda: github.sendings(HOOK),
        lambda: github.url_of(HOOK, 7),
        lambda: github.send_again(HOOK, 7),
    ]
    for call in calls:
        with pytest.raises(GitHubError) as refused:
            call()
        assert (refused.value.passing, refused.value.answered) == (passing, answered)
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"[3]",
        b"[{}]",
        b'[{"id": 1e400, "guid": "a", "delivered_at": "2026-11-23T02:13:58Z"}]',
        b'[{"id": 1, "guid": "a", "delivered_at": "0001-01-01T00:00:00+09:00"}]',
        *(json.dumps([ROW | {name: None}]).encode() for name in ("id", "guid", "delivered_at")),
        *(json.dumps([ROW | {name: {}}]).encode() for name in ("id", "guid", "delivered_at")),
        *(json.dumps([ROW | {name: "soon"}]).encode() for name in ("id", "delivered_at")),
        json.dumps([ROW | {"delivered_at": "2026-11-23T02:13:58"}]).encode(),
        json.dumps([ROW | {"status_code": "OK"}]).encode(),
    ],
    ids=str,
)
def test_an_answer_that_is_not_githubs_is_one_error(body: bytes) -> None:
    """A proxy, an outage's page, another version: nothing of it is believed."""
    with pytest.raises(GitHubError):
        client(httpx.Response(200, content=body)).sendings(HOOK)


@given(st.permutations([0, 1, 2, 3]))
def test_the_newest_sending_counts_in_whatever_order_they_are_listed(order: list[int]) -> None:
    """Pages overlap, and two hooks list the same event."""
    sendings = [Sending(n, "g", AT + timedelta(minutes=n), 500 + n, "push") for n in order]

    missing = Missing.of(HOOK, sendings[0], AT)
    for sending in sendings[1:]:
        missing = missing.after(HOOK, sending)

    assert (missing.sending, missing.status, missing.sent_at) == (3, 503, AT + timedelta(minutes=3))
