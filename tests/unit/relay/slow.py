"""A world in which every call takes a while: of the world's own clock, and no longer than who calls waits for it."""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from relay.runtime import aws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.store_conformance import Clock
    from tests.unit.relay.world import World

Seconds = float | None


def left(world: World, seconds: float) -> Callable[[], float]:
    """Return how long is left until *seconds* from now, by the world's clock."""
    ends = world.clock.at + timedelta(seconds=seconds)
    return lambda: (ends - world.clock.at).total_seconds()


def wait(clock: Clock, seconds: float) -> None:
    clock.at += timedelta(seconds=seconds)


class SlowClient:
    """A client of AWS whose calls take *seconds*, or None: as long as the relay is patient, and then fail."""

    def __init__(self, client: Any, clock: Clock, seconds: Callable[[], Seconds]) -> None:
        self._client = client
        self._clock = clock
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        from botocore.exceptions import ReadTimeoutError

        found = getattr(self._client, name)
        if name in {"exceptions", "generate_presigned_url"}:
            return found

        def call(**request: Any) -> Any:
            takes_s, most_s = self._seconds(), aws.patience().most_s
            wait(self._clock, most_s if takes_s is None else min(takes_s, most_s))
            if takes_s is None or takes_s > most_s:
                raise ReadTimeoutError(endpoint_url="https://aws.example.com")
            return found(**request)

        return call


class SlowWire:
    """What answers HTTP after *seconds*; infinity: just before its caller waits no longer; None: it is never heard."""

    def __init__(
        self, answer: Callable[[httpx.Request], httpx.Response], clock: Clock, seconds: Callable[[], Seconds]
    ) -> None:
        self._answer = answer
        self._clock = clock
        self._seconds = seconds
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        timeout = request.extensions["timeout"]
        most_s, takes_s = timeout["connect"] + timeout["read"], self._seconds()
        wait(self._clock, most_s if takes_s is None else min(takes_s, most_s))
        if takes_s is None or most_s < takes_s < math.inf:
            raise httpx.ReadTimeout("slow")
        return self._answer(request)


@contextmanager
def slow_aws(
    world: World, seconds: Callable[[], Seconds], bucket: Callable[[], Seconds] | None = None
) -> Iterator[None]:
    """Have the table and the bucket of *world* be slow within."""
    table, files = world.store.table, world.store.bucket
    before = table._given, files._given  # noqa: SLF001  # the wire of the world's own store
    table._given = SlowClient(before[0], world.clock, seconds)  # type: ignore[assignment]  # noqa: SLF001
    files._given = SlowClient(before[1], world.clock, bucket or seconds)  # type: ignore[assignment]  # noqa: SLF001
    try:
        yield
    finally:
        table._given, files._given = before  # noqa: SLF001


def slow_qstash(world: World, seconds: Callable[[], Seconds]) -> SlowWire:
    """Have QStash be slow from now on; return what counts its calls."""
    wire = SlowWire(world.wire, world.clock, seconds)
    world.rewire(wire)
    return wire
