"""Takes in what ingest spooled while the table was down.

Nothing ends here unseen: a webhook whose source has left the configuration becomes an event that no route takes; one
that its source refuses as a replay becomes a refusal; what can't be taken in stays, and an alarm tells of its age.
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
ONE_S = 2.0  # none is begun with less left
FOREIGN = "it is no webhook of the relay's"


@dataclass
class Taken:
    """What was taken in.

    Attributes:
        failed: How many stay.
        reason: Why the last of these does.
        after: The key after which to go on, where time was over; "": from the beginning.
    """

    unspooled: int = 0
    failed: int = 0
    reason: str | None = None
    after: str = ""

    def stays(self, why: str) -> None:
        """Count one that stays."""
        self.failed += 1
        self.reason = why


def take_in(publisher: Publisher, publishes: Callable[[], Publisher], after: str = "") -> Taken:
    """Take in what is spooled until nothing is, or time is short.

    A webhook goes from the spool once it is in the table: one that is taken in twice is a duplicate.

    Args:
        publishes: Gives the publisher, or raises where nothing is to be published now.
        after: The key after which to begin, so that what fails slowly at the head doesn't starve the rest.

    Raises:
        UpstreamError: The bucket's list can't be read.
    """
    store, done = publisher.store, Taken(after=after)
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
            except UpstreamError as error:  # it stays, and the next has its turn
                done.stays(str(error))
            except (ValueError, KeyError, TypeError):  # somebody else wrote there
                done.stays(FOREIGN)
            except Exception as error:  # noqa: BLE001  # nor does what nobody thought of keep the next waiting
                count_defect(error)
                done.stays(str(Defect(error)))
            done.after = key
        if len(keys) < BATCH:
            done.after = ""
            break
    return done


class _Taking:
    """Takes in one spooled webhook after the other; once QStash takes nothing, they are only saved."""

    def __init__(self, publisher: Publisher, publishes: Callable[[], Publisher]) -> None:
        self._publisher = publisher
        self._publishes = publishes
        self._in_vain = False

    def take(self, data: bytes) -> bool:
        """Take one spooled webhook in; tell whether it made an event, or found one."""
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
        """Keep the refusal as ingest would have: what was acknowledged as spooled doesn't go without a word."""
        refusal = Refusal.of(
            webhook.source,
            Reason(error.reason),
            str(error),
            at=webhook.received_at,
            method=webhook.said.method,
            path=webhook_url("", webhook.source),
            query_string="",
            headers=webhook.said.headers,
            source_ip=None,
            body=b"",
        )
        self._publisher.store.refusals.record(refusal, 1)
        count_refused(webhook.source, refusal.reason)

    def _for_one(self) -> Publisher:
        if self._in_vain:
            raise Unready("QStash", "it takes nothing now")
        return self._publishes()
