"""Several calls to AWS at a time: one after the other, a batch of records would take as long as all its round trips."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from relay.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORKERS = 8
Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int = WORKERS
) -> list[Result | UpstreamError]:
    """Do *work* on each of *items*; return its results in their order, with the `UpstreamError` where one failed."""

    def attempt(item: Item) -> Result | UpstreamError:
        try:
            return work(item)
        except UpstreamError as error:
            return error

    if len(items) <= 1 or workers == 1:
        return [attempt(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(workers, len(items))) as pool:
        return list(pool.map(attempt, items))
