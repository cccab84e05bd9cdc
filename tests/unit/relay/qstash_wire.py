"""The wire between the client of QStash and QStash: answers as it is told to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
AT_MS = 1_769_850_000_000


class Wire:
    """QStash as httpx sees it: gives *answers* one after the other, the last one for ever."""

    def __init__(self, *answers: Any, status: int = 200) -> None:
        self.answers = list(answers)
        self.status = status
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, bytes):
            return httpx.Response(self.status, content=answer)
        return httpx.Response(self.status, json=answer)


def client(wire: Callable[[httpx.Request], httpx.Response]) -> QStash:
    return QStash(
        QStashHttp("token", "https://qstash.example.com/", transport=httpx.MockTransport(wire), now=lambda: AT)
    )
