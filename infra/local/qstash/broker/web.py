"""Sends one request to a destination over the network.  Hides connections and encodings."""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from ..language.grammar import canonical
from .messages import Answer

if TYPE_CHECKING:
    from .messages import Outgoing
    from .state import Settings

# Shorter than common servers keep an idle connection, so that no attempt meets one that is being closed.
_KEEPALIVE_S = 1.0
_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # aiohttp adds none of its own
_MAX_HEAD_BYTES = 64 * 1024  # of a line of an answer's head


class Web:
    """Makes requests, each once; the engine bounds how long one takes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, aiohttp.ClientSession] = {}  # by the address that they come from

    async def __call__(self, outgoing: Outgoing) -> Answer:
        """Send one request and read its answer, the body up to what a message may hold."""
        header = [(name, value) for name, values in outgoing.header.items() for value in values]
        url = URL(outgoing.url, encoded=True)
        if "Authorization" in outgoing.header:
            url = url.with_user(None)  # the two exclude each other
        async with self._open(outgoing.comes_from).request(
            outgoing.method,
            url,
            headers=header,
            data=io.BytesIO(outgoing.body),  # bytes would be written in one go, and warned of
            skip_auto_headers=_OURS,
            allow_redirects=False,
        ) as response:
            body, limit = bytearray(), self._settings.limits.message_bytes
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) >= limit:
                    response.close()
                    break
            answered: dict[str, list[str]] = {}
            for raw_name, raw_value in response.raw_headers:
                name = canonical(raw_name.decode("latin-1"))
                answered.setdefault(name, []).append(raw_value.decode("utf-8", "replace"))
            return Answer(response.status, answered, bytes(body[:limit]))

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    def _open(self, comes_from: str) -> aiohttp.ClientSession:
        if comes_from not in self._sessions:  # made where it is used: it belongs to the running loop
            ours = (comes_from, 0) if comes_from and _has(comes_from) else None
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, local_addr=ours),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=_MAX_HEAD_BYTES,
                max_field_size=_MAX_HEAD_BYTES,
            )
            # Else it sends a PUT or DELETE again by itself, on a connection that was closed meanwhile.
            session._retry_connection = False  # noqa: SLF001
            self._sessions[comes_from] = session
        return self._sessions[comes_from]


def _has(address: str) -> bool:
    """Return whether this machine has an *address*: not everyone has more than one on loopback."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind((address, 0))
        return True
    return False
