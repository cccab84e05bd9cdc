"""A QStash of one's own, lent to a local relay: it takes nothing of a deployed one, and leaves nothing."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infra.local.own_qstash import borrowed
from infra.local.processes.sandbox import LocalError
from tests.local_qstash import Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDPOINTS = {"endpoints": [{"name": "erp", "url": "https://erp.example.com/in"}]}


@pytest.fixture
def qstash() -> Iterator[Facts]:
    with running_qstash() as facts:
        yield facts


def call(qstash: Facts, method: str, path: str, **request: Any) -> Any:
    headers = {"Authorization": f"Bearer {qstash.token}"} | request.pop("headers", {})
    answer = httpx.request(method, qstash.url + path, headers=headers, trust_env=False, **request)
    return answer.raise_for_status().json() if answer.content else None


def make(qstash: Facts, relay: str) -> None:
    """Have *qstash* hold a group, a schedule and a queue of *relay*."""
    call(qstash, "POST", f"/v2/topics/{relay}.audit/endpoints", json=ENDPOINTS)
    call(qstash, "POST", "/v2/queues", json={"queueName": f"{relay}.fifo", "parallelism": 1})
    headers = {"Upstash-Cron": "0 3 * * *", "Upstash-Schedule-Id": f"{relay}.nightly"}
    call(qstash, "POST", "/v2/schedules/https://erp.example.com/in", headers=headers)


def held(qstash: Facts) -> set[str]:
    return {
        found.get("scheduleId") or found["name"]
        for kind in ("topics", "queues", "schedules")
        for found in call(qstash, "GET", f"/v2/{kind}") or []
    }


def test_where_a_relay_of_that_name_may_be_deployed_it_is_refused_and_left_as_it_is(qstash: Facts) -> None:
    make(qstash, "shop")

    with pytest.raises(LocalError, match="of a relay called shop"), borrowed(qstash.url, qstash.token, "shop"):
        pass

    assert held(qstash) == {"shop.audit", "shop.fifo", "shop.nightly"}


def test_what_a_local_relay_made_there_is_gone_afterwards_and_others_stay(qstash: Facts) -> None:
    make(qstash, "shopping")

    with borrowed(qstash.url, qstash.token, "shop"):
        make(qstash, "shop")

    assert held(qstash) == {"shopping.audit", "shopping.fifo", "shopping.nightly"}


def test_one_that_cannot_be_asked_is_told(qstash: Facts) -> None:
    with pytest.raises(LocalError, match="can't be asked"), borrowed(qstash.url, "wrong", "shop"):
        pass


@contextmanager
def answering(listed: Any) -> Iterator[str]:
    """Give the URL of what answers every question with *listed*."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(listed).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_others_have_there_may_have_any_shape() -> None:
    others = [1, None, {}, {"name": None, "scheduleId": 7}, {"name": "shopping.a", "scheduleId": "x"}]

    with answering(others) as url, borrowed(url, "token", "shop"):
        pass
    with (
        answering([*others, {"name": "shop.a"}]) as url,
        pytest.raises(LocalError, match=r"holds shop\.a, shop\.a, of a relay"),
        borrowed(url, "token", "shop"),
    ):
        pass


def test_what_is_no_list_of_things_is_told() -> None:
    with (
        answering({"error": "no"}) as url,
        pytest.raises(LocalError, match="no list of topics"),
        borrowed(url, "token", "shop"),
    ):
        pass
