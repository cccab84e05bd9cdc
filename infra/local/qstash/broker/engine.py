"""The life of a message: wait, attempt, report, and either end or wait again.

One task per message; a message that waits costs a timer or a place in a line, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from ..language.grammar import DAY_S, Redaction, evaluate, reset_delay_s, unresolved
from ..language.options import Callback, read_options
from .clock import all_idle
from .faults import Faults
from .messages import Answer, DeadLetter, LogRow, Message, Outgoing
from .signing import sign
from .views import callback_body, shaped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine

    from ..language.grammar import FlowControl
    from ..language.options import Headers
    from .clock import Clock
    from .faults import Fault
    from .line import FlowKey
    from .state import Settings, User

logger = logging.getLogger(__name__)

_RESETS = ("Retry-After", "X-Ratelimit-Reset", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens")
_HIDDEN_BODY = Redaction(body=True)
_LOGGED_BYTES = 64 * 1024  # of an answer; the DLQ and callbacks have it whole
_PATIENCE_S = 1.0  # how long a clock that is put forward waits at each step for destinations to answer


class Engine:
    """Delivers messages until it is closed.

    Args:
        clock: Where time comes from.
        settings: Limits, windows and sizes; read anew whenever they matter.
        send: Makes one request; it may raise what aiohttp raises, `OSError` and `ValueError`.
        users: All that there are.
    """

    def __init__(
        self,
        clock: Clock,
        settings: Settings,
        send: Callable[[Outgoing], Awaitable[Answer]],
        users: Collection[User],
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.faults = Faults()
        self.under_way = 0  # requests to destinations
        self.up = True
        self._users = users
        self._send = send
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stay_down: Callable[[], None] = lambda: None  # prevents that it comes up by itself

    async def close(self) -> None:
        """Drop whatever is pending."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Return once all tasks wait, and every destination has answered or had a second for it."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        await all_idle()
        while self.under_way and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.001)
            await all_idle()

    def go_down(self, seconds: float | None = None) -> None:
        """Answer nobody and deliver nothing, for so long or until `come_up`."""
        self._stay_down()
        self._be(up=False)
        if seconds is not None:
            self._stay_down = self.clock.call_later(seconds, self.come_up)

    def come_up(self) -> None:
        """Be there again."""
        self._stay_down()
        self._be(up=True)

    def _be(self, *, up: bool) -> None:
        self.up = up
        for user in self._users:
            user.line.pause(paused=not up)

    def accept(self, user: User, message: Message) -> None:
        """Take charge of a message."""
        self._accept(user, message, self.faults.of_message(message))

    def _accept(self, user: User, message: Message, fault: Fault | None) -> None:
        user.messages[message.id] = message
        if flow := message.options.flow_control:
            self._flow_key(user, flow).limit(flow)
        self._note(user, message, "CREATED")
        self.start(message.id, self._live(user, message, fault))

    def _flow_key(self, user: User, wanted: FlowControl) -> FlowKey:
        return user.flow_key(wanted, self.clock, lambda: self.faults.of_turn(wanted.key))

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* on the side, under a *name* that `stop` knows it by."""
        task = asyncio.create_task(work)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.get(name) is task and self._tasks.pop(name))

    def stop(self, name: str) -> None:
        """End what was started under that name, if it has not ended."""
        if task := self._tasks.pop(name, None):
            task.cancel()

    def cancel(self, user: User, message: Message) -> None:
        """See to it that no further attempt starts; one that is under way is left to end."""
        del user.messages[message.id]
        self._note(user, message, "CANCEL_REQUESTED")
        if message.active:
            message.cancel_requested = True
        else:
            message.outcome = "FAIL"
            self.stop(message.id)
            self._note(user, message, "CANCELED")

    async def _live(self, user: User, message: Message, fault: Fault | None) -> None:
        if fault and await fault.befall(user, message, self.clock) == "lose":
            del user.messages[message.id]
            return
        await self._due(message)
        queue = user.queues.get(message.queue_name) if message.queue_name else None
        if queue is None:
            await self._deliver(user, message, fault)
            return
        async with queue.line:
            reports = [self._tasks[it] for it in await self._deliver(user, message, fault) if it in self._tasks]
            if reports:  # the next of the queue waits for them, too
                await asyncio.wait(reports)

    async def _due(self, message: Message) -> None:
        await self.clock.sleep(message.due_ms / 1000 - self.clock.now())

    async def _deliver(self, user: User, message: Message, fault: Fault | None) -> list[str]:
        """Make attempts until one is the last, and return the ids of the reports of all of them."""
        flow, reports = message.options.flow_control, list[str]()
        while True:
            async with self._flow_key(user, flow) if flow else user.line:
                message.active = True
                self._note(user, message, "ACTIVE")
                answer = await self._attempt(user, message)
                if fault and fault.do == "duplicate":
                    await self.clock.sleep(fault.seconds)
                    await self._attempt(user, message)
                fault, message.active = None, False
            if message.overtook:
                message.overtook.set()
            wait_s = self._conclude(user, message, answer, reports)
            if wait_s is None:
                return reports
            message.retried += 1
            await self._due(message)

    async def _attempt(self, user: User, message: Message) -> Answer:
        if not self.settings.resolves(message.url):
            return Answer(0, error=unresolved(message.url))
        outgoing, self.under_way = self._outgoing(user, message), self.under_way + 1
        try:
            async with self.clock.timeout(message.options.timeout_s):
                return await self._send(outgoing)
        except TimeoutError:
            return Answer(0, error=f"context deadline exceeded: no response within {message.options.timeout_s} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a host that is no IDNA name comes as UnicodeError out of the resolver.
            return Answer(0, error=f"{type(error).__name__}: {error}".rstrip(": "))
        finally:
            self.under_way -= 1

    def _outgoing(self, user: User, message: Message) -> Outgoing:
        signature = sign(key=user.current_key, url=message.url, body=message.body, now_s=self.clock.now())
        own = {
            "Upstash-Message-Id": message.id,
            "Upstash-Retried": str(message.retried),
            "Upstash-Signature": signature,
            "Upstash-Caller-Ip": message.caller_ip,
            "Upstash-Topic-Name": message.topic_name,
            "Upstash-Schedule-Id": message.schedule_id,
            "Upstash-Region": self.settings.region,
        }
        header = {"Accept-Encoding": ["gzip"], "User-Agent": ["Upstash-QStash"], **message.options.header}
        header |= {name: [value] for name, value in own.items() if value}
        return Outgoing(message.options.method, message.url, header, message.body, message.comes_from)

    def _conclude(self, user: User, message: Message, answer: Answer, reports: list[str]) -> float | None:
        """Write down what came of an attempt, report it, and return how long to wait for the next, if any.

        The ids of the reports are added to *reports*.
        """
        options = message.options
        wait_s: float | None = None
        if not answer.succeeded:
            self._note(user, message, "ERROR", answer)
            if answer.retryable and message.retried < options.retries and not message.cancel_requested:
                wait_s = retry_wait_s(message, answer, self.clock.now())
        _say(message, answer, wait_s)
        if options.callback:
            reports.append(self._report(user, message, options.callback, callback_body(message, answer, None)))
        if wait_s is not None:
            message.due_ms = math.ceil((self.clock.now() + wait_s) * 1000)
            self._note(user, message, "RETRY", next_ms=message.due_ms)
            return wait_s
        user.messages.pop(message.id, None)
        message.outcome = "SUCCESS" if answer.succeeded else "FAIL"
        if answer.succeeded:
            message.readable_until_s = self.clock.now() + self.settings.grace_s
            user.delivered.keep(message.id, message)
            self._note(user, message, "DELIVERED")
        elif message.cancel_requested:
            self._note(user, message, "CANCELED")
        else:
            dead_letter = DeadLetter(user.stamp(self.clock.now()), message, answer)
            user.dead_letters.keep(dead_letter.id, dead_letter)
            self._note(user, message, "FAILED")
            if options.failure_callback:
                body = callback_body(message, answer, dead_letter)
                reports.append(self._report(user, message, options.failure_callback, body))
        return None

    def _report(self, user: User, source: Message, callback: Callback, body: dict[str, Any]) -> str:
        now_ms, redaction = int(self.clock.now() * 1000), source.options.redaction
        report = Message(
            url=callback.url,
            # What it reports is not shown in its body, either.
            options=callback.options if redaction == Redaction() else replace(callback.options, redaction=_HIDDEN_BODY),
            body=b"",
            created_ms=now_ms,
            due_ms=now_ms,
            caller_ip=source.caller_ip,
            reports=source,
        )
        fault = self.faults.of_message(report)
        report.body = json.dumps(shaped(body, fault.do if fault else ""), separators=(",", ":")).encode()
        self._accept(user, report, fault)
        return report.id

    def revive(self, user: User, dead_letter: DeadLetter, overrides: Headers) -> Message:
        """Take a dead letter out of the DLQ and send it again, as a new message with all its retries."""
        old, now_ms = dead_letter.message, int(self.clock.now() * 1000)
        # It was delayed once already.
        given = {k: v for k, v in old.options.given.items() if k not in ("upstash-delay", "upstash-not-before")}
        options = read_options({**given, **overrides}, self.settings.limits)
        message = Message(
            url=old.url,
            options=options,
            body=old.body,
            created_ms=now_ms,
            due_ms=now_ms + options.delay_s * 1000,
            topic_name=old.topic_name,
            endpoint_name=old.endpoint_name,
            queue_name=old.queue_name if old.queue_name in user.queues else None,
            schedule_id=old.schedule_id,
            caller_ip=old.caller_ip,
            reports=old.reports,
        )
        user.dead_letters.drop(dead_letter.id)
        self.accept(user, message)
        return message

    def _note(
        self, user: User, message: Message, state: str, answer: Answer | None = None, next_ms: int | None = None
    ) -> None:
        kept = answer and replace(answer, body=answer.body[:_LOGGED_BYTES])
        row = LogRow(user.stamp(self.clock.now()), state, message, kept, next_ms)
        user.log.keep(str(row.stamp), row)


def _say(message: Message, answer: Answer, wait_s: float | None) -> None:
    came = answer.status or answer.error
    then = "" if answer.succeeded else " dead" if wait_s is None else f" again in {wait_s:.1f} s"
    number, of, method = message.retried + 1, message.options.retries + 1, message.options.method
    logger.info("%s attempt %d/%d %s %s -> %s%s", message.id, number, of, method, message.url, came, then)


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
