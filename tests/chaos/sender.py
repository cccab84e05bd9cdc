"""The sources of a chaos run: they sign and send as providers do, count what they are answered, and some send again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import aiohttp

from tests.chaos.ledger import Sent
from tests.chaos.mix import SENDS_AGAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tests.chaos.mix import Webhook

AT_ONCE = 10  # webhooks under way, where there are many: each takes a function, and a new one takes its start
ANSWER_S = 30
TRIES = 4  # of a source that sends again, while the run's faults last


class Sender:
    """Sends webhooks, and keeps every answer.

    Args:
        secrets: Signing secret by source.
        now: Epoch seconds on the functions' clock: some sources sign the time.
    """

    def __init__(self, relay_url: str, secrets: Mapping[str, str], now: Callable[[], float]) -> None:
        self._relay_url, self._secrets, self._now = relay_url, secrets, now
        self.answers: defaultdict[str, list[int | None]] = defaultdict(list)
        self.requests = 0
        self.doubles = 0
        self.rate = 0.0

    async def send_all(
        self, webhooks: Sequence[Webhook], at_share: Callable[[float], Awaitable[object]] | None = None
    ) -> None:
        """Send *webhooks*, some at a time; *at_share* is told how far it is before each."""
        began = time.monotonic()
        free = asyncio.Semaphore(min(AT_ONCE, max(2, len(webhooks) // 15)))
        limit = aiohttp.ClientTimeout(ANSWER_S)
        async with aiohttp.ClientSession(timeout=limit) as session, asyncio.TaskGroup() as tasks:
            for place, webhook in enumerate(webhooks):
                if at_share is not None:
                    await at_share(place / len(webhooks))
                await free.acquire()
                task = tasks.create_task(self._send(session, webhook, first=at_share is not None))
                task.add_done_callback(lambda _: free.release())
        if at_share is not None:
            self.rate = len(webhooks) / (time.monotonic() - began)

    def unaccepted(self, webhooks: Sequence[Webhook]) -> list[Webhook]:
        """Return those that were not accepted and whose sources send again."""
        return [it for it in webhooks if it.source in SENDS_AGAIN and not self.sent(it).accepted]

    def sent(self, webhook: Webhook) -> Sent:
        """Return what is known of *webhook*."""
        answers = tuple(self.answers[webhook.nonce])
        digest = hashlib.sha256(webhook.body).hexdigest()
        return Sent(webhook.nonce, webhook.source, digest, webhook.destinations, answers)

    async def _send(self, session: aiohttp.ClientSession, webhook: Webhook, *, first: bool) -> None:
        copies = webhook.copies if first else 1
        orders = [webhook.order if first else None, *[None] * (copies - 1)]
        self.doubles += copies - 1
        await asyncio.gather(*(self._post(session, webhook, order) for order in orders))
        for number in range(TRIES - 1 if webhook.source in SENDS_AGAIN else 0):
            if self.sent(webhook).accepted:
                return
            await asyncio.sleep(0.2 * 2**number)
            await self._post(session, webhook, None)

    async def _post(self, session: aiohttp.ClientSession, webhook: Webhook, order: str | None) -> None:
        headers = {**self._signed(webhook), **({"X-Chaos": order} if order else {})}
        self.requests += 1
        status: int | None = None
        try:
            url = f"{self._relay_url}/webhooks/{webhook.source}"
            async with session.post(url, data=webhook.body, headers=headers) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            pass
        self.answers[webhook.nonce].append(status)

    def _signed(self, webhook: Webhook) -> dict[str, str]:
        """Return the headers of *webhook* as its source sends it now."""
        key, content_type = self._secrets[webhook.source].encode(), {"Content-Type": "application/json"}
        if webhook.source == "stripe":
            at = int(self._now())
            mac = hmac.new(key, b"%d.%b" % (at, webhook.body), hashlib.sha256).hexdigest()
            return content_type | {"Stripe-Signature": f"t={at},v1={mac}"}
        mac = hmac.new(key, webhook.body, hashlib.sha256).hexdigest()
        if webhook.source == "github":
            return content_type | {
                "X-GitHub-Delivery": webhook.key,
                "X-GitHub-Event": "pull_request",
                "X-Hub-Signature-256": f"sha256={mac}",
            }
        return content_type | {"X-Acme-Id": webhook.key, "X-Acme-Signature": mac}
