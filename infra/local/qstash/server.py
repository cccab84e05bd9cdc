"""Starting and stopping the server as a process: one socket on loopback, one line when ready, a quick end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from .asgi import app
from .state import Settings, documented_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .state import User

HOST = "127.0.0.1"  # it holds no secret worth having and calls whatever it is told to: never for other machines
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(*, port: int = 0, as_json: bool = False, test_hosts: bool = False, grace_s: float = 10.0) -> None:
    """Run the local QStash until SIGINT or SIGTERM, and then return at once, dropping what is pending.

    Args:
        port: 0 for a free one.
        as_json: Print what a client needs as one line of JSON, once connections are accepted, instead of as
            ``export`` lines.
        test_hosts: Answer well-known public test hosts here instead of calling them.
        grace_s: How long a delivered message stays readable, in seconds.

    Raises:
        SystemExit: With status 1, if the port cannot be had.
    """
    try:
        listener = _listen(port)
    except OSError as error:
        sys.stderr.write(f"qstash: cannot listen on {HOST}:{port}: {error}\n")
        raise SystemExit(1) from None
    _log_to_stderr()
    users = documented_users(os.environ)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    application = app(users=users, settings=Settings(grace_s=grace_s), test_hosts=test_hosts)
    config = uvicorn.Config(application, log_level="critical", access_log=False, lifespan="off", ws="none")

    async def run() -> None:
        async with application.router.lifespan_context(application):
            await _Server(config, lambda: _announce(url, users[0], as_json=as_json)).serve([listener])

    with listener:
        asyncio.run(run())


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65_535:  # the library would leave its socket open
        raise OSError("ports end at 65535")
    listener = socket.create_server((HOST, port), backlog=2048)
    # asyncio sets it only where the protocol is named, which here it is not; without it every answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and ends at the first signal, whatever is still open."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replace uvicorn's way, which raises the signal again and so ends with its status instead of 0."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = self.force_exit = True


def _announce(url: str, user: User, *, as_json: bool) -> None:
    facts = {
        "qstash_url": url,
        "qstash_token": user.token,
        "qstash_current_signing_key": user.current_key,
        "qstash_next_signing_key": user.next_key,
    }
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.writelines(f"export {name.upper()}={shlex.quote(value)}\n" for name, value in facts.items())
    sys.stdout.flush()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger(__package__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
