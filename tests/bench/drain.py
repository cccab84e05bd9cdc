"""How fast a sweep works off what is due: publishing from the outbox, and settling from QStash's log.

`.venv/bin/python -m tests.bench.drain [COUNT]` saves COUNT events of two destinations each on a local AWS, has one
sweep publish them to a local QStash, and one settle them from its log without a callback.  The yardsticks of the same
run: the same messages published in the same batches, and the same log lines read, without a record of anything.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from infra.local.aws import server
from infra.local.destinations import Destinations
from infra.local.processes.sandbox import Sandbox
from relay.config.settings import Settings
from relay.jobs.sweep import BATCH, sweep
from relay.model.event import Event
from relay.model.ids import event_id, new_generation
from relay.publishing.publisher import Publisher
from relay.publishing.routing import routing_now
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.qstash.message_log import read_histories
from relay.storage.items import SHARDS, WATCH
from relay.storage.store import Store
from tests.flat import group, url
from tests.local_qstash import running_qstash
from tests.local_table import make_table
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 400
BODY = b'{"padding": "' + b"x" * 2000 + b'"}'
RUN_S = 600.0  # a sweep of the relay has 40


class Clock:
    """The machine's time, put forward where a look is due later."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def main(count: int) -> None:
    """Measure both ways beside their yardsticks, and print the table."""
    with _stack() as (publisher, clock):
        events = [_event(number, clock) for number in range(count)]
        for event in events:
            publisher.store.save_body(event.id, event.sha256, BODY, event.expires_at)
            publisher.store.add_event(event, due_at=clock())
        plain = _timed(lambda: _publish_plainly(publisher, count, clock))
        drained = _timed(lambda: _sweep(publisher, published=count))
        eventually(lambda: _is_all_delivered(publisher, events), "QStash delivers all", RUN_S)
        clock.ahead = timedelta(minutes=3)
        read = _timed(lambda: _read_plainly(publisher, events))
        settled = _timed(lambda: _sweep(publisher, settled=2 * count))
    print(f"{count} events of {len(BODY)} bytes, two destinations each; one sweep, one after another on")
    print(
        f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, the local AWS on them, too"
    )
    print()
    print(f"{'':<28}{'a second':>10}{'without records':>17}{'ratio':>8}")
    for label, number, ours, theirs in (
        ("events published", count, drained, plain),
        ("deliveries settled from log", 2 * count, settled, read),
    ):
        print(f"{label:<28}{number / ours:>10.0f}{number / theirs:>17.0f}{ours / theirs:>8.1f}")


@contextmanager
def _stack() -> Iterator[tuple[Publisher, Clock]]:
    with Sandbox() as sandbox, Destinations() as there, running_qstash() as facts:
        process = server.start(sandbox)
        process.await_ready()
        dynamodb, s3 = process.client("dynamodb"), process.client("s3")
        make_table(dynamodb, "drain")
        s3.create_bucket(Bucket="drain")
        clock = Clock()
        qstash = QStash(QStashHttp(facts.token, facts.url))
        urls = {name: there.behave(name) for name in ("one", "two")}
        qstash.resources.put_endpoints("drain.all", [{"name": name, "url": url} for name, url in urls.items()])
        store = Store("drain", "drain", now=clock, dynamodb=dynamodb, s3=s3)
        settings = Settings.of({"RELAY_BASE_URLS": there.base_url}, _flat(urls))
        yield Publisher(settings, store, qstash, "key", paused=dict, secret=lambda name: name), clock


def _flat(urls: dict[str, str]) -> dict[str, Any]:
    flat = {"name": "drain", "retention_days": 30, "sources": {}}
    destinations = {name: url("all", address) for name, address in urls.items()}
    return flat | {"url_groups": {"all": group(*urls, callbacks="failures")}, "destinations": destinations}


def _event(number: int, clock: Clock) -> Event:
    return Event(
        id=event_id("bench", str(number)),
        source="bench",
        idempotency_key=str(number),
        event_type="bench",
        received_at=clock(),
        saved_at=clock(),
        content_type="application/json",
        headers={},
        sha256=hashlib.sha256(BODY).hexdigest(),
        size_bytes=len(BODY),
        expected={"one": "all", "two": "all"},
        generation=new_generation(),
        expires_at=clock() + timedelta(days=30),
        unpublished=frozenset({"all"}),
    )


def _publish_plainly(publisher: Publisher, count: int, clock: Clock) -> None:
    """Publish as many messages of the same form, in the same batches, and write nothing down."""
    events = [_event(count + number, clock) for number in range(count)]
    routing = routing_now(publisher.settings, events[0], BODY)
    publications = [it for event in events for it in publisher.composer.of_group(event, "all", BODY, routing)]
    messages = [it.message for it in publications]
    for first in range(0, count, BATCH):
        publisher.qstash.publish(messages[first : first + BATCH])


def _read_plainly(publisher: Publisher, events: list[Event]) -> None:
    """Read the same log lines, in the same bulk, and write nothing down."""
    for first in range(0, len(events), BATCH):
        labels = {it.label for it in events[first : first + BATCH]}
        read_histories(publisher.qstash.log_of(labels), labels)


def _is_all_delivered(publisher: Publisher, events: list[Event]) -> bool:
    labels = {it.label for it in events[-BATCH:]}
    found = read_histories(publisher.qstash.log_of(labels), labels)
    return all(len(of) == 2 and all(it.state == "DELIVERED" for it in of) for of in found.values())


def _sweep(publisher: Publisher, *, published: int = 0, settled: int = 0) -> None:
    ends = time.monotonic() + RUN_S
    done = sweep(publisher, owner="bench", seconds_left=lambda: ends - time.monotonic())
    due = sum(len(publisher.store.due(WATCH, shard, 1)[0]) for shard in range(SHARDS))
    if (done.published, done.settled, done.failed, due) != (published, settled, 0, 0):
        raise SystemExit(f"expected {published} published and {settled} settled, and it was {done}; {due} still due")


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
