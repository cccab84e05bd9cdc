"""Requests that schemathesis makes from the description, valid and not: answered as described or refused.

No request names a destination outside this machine.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import assume
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import schemathesis

    from tests.local_qstash import Facts

from .steps import BOUNDED, DESCRIPTION, PATHS, await_state, bearer, exchange, stays_here

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
def session(server: Facts) -> Iterator[requests.Session]:
    """Open connections that are used again."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", Adapter(server))
        yield session


@DESCRIPTION.parametrize()
@BOUNDED
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
