"""Fetches certificates and keys that verify a webhook, and confirms subscriptions.  Hides HTTP.

The caller has checked that the URL is at its owner's hosts.  No redirect is followed, no large answer is read, and no
address is called that isn't public.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx

from relay.errors import OutOfTime, RelayError, SignatureError, UpstreamError
from relay.internet.public_transport import NotPublic, PublicTransport
from relay.runtime.deadline import seconds_left, time_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT_S = 2.0
KEPT_S = 3600
FAILED_S = 60
KEPT_MAX = 64
BYTES_MAX = 64 * 1024
FAILURES_MAX = 20  # in a minute: who isn't proven yet names what is asked for, and many names are many calls
NOT_THERE = {400, 404, 405, 410, 414}  # no other 4xx says that there is no such thing: it may be had later


class Fetcher:
    """Fetches, and keeps what it fetched for an hour.

    Args:
        transport: Another way than to public addresses in the network, for tests.
    """

    def __init__(
        self, transport: httpx.BaseTransport | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = httpx.Client(
            timeout=TIMEOUT_S, transport=transport or PublicTransport(), follow_redirects=False, trust_env=False
        )
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, bytes | RelayError]] = {}
        self._failed_at: list[float] = []

    def __call__(self, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        """Return the bytes at *url*, to which *body* is posted as JSON where there is one.

        A failure is kept, too, for a minute: a stranger may name the URL, and must not cause calls without end.

        Raises:
            SignatureError: Nothing is at *url*: the request named something that isn't its provider's.
            UpstreamError: It can't be fetched now, or too many fetches failed in the last minute.
        """
        key = (url, repr(body))
        until, kept = self._kept.pop(key, (0.0, b""))
        if self._clock() >= until:
            kept, kept_s = self._tried(url, body)
            until = self._clock() + kept_s
        self._kept[key] = (until, kept)  # the newest is last, and the oldest goes
        if len(self._kept) > KEPT_MAX:
            self._kept.pop(next(iter(self._kept)))
        if isinstance(kept, RelayError):
            raise kept
        return kept

    def visit(self, url: str) -> None:
        """Fetch *url* for what that does over there; nothing is kept.

        Raises:
            UpstreamError: It didn't answer 2xx.
        """
        self._read("GET", url, None)

    def _tried(self, url: str, body: Mapping[str, Any] | None) -> tuple[bytes | RelayError, float]:
        """Return what is at *url*, or why it can't be had, and for how many seconds that is kept."""
        now = self._clock()
        self._failed_at = [it for it in self._failed_at if now - it < FAILED_S]
        if len(self._failed_at) >= FAILURES_MAX:
            return UpstreamError("the provider", "asked in vain too often: nothing more is, for a minute"), 0
        try:
            return self._read("GET" if body is None else "POST", url, body), KEPT_S
        except OutOfTime as error:  # which says nothing of the URL
            return error, 0
        except UpstreamError as error:
            self._failed_at.append(now)
            if not isinstance(error, _Missing):
                return error, FAILED_S
            return SignatureError(f"{error}: there is no such thing", reason="untrusted_certificate"), FAILED_S

    def _read(self, method: str, url: str, body: Mapping[str, Any] | None) -> bytes:
        data = b""
        limit_s = time_for("the provider", 2 * TIMEOUT_S)
        try:
            host = httpx.URL(url).host
            with self._http.stream(method, url, json=body, timeout=limit_s / 2) as response:
                if response.status_code in NOT_THERE:
                    raise _Missing(host, f"answered {response.status_code}")
                if not response.is_success:
                    raise UpstreamError(host, f"answered {response.status_code}")
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > BYTES_MAX:
                        raise UpstreamError(host, "answered too much")
                    if seconds_left() <= 0:
                        raise UpstreamError(host, "didn't end its answer in time")
        except NotPublic as error:
            raise UpstreamError(host, str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError("the provider", type(error).__name__) from error
        return data


class _Missing(UpstreamError):
    """The provider says that there is no such thing."""
