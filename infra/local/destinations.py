"""Destinations on this machine, for the demo and tests.

Each can be healthy, flaky, slow, or dead until repaired.  The server keeps every request that it gets.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

ALWAYS = 10**9


@dataclass(frozen=True)
class Behaviour:
    """How a destination answers.

    Attributes:
        failures: How many requests of each event fail before the next ones succeed.
        status: The HTTP status of a failure.
        delay_s: Seconds before each answer.
    """

    failures: int = 0
    status: int = 500
    delay_s: float = 0


HEALTHY = Behaviour()
DEAD = Behaviour(failures=ALWAYS, status=503)


def flaky(failures: int) -> Behaviour:
    """Return the behaviour that answers *failures* requests of each event with 500, and later ones with 200."""
    return Behaviour(failures=failures)


@dataclass(frozen=True)
class Received:
    """One request to a destination.

    Attributes:
        headers: By lower-case name.
        answered: The HTTP status of the answer.
    """

    destination: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    answered: int

    @property
    def event_id(self) -> str:
        """The relay's id of the event; empty if the request has none."""
        return self.headers.get("relay-event-id", "")


class Destinations:
    """A server on loopback with any number of destinations, each under its name; a context manager.

    Args:
        signing_keys: QStash's signing keys.  If given, requests without a signature by one of them are kept, and
            answered with 401.
    """

    def __init__(self, signing_keys: tuple[str, ...] = ()) -> None:
        self._signing_keys = signing_keys
        self._changed = threading.Condition()
        self._behaviours: dict[str, Behaviour] = {}
        self._received: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """The server's base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def expect_signatures(self, *signing_keys: str) -> None:
        """From now on, answer 401 to requests that aren't signed with one of QStash's *signing_keys*."""
        self._signing_keys = signing_keys

    def behave(self, name: str, behaviour: Behaviour = HEALTHY) -> str:
        """Create the destination *name* or change its behaviour; return its URL."""
        with self._changed:
            self._behaviours[name] = behaviour
        return f"{self.base_url}/{name}"

    def received(self, name: str, event_id: str | None = None) -> list[Received]:
        """Return the requests that the destination *name* has got, of one event or of all, in order."""
        with self._changed:
            return [it for it in self._received if it.destination == name and event_id in (None, it.event_id)]

    def await_received(self, name: str, count: int, *, event_id: str | None = None, timeout_s: float) -> list[Received]:
        """Wait until the destination *name* has got *count* requests; return all of them.

        Raises:
            TimeoutError: It got fewer within *timeout_s*.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received(name, event_id)) >= count, timeout_s):
                got = len(self.received(name, event_id))
                raise TimeoutError(f"destination {name} got {got} of {count} requests in {timeout_s:g} s")
            return self.received(name, event_id)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a request; return the HTTP status of its answer."""
        name = path.strip("/").partition("/")[0]
        with self._changed:
            behaviour = self._behaviours.get(name)
        if behaviour is not None and behaviour.delay_s:
            time.sleep(behaviour.delay_s)
        with self._changed:
            event = headers.get("relay-event-id", "")
            before = len(self.received(name, event))
            if behaviour is None:
                status = 404
            elif self._signing_keys and not self._signed(headers.get("upstash-signature", ""), path, body):
                status = 401
            else:
                status = behaviour.status if before < behaviour.failures else 200
            self._received.append(Received(name, path, headers, body, datetime.now(UTC), status))
            self._changed.notify_all()
        return status

    def _signed(self, token: str, path: str, body: bytes) -> bool:
        for key in self._signing_keys:
            try:
                claims = jwt.decode(
                    token, key, algorithms=["HS256"], issuer="Upstash", subject=f"{self.base_url}{path}"
                )
            except jwt.InvalidTokenError:
                continue
            digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
            return str(claims.get("body", "")).rstrip("=") == digest
        return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Print nothing when a caller hung up: tests let callers time out on purpose."""


def _handler(destinations: Destinations) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = destinations.take(self.path, headers, body)
            answer = f"status {status}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take  # noqa: N815  # the library's names

        def log_message(self, *_: object) -> None:
            """Log nothing: every request is kept anyway."""

    return Handler
