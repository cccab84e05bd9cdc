"""One chaos run: deploy, send under faults, let it settle, replay, and judge."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from infra.local.dev import running
from tests.chaos import records
from tests.chaos.destinations import Destinations
from tests.chaos.faults import Orders, QStashAdmin, Time, outage, rules_of
from tests.chaos.ledger import Ledger, compare, foreign, judge
from tests.chaos.mix import LASTING
from tests.chaos.sender import Sender
from tests.chaos.witness import as_heard
from tests.deployed.clients import Relay
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.ledger import Replay
    from tests.chaos.mix import Mix, Moment

CONFIG = """
[relay]
name = "chaos"

[schemes.acme]
signature = "X-Acme-Signature: {{hex}}"
id = "X-Acme-Id"

[sources]
github = {{ scheme = "github", to = ["core", "rough"] }}
stripe = {{ scheme = "stripe", to = ["core"] }}
acme = {{ scheme = "acme", to = ["rough"] }}

[url_groups.core]
retries = 3
retry_delay = "100"
timeout = "2s"
destinations = {{ steady = "{url}/steady", flaky = "{url}/flaky" }}

[url_groups.rough]
retries = 2
retry_delay = "50 * (1 + retried)"
timeout = "1s"
callbacks = "failures"
flow_control = {{ key = "rough", rate = 1000, parallelism = 100 }}
destinations = {{ rough = "{url}/rough" }}
"""
SETTLE_S = (*[60] * 4, *[240] * 12, *[900] * 6, *[3600] * 6, *[10_800] * 8)  # 32 h: QStash's backoffs are over
PAST_S = 300
SOMEBODY_ELSES = "not the relay's"  # a label
AWAY_STEPS = 3  # in which time passes while QStash is away, a sweep before each
PARALLELISM = 12
ORDER_TRIES = 4
OUTAGE_TRIES = 10
LEASE_S = 61  # how long a sweep that was killed keeps others out
IDLE_S = 120  # how long QStash may take to have nothing under way
REPLAYS_MAX = 200
DELIVERED_REPLAYS = 3


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        struck: How often each kind of fault did.
        missing: The kinds that should have and never did: the run proves nothing of them.
        took_s: Seconds, by what was done.
        rate: Webhooks sent a second.
    """

    seed: int
    count: int
    ledger: Ledger
    struck: Counter[str]
    missing: list[str]
    took_s: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0

    @property
    def holds(self) -> bool:
        """Tell whether the promise held, under all the faults that there were to be."""
        return self.ledger.holds and not self.missing


@dataclass(frozen=True)
class Stage:
    """A deployed relay, its destinations, and what makes it fail."""

    relay: Relay
    destinations: Destinations
    orders: Orders


@contextmanager
def stage(step: Callable[[str], object] = lambda _: None) -> Iterator[Stage]:
    """Deploy the relay of `CONFIG` for a run."""
    with Destinations() as destinations, tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        orders = Orders(Path(folder))
        config = Path(folder) / "relay.toml"
        config.write_text(CONFIG.format(url=destinations.base_url), encoding="utf-8")
        variables = orders.variables()
        with (
            running(config, admin=True, aws_variables=variables, step=step) as local,
            closing(Relay(local)) as relay,
        ):
            yield Stage(relay, destinations, orders)


class Run:
    """One mix on one stage.

    Args:
        step: Told what is being done, for people.
    """

    def __init__(self, mix: Mix, on: Stage, step: Callable[[str], object] = lambda _: None) -> None:
        self._mix, self._on, self._step = mix, on, step
        local = on.relay.local
        self._qstash = QStashAdmin(local)
        self._time = Time(on.orders, self._qstash, mix.skew_s)
        self._sender = Sender(local.relay_url, local.secrets, self._time.now)
        self._lambda = on.relay.aws("lambda")
        self._scheduled = [
            value for name, value in local.outputs.items() if name.endswith("Function") and name != "SyncFunction"
        ]
        self._moments = list(mix.moments)
        self._background: set[asyncio.Task[None]] = set()
        self._struck: Counter[str] = Counter()
        self._left_over = 0

    def judged(self) -> Outcome:
        """Do it all, and return what came of it."""
        mix, times = self._mix, dict[str, float]()
        with closing(self._qstash):
            self._have_a_past()
            with _timed(times, "sending"):
                self._send()
            with _timed(times, "settling"):
                self._calm()
                self._settle()
            with _timed(times, "replaying"):
                replays = self._replay()
                self._settle()
            with _timed(times, "judging"):
                self._struck += self._qstash.end()
                said = records.read(self._on.relay, mix.webhooks)
                sent = [self._sender.sent(it) for it in mix.webhooks]
                arrivals = as_heard(self._on.relay, self._on.destinations.arrivals)
                ledger = judge(sent, arrivals, said.status, replays)
                compare(ledger, said.status, records.audited(self._on.relay))
                foreign(ledger, self._on.relay.qstash("/v2/dlq")["messages"], SOMEBODY_ELSES)
        struck = self._counted()
        missing = sorted(kind for kind in mix.expected_strikes() if not struck[kind])
        return Outcome(mix.seed, len(mix.webhooks), ledger, struck, missing, times, self._sender.rate)

    # -- sending under faults -----------------------------------------------------------------------------------------

    def _have_a_past(self) -> None:
        """Have QStash's log reach back before the run: the relay trusts it only as far as it surely does.

        What it tells of is somebody else's, and so is the dead letter that comes of it.
        """
        local = self._on.relay.local
        headers = {"Authorization": f"Bearer {local.qstash_token}", "Upstash-Retries": "0"}
        headers |= {"Upstash-Label": SOMEBODY_ELSES}
        nowhere = "http://127.0.0.1:9/past"  # nobody listens there
        httpx.post(f"{local.qstash_url}/v2/publish/{nowhere}", headers=headers, trust_env=False).raise_for_status()
        self._idle()
        self._time.advance(PAST_S)

    def _send(self) -> None:
        mix = self._mix
        self._step(f"sending {len(mix.webhooks)} webhooks under faults")
        self._on.destinations.behave(mix.behaviours)
        self._on.orders.tell(seed=mix.seed, record=mix.rates, outage={})
        self._qstash.limit_parallelism(min(PARALLELISM, max(4, len(mix.webhooks) // 15)))
        self._qstash.set(mix.settings)
        self._qstash.add(rules_of(mix))
        asyncio.run(self._send_under_faults())

    async def _send_under_faults(self) -> None:
        held_back = self._mix.held_back
        await self._sender.send_all(self._mix.webhooks[: len(self._mix.webhooks) - held_back], self._at_share)
        await asyncio.gather(*self._background)
        for moment in self._moments:
            await self._happen(moment)
        again = [it for it in self._mix.webhooks if it.again]
        self._struck["sent again"] += len(again)
        await self._sender.send_all(again)

    async def _at_share(self, share: float) -> None:
        while self._moments and self._moments[0].share <= share:
            moment = self._moments.pop(0)
            task = asyncio.create_task(self._happen(moment))
            self._background.add(task)

    async def _happen(self, moment: Moment) -> None:
        match moment.action:
            case "outage":
                await self._outage(moment)
            case "order":
                await asyncio.to_thread(self._order, moment.argument)
            case "rotate":
                rule = {"on": "call", "do": "rotate", "count": 1}
                await asyncio.to_thread(self._qstash.add, {"keys rotated": rule})
                await asyncio.to_thread(self._sweep)
            case "away":
                self._qstash.go_down(moment.seconds)
                await self._sender.send_all(self._mix.webhooks[-self._mix.held_back :])
                await asyncio.to_thread(self._wait_for_qstash, moment.seconds)

    async def _outage(self, moment: Moment) -> None:
        """Have an outage last as long as it shall, and until it has struck: a busy machine sends little meanwhile."""
        before = self._on.orders.struck()[moment.argument]
        with outage(self._on.orders, moment.argument):
            for _ in range(OUTAGE_TRIES):
                await asyncio.sleep(moment.seconds)
                if self._on.orders.struck()[moment.argument] > before:
                    return

    def _wait_for_qstash(self, seconds: float) -> None:
        """Let QStash's outage pass, with sweeps meanwhile; what they can't publish is what it struck."""
        for _ in range(AWAY_STEPS):
            self._sweep()
            self._struck["qstash away for half an hour"] = records.unpublished(self._on.relay)
            self._time.advance(seconds / AWAY_STEPS)

    def _order(self, order: str) -> None:
        """Have *order* strike the function that it is for: another run of it may stand in the way of the first."""
        before = self._on.orders.struck()[order]
        for _ in range(ORDER_TRIES):
            self._on.orders.order(order)
            self._sweep()
            if self._on.orders.struck()[order] > before:
                return
            self._idle()
            self._time.advance(LEASE_S)

    # -- settling -----------------------------------------------------------------------------------------------------

    def _calm(self) -> None:
        """End all faults but those of destinations; sources that send again do so until they are heard."""
        self._struck += self._qstash.end(but=LASTING)
        self._on.orders.tell(record={}, outage={})
        asyncio.run(self._sender.send_all(self._sender.unaccepted(self._mix.webhooks)))

    def _settle(self) -> None:
        """Move time until the relay says that nothing is to come any more, or all that can come has had its time.

        What was left over the first time isn't waited for the second time.
        """
        for number, seconds in enumerate(SETTLE_S):
            self._sweep()
            self._idle()
            to_come = records.open_deliveries(self._on.relay)
            if number > 1 and to_come <= self._left_over:
                return
            self._step(f"settling: {to_come} to come; time goes on by {seconds} s")
            self._time.advance(seconds)
        self._idle()
        self._left_over = to_come

    def _idle(self) -> None:
        """Wait until QStash has nothing under way."""
        eventually(lambda: not self._qstash.status()["under_way"], "QStash has nothing under way", IDLE_S)

    def _sweep(self) -> None:
        """Do what EventBridge does every minute."""
        for name in self._scheduled:
            self._lambda.invoke(FunctionName=name, Payload=json.dumps({}).encode())

    # -- replays ------------------------------------------------------------------------------------------------------

    def _replay(self) -> list[Replay]:
        """Replay most of the dead letters, whose destinations recover, and a few deliveries that had arrived."""
        said = records.read(self._on.relay, self._mix.webhooks)
        dead = sorted(entry for entry, status in said.status.items() if status == "dead_lettered")
        dead = dead[: min(REPLAYS_MAX, -(-len(dead) * 3 // 4))]  # the others stay what they are
        done = sorted(entry for entry, status in said.status.items() if status == "delivered")[:DELIVERED_REPLAYS]
        for nonce, destination in dead:
            self._on.destinations.recover(destination, nonce)
        self._step(f"replaying {len(dead)} dead letters and {len(done)} deliveries")
        return records.replay(self._on.relay, said, [*dead, *done])

    def _counted(self) -> Counter[str]:
        counted = self._struck + self._on.orders.struck()
        counted.update({f"destination {kind}": number for kind, number in self._on.destinations.struck.items()})
        counted["sent at once"] += self._sender.doubles
        return counted


@contextmanager
def _timed(times: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    times[name] = round(time.monotonic() - began, 1)
