"""Accepts the webhooks that ingest spooled while the table was down.

Every spooled webhook has a visible end.  One whose source has left the configuration becomes an unrouted event.  One
that its source refuses as a suspected replay becomes a refusal.  One that can't be accepted stays, and an alarm
(`SpoolAge`) sounds for its age.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.config.settings import Source
from relay.errors import Defect, OutOfTime, SignatureError, Unready, UpstreamError
from relay.ingest.accept import accept
from relay.ingest.webhook import Webhook
from relay.model.refusal import Reason, Refusal
from relay.runtime.deadline import seconds_left
from relay.runtime.metrics import count_defect, count_refused, count_routing
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.publishing.publisher import Publisher

BATCH = 25
ONE_S = 2.0  # no webhook is begun with less time left
FOREIGN = "the object is no webhook of the relay's: look into spool/ in the bucket"


@dataclass
class SpoolRun:
    """What one run did.

    Attributes:
        unspooled: How many webhooks it accepted.
        failed: How many stay in the spool.
        reason: Why the last of these stays.
        after: The key after which the next run goes on; "": from the beginning.
    """

    unspooled: int = 0
    failed: int = 0
    reason: str | None = None
    after: str = ""

    def stays(self, why: str) -> None:
        """Count a webhook that stays."""
        self.failed += 1
        self.reason = why


def take_in(publisher: Publisher, publishes: Callable[[], Publisher], after: str = "") -> SpoolRun:
    """Accept spooled webhooks until the spool is empty, or time is short.

    A webhook leaves the spool once it is in the table, so one that is accepted twice is a duplicate.

    Args:
        publishes: Returns the publisher, or raises while nothing may be published.
        after: The key after which to begin, so that a slow head doesn't starve the rest.

    Raises:
        UpstreamError: The bucket's list can't be read.
    """
    store, done = publisher.store, SpoolRun(after=after)
    taking = _Taking(publisher, publishes)
    while seconds_left() >= ONE_S:
        keys = store.spool.oldest(BATCH, done.after)
        for key in keys:
            if seconds_left() < ONE_S:
                return done
            try:
                done.unspooled += taking.take(store.spool.get(key))
                store.spool.delete(key)
            except OutOfTime:
                return done
            except UpstreamError as error:  # the next webhook has its turn
                done.stays(str(error))
            except (ValueError, KeyError, TypeError):  # another program wrote it
                done.stays(FOREIGN)
            except Exception as error:  # noqa: BLE001  # one webhook must not stop the others
                count_defect(error)
                done.stays(str(Defect(error)))
            done.after = key
        if len(keys) < BATCH:
            done.after = ""
            break
    return done


class _Taking:
    """Accepts one spooled webhook after another; once QStash takes nothing, it only saves them."""

    def __init__(self, publisher: Publisher, publishes: Callable[[], Publisher]) -> None:
        self._publisher = publisher
        self._publishes = publishes
        self._in_vain = False

    def take(self, data: bytes) -> bool:
        """Accept one spooled webhook; tell whether its event is in the table now."""
        webhook = Webhook.load(data)
        settings = self._publisher.settings
        try:
            accepted = accept(
                settings.sources.get(webhook.source) or Source.gone(webhook.source),
                webhook,
                settings=settings,
                store=self._publisher.store,
                publisher=self._for_one,
                paused=self._publisher.paused,
            )
        except SignatureError as error:  # a suspected replay, which this source refuses
            self._refuse(webhook, error)
            return False
        self._in_vain |= getattr(accepted.failure, "concerns_all", False)
        if not accepted.duplicate:
            count_routing(accepted.event)
        return True

    def _refuse(self, webhook: Webhook, error: SignatureError) -> None:
        """Keep the refusal as ingest would have: a webhook that was acknowledged must not vanish."""
        refusal = Refusal.of(
            webhook.source,
            Reason(error.reason),
            str(error),
            at=webhook.received_at,
            method=webhook.info.method,
            path=webhook_url("", webhook.source),
            query_string="",
            headers=webhook.info.headers,
            source_ip=None,
            body=b"",
        )
        self._publisher.store.refusals.record(refusal, 1)
        count_refused(webhook.source, refusal.reason)

    def _for_one(self) -> Publisher:
        if self._in_vain:
            raise Unready("QStash", "QStash takes nothing now")
        return self._publishes()
