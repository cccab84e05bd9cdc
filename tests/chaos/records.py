"""What the relay itself says of a run, asked as an operator asks: GET /v1/… and POST /v1/replays, and no table."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.ledger import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.mix import Webhook
    from tests.deployed.clients import Relay

PAGE = 200
OPEN = ("pending", "in_flight")
REPLAYS_AT_ONCE = 50


@dataclass(frozen=True)
class Said:
    """What the relay says: status and id of each delivery by (nonce, destination)."""

    status: dict[tuple[str, str], str]
    ids: dict[tuple[str, str], str]


def read(relay: Relay, webhooks: Sequence[Webhook]) -> Said:
    """Return what the relay says of all deliveries that there are; a webhook that it doesn't know counts as nothing."""
    nonces = {(it.source, it.key): it.nonce for it in webhooks}
    events = {it["id"]: it for it in _pages(relay, "events")}
    said = Said({}, {})
    listed = set()
    for delivery in _pages(relay, "deliveries"):
        event = events.get(delivery["event_id"]) or relay.event(delivery["event_id"])
        _enter(said, nonces, event, delivery)
        listed.add((delivery["event_id"], delivery["destination"]))
    expected = {(it.source, it.key): it.destinations for it in webhooks}
    for event in events.values():
        names = expected.get((event["source"], event["idempotency_key"]), ())
        if any((event["id"], name) not in listed for name in names):  # what has no record of its own yet
            for delivery in relay.event(event["id"])["deliveries"].values():
                _enter(said, nonces, event, delivery)
    return said


def _enter(said: Said, nonces: dict[tuple[str, str], str], event: dict[str, Any], delivery: dict[str, Any]) -> None:
    nonce = nonces.get((event["source"], event["idempotency_key"]), event["id"])
    said.status[nonce, delivery["destination"]] = delivery["status"]
    said.ids[nonce, delivery["destination"]] = delivery["id"]


def open_deliveries(relay: Relay) -> int:
    """Return how many deliveries the relay says are still to come; where none is, events that aren't published."""
    open_ones = sum(1 for status in OPEN for _ in _pages(relay, "deliveries", status=status))
    return open_ones or unpublished(relay)


def unpublished(relay: Relay) -> int:
    """Return how many events the relay says QStash doesn't have, or not for all URL groups."""
    return sum(1 for it in _pages(relay, "events") if not it["published"])


def audited(relay: Relay) -> Counter[str]:
    """Return what the relay's own ledger makes of all that there is: how many deliveries have which status."""
    found: Counter[str] = Counter()
    asked = {"since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}
    cursor: dict[str, str] = {}
    while True:
        answer = relay.ask("audit", **asked, **cursor).raise_for_status().json()
        for line in answer["destinations"]:
            found.update({name: number for name, number in line.items() if name != "destination"})
        if answer["cursor"] is None:
            return found
        cursor = {"cursor": answer["cursor"]}


def replay(relay: Relay, said: Said, entries: Sequence[tuple[str, str]]) -> list[Replay]:
    """Have *entries* replayed, and return those that the relay says it started."""
    by_id = {said.ids[entry]: entry for entry in entries}
    started = []
    for place in range(0, len(entries), REPLAYS_AT_ONCE):
        asked = [said.ids[entry] for entry in entries[place : place + REPLAYS_AT_ONCE]]
        at = time.monotonic()
        answer = relay.replay(delivery_ids=asked, reason="chaos").raise_for_status().json()
        started += [Replay(*by_id[it["id"]], at=at) for it in answer["deliveries"]]
    return started


def _pages(relay: Relay, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = relay.ask(path, limit=PAGE, **query, **cursor).raise_for_status().json()
        yield from page[path]
        if page["cursor"] is None:
            return
        cursor = {"cursor": page["cursor"]}
