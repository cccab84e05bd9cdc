"""How long a webhook takes on the local stack: to its 202, and to its destination, beside QStash alone.

`.venv/bin/python -m tests.bench.latency [COUNT]` posts COUNT signed webhooks, one after another, and prints a table.
The yardstick of the same run: the same body, published straight to the same local QStash for the same destination.
What the relay adds is a proof, two durable writes and a publish; the ratio says what that costs, on any machine.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.local.destinations import Destinations
from infra.local.dev import LocalRelay, running

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 50
WARM_UP = 5  # first calls start workers and fill caches
ARRIVAL_S = 30
PAUSE_S = 0.2  # the callback of the one before is recorded by then, so that it doesn't compete with the next
BODY = json.dumps({"action": "opened", "number": 1, "padding": "x" * 2000}).encode()
CONFIG = """
[relay]
name = "bench"

[sources.github]
scheme = "github"
to = ["one"]

[url_groups.one]
destinations = {{ there = "{url}" }}
"""


@dataclass
class Times:
    """What one way took, a value a request, in milliseconds."""

    answered: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)


def main(count: int) -> None:
    """Measure *count* requests each way, in turns, so that both see the same machine, and print the table."""
    with Destinations() as there, tempfile.TemporaryDirectory() as folder:
        url = there.behave("there")
        config = Path(folder) / "relay.toml"
        config.write_text(CONFIG.format(url=url), encoding="utf-8")
        with running(config, step=lambda it: print(it, file=sys.stderr)) as relay:
            ways = {"relay": _through_the_relay(relay), "QStash": _straight_to_qstash(relay, url)}
            times = {way: Times() for way in ways}
            with httpx.Client(timeout=30, trust_env=False) as client:
                for number in range(-WARM_UP, count):
                    for way, send in ways.items():
                        took = _measure(there, send, client, f"{way}-{number}")
                        if number >= 0:
                            times[way].answered.append(took[0])
                            times[way].arrived.append(took[1])
    _show(times)


def _measure(
    there: Destinations, send: Callable[[httpx.Client, str], httpx.Response], client: httpx.Client, name: str
) -> tuple[float, float]:
    """Send the request called *name*; return after how many milliseconds it was answered, and arrived."""
    time.sleep(PAUSE_S)
    before = len(there.received("there"))
    began = datetime.now(UTC)
    send(client, name).raise_for_status()
    answered = datetime.now(UTC)
    (arrival,) = there.await_received("there", before + 1, timeout_s=ARRIVAL_S)[before:]
    if arrival.headers.get("x-github-delivery") != name:
        raise SystemExit(f"expected {name}, and something else arrived")
    return (answered - began).total_seconds() * 1000, (arrival.at - began).total_seconds() * 1000


def _through_the_relay(relay: LocalRelay) -> Callable[[httpx.Client, str], httpx.Response]:
    signature = hmac.new(relay.secrets["github"].encode(), BODY, hashlib.sha256).hexdigest()

    def send(client: httpx.Client, name: str) -> httpx.Response:
        headers = {
            "X-GitHub-Delivery": name,
            "X-GitHub-Event": "pull_request",
            "X-Hub-Signature-256": f"sha256={signature}",
            "Content-Type": "application/json",
        }
        return client.post(f"{relay.relay_url}/webhooks/github", content=BODY, headers=headers)

    return send


def _straight_to_qstash(relay: LocalRelay, url: str) -> Callable[[httpx.Client, str], httpx.Response]:
    def send(client: httpx.Client, name: str) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {relay.qstash_token}",
            "Content-Type": "application/json",
            "Upstash-Forward-X-GitHub-Delivery": name,
        }
        return client.post(f"{relay.qstash_url}/v2/publish/{url}", content=BODY, headers=headers)

    return send


def _show(times: dict[str, Times]) -> None:
    count = len(times["relay"].answered)
    print(f"{count} requests each way, one after another, bodies of {len(BODY)} bytes; milliseconds")
    print(f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, {platform.system()}")
    print()
    print(f"{'from the POST to':<18}{'':>5}{'relay':>10}{'QStash':>10}{'ratio':>8}")
    for what in ("answered", "arrived"):
        label = {"answered": "its answer", "arrived": "its destination"}[what]
        for percent in (50, 95):
            ours, theirs = (_percentile(getattr(times[way], what), percent) for way in ("relay", "QStash"))
            print(f"{label:<18}{f'p{percent}':>5}{ours:>10.1f}{theirs:>10.1f}{ours / theirs:>8.1f}")


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
