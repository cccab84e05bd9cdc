"""How much the local QStash takes: group publishes as fast as clients send them, and every delivery of them.

`.venv/bin/python -m tests.bench.qstash [ROUNDS]` publishes 1,000 times to a URL group of three endpoints in each round,
over 16 connections, and waits for all deliveries; it ends with 1 if one is missing or came twice.  The yardstick of the
same run, in turns: the same client posts the same requests to an application on the same server libraries that reads
the body, answers as a publish is answered, and does nothing else.  The ratio is what is left once it is a QStash, with
checks, ids, a log, and three signed deliveries for each publish on the same two cores.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import re
import socket
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import uvicorn
import uvloop
from aiohttp import web
from rich.console import Console
from rich.table import Table
from starlette.responses import JSONResponse

from tests.local_qstash import Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 5
PUBLISHES = 1_000
CONNECTIONS = 16
ENDPOINTS = ("a", "b", "c")
BODY = b'{"padding":"' + b"x" * 2_000 + b'"}'
PATIENCE_S = 60
_spawned = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Round:
    """What came of one round; *missing* and *doubled* are deliveries, *rss_mib* is the server's memory."""

    took_ms: list[float]
    publishes_per_s: float
    deliveries_per_s: float
    missing: int
    doubled: int
    rss_mib: float


def main(rounds: int) -> int:
    """Measure, print the table, and return the exit status."""
    with ExitStack() as running:
        sink = f"http://127.0.0.1:{running.enter_context(_child(_sink))}"
        bare = f"http://127.0.0.1:{running.enter_context(_child(_bare))}"
        facts = running.enter_context(running_qstash())
        measured, yardstick = uvloop.run(_measure(rounds, facts, sink, bare))
    _show(measured, yardstick)
    return int(any(one.missing or one.doubled for one in measured))


async def _measure(rounds: int, facts: Facts, sink: str, bare: str) -> tuple[list[Round], list[float]]:
    measured, yardstick = [], []
    headers = {"Authorization": f"Bearer {facts.token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:
        endpoints = [{"name": name, "url": f"{sink}/{name}"} for name in ENDPOINTS]
        await client.post(f"{facts.url}/v2/topics/g/endpoints", json={"endpoints": endpoints})
        for number in range(-1, rounds):  # the first of all only warms up
            began = time.perf_counter()
            await _publish(client, bare)
            share = PUBLISHES / (time.perf_counter() - began)
            one = await _round(client, facts, sink)
            if number >= 0:
                yardstick.append(share)
                measured.append(one)
    return measured, yardstick


async def _round(client: aiohttp.ClientSession, facts: Facts, sink: str) -> Round:
    await client.delete(sink)
    began = time.perf_counter()
    took_ms, published = await _publish(client, facts.url)
    answered = time.perf_counter()
    wanted = {f"{message['messageId']} {message['url']}" for messages in published for message in messages}
    while (arrived := await (await client.get(sink)).json())["requests"] < len(wanted):
        if time.perf_counter() - answered > PATIENCE_S:
            break
        await asyncio.sleep(0.01)
    ended = time.perf_counter()
    await asyncio.sleep(0.2)  # whatever came twice has come by now
    counts: dict[str, int] = (await (await client.get(sink)).json())["counts"]
    return Round(
        took_ms=took_ms,
        publishes_per_s=PUBLISHES / (answered - began),
        deliveries_per_s=arrived["requests"] / (ended - began),
        missing=len(wanted - counts.keys()),
        doubled=sum(counts.values()) - len(counts),
        rss_mib=_rss_mib(facts.pid),
    )


def _rss_mib(pid: int) -> float:
    return int(re.findall(r"VmRSS:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text("ascii"))[0]) / 1024


async def _publish(client: aiohttp.ClientSession, url: str) -> tuple[list[float], list[Any]]:
    """Publish as fast as the connections allow; return how long each took, in ms, and what was answered."""
    took_ms, answers, turns = list[float](), list[Any](), iter(range(PUBLISHES))

    async def connection() -> None:
        for _ in turns:
            began = time.perf_counter()
            async with client.post(f"{url}/v2/publish/g", data=BODY) as response:
                response.raise_for_status()
                answers.append(await response.json())
            took_ms.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return took_ms, answers


@contextmanager
def _child(work: Callable[[Any], None]) -> Iterator[int]:
    """Run *work* in a process of its own, and hand over the port that it listens on."""
    here, there = _spawned.Pipe()
    process = _spawned.Process(target=work, args=(there,), daemon=True)
    process.start()
    yield here.recv()
    process.terminate()
    process.join()


def _sink(parent: Any) -> None:
    """Answer everything with 200; tell what came on GET, forget it on DELETE."""
    counts: Counter[str] = Counter()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            counts[f"{request.headers['Upstash-Message-Id']} {request.url}"] += 1
            return web.Response()
        if request.method == "DELETE":
            counts.clear()
        return web.json_response({"requests": counts.total(), "counts": counts})

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def _bare(parent: Any) -> None:
    """Read a body and answer as a publish to the group is answered."""
    answer = [{"messageId": "msg_" + "x" * 63, "url": "http://127.0.0.1:40000/a"} for _ in ENDPOINTS]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await JSONResponse(answer)(scope, receive, send)

    async def run() -> None:
        config = uvicorn.Config(
            app, http="httptools", log_level="critical", access_log=False, lifespan="off", ws="none"
        )
        listener = socket.create_server(("127.0.0.1", 0))
        parent.send(listener.getsockname()[1])
        await uvicorn.Server(config).serve([listener])

    uvloop.run(run())


def _show(measured: list[Round], yardstick: list[float]) -> None:
    took_ms = [one for it in measured for one in it.took_ms]
    publishes, bare = (statistics.median(rates) for rates in ([it.publishes_per_s for it in measured], yardstick))
    quantiles = statistics.quantiles(took_ms, n=100, method="inclusive")
    table = Table(
        "", "local QStash", title=f"{len(measured)} rounds of {PUBLISHES:,} publishes to {len(ENDPOINTS)} endpoints"
    )
    for row in (
        ("publishes/s, median round", f"{publishes:,.0f}"),
        ("  of the bare application's", f"{publishes / bare:.2f} of {bare:,.0f}"),
        ("deliveries/s, median round", f"{statistics.median(it.deliveries_per_s for it in measured):,.0f}"),
        ("publish, p50", f"{quantiles[49]:.1f} ms"),
        ("publish, p99", f"{quantiles[98]:.1f} ms"),
        ("deliveries missing", f"{sum(it.missing for it in measured)}"),
        ("deliveries doubled", f"{sum(it.doubled for it in measured)}"),
        ("memory after the first, the last round", f"{measured[0].rss_mib:.0f}, {measured[-1].rss_mib:.0f} MiB"),
    ):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(
        f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}, {platform.system()}"
    )


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
