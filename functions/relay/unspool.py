"""Takes in what ingest spooled while the table was down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.accept import accept
from relay.errors import NotFound, SignatureError, UpstreamError
from relay.metrics import count_defect, count_routing
from relay.spool import Spooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.publish import Publisher
    from relay.store import Store

BATCH = 25


def is_anything_spooled(store: Store) -> bool:
    """Tell whether a webhook waits in the spool."""
    return bool(store.spooled(1, ""))


def take_in(publisher: Publisher, seconds_left: Callable[[], float]) -> tuple[int, int]:
    """Take in what is spooled until nothing is, or time is short; return how much was taken in, and how much wasn't.

    A webhook goes from the spool once it is in the table: one that is taken in twice is a duplicate.

    Raises:
        UpstreamError: The bucket can't be read.
    """
    store, after = publisher.store, ""
    unspooled = failed = 0
    while seconds_left() > 0:
        found = store.spooled(BATCH, after)
        for key, data in found:
            after = key
            if seconds_left() <= 0:
                return unspooled, failed
            try:
                unspooled += _unspooled(publisher, data)
                store.unspool(key)
            except (UpstreamError, NotFound, ValueError, KeyError, TypeError):
                failed += 1  # its source is gone, or somebody else wrote there: it stays, and the next has its turn
            except Exception as error:  # noqa: BLE001  # nor does what nobody thought of keep the next waiting
                count_defect(error)
                failed += 1
        if len(found) < BATCH:
            break
    return unspooled, failed


def _unspooled(publisher: Publisher, data: bytes) -> bool:
    """Take one spooled webhook in; tell whether it made an event, or found one."""
    webhook = Spooled.load(data)
    settings = publisher.settings
    source = settings.source(webhook.source)
    try:
        accepted = accept(
            source,
            webhook,
            settings=settings,
            store=publisher.store,
            publisher=lambda: publisher,
            paused=publisher.paused,
        )
    except SignatureError:  # a suspected replay, which this source refuses
        return False
    if not accepted.duplicate:
        count_routing(accepted.event)
    return True
