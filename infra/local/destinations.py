"""Destinations on this machine: healthy, flaky, slow or dead until repaired, as told; they keep what they get."""

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
        failures: How many requests of each event fail before the others succeed.
        status: What it answers where it fails.
        delay_s: How long it takes.
    """

    failures: int = 0
    status: int = 500
    delay_s: float = 0


HEALTHY = Behaviour()
DEAD = Behaviour(failures=ALWAYS, status=503)


def flaky(failures: int) -> Behaviour:
    """Return the behaviour of a destination that fails *failures* times for each event and then recovers."""
    return Behaviour(failures=failures)


@dataclass(frozen=True)
class Received:
    """One request as it came; header names are lower case."""

    destination: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    answered: int

    @property
    def event_id(self) -> str:
        """The relay's id of the event."""
        return self.headers.get("relay-event-id", "")


class Destinations:
    """A server on loopback with any number of destinations, each under its name; use it as a context.

    Args:
        signing_keys: QStash's; where given, what it didn't sign is answered with 401, and kept.
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
        """Where the server is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def expect_signatures(self, *signing_keys: str) -> None:
        """From now on, take only what QStash signed with one of its *signing_keys*."""
        self._signing_keys = signing_keys

    def behave(self, name: str, behaviour: Behaviour = HEALTHY) -> str:
        """Make or change (repair, break) the destination *name*; return its URL."""
        with self._changed:
            self._behaviours[name] = behaviour
        return f"{self.base_url}/{name}"

    def received(self, name: str, event_id: str | None = None) -> list[Received]:
        """Return what the destination *name* got so far, of one event or of all, in order."""
        with self._changed:
            return [it for it in self._received if it.destination == name and event_id in (None, it.event_id)]

    def await_received(self, name: str, count: int, *, event_id: str | None = None, timeout_s: float) -> list[Received]:
        """Wait until the destination *name* has got *count* requests, and return them all.

        Raises:
            TimeoutError: It got fewer within *timeout_s*.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.received(name, event_id)) >= count, timeout_s):
                got = len(self.received(name, event_id))
                raise TimeoutError(f"destination {name} got {got} of {count} requests in {timeout_s:g} s")
            return self.received(name, event_id)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Keep a request, and return the status to answer it with."""
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
        """Say nothing of a caller that hung up: it timed out, as it was meant to."""


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
            """Log nothing: what came is kept."""

    return Handler
