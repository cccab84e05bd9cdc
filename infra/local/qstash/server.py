"""Starting and stopping the server as a process: one socket on loopback, one line when ready, a quick end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import app
from .broker.state import Settings, documented_users
from .language.limits import PLANS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"  # it holds no secret worth having and calls whatever it is told to: never for other machines
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    *,
    port: int = 0,
    as_json: bool = False,
    test_hosts: bool = False,
    grace_s: float = 10.0,
    plan: str = "payg",
    admin: bool = False,
) -> None:
    """Run the local QStash until SIGINT or SIGTERM, and then return at once, dropping what is pending.

    Args:
        port: 0 for a free one.
        as_json: Print what a client needs as one line of JSON, once connections are accepted, instead of as
            ``export`` lines.
        test_hosts: Answer well-known public test hosts here instead of calling them.
        grace_s: How long a delivered message stays readable, in seconds.
        plan: Whose limits hold, of `limits.PLANS`.
        admin: Have the admin API; its token is that of ``QSTASH_ADMIN_TOKEN``, or a new one.

    Raises:
        SystemExit: With status 1, if the port cannot be had.
    """
    try:
        listener = socket.create_server((HOST, port), backlog=2048)
    except OSError as error:
        sys.stderr.write(f"qstash: cannot listen on {HOST}:{port}: {error}\n")
        raise SystemExit(1) from None
    _log_to_stderr()
    users = documented_users(os.environ)
    settings = Settings(grace_s=grace_s, limits=PLANS[plan], region=os.environ.get("QSTASH_REGION", ""))
    admin_token = (os.environ.get("QSTASH_ADMIN_TOKEN") or secrets.token_urlsafe()) if admin else ""
    facts = {
        "qstash_url": f"http://{HOST}:{listener.getsockname()[1]}",
        "qstash_token": users[0].token,
        "qstash_current_signing_key": users[0].current_key,
        "qstash_next_signing_key": users[0].next_key,
        "qstash_read_only_token": users[0].read_only_token,
        **({"qstash_admin_token": admin_token} if admin else {}),
    }
    application = app(users=users, settings=settings, test_hosts=test_hosts, admin_token=admin_token)
    config = uvicorn.Config(
        application, http=_Protocol, log_level="critical", access_log=False, lifespan="off", ws="none"
    )

    async def run() -> None:
        async with application.router.lifespan_context(application):
            await _Server(config, lambda: _announce(facts, as_json=as_json)).serve([listener])

    gc.set_threshold(10_000, 20, 50)  # a full collection goes through all that is remembered, and nobody is served then
    with listener:
        uvloop.run(run())


class _Protocol(HttpToolsProtocol):
    """Lets the application end a connection without an answer, which ASGI has no word for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"abort": self.transport.abort}  # type: ignore[dict-item]


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


def _announce(facts: dict[str, str], *, as_json: bool) -> None:
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
