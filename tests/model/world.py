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

import httpx
import jwt.api_jwt

from infra.local.qstash.app import app
from infra.local.qstash.clock import Clock, all_idle
from infra.local.qstash.state import Answer, Outgoing, documented_users
from infra.local.qstash.state import Settings as QStashSettings
from relay import pauses, sync
from relay.accept import Acceptance, accept_or_spool
from relay.audit import Audited, audit
from relay.errors import RelayError
from relay.gateway import Request
from relay.judgement import Described
from relay.model import EventId, Status, delivery_id, event_id
from relay.publish import Publisher
from relay.qstash import QStash
from relay.replay import Replay, Router, replay_deliveries
from relay.settings import Settings
from relay.settle import settle
from relay.spool import Spooled
from relay.store import Store
from relay.sweep import Swept, refresh_keys, sweep
from relay.wiring import Relay
from tests.local_table import make_table
from tests.memory_aws import Calls, Crash, MemoryDynamoDB, MemoryS3
from tests.model.bridge import Bridge
from tests.model.configuration import BASE, GROUPS, OTHER_URLS, URLS, WIDE
from tests.model.destinations import Behaviour, Destinations

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from infra.local.qstash.state import User

QSTASH = "https://qstash.example.com"
ADMIN = "admin"
BEGAN_S = 1_800_000_000.0
SWEEP_S = 45.0
PUBLISH_IS_CALL = 4  # of those that the first webhook's acceptance makes
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
        self.urls = URLS
        self.route(WIDE)
        names = {url: name for urls in (URLS, OTHER_URLS) for name, url in urls.items()}
        self.destinations = Destinations(names, self.clock)
        self.acknowledged: dict[EventId, str] = {}
        self.refused: Counter[int] = Counter()
        self.broken: list[str] = []
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
        for it in patches:
            self._open.enter_context(it)

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
        self.qstash = QStash(user.token, QSTASH, transport=self.bridge)

    def _start_relay(self, lag: random.Random | None) -> None:
        dynamodb: Any = MemoryDynamoDB(self.calls, lag)
        s3: Any = MemoryS3(self.calls)
        make_table(dynamodb, "table")
        s3.create_bucket(Bucket="bucket")
        self.table = dynamodb.tables["table"]
        self.bucket = s3.buckets["bucket"]
        self.store = Store("table", "bucket", now=self.now, dynamodb=dynamodb, s3=s3)
        self.recorder = self._function()
        self.ingest = self._function()
        refresh_keys(self.store, self.qstash)
        self.deploy()

    def route(self, flat: dict[str, Any]) -> None:
        """Have the functions know these routes, and where destinations are now, from now on."""
        self._flat = flat
        destinations = {name: it | {"url": self.urls[name]} for name, it in flat["destinations"].items()}
        self.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat | {"destinations": destinations})

    def move(self, name: str) -> None:
        """Begin to deploy another URL of a destination: its URL group changes before the functions do."""
        other = OTHER_URLS if self.urls[name] == URLS[name] else URLS
        self.urls = {**self.urls, name: other[name]}
        with suppress(RelayError):
            self.deploy()

    def end_deploy(self) -> None:
        """Have the functions know where destinations are, and clean up after the deploy."""
        self.route(self._flat)
        known = self.store.desired()
        for state in sorted(known, key=lambda it: known[it]["at"])[:-1]:
            with suppress(RelayError):
                sync.remove(state, "relay", qstash=self.qstash, store=self.store)

    def deploy(self) -> None:
        """Have QStash's URL groups be what the configuration says."""
        wanted = {
            f"relay.{group}": [{"name": it, "url": self.urls[it]} for it in names] for group, names in GROUPS.items()
        }
        sync.add(json.dumps({"groups": wanted}), "relay", qstash=self.qstash, store=self.store)

    def _function(self) -> Relay:
        """Return what a Lambda function keeps while it is warm."""
        relay = Relay(self.settings)
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
            if outgoing.url.startswith(BASE):
                return self._recorded(outgoing)
            return await self.destinations.answer(outgoing, self._labels[outgoing.header["Upstash-Message-Id"][0]])
        except Exception as error:
            if not isinstance(error, ConnectionResetError):  # a destination's way to answer
                self.broken.append(repr(error))
            raise

    def _recorded(self, outgoing: Outgoing) -> Answer:
        """Do what the function `record` does with a callback."""
        path = outgoing.url.removeprefix(BASE)
        headers = {name.lower(): ",".join(values) for name, values in outgoing.header.items()}
        request = Request("POST", "", path, "", {}, {}, headers, outgoing.body, None)
        status = 200
        try:
            with self.calls.process("record"):
                self.recorder.check_qstash(request)
                mac_key = self.recorder.mac_key
                settle(path, outgoing.body, mac_key=mac_key, settings=self.settings, store=self.store)
        except RelayError as error:
            status = error.status
        except Crash:
            status = 502
            self.recorder = self._function()
        if status != 200:
            self.refused[status] += 1
        return Answer(status)

    # -- what the relay does ----------------------------------------------------------------------------------------

    def _publisher(self) -> Publisher:
        return Publisher(
            self.settings,
            self.store,
            self.qstash,
            self._function().mac_key,
            paused=self.ingest.paused,
            secret=lambda name: name,
            workers=1,
        )

    def webhook(self, source: str, key: str, body: bytes = b"{}") -> EventId | None:
        """Send a webhook; return its event if the source was told that it is durable."""
        said = Described(key, has_id=True, event_type="push", headers={})
        webhook = Spooled(source, self.now(), said, "application/json", body)
        try:
            with self.calls.process("ingest"):
                accepted = accept_or_spool(
                    self.settings.sources[source],
                    webhook,
                    settings=self.settings,
                    store=self.store,
                    publisher=self._publisher,
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
                return sweep(self._publisher(), owner=owner, seconds_left=lambda: ends_s - self.clock.now())
        except (RelayError, Crash):
            return None

    def audit(self) -> Audited | None:
        """Do what the function `audit` does; return None where it crashed, or failed."""
        ends_s = self.clock.now() + SWEEP_S
        owner = secrets.token_hex(4)
        try:
            with self.calls.process():
                return audit(self._publisher(), owner=owner, seconds_left=lambda: ends_s - self.clock.now())
        except (RelayError, Crash):
            return None

    def replay(self, event: EventId, destination: str) -> Replay | None:
        """Replay a delivery, if it is over; return None where that failed."""
        self.replayed.add((event, destination))
        try:
            with self.calls.process():
                return replay_deliveries(self.store, [delivery_id(event, destination)], by=None, reason=None)
        except (RelayError, Crash):
            return None

    def route_again(self) -> None:
        """Have a person replay what no route took, or of which one couldn't be told: the routes of now are asked."""
        router = Router(self.settings, self.store.paused)
        for item in list(self.table.items.values()):
            if item["sk"]["S"] != "EVENT" or (item["expected"]["M"] and "route_error" not in item):
                continue
            with suppress(RelayError, Crash), self.calls.process():
                event = self.store.event(EventId(item["pk"]["S"]))
                router.reroute(self.store, event) if event else None

    def pause(self, destination: str) -> None:
        """Have a person pause a destination; ingest knows within 10 s."""
        with suppress(RelayError, Crash), self.calls.process():
            self.store.pause(destination, None, None)

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

    def drift(self, name: str) -> None:
        """Have somebody take the destination *name* out of its URL group at QStash."""
        group = f"relay.{self.settings.destinations[name].group}"
        if group in self.account.groups:
            self._meddle("DELETE", f"/v2/topics/{group}/endpoints", {"endpoints": [{"name": name}]})

    def cancel(self, number: int) -> None:
        """Have somebody cancel one of the messages, or callbacks, that QStash has."""
        ids = list(self.account.messages)
        if ids:
            self._meddle("DELETE", f"/v2/messages/{ids[number % len(ids)]}")

    def retry_dead_letters(self) -> None:
        """Have somebody send all of QStash's dead letters again, in its console: as new messages."""
        for it in self.account.dead_letters.values():
            self.retried.update(it.message.options.labels)
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
        self.deploy()
        self.route(WIDE)
        self.end_deploy()
        for destination in self.store.paused():
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
