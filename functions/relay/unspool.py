"""Takes in what ingest spooled while the table was down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.accept import accept
from relay.deadline import seconds_left
from relay.errors import NotFound, OutOfTime, SignatureError, Unready, UpstreamError
from relay.metrics import count_defect, count_routing
from relay.spool import Spooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.publish import Publisher
    from relay.store import Store

BATCH = 25
ONE_S = 2.0  # none is begun with less left


def is_anything_spooled(store: Store) -> bool:
    """Tell whether a webhook waits in the spool."""
    return bool(store.spooled(1, ""))


def take_in(publisher: Publisher, publishes: Callable[[], Publisher]) -> tuple[int, int]:
    """Take in what is spooled until nothing is, or time is short; return how much was taken in, and how much wasn't.

    A webhook goes from the spool once it is in the table: one that is taken in twice is a duplicate.

    Args:
        publishes: Gives the publisher, or raises where nothing is to be published now.

    Raises:
        UpstreamError: The bucket can't be read.
    """
    store, after = publisher.store, ""
    taking = _Taking(publisher, publishes)
    unspooled = failed = 0
    while seconds_left() >= ONE_S:
        found = store.spooled(BATCH, after)
        for key, data in found:
            after = key
            if seconds_left() < ONE_S:
                return unspooled, failed
            try:
                unspooled += taking.take(data)
                store.unspool(key)
            except OutOfTime:
                return unspooled, failed
            except (UpstreamError, NotFound, ValueError, KeyError, TypeError):
                failed += 1  # its source is gone, or somebody else wrote there: it stays, and the next has its turn
            except Exception as error:  # noqa: BLE001  # nor does what nobody thought of keep the next waiting
                count_defect(error)
                failed += 1
        if len(found) < BATCH:
            break
    return unspooled, failed


class _Taking:
    """Takes in one spooled webhook after the other; once QStash takes nothing, they are only saved."""

    def __init__(self, publisher: Publisher, publishes: Callable[[], Publisher]) -> None:
        self._publisher = publisher
        self._publishes = publishes
        self._in_vain = False

    def take(self, data: bytes) -> bool:
        """Take one spooled webhook in; tell whether it made an event, or found one."""
        webhook = Spooled.load(data)
        settings = self._publisher.settings
        source = settings.source(webhook.source)
        try:
            accepted = accept(
                source,
                webhook,
                settings=settings,
                store=self._publisher.store,
                publisher=self._for_one,
                paused=self._publisher.paused,
            )
        except SignatureError:  # a suspected replay, which this source refuses
            return False
        self._in_vain |= getattr(accepted.failure, "concerns_all", False)
        if not accepted.duplicate:
            count_routing(accepted.event)
        return True

    def _for_one(self) -> Publisher:
        if self._in_vain:
            raise Unready("QStash", "it takes nothing now")
        return self._publishes()
