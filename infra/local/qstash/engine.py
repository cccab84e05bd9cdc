"""The life of a message: wait, attempt, report, and either end or wait again.

One task per message; a message that waits costs a timer and nothing else.  What a delivery may have to wait for
or suffer besides (a place in a queue, a flow-control slot, a fault) belongs around `Engine._attempt`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from typing import TYPE_CHECKING, Any

import httpx

from .grammar import DAY_S, canonical, evaluate, request_target, reset_delay_s
from .options import Callback, read_options
from .signing import sign
from .state import Answer, Clock, DeadLetter, LogRow, Message, Settings, User
from .views import MAX_CALLBACK_BODY_BYTES, answer_extra, callback_body

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 1_000
# Shorter than common servers keep an idle connection, so that no attempt meets one that is being closed.
KEEPALIVE_S = 1.0
_RESETS = ("Retry-After", "X-Ratelimit-Reset", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens")


class Engine:
    """Delivers messages until it is closed."""

    def __init__(
        self,
        *,
        clock: Clock,
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None = None,
        mounts: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._client = httpx.AsyncClient(
            transport=transport,
            mounts=mounts,
            timeout=None,  # noqa: S113 - _within bounds every attempt as a whole
            trust_env=False,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S),
        )

    async def close(self) -> None:
        """Drop whatever is pending and close every connection."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    def accept(self, user: User, message: Message) -> None:
        """Take charge of a message."""
        user.messages[message.id] = message
        self._note(user, message, "CREATED")
        task = asyncio.create_task(self._live(user, message))
        self._tasks[message.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(message.id, None))

    def cancel(self, user: User, message: Message) -> None:
        """See to it that no further attempt starts; one that is under way is left to end."""
        del user.messages[message.id]
        self._note(user, message, "CANCEL_REQUESTED")
        if message.active:
            message.cancel_requested = True
        else:
            self._tasks[message.id].cancel()
            self._note(user, message, "CANCELED")

    async def _live(self, user: User, message: Message) -> None:
        while True:
            await self.clock.sleep(max(0.0, message.due_ms / 1000 - self.clock.now()))
            message.active = True
            self._note(user, message, "ACTIVE")
            answer = await self._attempt(user, message)
            message.active = False
            wait_s = self._conclude(user, message, answer)
            if wait_s is None:
                return
            message.retried += 1

    async def _attempt(self, user: User, message: Message) -> Answer:
        try:
            request = self._request(user, message)
            return await self._within(message.options.timeout_s, request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # ValueError: a host that is no IDNA name comes as UnicodeError out of the resolver.
            return Answer(0, error=f"{type(error).__name__}: {error}".rstrip(": "))

    def _request(self, user: User, message: Message) -> httpx.Request:
        signature = sign(key=user.current_key, url=message.url, body=message.body, now_s=self.clock.now())
        own = {
            "Upstash-Message-Id": message.id,
            "Upstash-Retried": str(message.retried),
            "Upstash-Signature": signature,
            "Upstash-Caller-Ip": message.caller_ip,
            "Upstash-Topic-Name": message.topic_name,
        }
        headers = {"Accept-Encoding": ["gzip"], "User-Agent": ["Upstash-QStash"]}
        headers |= message.options.header
        headers |= {name: [value] for name, value in own.items() if value}
        return httpx.Request(
            message.options.method,
            message.url,
            headers=[
                (name.encode(), value.encode("utf-8", "surrogateescape"))
                for name, values in headers.items()
                for value in values
            ],
            content=message.body,
            # httpx would normalise the URL; a destination gets, and verifies, what was published.
            extensions={"target": request_target(message.url)},
        )

    async def _within(self, timeout_s: float, request: httpx.Request) -> Answer:
        """Send *request*, for at most *timeout_s* by our clock."""
        call = asyncio.create_task(self._send(request))
        alarm = asyncio.create_task(self.clock.sleep(timeout_s))
        try:
            await asyncio.wait((call, alarm), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return call.result()
            return Answer(0, error=f"context deadline exceeded: no response within {timeout_s} s")
        finally:
            call.cancel()
            alarm.cancel()
            await asyncio.gather(call, alarm, return_exceptions=True)

    async def _send(self, request: httpx.Request) -> Answer:
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= MAX_CALLBACK_BODY_BYTES:
                    break
        finally:
            await response.aclose()
        header: dict[str, list[str]] = {}
        for name, value in response.headers.raw:
            header.setdefault(canonical(name.decode("latin-1")), []).append(value.decode("utf-8", "surrogateescape"))
        return Answer(response.status_code, header, body[:MAX_CALLBACK_BODY_BYTES])

    def _conclude(self, user: User, message: Message, answer: Answer) -> float | None:
        """Write down what came of an attempt, report it, and return how long to wait for the next, if any."""
        options = message.options
        wait_s: float | None = None
        if not answer.succeeded:
            self._note(user, message, "ERROR", answer_extra(answer))
            if answer.retryable and message.retried < options.retries and not message.cancel_requested:
                wait_s = retry_wait_s(message, answer, self.clock.now())
        self._say(message, answer, wait_s)
        if options.callback:
            self._report(user, message, options.callback, callback_body(message, answer, None))
        if wait_s is not None:
            message.due_ms = math.ceil((self.clock.now() + wait_s) * 1000)
            self._note(user, message, "RETRY", {"nextDeliveryTime": message.due_ms})
            return wait_s
        user.messages.pop(message.id, None)
        if answer.succeeded:
            user.keep_delivered(message, self.clock.now(), self.settings)
            self._note(user, message, "DELIVERED")
        elif message.cancel_requested:
            self._note(user, message, "CANCELED")
        else:
            self._fail(user, message, answer)
        return None

    def _fail(self, user: User, message: Message, answer: Answer) -> None:
        dead_letter = DeadLetter(user.stamp(self.clock.now()), message, answer)
        user.bury(dead_letter, self.settings)
        self._note(user, message, "FAILED")
        if message.options.failure_callback:
            body = callback_body(message, answer, dead_letter)
            self._report(user, message, message.options.failure_callback, body)

    def _report(self, user: User, source: Message, callback: Callback, body: dict[str, Any]) -> None:
        now_ms = int(self.clock.now() * 1000)
        self.accept(
            user,
            Message(
                url=callback.url,
                options=callback.options,
                body=json.dumps(body, separators=(",", ":")).encode(),
                created_ms=now_ms,
                due_ms=now_ms,
                caller_ip=source.caller_ip,
            ),
        )

    def revive(self, user: User, dead_letter: DeadLetter, overrides: Mapping[str, list[str]]) -> Message:
        """Take a dead letter out of the DLQ and send it again, as a new message with all its retries."""
        old = dead_letter.message
        # It was delayed once already.
        given = {k: v for k, v in old.options.given.items() if k not in ("upstash-delay", "upstash-not-before")}
        options = read_options(given | dict(overrides), self.settings.limits)
        now_ms = int(self.clock.now() * 1000)
        message = Message(
            url=old.url,
            options=options,
            body=old.body,
            created_ms=now_ms,
            due_ms=now_ms + options.delay_s * 1000,
            topic_name=old.topic_name,
            endpoint_name=old.endpoint_name,
            caller_ip=old.caller_ip,
        )
        del user.dead_letters[dead_letter.id]
        self.accept(user, message)
        return message

    def _note(self, user: User, message: Message, state: str, extra: Mapping[str, Any] | None = None) -> None:
        row = LogRow(user.stamp(self.clock.now()), state, message, extra or {})
        user.note(row, self.settings)

    @staticmethod
    def _say(message: Message, answer: Answer, wait_s: float | None) -> None:
        came = answer.status or answer.error
        then = "" if answer.succeeded else " dead" if wait_s is None else f" again in {wait_s:.3g} s"
        logger.info(
            "%s attempt %d/%d %s %s -> %s%s",
            message.id,
            message.retried + 1,
            message.options.retries + 1,
            message.options.method,
            message.url,
            came,
            then,
        )


def retry_wait_s(message: Message, answer: Answer, now_s: float) -> float:
    """Return the seconds until the next attempt: as the destination asks, or the publisher, or by default.

    Source: https://upstash.com/docs/qstash/features/retry
    """
    for name in _RESETS:
        for value in answer.header.get(name, ()):
            wait_s = reset_delay_s(value, now_s)
            if wait_s is not None:
                return wait_s
    if message.options.retry_delay is not None:
        return evaluate(message.options.retry_delay, message.retried) / 1000
    # From the fifth retry on it is a day; exp() would overflow at the 284th.
    return min(DAY_S, math.exp(2.5 * min(message.retried + 1, 10)))
