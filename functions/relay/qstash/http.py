"""Makes calls of QStash's HTTP API.  Every failure is a `QStashError`, or `OutOfTime` before the call."""

from __future__ import annotations

import base64
import binascii
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from relay.errors import AnswerTooLong, QStashError
from relay.runtime.deadline import seconds_left, time_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

DEFAULT_URL = "https://qstash.upstash.io"
CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0
ANSWER_MAX_BYTES = 32 * 1024 * 1024  # the functions that read pages have 512 MB
REASON_MAX_CHARS = 200
DAY_S = 86_400


class QStashHttp:
    """Calls QStash for one account.

    Args:
        timeout_s: The longest time of one call, in seconds.
        now: Returns the current aware UTC time.
        transport: For tests: replaces the network.
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
        most_bytes: int = ANSWER_MAX_BYTES,
        absent_is_fine: bool = False,
        **request: Any,
    ) -> Any:
        """Return QStash's answer, read from JSON; None for an empty answer, and for a 404 if *absent_is_fine*.

        Raises:
            OutOfTime: No time was left; QStash wasn't called.
            AnswerTooLong: The answer has more than *most_bytes*.
            QStashError: QStash refused, or no answer came in time.
        """
        import httpx

        limit_s = time_for("QStash", self._timeout_s)
        connect_s = min(CONNECT_TIMEOUT_S, limit_s / 4)
        request["timeout"] = httpx.Timeout(limit_s - connect_s, connect=connect_s)
        ends = time.monotonic() + limit_s
        try:
            with self._client.stream(method, self.url + path, **request) as answer:
                content = _read(answer, ends, most_bytes)
        except httpx.HTTPError as error:
            raise QStashError(f"no answer to {method}: {type(error).__name__}") from error
        if answer.is_success:
            return _json(content) if content.strip() else None
        if answer.status_code == httpx.codes.NOT_FOUND and absent_is_fine:
            return None
        quota, retry_after_s = self._quota(answer)
        raise QStashError(
            f"{method} was answered {answer.status_code}: {content.decode(errors='replace')[:REASON_MAX_CHARS]}",
            answered=answer.status_code,
            retry_after_s=retry_after_s,
            quota=quota,
        )

    def _quota(self, answer: httpx.Response) -> tuple[str | None, int | None]:
        """Return the quota that *answer* says is used up, `daily` or `burst`, and the seconds until it is full again.

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


def _read(answer: httpx.Response, ends: float, most_bytes: int) -> bytes:
    """Return the bytes of *answer*, at most *most_bytes*, read before the time *ends*."""
    read = bytearray()
    for chunk in answer.iter_bytes():
        read += chunk
        if len(read) > most_bytes:
            raise AnswerTooLong(most_bytes)
        if time.monotonic() > ends or seconds_left() <= 0:  # a slow trickle of bytes must not hold up a run
            raise QStashError("its answer didn't end in time")
    return bytes(read)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise QStashError("the answer is not JSON") from error


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None


@contextmanager
def reading() -> Iterator[None]:
    """Turn the failures of reading an answer of an unknown form into `QStashError`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise QStashError("the answer has a form that QStash's don't have") from error


def decoded(encoded: str | None) -> bytes:
    """Return the bytes of base64 text; none if the text is missing or isn't base64."""
    try:
        return base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        return b""
