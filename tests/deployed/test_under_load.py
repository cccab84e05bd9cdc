"""A deploy that changes nearly everything, while webhooks come in all the time: none is lost, none is doubled.

It has a relay of its own: what it deploys again, no other test can count on.  What the deploy kept from being known to
be published is owed until QStash's log can't lag any more: minutes, which this test doesn't wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from infra.local.destinations import Destinations
from infra.local.dev import running
from tests.deployed.clients import Relay
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SENDERS = 3
PAUSE_S = 0.1  # else they leave the deploy itself no time
TAKEN_S = 90  # a call that the local AWS never answers takes 30 s of it
SETTLED_S = 150  # what a publish couldn't do, the sweep turns to within a minute or two
HEAD = """
[relay]
name = "busy"
[schemes.acme]
signature = "X-Acme-Signature: {{base64}}"
algorithm = "hmac-sha512"
id = "X-Acme-Id"
"""
BEFORE = """
[sources]
acme = {{ scheme = "acme", to = ["kept", "left"] }}
changed = {{ cron = "0 3 * * *", timezone = "Europe/Berlin", to = ["kept"] }}
ended = {{ cron = "0 4 * * *", timezone = "Europe/Berlin", to = ["kept"] }}
[queues]
slow = {{ parallelism = 1 }}
[url_groups.kept.destinations]
stays = "{url}/stays"
moves = "{url}/old"
goes = "{url}/goes"
[url_groups.left.destinations]
alone = "{url}/alone"
"""
AFTER = """
[sources]
acme = {{ scheme = "acme", to = ["kept", "new"] }}
changed = {{ cron = "30 3 * * *", timezone = "Europe/Berlin", to = ["kept"] }}
begun = {{ cron = "0 5 * * *", timezone = "America/New_York", to = ["kept"] }}
[queues]
fast = {{ parallelism = 2 }}
[url_groups.kept.destinations]
stays = "{url}/stays"
moves = "{url}/new"
comes = "{url}/comes"
[url_groups.new]
queue = "fast"
destinations = {{ first = "{url}/first" }}
"""
OLD_DESTINATIONS = {"stays", "moves", "goes", "alone"}
NEW_DESTINATIONS = {"stays", "moves", "comes", "first"}
PATHS = ("stays", "old", "new", "goes", "alone", "comes", "first")


class Senders:
    """Sources that post one webhook after another, each soon after the one before is taken.

    What isn't taken is sent again, as any source does: the local AWS ends calls that run while their function changes.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        self.taken: list[str] = []

    def _send(self) -> None:
        while not self._stop.is_set():
            name = uuid4().hex
            eventually(partial(self._is_taken, name), f"{name} is taken", TAKEN_S)
            self.taken.append(name)
            self._stop.wait(PAUSE_S)

    def _is_taken(self, name: str) -> bool:
        try:
            return self._relay.send("acme", b"{}", id=name).is_success
        except httpx.TransportError:
            return False

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Send until the context ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def await_more(self, count: int) -> None:
        """Wait until *count* more are taken."""
        enough = len(self.taken) + count
        eventually(lambda: len(self.taken) >= enough, f"{count} more webhooks are taken", TAKEN_S)


class Deployed:
    """What the test has to go by once all is over."""

    def __init__(self, relay: Relay, destinations: Destinations, senders: Senders) -> None:
        self.relay = relay
        self.destinations = destinations
        settled = [eventually(partial(self._settled, name), f"{name} is settled", SETTLED_S) for name in senders.taken]
        self.events: dict[str, dict[str, Any]] = {it["id"]: it for it in settled}

    def _settled(self, name: str) -> dict[str, Any] | None:
        """Return the event that its source calls *name*, once all is delivered that QStash has of it."""
        if self.relay.ask(f"events/acme:{name}").status_code == HTTPStatus.NOT_FOUND:
            return None  # still spooled
        event = self.relay.event(f"acme:{name}")
        in_flight = [it for it in event["deliveries"].values() if it["status"] == "in_flight"]
        return None if in_flight or not event["published"] else event

    def having(self, status: str) -> set[tuple[str, str]]:
        """Return the events, and destinations of theirs, of the deliveries that have *status*."""
        return {
            (event_id, name)
            for event_id, event in self.events.items()
            for name, delivery in event["deliveries"].items()
            if delivery["status"] == status
        }

    def delivered(self, destination: str) -> dict[str, int]:
        """Return how often each event should have come to *destination*: once, where it is delivered."""
        return {event_id: 1 for event_id, name in self.having("delivered") if name == destination}

    def arrivals(self, path: str) -> Counter[str]:
        """Return how often each event came to *path*."""
        return Counter(it.event_id for it in self.destinations.received(path))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Deploy `BEFORE`, and `AFTER` over it while webhooks come in; give what came of all."""
    file: Path = tmp_path_factory.mktemp("busy") / "relay.toml"
    with Destinations() as destinations:
        for path in PATHS:
            destinations.behave(path)
        file.write_text((HEAD + BEFORE).format(url=destinations.base_url))
        with running(file) as local, closing(Relay(local)) as relay:
            senders = Senders(relay)
            with senders.busy():
                senders.await_more(10)
                file.write_text((HEAD + AFTER).format(url=destinations.base_url))
                local.deploy_again()
                senders.await_more(10)
            yield Deployed(relay, destinations, senders)


def test_an_event_is_of_the_old_configuration_or_of_the_new(deployed: Deployed) -> None:
    """Both are met, and nothing between them."""
    kinds = Counter(frozenset(it["deliveries"]) for it in deployed.events.values())

    assert kinds.keys() == {frozenset(OLD_DESTINATIONS), frozenset(NEW_DESTINATIONS)}


def test_every_expected_delivery_is_made_but_what_is_owed_or_left_before_it_could_be(deployed: Deployed) -> None:
    """The latter are few: nearly all goes out as it comes in."""
    delivered, owed, removed = (deployed.having(it) for it in ("delivered", "pending", "removed"))

    assert len(delivered) + len(owed) + len(removed) == 4 * len(deployed.events)
    assert len(delivered) >= 3 * len(deployed.events)
    assert {name for _, name in removed} <= OLD_DESTINATIONS - NEW_DESTINATIONS


def test_what_stays_gets_each_event_once(deployed: Deployed) -> None:
    assert deployed.arrivals("stays") == deployed.delivered("stays")


def test_what_moves_gets_each_event_once_at_one_of_its_places(deployed: Deployed) -> None:
    assert deployed.arrivals("old") + deployed.arrivals("new") == deployed.delivered("moves")
    assert deployed.arrivals("old")
    assert deployed.arrivals("new")


@pytest.mark.parametrize("path", ["goes", "alone", "comes", "first"])
def test_what_comes_or_goes_gets_what_the_events_expect_once(deployed: Deployed, path: str) -> None:
    expected, arrived = deployed.delivered(path), deployed.arrivals(path)

    assert expected
    assert {name: arrived[name] for name in expected} == expected
    assert max(arrived.values()) == 1


def test_qstash_holds_the_new_and_nothing_of_the_old(deployed: Deployed) -> None:
    """But for the queue, if deliveries were open as the deploy ended: `relay sync`, or another deploy, removes it."""
    relay, url = deployed.relay, deployed.destinations.base_url

    assert relay.ask("sync").json() == {"differs": []}
    assert relay.groups("busy") == {
        "busy.kept": {"stays": f"{url}/stays", "moves": f"{url}/new", "comes": f"{url}/comes"},
        "busy.new": {"first": f"{url}/first"},
    }
    schedules = {it["scheduleId"]: it["cron"] for it in relay.qstash("/v2/schedules")}
    assert schedules == {
        "busy.changed": "CRON_TZ=Europe/Berlin 30 3 * * *",
        "busy.begun": "CRON_TZ=America/New_York 0 5 * * *",
    }
    queues = {it["name"]: it["parallelism"] for it in relay.qstash("/v2/queues")}
    assert queues in ({"busy.fast": 2}, {"busy.fast": 2, "busy.slow": 1})


def test_the_ledger_balances_over_the_deploy(deployed: Deployed) -> None:
    since = min(event["received_at"] for event in deployed.events.values())
    audit = deployed.relay.ask("audit", since=since, until=datetime.now(UTC).isoformat()).json()

    assert (audit["unaccounted"], audit["orphans"]) == ([], 0)
    assert sum(it["expected"] for it in audit["destinations"]) == 4 * len(deployed.events)
    for status in ("delivered", "pending", "removed"):
        assert sum(it[status] for it in audit["destinations"]) == len(deployed.having(status))
