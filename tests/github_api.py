"""A stand-in for GitHub: a webhook that posts signed events, and the part of its API that lists and repeats them.

`GitHubApi` is an httpx transport's handler for tests in one process; `served` puts it on a port of this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

TOKEN = "ghp_" + "x" * 36
HOOK = "repos/octo-org/hello-world/hooks/109948940"


@dataclass(frozen=True)
class Delivery:
    """One request of a hook, as GitHub calls it."""

    id: int
    guid: str
    at: datetime
    url: str
    status_code: int
    event: str
    body: bytes
    redelivery: bool

    @property
    def row(self) -> dict[str, Any]:
        """Return it as GitHub lists it."""
        return {
            "id": self.id,
            "guid": self.guid,
            "delivered_at": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "redelivery": self.redelivery,
            "duration": 0.27,
            "status": "OK" if 200 <= self.status_code < 300 else "failed to connect to host",
            "status_code": self.status_code,
            "event": self.event,
            "action": None,
            "installation_id": None,
            "repository_id": 186853002,
            "throttled_at": None,
        }


@dataclass
class Hook:
    """A webhook: what it posts to, and what became of that.

    Attributes:
        post: Posts a body with headers to a URL, and returns the answer's status; 0: none came.
    """

    url: str
    secret: str
    post: Callable[[str, dict[str, str], bytes], int]
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass
class GitHubApi:
    """GitHub's API over its hooks, by path.

    Attributes:
        per_page: GitHub's own most.
        failures: Answers to give, in turn, before any other; None for what it would answer itself.
        asked: Method and path of each request, without the query.
    """

    clock: Callable[[], datetime]
    hooks: dict[str, Hook] = field(default_factory=dict)
    per_page: int = 100
    failures: list[httpx.Response | Exception | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    next_id: int = 10_000

    def send(
        self, hook: str = HOOK, body: bytes = b"{}", *, guid: str = "", event: str = "push", status: int | None = None
    ) -> Delivery:
        """Have *hook* send an event, or send it again; with *status* it never leaves, and that is what it got."""
        sender = self.hooks[hook]
        known = any(it.guid == guid for it in sender.deliveries)
        guid = guid or str(uuid4())
        headers = {
            "content-type": "application/json",
            "x-github-delivery": guid,
            "x-github-event": event,
            "x-hub-signature-256": "sha256=" + hmac.new(sender.secret.encode(), body, hashlib.sha256).hexdigest(),
        }
        answered = sender.post(sender.url, headers, body) if status is None else status
        self.next_id += 1
        sender.deliveries.append(Delivery(self.next_id, guid, self.clock(), sender.url, answered, event, body, known))
        return sender.deliveries[-1]

    @property
    def repeated(self) -> list[int]:
        """Return the ids of the deliveries that were asked for again, in order."""
        return [int(it.split("/")[-2]) for it in self.asked if it.endswith("/attempts")]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer as GitHub does."""
        self.asked.append(f"{request.method} {request.url.path.lstrip('/')}")
        self.queries.append(dict(request.url.params))
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            return failure
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return httpx.Response(401, json={"message": "Bad credentials"})
        hook, _, rest = request.url.path.lstrip("/").partition("/deliveries")
        if hook not in self.hooks:
            return httpx.Response(404, json={"message": "Not Found"})
        if not rest and request.method == "GET":
            return self._page(request, self.hooks[hook])
        number, _, attempts = rest.strip("/").partition("/")
        found = [it for it in self.hooks[hook].deliveries if str(it.id) == number]
        if not found or self.clock() - found[0].at > timedelta(days=3):
            return httpx.Response(404, json={"message": "Not Found"})
        if (request.method, attempts) == ("POST", "attempts"):
            self.send(hook, found[0].body, guid=found[0].guid, event=found[0].event)
            return httpx.Response(202, json={})
        return httpx.Response(200, json=found[0].row | {"url": f"{found[0].url}?from=github", "request": {}})

    def _page(self, request: httpx.Request, hook: Hook) -> httpx.Response:
        """Return the page that begins at the cursor, and a Link to the next."""
        asked = request.url.params
        newest_first = sorted(hook.deliveries, key=lambda it: it.id, reverse=True)
        at = int(asked.get("cursor", "v1_999999999").removeprefix("v1_"))
        rest = [it for it in newest_first if it.id <= at]
        size = min(self.per_page, int(asked.get("per_page", "30")))
        links = {}
        if len(rest) > size:
            url = request.url.copy_merge_params({"cursor": f"v1_{rest[size].id}"})
            links = {"link": f'<{url}>; rel="next", <https://elsewhere.example/?cursor=x>; rel="last"'}
        return httpx.Response(200, json=[it.row for it in rest[:size]], headers=links)


@contextmanager
def served(api: GitHubApi) -> Iterator[str]:
    """Serve *api* on this machine; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            url = f"http://{self.headers['host']}{self.path}"
            answer = api(httpx.Request(self.command, url, headers=headers, content=self.rfile.read(size)))
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = _any  # noqa: N815  # the names that the library looks for

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()
