"""Whatever is done to it, in any order: every message ends, once, and nothing is held by nobody."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from infra.local.qstash.broker.clock import all_idle
from infra.local.qstash.broker.state import Settings
from infra.local.qstash.language.limits import Limits

from .fakes import Local, local

DAY_S = 86_400.0
ENDS = {"DELIVERED", "FAILED", "CANCELED"}
QUEUES, KEYS = ("q1", "q2"), ("k1", "k2")


class Server(RuleBasedStateMachine):
    """A server with little room, so that messages wait for each other in every way there is."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._context = local(settings=Settings(limits=Limits(global_parallelism=3)), admin=True)
        self.server: Local = self._runner.run(self._context.__aenter__())
        self.server.destination.default = self.answer
        self.ids: list[str] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the path says: how long it takes, and the status of each attempt."""
        seconds, *statuses = request.url.path.strip("/").split("-")
        await self.server.clock.sleep(float(seconds))
        retried = int(request.headers["Upstash-Retried"])
        return httpx.Response(int(statuses[min(retried, len(statuses) - 1)]))

    def call(self, method: str, path: str, **content: Any) -> Any:
        """Call the API and return its answer, whatever it is."""

        async def calling() -> Any:
            response = await self.server.http.request(method, path, **content)
            await all_idle()
            assert response.status_code < 500
            return response.json()

        return self._runner.run(calling())

    @rule(
        path=st.sampled_from(["0-200", "7-200", "0-500-200", "0-500", "7-500", "2-489"]),
        prefix=st.sampled_from(["publish", "publish", *(f"enqueue/{name}" for name in QUEUES)]),
        delay=st.sampled_from(["0s", "0s", "5s"]),
        retries=st.integers(0, 2),
        key=st.sampled_from(["", *KEYS]),
        value=st.sampled_from(["parallelism=1", "rate=1, period=20s", "parallelism=2, rate=2"]),
        callback=st.sampled_from(["", "https://callback.test/1-200"]),
    )
    def publish(self, path: str, prefix: str, delay: str, retries: int, key: str, value: str, callback: str) -> None:
        """Send a message by any of the ways there are."""
        headers = {"Upstash-Delay": delay, "Upstash-Retries": str(retries)}
        headers |= {"Upstash-Flow-Control-Key": key, "Upstash-Flow-Control-Value": value} if key else {}
        headers |= {"Upstash-Callback": callback} if callback else {}
        self.ids.append(self.call("POST", f"/v2/{prefix}/https://x.test/{path}", headers=headers)["messageId"])

    @rule(number=st.integers(0, 30))
    def cancel(self, number: int) -> None:
        """Cancel one of the messages so far, whatever became of it."""
        if self.ids:
            self.call("DELETE", f"/v2/messages/{self.ids[number % len(self.ids)]}")

    @rule(name=st.sampled_from(QUEUES), verb=st.sampled_from(["pause", "resume"]))
    def hold_a_queue(self, name: str, verb: str) -> None:
        """Pause or resume a queue."""
        self.call("POST", f"/v2/queues/{name}/{verb}")

    @rule(name=st.sampled_from(QUEUES), parallelism=st.integers(1, 3))
    def widen_a_queue(self, name: str, parallelism: int) -> None:
        """Change how many of a queue are delivered at a time."""
        self.call("POST", "/v2/queues", content=json.dumps({"queueName": name, "parallelism": parallelism}))

    @rule(name=st.sampled_from(QUEUES))
    def delete_a_queue(self, name: str) -> None:
        """Drop a queue and what waits in it."""
        self.call("DELETE", f"/v2/queues/{name}")

    @rule(name=st.sampled_from(KEYS), verb=st.sampled_from(["pause", "resume", "pin?rate=1", "resetRate", "reset"]))
    def change_a_key(self, name: str, verb: str) -> None:
        """Pause, resume, pin or reset a flow-control key."""
        self.call("POST", f"/v2/flowControl/{name}/{verb}")

    @rule()
    def retry_dead_letters(self) -> None:
        """Send all dead letters again."""
        for response in self.call("POST", "/v2/dlq/retry")["responses"]:
            self.ids.append(response["messageId"])

    @rule()
    def be_down(self) -> None:
        """Be down for three seconds, in which no attempt begins."""

        async def outage() -> None:
            before = len(self.server.destination.requests)
            await self.server.admin("POST", "down", {"seconds": 3.0})
            await self.server.clock.advance(2.9)
            assert len(self.server.destination.requests) == before
            await self.server.clock.advance(0.1)

        self._runner.run(outage())

    @rule(seconds=st.sampled_from([0.5, 3.0, 15.0, 200.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._runner.run(self.server.clock.advance(seconds))

    @invariant()
    def no_more_are_under_way_than_may_be(self) -> None:
        """The account has three places."""
        assert self.call("GET", "/v2/globalParallelism")["parallelismCount"] <= 3

    def teardown(self) -> None:
        """Take every hindrance away, wait, and look what became of all."""
        for name in QUEUES:
            self.call("POST", f"/v2/queues/{name}/resume")
        for name in KEYS:
            self.call("POST", f"/v2/flowControl/{name}/resume")
        self.wait(DAY_S)
        try:
            self.check()
        finally:
            self._runner.run(self._context.__aexit__(None, None, None))
            self._runner.close()

    def check(self) -> None:
        """Every message ended, once; each attempt was made once; nothing is held by nobody."""
        status = self._runner.run(self.server.admin("GET", "status"))
        assert (status["messages"], status["under_way"]) == (0, 0)
        ends: dict[str, list[str]] = {}
        for row in self.call("GET", "/v2/logs")["logs"]:
            ends.setdefault(row["messageId"], [])
            ends[row["messageId"]] += [row["state"]] if row["state"] in ENDS else []
        assert set(self.ids) <= ends.keys()
        assert [states for states in ends.values() if len(states) != 1] == []
        requests = self.server.destination.requests
        attempts = Counter((it.headers["Upstash-Message-Id"], it.headers["Upstash-Retried"]) for it in requests)
        assert set(attempts.values()) <= {1}
        delivered = {message_id for message_id, states in ends.items() if states == ["DELIVERED"]}
        assert delivered <= {message_id for message_id, _ in attempts}
        assert self.call("GET", "/v2/globalParallelism")["parallelismCount"] == 0
        for key in self.call("GET", "/v2/flowControl"):
            assert (key["parallelismCount"], key["waitListSize"]) == (0, 0)
        assert {queue["lag"] for queue in self.call("GET", "/v2/queues")} <= {0}


TestServer = Server.TestCase
TestServer.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
