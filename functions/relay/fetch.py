"""What the relay fetches to verify a webhook: certificates, keys, a subscription to confirm.  Hides HTTP.

Who calls this has pinned the URL to its owner's hosts.  Nothing is followed elsewhere, and nothing large is read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from relay.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT_S = 2.0
KEPT_S = 3600
KEPT_MAX = 64
BYTES_MAX = 64 * 1024


class Fetcher:
    """Fetches and keeps what it fetched for an hour.

    Args:
        transport: Another way than the network, for tests.
    """

    def __init__(
        self, transport: httpx.BaseTransport | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = httpx.Client(timeout=TIMEOUT_S, transport=transport, follow_redirects=False, trust_env=False)
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, bytes]] = {}

    def __call__(self, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Return the bytes at *url*, to which *body* is posted as JSON where there is one.

        Raises:
            UpstreamError: It can't be fetched now.
        """
        key = (url, repr(body))
        read_at, kept = self._kept.get(key, (float("-inf"), b""))
        if self._clock() - read_at < KEPT_S:
            return kept
        data = self._read("GET" if body is None else "POST", url, body)
        if len(self._kept) >= KEPT_MAX:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = (self._clock(), data)
        return data

    def visit(self, url: str) -> None:
        """Fetch *url* for what that does over there; nothing is kept.

        Raises:
            UpstreamError: It didn't answer 2xx.
        """
        self._read("GET", url, None)

    def _read(self, method: str, url: str, body: Mapping[str, Any] | None) -> bytes:
        host = httpx.URL(url).host
        data = b""
        try:
            with self._http.stream(method, url, json=body) as response:
                if not response.is_success:
                    raise UpstreamError(host, f"answered {response.status_code}")
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > BYTES_MAX:
                        raise UpstreamError(host, "answered too much")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError(host, type(error).__name__) from error
        return data
