"""One call of QStash's HTTP API: the one place that imports httpx for it; every way to fail is a `QStashError`."""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay.errors import QStashError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

DEFAULT_URL = "https://qstash.upstash.io"
CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0
DAY_S = 86_400


class Caller:
    """Calls QStash for one account.

    Args:
        timeout_s: How long one call may take in all parts.
        now: Returns the current aware UTC time.
        transport: For tests: what sends in the network's stead.
    """

    def __init__(
        self,
        token: str,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._now = now
        self.url = url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._transport = transport

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S),
            transport=self._transport,
        )

    def call(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float | None = None,
        absent_is_fine: bool = False,
        **request: Any,
    ) -> Any:
        import httpx

        if timeout_s is not None:
            request["timeout"] = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            answer = self._client.request(method, self.url + path, **request)
        except httpx.HTTPError as error:
            raise QStashError(f"no answer to {method}: {type(error).__name__}") from error
        if answer.is_success:
            return _json(answer) if answer.content.strip() else None
        if answer.status_code == httpx.codes.NOT_FOUND and absent_is_fine:
            return None
        quota, retry_after_s = self._quota(answer)
        raise QStashError(
            f"{method} was answered {answer.status_code}: {_reason(answer)}",
            answered=answer.status_code,
            retry_after_s=retry_after_s,
            quota=quota,
        )

    def _quota(self, answer: httpx.Response) -> tuple[str | None, int | None]:
        """Return which quota *answer* says is used up, `daily` or `burst`, and in how many seconds it is full again.

        Source: https://upstash.com/docs/qstash/api-reference/rate-limits
        """
        retry_after_s = _whole(answer.headers.get("Retry-After"))
        if answer.status_code != 429:  # an HTTP status
            return None, retry_after_s
        for quota, prefix in (("burst", "Burst-RateLimit"), ("daily", "RateLimit")):
            reset = _whole(answer.headers.get(f"{prefix}-Reset"))
            if reset is not None:
                return quota, min(DAY_S, max(1, reset - int(self._now().timestamp())))
        return "burst", retry_after_s


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise QStashError("the answer is not JSON") from error


def _reason(answer: httpx.Response) -> str:
    return answer.text[:200]


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


@contextmanager
def reading() -> Iterator[None]:
    """Translate what an answer of another form than QStash's makes go wrong."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise QStashError("the answer has a form that QStash's don't have") from error


def decoded(encoded: str | None) -> bytes:
    """Return the bytes that an answer has in base64; none where it has none."""
    try:
        return base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        return b""
