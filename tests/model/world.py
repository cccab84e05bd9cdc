"""A whole relay in one process, deterministic: the same acts come to the same end.

The verbs, the store, the QStash client and the signature check are the relay's own; QStash is the local one.  What is
played is DynamoDB and S3 (`tests.memory_aws`), destinations, time, chance, and functions that may crash.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

import httpx
import jwt.api_jwt

from infra.config.desired import desired
from infra.local.qstash.app import app
from infra.local.qstash.broker.clock import Clock, all_idle
from infra.local.qstash.broker.messages import Answer, Outgoing
from infra.local.qstash.broker.state import Settings as QStashSettings
from infra.local.qstash.broker.state import documented_users
from relay.config.settings import Settings
from relay.deployment import sync
from relay.deployment.sync import refresh_keys
from relay.errors import RelayError
from relay.ingest.accept import Acceptance, accept_or_spool
from relay.ingest.webhook import Webhook
from relay.jobs.audit import Audited, audit
from relay.jobs.sweep import sweep
from relay.ledger.record import settle
from relay.model.delivery import Status
from relay.model.ids import EventId, delivery_id, event_id
from relay.publishing.publisher import Publisher
from relay.qstash.client import QStash
from relay.qstash.http import QStashHttp
from relay.replay import pauses
from relay.replay.deliveries import Router, StartedReplay, replay_deliveries
from relay.runtime.http_api import Request
from relay.storage.store import Store
from relay.targets.deliver import deliver
from relay.urls import BODY_MAC
from relay.verification.request import InboundRequest
from relay.verification.verify import describe
from relay.wiring import Parts
from tests.local_table import make_table
from tests.memory_aws import Calls, Crash, MemoryDynamoDB, MemoryS3
from tests.model.bridge import Bridge
from tests.model.configuration import BASE, FIRST, OTHER_URLS, URLS, Layout, flat
from tests.model.destinations import Behaviour, Bus, Destinations

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from infra.local.qstash.broker.state import User
    from relay.jobs.run import Swept

QSTASH = "https://qstash.example.com"
ADMIN = "admin"
BEGAN_S = 1_800_000_000.0
SWEEP_S = 45.0
PUBLISH_IS_CALL = 4  # of those that the first webhook's acceptance makes
FUNCTIONS = ("ingest", "record", "deliver", "sweep", "audit")
OUTAGE = timedelta(days=2.9)  # QStash's log reaches back a little longer


class World:
    """One relay, its QStash, its destinations and its time.

    Args:
        seed: Of all chance: ids, and how far indexes are behind.
        window_s: How long QStash knows a deduplication id.
        scope: What such an id is one of.
        lag: Whether the table's indexes are behind.
        log_lag_s: How far QStash's logs are behind.

    Attributes:
        acknowledged: Events whose source was told that they are durable.
        broken: What went wrong with the world itself.
        overdue: Events with something that was due for longer than QStash's log reaches back.
        layouts: What was deployed, one after the other.
        was_narrow: Whether some events may have gone nowhere.
        replayed: Events and destinations of deliveries that a person had made again.
        retried: The labels of what somebody sent again in QStash's console.
        refused: The statuses of callbacks that the relay didn't take, counted.
        latency_s: How long everything takes that QStash sends; 0: it arrives before the publish returns.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        window_s: float = 600.0,
        scope: Any = "account",
        lag: bool = False,
        log_lag_s: float = 0.0,
        latency_s: float = 0.0,
    ) -> None:
        chance = random.Random(seed)  # noqa: S311 - a seeded one is meant
        self.clock = Clock(BEGAN_S)
        self.latency_s = latency_s
        self.calls = Calls()
        self.layouts: list[Layout] = [FIRST]
        self._settings: dict[str, Settings] = {}
        self._state: str | None = None  # the physical id that CloudFormation knows
        self._known = dict.fromkeys(FUNCTIONS, (FIRST, False))
        names = {url: name for urls in (URLS, OTHER_URLS) for name, url in urls.items()}
        self.destinations = Destinations(names, self.clock)
        self.acknowledged: dict[EventId, str] = {}
        self.refused: Counter[int] = Counter()
        self.broken: list[str] = []
        self.was_narrow = False
        self._labels: dict[str, str] = {}
        self.overdue: set[str] = set()
        self.replayed: set[tuple[str, str]] = set()
        self.retried: set[str] = set()
        self._open = ExitStack()
        self._fix_chance_and_time(chance)
        self._runner = asyncio.Runner()
        self._open.callback(self._runner.close)
        self._start_qstash(
            QStashSettings(deduplication_window_s=window_s, deduplication_scope=scope, log_lag_s=log_lag_s)
        )
        self._start_relay(random.Random(seed) if lag else None)  # noqa: S311 - ditto

    def _fix_chance_and_time(self, chance: random.Random) -> None:
        """Have ids and the time of signature checks be the world's."""
        now = self.now

        class Time(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return now().astimezone(tz)

        patches: list[Any] = [
            mock.patch.object(secrets, "token_hex", lambda length: chance.randbytes(length).hex()),
            mock.patch.object(secrets, "token_bytes", chance.randbytes),
            mock.patch.object(jwt.api_jwt, "datetime", Time),
        ]
        for patch in patches:
            self._open.enter_context(patch)

    def _start_qstash(self, settings: QStashSettings) -> None:
        user = documented_users({})[0]
        application = app(clock=self.clock, settings=settings, send=self._sent, admin_token=ADMIN)
        lifespan = application.router.lifespan_context(application)
        self._runner.run(lifespan.__aenter__())
        self._open.callback(lambda: self._runner.run(lifespan.__aexit__(None, None, None)))
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(application),
            base_url=QSTASH,
            headers={"Authorization": f"Bearer {user.token}"},
        )
        self._open.callback(lambda: self._runner.run(self._http.aclose()))
        self.bridge = Bridge(application, self._runner, self.clock, self.calls)
        self.account: User = application.state.users[0]
        self.qstash = self.with_token(user.token)

    def _start_relay(self, lag: random.Random | None) -> None:
        dynamodb: Any = MemoryDynamoDB(self.calls, lag)
        s3: Any = MemoryS3(self.calls)
        make_table(dynamodb, "table")
        s3.create_bucket(Bucket="bucket")
        self.table = dynamodb.tables["table"]
        self.bucket = s3.buckets["bucket"]
        self.store = Store("table", "bucket", now=self.now, dynamodb=dynamodb, s3=s3)
        self.recorder = self._function("record")
        self.ingest = self._function("ingest")
        refresh_keys(self.store, self.qstash)
        self._add(FIRST)

    # -- deploys ----------------------------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """The layout of the newest deploy that began."""
        return self.layouts[-1]

    def settings(self, function: str) -> Settings:
        """Return what *function* knows: of a deploy under way that is what was before, or what comes."""
        layout, narrow = self._known[function]
        key = json.dumps([layout, narrow])
        if key not in self._settings:
            self._settings[key] = Settings.of({"RELAY_BASE_URLS": BASE}, flat(layout, narrow=narrow))
        return self._settings[key]

    def route(self, *, narrow: bool) -> None:
        """Deploy other routes: some events go nowhere, and of some it can't be told where they go."""
        self.was_narrow = self.was_narrow or narrow
        self._known = {name: (layout, narrow) for name, (layout, _) in self._known.items()}

    def begin_deploy(self, layout: Layout) -> None:
        """Begin to deploy *layout*, once the deploy before is over: QStash changes before the functions do."""
        self.end_deploy()
        if len(self.store.deployment.desired()) > 1 or layout == self.layout:
            return  # what was before couldn't be cleaned up: CloudFormation tries again
        try:
            self._add(layout)
        except RelayError:
            self.fail_deploy()
        else:
            self.layouts.append(layout)

    def fail_deploy(self) -> None:
        """Do what CloudFormation does where QStash couldn't be changed: it asks for the state that it knows again."""
        with suppress(RelayError):
            self._add(self.layout)

    def roll_back(self) -> None:
        """Have a deploy that is under way fail: what was before is deployed again, in the same order."""
        if len(self.store.deployment.desired()) > 1 and len(self.layouts) > 1:
            before = self.layouts[-2]
            with suppress(RelayError):
                self._add(before)
                self.layouts.append(before)

    def switch(self, *functions: str) -> None:
        """Have *functions* know what is deployed: each has its turn."""
        self._known |= {name: (self.layout, self._known[name][1]) for name in functions}

    def end_deploy(self) -> None:
        """Have all functions know what is deployed, and clean up after the deploy."""
        self.switch(*FUNCTIONS)
        known = self.store.deployment.desired()
        for state in sorted(known, key=lambda it: known[it]["at"])[:-1]:
            with suppress(RelayError):
                sync.remove(state, "relay", qstash=self.qstash, store=self.store)

    def _add(self, layout: Layout) -> None:
        """Have QStash have what *layout* wants of it before the functions know it."""
        wanted = json.dumps(desired(flat(layout), BASE))
        self._state = sync.add(wanted, "relay", qstash=self.qstash, store=self.store, current=self._state)

    def _function(self, name: str) -> Parts:
        """Return what the Lambda function *name* keeps while it is warm."""
        relay = Parts(self.settings(name))
        relay.store = self.store
        return relay

    def close(self) -> None:
        """End it."""
        self._open.close()

    def now(self) -> datetime:
        """Return the world's time."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    # -- what QStash sends ------------------------------------------------------------------------------------------

    async def _sent(self, outgoing: Outgoing) -> Answer:
        known = self.account.messages.get(outgoing.header["Upstash-Message-Id"][0])
        if known is not None:  # else it was cancelled between its attempts
            self._labels[known.id] = (*known.options.labels, "")[0]
        await self.clock.sleep(self.latency_s)
        try:
            if outgoing.url.startswith(f"{BASE}/qstash/deliver/"):
                return self._handed_over(outgoing)
            if outgoing.url.startswith(BASE):
                return self._recorded(outgoing)
            if BODY_MAC.lower() in map(str.lower, outgoing.header):
                self.broken.append(f"{outgoing.url} was told how to forge a hand-over")
            return await self.destinations.answer(outgoing, self._labels[outgoing.header["Upstash-Message-Id"][0]])
        except Exception as error:
            if not isinstance(error, ConnectionResetError):  # a destination's way to answer
                self.broken.append(repr(error))
            raise

    def _handed_over(self, outgoing: Outgoing) -> Answer:
        """Do what the function `deliver` does with a delivery for an AWS target."""
        name, message = outgoing.url.rpartition("/")[2], outgoing.header["Upstash-Message-Id"][0]
        bus = Bus(self.destinations, name, self._labels[message], message)
        request = _request(outgoing)
        try:
            with self.calls.process():
                self.recorder.check_qstash(request)
                deliver(
                    name,
                    headers=request.headers,
                    body=outgoing.body,
                    mac_key=self.recorder.mac_key,
                    settings=self.settings("deliver"),
                    store=self.store,
                    clients=lambda *_: bus,
                )
        except RelayError as error:
            return Answer(error.status, {"Upstash-Nonretryable-Error": ["true"]} if error.status == 489 else {})
        except Crash:
            self.recorder = self._function("record")
            return Answer(502)
        bus.succeeded()
        return Answer(200)

    def _recorded(self, outgoing: Outgoing) -> Answer:
        """Do what the function `record` does with a callback."""
        request = _request(outgoing)
        status = 200
        try:
            with self.calls.process("record"):
                self.recorder.check_qstash(request)
                mac_key = self.recorder.mac_key
                settle(request.path, request.body, mac_key=mac_key, settings=self.settings("record"), store=self.store)
        except RelayError as error:
            status = error.status
        except Crash:
            status = 502
            self.recorder = self._function("record")
        if status != 200:
            self.refused[status] += 1
        return Answer(status)

    # -- what the relay does ----------------------------------------------------------------------------------------

    def _publisher(self, function: str) -> Publisher:
        return Publisher(
            self.settings(function),
            self.store,
            self.qstash,
            self._function(function).mac_key,
            paused=self.ingest.paused,
            secret=lambda name: name,
            workers=1,
        )

    def webhook(self, source: str, key: str, body: bytes = b"{}", event_type: str = "push") -> EventId | None:
        """Send a webhook; return its event if the source was told that it is durable.

        Args:
            event_type: As a stranger may write it, in a header and in the query; an HTTP API hands it over as it is.
        """
        headers = {"X-GitHub-Event": event_type, "X-GitHub-Delivery": key, "X-GitHub-Said": event_type}
        request = Request.of(
            {"headers": headers, "rawPath": "/", "rawQueryString": f"={quote(event_type, errors='replace')}"}
        )
        received = InboundRequest(method="POST", urls=request.urls((BASE,)), headers=request.headers, body=body)
        said = describe(self.settings("ingest").sources["github"].row, received)
        webhook = Webhook(source, self.now(), said, "application/json", body)
        try:
            with self.calls.process("ingest"):
                accepted = accept_or_spool(
                    self.settings("ingest").sources[source],
                    webhook,
                    settings=self.settings("ingest"),
                    store=self.store,
                    publisher=lambda: self._publisher("ingest"),
                    paused=self.ingest.paused,
                )
        except (RelayError, Crash):
            return None
        event = accepted.event.id if isinstance(accepted, Acceptance) else event_id(source, key)
        self.acknowledged[event] = source
        return event

    def sweep(self) -> Swept | None:
        """Do what the function `sweep` does; return None where it crashed, or failed."""
        ends_s = self.clock.now() + SWEEP_S
        owner = secrets.token_hex(4)
        try:
            with self.calls.process():
                with suppress(RelayError):  # as the handler, which says so in its log
                    refresh_keys(self.store, self.qstash)
                return sweep(self._publisher("sweep"), owner=owner, seconds_left=lambda: ends_s - self.clock.now())
        except (RelayError, Crash):
            return None

    def audit(self) -> Audited | None:
        """Do what the function `audit` does; return None where it crashed, or failed."""
        ends_s = self.clock.now() + SWEEP_S
        owner = secrets.token_hex(4)
        try:
            with self.calls.process():
                return audit(self._publisher("audit"), owner=owner, seconds_left=lambda: ends_s - self.clock.now())
        except (RelayError, Crash):
            return None

    def replay(self, event: EventId, destination: str) -> StartedReplay | None:
        """Replay a delivery, if it is over; return None where that failed."""
        self.replayed.add((event, destination))
        try:
            with self.calls.process():
                return replay_deliveries(self.store, [delivery_id(event, destination)], by=None, reason=None)
        except (RelayError, Crash):
            return None

    def route_again(self) -> None:
        """Have a person replay what no route took, or of which one couldn't be told: the routes of now are asked."""
        router = Router(self.settings("sweep"), self.store.pauses.all)
        for item in list(self.table.items.values()):
            if item["sk"]["S"] != "EVENT" or (item["expected"]["M"] and "route_error" not in item):
                continue
            with suppress(RelayError, Crash), self.calls.process():
                event = self.store.event(EventId(item["pk"]["S"]))
                router.reroute(self.store, event) if event else None

    def pause(self, destination: str) -> None:
        """Have a person pause a destination; ingest knows within 10 s."""
        with suppress(RelayError, Crash), self.calls.process():
            self.store.pauses.add(destination, None, None)

    def resume(self, destination: str) -> None:
        """Have a person end the pause of a destination, if it is paused."""
        with suppress(RelayError, Crash), self.calls.process():
            pauses.resume(self.store, destination, rate=60, by=None, reason=None)

    def deliveries(self, statuses: Collection[Status]) -> list[tuple[EventId, str]]:
        """Return the event and the destination of the deliveries that have a record with one of *statuses*."""
        return sorted(
            (EventId(item["pk"]["S"]), item["destination"]["S"])
            for item in self.table.items.values()
            if "status" in item and Status(item["status"]["S"]) in statuses
        )

    # -- time and faults ----------------------------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        self.bridge.busy = True
        try:
            return self._runner.run(coroutine)
        finally:
            self.bridge.busy = False

    def wait(self, **span: float) -> None:
        """Let time pass, as `timedelta` takes it."""
        self._run(self.clock.advance(timedelta(**span).total_seconds()))
        for item in self.table.items.values():
            began = item.get("since") or item.get("received_at")  # a replay of many, which is due, too, has neither
            if "due_pk" in item and began and self.now() - datetime.fromisoformat(began["S"]) > OUTAGE:
                self.overdue.add(item["pk"]["S"])

    def with_token(self, token: str) -> QStash:
        """Return a client of QStash that has another token."""
        return QStash(QStashHttp(token, QSTASH, transport=self.bridge))

    def delete_group(self, group: str) -> None:
        """Have somebody delete a URL group at QStash."""
        self.ask_qstash("DELETE", f"/v2/topics/relay.{group}")

    def drift(self, name: str) -> None:
        """Have somebody take the destination *name* out of its URL group at QStash."""
        group = next((f"relay.{of}" for of, them in self.layout.items() if name in them), "")
        if group in self.account.groups:
            self._meddle("DELETE", f"/v2/topics/{group}/endpoints", {"endpoints": [{"name": name}]})

    def cancel(self, number: int) -> None:
        """Have somebody cancel one of the messages, or callbacks, that QStash has."""
        ids = list(self.account.messages)
        if ids:
            self._meddle("DELETE", f"/v2/messages/{ids[number % len(ids)]}")

    def retry_dead_letters(self) -> None:
        """Have somebody send all of QStash's dead letters again, in its console: as new messages."""
        for dead_letter in self.account.dead_letters.values():
            self.retried.update(dead_letter.message.options.labels)
        self._meddle("POST", "/v2/dlq/retry")

    def _meddle(self, method: str, path: str, body: object = None) -> None:
        with suppress(ConnectionResetError, AssertionError):  # it is away for people, too
            self.ask_qstash(method, path, body)

    def ask_qstash(self, method: str, path: str, body: object = None, *, admin: bool = False) -> Any:
        """Call QStash around the relay, and expect that it does what it is asked to."""
        headers = {"Authorization": f"Bearer {ADMIN}"} if admin else None

        async def asking() -> Any:
            answer = await self._http.request(method, path, json=body, headers=headers)
            await all_idle()
            assert answer.is_success, answer.text
            return answer.json()

        return self._run(asking())

    def fault(self, **rule: Any) -> None:
        """Give QStash a rule of what goes wrong."""
        self.ask_qstash("POST", "/admin/rules", rule, admin=True)

    def mend(self) -> None:
        """End all faults; every destination is up."""
        self.calls.disarm()
        self.ask_qstash("DELETE", "/admin/rules", admin=True)
        self.ask_qstash("POST", "/admin/up", admin=True)
        self.destinations.behaviour = dict.fromkeys(URLS, Behaviour.UP)
        self.route(narrow=False)
        self.end_deploy()
        sync.mend("relay", qstash=self.qstash, store=self.store)
        for destination in self.store.pauses.all():
            self.resume(destination)
        self.table.catch_up()

    def become_quiet(self) -> None:
        """Mend all, and let the relay do what it does until nothing can change any more."""
        self.mend()
        spans = [*[61] * 3, *[660] * 4, *[3_600] * 3, *[21_600] * 4, *[86_400] * 3]
        for seconds in spans:
            self.wait(seconds=seconds)
            self.sweep()
            self.audit()
            self.route_again()
        self.table.catch_up()


def _request(outgoing: Outgoing) -> Request:
    """Return what the relay gets of *outgoing*."""
    headers = {name.lower(): ",".join(values) for name, values in outgoing.header.items()}
    return Request("POST", "", outgoing.url.removeprefix(BASE), "", {}, {}, headers, outgoing.body, None)
