"""A relay in one process: the real store, and QStash played at the wire."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from infra.config.schemes import built_in_schemes
from relay import urls
from relay.config.settings import Settings
from relay.errors import OperatorError
from relay.ingest.accept import Acceptance, Proof, accept, examine
from relay.ingest.webhook import Webhook
from relay.jobs.sweep import sweep
from relay.ledger.record import Settled, settle
from relay.model.ids import EventId, Generation, group_scope
from relay.publishing.publisher import Publisher
from relay.publishing.routing import routing_now
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.replay.deliveries import Router
from relay.storage.store import Store
from relay.verification.request import InboundRequest
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo
from tests.flat import group, publishing, url
from tests.local_table import make_table
from tests.memory_aws import Calls
from tests.store_conformance import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import ModuleType

    from relay.jobs.run import Swept
    from relay.model.delivery import Delivery, Status
    from relay.model.event import Event
    from relay.publishing.messages import Publication
    from tests.conftest import Clients

SECRET = "s3cret"
MAC = "mac-key"
BASE = "https://relay.example.com"
FLAT: dict[str, Any] = {
    "name": "relay",
    "retention_days": 30,
    "sources": {
        "github": {
            "scheme": "github",
            "row": built_in_schemes()["github"].row(),
            "routes": [
                {
                    "name": "to",
                    "to": {"audit": publishing(retry_delay="500"), "ci": publishing(retries=5, timeout_s=10)},
                }
            ],
        }
    },
    "url_groups": {
        "audit": group("ledger", "erp", retry_delay="500"),
        "ci": group("builder", retries=5, timeout_s=10),
    },
    "destinations": {
        "ledger": url("audit", "https://ledger.example.com/in"),
        "erp": url("audit", "https://erp.example.com/in"),
        "builder": url("ci", "https://ci.example.com/x"),
    },
}


def routed(**groups: dict[str, Any]) -> dict[str, Any]:
    """Return FLAT, with every event published to *groups*, each as it says."""
    github = FLAT["sources"]["github"] | {"routes": [{"name": "to", "to": groups}]}
    return FLAT | {"sources": {"github": github}}


class QStashWire:
    """QStash as httpx sees it: takes publishes, knows deduplication ids, groups and its log, fails on command.

    Attributes:
        failures: What the next publishes meet, one after the other: a status, or an answer that is lost.
        refused: Bodies that are never taken, and with which status.
        unresolvable: Hosts whose names QStash can't resolve now, and so refuses.
        refusal: What it says then, but for the host.
        poison: Bodies at which the relay's own code breaks before anything is sent.
        garbled: What the next publishes are answered, though they are taken.
        broken: Calls that fail, by the beginning of `METHOD path`, and with which status.
        held: The messages that are still on their way.
        lag: How long a line takes to be in the log.
        forgot_ms: Lines before this time are gone.
        page_max: The lines in a page of the log, or the dead letters in one of theirs, at most.
        asked: Every request.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.failure_headers: dict[str, str] = {}
        self.held: set[str] = set()
        self.batches: list[int] = []
        self.dead_letters: list[dict[str, Any]] = []
        self.forgot_ms = 0
        self.published: list[httpx.Request] = []
        self.taken: dict[str, list[dict[str, str]]] = {}
        self.failures: list[int | Exception] = []
        self.topics: dict[str, dict[str, str]] = {}
        self.forget_ids = False
        self.logs: list[dict[str, Any]] = []
        self.page_max = 1000
        self.lag = timedelta(0)
        self.refused: dict[bytes, int] = {}
        self.unresolvable: set[str] = set()
        self.refusal = "invalid destination url: unable to resolve host: lookup {} on 172.20.0.10:53: no such host"
        self.poison: set[bytes] = set()
        self.garbled: list[bytes] = []
        self.broken: dict[str, int] = {}
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(request)
        for part, status in self.broken.items():
            if f"{request.method} {path}".startswith(part):
                return httpx.Response(status, json={"error": "no"}, headers=self.failure_headers)
        if path == "/v2/batch":
            return self.batch(request)
        if path.startswith(("/v2/publish/", "/v2/enqueue/")):
            return self.publish(request)
        if path == "/v2/logs":
            return self.log(request)
        if path.startswith("/v2/messages/"):
            known = path.rpartition("/")[2] in self.held
            return httpx.Response(200, json={}) if known else httpx.Response(404, json={})
        if path.startswith("/v2/dlq"):
            return self.dlq(request)
        if path == "/v2/keys":
            return httpx.Response(200, json={"current": "sig_a", "next": "sig_b"})
        if path in ("/v2/schedules", "/v2/queues", "/v2/flowControl"):
            return httpx.Response(200, json=[])
        return self.topic(request)

    def publish(self, request: httpx.Request) -> httpx.Response:
        self.published.append(request)
        return self._answered([request], lambda: self._taken(request))

    def batch(self, request: httpx.Request) -> httpx.Response:
        items = [
            httpx.Request(
                "POST", f"/v2/publish/{entry['destination']}", headers=entry["headers"], content=entry["body"]
            )
            for entry in json.loads(request.content)
        ]
        self.published += items
        self.batches.append(len(items))
        return self._answered(items, lambda: [self._taken(it) for it in items])

    def _answered(self, requests: list[httpx.Request], done: Callable[[], Any]) -> httpx.Response:
        if any(it.content in self.poison for it in requests):
            raise ZeroDivisionError
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, int):
            return httpx.Response(failure, json={"error": "no"}, headers=self.failure_headers)
        refused = [self.refused[it.content] for it in requests if it.content in self.refused]
        if refused:  # a batch is taken whole or not at all
            return httpx.Response(refused[0], json={"error": "not this one"})
        hosts = {httpx.URL(url).host for it in requests for url in self._endpoints(it).values()}
        for host in sorted(hosts & self.unresolvable):  # a group, or a batch, is refused whole
            return httpx.Response(400, json={"error": self.refusal.format(host)})
        answer = done()
        if self.garbled:
            return httpx.Response(200, content=self.garbled.pop(0))
        if failure is not None:
            raise failure
        return httpx.Response(200, json=answer)

    def _taken(self, request: httpx.Request) -> list[dict[str, str]]:
        key = request.headers["Upstash-Deduplication-Id"]
        if key not in self.taken or self.forget_ids:
            endpoints = self._endpoints(request)
            self.taken[key] = [
                {"messageId": f"msg_{len(self.logs) + n}", "url": url} for n, url in enumerate(endpoints.values())
            ]
            for name, message in zip(endpoints, self.taken[key], strict=True):
                labels = request.headers["Upstash-Label"].split(",")
                row = {"url": message["url"], "label": labels[0], "labels": labels}
                self.say(message["messageId"], "CREATED", **row, **({"endpointName": name} if name else {}))
                self.held.add(message["messageId"])
        return self.taken[key]

    def _endpoints(self, request: httpx.Request) -> dict[str, str]:
        target = re.sub("^/v2/(publish|enqueue/[^/]+)/", "", request.url.path)
        return self.topics.get(target) or {"": target}

    def say(self, message_id: str, state: str, **row: Any) -> None:
        """Add a line to the log; what isn't said is as in the line before of the same message."""
        before: dict[str, Any] = next((it for it in reversed(self.logs) if it["messageId"] == message_id), {})
        same = {name: it for name, it in before.items() if name in {"url", "label", "labels", "endpointName"}}
        time_ms = int(self.clock().timestamp() * 1000)
        self.logs.append({"time": time_ms, "messageId": message_id, "state": state, **same, **row})
        if state in {"DELIVERED", "FAILED", "CANCELED", "CANCELLED"}:
            self.held.discard(message_id)

    @property
    def log_calls(self) -> list[httpx.Request]:
        """How its log was asked."""
        return [it for it in self.asked if it.url.path == "/v2/logs"]

    def log(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        wanted = set(asked.get_list("label"))
        rows = [it for it in self.logs if not wanted or wanted.intersection(it.get("labels") or [it["label"]])]
        shown_ms = int((self.clock() - self.lag).timestamp() * 1000)
        until_ms = min(shown_ms, int(asked.get("toDate", "9" * 15)))
        rows = [it for it in rows if self.forgot_ms <= it["time"] <= until_ms]
        return self._page("logs", rows[::-1], request)

    def _page(self, name: str, them: list[dict[str, Any]], request: httpx.Request) -> httpx.Response:
        first = int(request.url.params.get("cursor", "0"))
        end = first + min(self.page_max, int(request.url.params["count"]))
        more = {"cursor": str(end)} if len(them) > end else {}
        return httpx.Response(200, json={name: them[first:end], **more})

    def dlq(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":  # without an id in its path it is all of them
            gone = request.url.path.removeprefix("/v2/dlq").lstrip("/")
            there = [it["dlqId"] for it in self.dead_letters]
            self.dead_letters = [it for it in self.dead_letters if gone and it["dlqId"] != gone]
            return httpx.Response(200 if not gone or gone in there else 404, json={})
        labels = request.url.params.get_list("label")
        found = [it for it in self.dead_letters if not labels or it.get("label") in labels]
        return self._page("messages", found, request)

    def topic(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.split("/")
        if len(parts) == 3:
            listed = [
                {"name": name, "endpoints": [{"name": n, "url": u} for n, u in them.items()]}
                for name, them in self.topics.items()
            ]
            return httpx.Response(200, json=listed)
        group = self.topics.setdefault(parts[3], {})
        if request.method == "POST":
            group |= {it["name"]: it["url"] for it in json.loads(request.content)["endpoints"]}
        elif len(parts) == 4:
            del self.topics[parts[3]]
        else:
            for endpoint in json.loads(request.content)["endpoints"]:
                del group[endpoint["name"]]
        return httpx.Response(200)


class World:
    """A relay whose store is real and whose QStash is `QStashWire`."""

    began = datetime(2026, 1, 31, 9, tzinfo=UTC)

    def __init__(self, clients: Clients) -> None:
        self.clock = Clock(self.began)
        self._calls: Calls = getattr(clients.dynamodb, "calls", Calls())
        name = clients.new_name()
        make_table(clients.dynamodb, name)
        clients.s3.create_bucket(Bucket=name)
        self.store = Store(name, name, now=self.clock, dynamodb=clients.dynamodb, s3=clients.s3)
        self.settings = Settings.of({"RELAY_BASE_URLS": BASE}, FLAT)
        self.wire = QStashWire(self.clock)
        self.wire.topics = {
            "relay.audit": {"ledger": "https://ledger.example.com/in", "erp": "https://erp.example.com/in"},
            "relay.ci": {"builder": "https://ci.example.com/x"},
        }
        self.qstash = QStash(
            QStashHttp("token", "https://qstash.example.com", transport=httpx.MockTransport(self.wire), now=self.clock)
        )
        self.paused: dict[str, Any] = {}
        self.secrets: dict[str, str] = {}
        self.publisher = Publisher(
            self.settings, self.store, self.qstash, MAC, paused=lambda: self.paused, secret=self.secret
        )

    def owed_publications(self, event: Event) -> list[Publication]:
        """Return the publications that *event* owes, as the sweep makes them."""
        body = self.store.body(event)
        return self.publisher.pack_event(event, body, routing_now(self.settings, event, body))

    def rewire(self, wire: Callable[[httpx.Request], httpx.Response]) -> None:
        """Have *wire* answer the calls of QStash from now on."""
        http = QStashHttp("token", "https://qstash.example.com", transport=httpx.MockTransport(wire), now=self.clock)
        self.qstash = self.publisher.qstash = QStash(http)

    @property
    def router(self) -> Router:
        """What asks the routes again."""
        return Router(self.settings, lambda: self.paused | self.store.pauses.all())

    def acting(self, function: str) -> AbstractContextManager[None]:
        """Write to the table as *function*, whose role may write what it must and no more: in memory, that is."""
        return self._calls.process(function)

    def handler(self, function: ModuleType) -> Callable[[Any, Any], dict[str, Any]]:
        """Return the handler of *function*, which has the function's role."""
        own = function.handler

        def handler(event: Any, context: Any) -> dict[str, Any]:
            with self.acting(function.__name__):
                answer: dict[str, Any] = own(event, context)
                return answer

        return handler

    def secret(self, name: str) -> str:
        """Return a secret of destinations, as the wiring does."""
        if name not in self.secrets:
            raise OperatorError(f"the secret {name} isn't set")
        return self.secrets[name]

    def post(
        self,
        body: bytes = b"{}",
        key: str = "d-1",
        headers: dict[str, str] | None = None,
        publisher: Callable[[], Publisher] | None = None,
        query: str = "",
    ) -> Acceptance:
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        given = {
            "x-hub-signature-256": f"sha256={digest}",
            "x-github-delivery": key,
            "x-github-event": "push",
            "content-type": "application/json",
            "authorization": "Basic secret",
        }
        source = self.settings.sources["github"]
        url = f"{BASE}/webhooks/github" + (f"?{query}" if query else "")
        received = InboundRequest(method="POST", urls=[url], headers=given | (headers or {}), body=body)
        proof = Proof(secrets=lambda: [Secret(SECRET)], refresh=lambda: False, fetch=None)
        said = examine(source, received, proof, at=self.clock.at.timestamp())
        assert isinstance(said, WebhookInfo)
        webhook = Webhook("github", self.clock.at, said, received.headers["content-type"], body)
        with self.acting("ingest"):
            return accept(
                source,
                webhook,
                settings=self.settings,
                store=self.store,
                publisher=publisher or (lambda: self.publisher),
                paused=lambda: self.paused,
            )

    def save(self, body: bytes = b"{}", key: str = "d-1") -> Event:
        """Have an event saved that nothing is there to publish with."""

        def nothing() -> Publisher:
            raise OperatorError("no token")

        return self.post(body, key, publisher=nothing).event

    def deploy(self, flat: dict[str, Any]) -> None:
        """Have the relay configured otherwise."""
        self.settings = self.publisher.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)

    def sweep(self, seconds: float = 40, seconds_left: Callable[[], float] = lambda: 30) -> Swept:
        self.clock.at += timedelta(seconds=seconds)
        return sweep(self.publisher, owner="a", seconds_left=seconds_left)

    def report(self, event: Event, name: str, kind: str = "callback", **wire: Any) -> Settled:
        said = {"status": 200, "sourceMessageId": "msg_x", "maxRetries": 2, "endpointName": name} | wire
        generation = wire.pop("generation", event.generation)
        scope = wire.pop("scope", group_scope(event.expected.get(name, "audit")))
        path = urls.CallbackAddress(kind, event.id, Generation(generation), scope).url("", MAC)
        with self.acting("record"):
            return settle(path, json.dumps(said).encode(), mac_key=MAC, settings=self.settings, store=self.store)

    def delivery(self, event: Event, name: str) -> Delivery:
        return self.store.delivery(event, name)

    def message(self, event: Event, name: str) -> str:
        """Return QStash's id of the message that carries the delivery."""
        message_id = self.delivery(event, name).message_id
        assert message_id is not None
        return message_id

    def statuses(self, event_id: EventId) -> dict[str, Status]:
        history = self.store.history(event_id)
        assert history is not None
        return {it.destination: it.status for it in history[1]}
