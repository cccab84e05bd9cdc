"""A client of GitHub's REST API for the deliveries of webhooks.  Hides httpx, paging, rate limits and wire names.

GitHub calls each request to a hook's URL a delivery.  Here such a request is a *sending*, since a delivery is the
relay's own.  The sendings of one event share a `guid`, which GitHub sends as `X-GitHub-Delivery`.

Source: https://docs.github.com/en/rest/repos/webhooks, https://docs.github.com/en/rest/orgs/webhooks
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from relay.errors import GitHubError
from relay.runtime.deadline import time_for

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "https://api.github.com"
SENDS_AGAIN_FOR = timedelta(days=3)  # docs.github.com, "Redelivering webhooks"
PAGE = 100
CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0
_HEADERS = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "fanout-relay",  # GitHub refuses requests without one
}


@dataclass(frozen=True)
class Sending:
    """One request that GitHub made to a hook's URL.

    Attributes:
        guid: The event's own, the same for all its sendings.
        status: The HTTP status of the answer to GitHub; 0 without an answer.
    """

    id: int
    guid: str
    at: datetime
    status: int
    event_type: str


class GitHub:
    """A client of GitHub's API.

    Args:
        token: It may read a hook's deliveries and request redeliveries.
        url: The API's base URL.  Its addresses must be public, or this machine's where another URL than the default is
            given.
        transport: Replaces the network in tests.

    Raises:
        GitHubError: From every method: GitHub refused, or didn't answer.
    """

    def __init__(self, token: str, url: str = DEFAULT_URL, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._transport = transport

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            headers={**_HEADERS, "Authorization": f"Bearer {self._token}"},
            timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            transport=self._transport or self._internet(),
        )

    def _internet(self) -> httpx.BaseTransport:
        import httpx

        from relay.internet.public_transport import PublicTransport

        # The client asks one host alone, so it may keep connections.
        return PublicTransport(httpx.HTTPTransport(trust_env=False), allow_local=self.url != DEFAULT_URL)

    def sendings(self, hook: str, cursor: str | None = None) -> tuple[list[Sending], str | None]:
        """Return a page of the sendings of *hook*, newest first, and the cursor of the next page; None at the end.

        Args:
            hook: The hook's path in the API, like `repos/OWNER/REPO/hooks/123`.
        """
        answer = self._call(
            "GET", f"{hook}/deliveries", params={"per_page": PAGE, **({"cursor": cursor} if cursor else {})}
        )
        rows = _json(answer, list)
        try:
            return [_sending(row) for row in rows], _next_cursor(answer)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise GitHubError(f"a delivery of {hook} can't be read") from error

    def url_of(self, hook: str, sending: int) -> str | None:
        """Return the URL that a sending of *hook* went to, without its query; None where GitHub doesn't say."""
        url = _json(self._call("GET", f"{hook}/deliveries/{sending}"), dict).get("url")
        return url.partition("?")[0] if isinstance(url, str) else None

    def send_again(self, hook: str, sending: int) -> None:
        """Request a redelivery of a sending, to the current URL of *hook*; GitHub may take a while."""
        self._call("POST", f"{hook}/deliveries/{sending}/attempts")

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        import httpx

        limit_s = time_for("GitHub", CALL_TIMEOUT_S)
        request["timeout"] = httpx.Timeout(limit_s, connect=min(limit_s, CONNECT_TIMEOUT_S))
        try:
            answer = self._client.request(method, f"{self.url}/{path}", **request)
        except httpx.HTTPError as error:
            raise GitHubError(f"no answer to {method}: {type(error).__name__}") from error
        if answer.is_success:
            return answer
        limited = _is_limited(answer)
        reason = "the rate limit is used up" if limited else _reason(answer)
        raise GitHubError(
            f"{method} {path} was answered {answer.status_code}: {reason}", answered=answer.status_code, limited=limited
        )


def _is_limited(answer: httpx.Response) -> bool:
    """Tell whether GitHub limits the rate; a 403 may also mean that the token lacks a permission."""
    if answer.status_code == 429:
        return True
    return answer.status_code == 403 and (
        answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    )


def _sending(row: dict[str, Any]) -> Sending:
    kind = ".".join(it for it in (row.get("event"), row.get("action")) if isinstance(it, str) and it)
    at = datetime.fromisoformat(row["delivered_at"])
    if at.tzinfo is None or not isinstance(row["guid"], str):
        raise ValueError("the row is not as GitHub writes it")
    return Sending(int(row["id"]), row["guid"], at.astimezone(UTC), int(row.get("status_code") or 0), kind)


def _next_cursor(answer: httpx.Response) -> str | None:
    """Return the cursor in the Link header, not the URL: the token must go to no URL that an answer names."""
    url = answer.links.get("next", {}).get("url", "")
    return next(iter(parse_qs(urlsplit(url).query).get("cursor", ())), None)


def _json(answer: httpx.Response, kind: type) -> Any:
    try:
        value = answer.json()
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise GitHubError(f"the answer is no JSON {'list' if kind is list else 'object'}")
    return value


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
