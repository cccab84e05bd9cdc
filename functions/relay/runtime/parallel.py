"""Work on many items, one at a time or several at once: an item that fails doesn't stop the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from relay.errors import Defect, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORKERS = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


def supervised(work: Callable[[Item], Result], item: Item) -> Result | UpstreamError:
    """Return the result of *work* on *item*, or the error: a `Defect` where the relay's own code failed."""
    try:
        return work(item)
    except UpstreamError as error:
        return error
    except Exception as error:  # noqa: BLE001  # one item, whatever is in it, never ends a run
        return Defect(error)


def each(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int = WORKERS
) -> list[Result | UpstreamError]:
    """Do *work* on each of *items*; return its results in their order, with the `UpstreamError` where one failed.

    Several at a time: one after the other, a batch of records would take as long as all its round trips.  Each has the
    time that is left here.
    """
    if len(items) <= 1 or workers == 1:
        return [supervised(work, item) for item in items]
    with ThreadPoolExecutor(max_workers=min(workers, len(items))) as pool:
        contexts = [copy_context() for _ in items]
        return list(pool.map(lambda context, item: context.run(supervised, work, item), contexts, items))
