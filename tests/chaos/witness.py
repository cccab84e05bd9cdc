"""What QStash heard of an attempt, by its own log: neither the relay nor the destination can know.

A destination that is slow to answer may be given up at the moment in which it does.  It has the webhook then, QStash
doesn't know, and tries again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.chaos.destinations import Arrival
    from tests.deployed.clients import Relay

ENDS = ("ERROR", "DELIVERED")  # of an attempt, each once


def as_heard(relay: Relay, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return *arrivals*, those marked as not seen whose answer QStash's log says it never had.

    Only messages that were taken at more than one try are asked for.
    """
    tries: defaultdict[str, set[int]] = defaultdict(set)
    for arrival in arrivals:
        if arrival.taken:
            tries[arrival.message_id].add(arrival.retried)
    unheard = {
        (message_id, retried)
        for message_id, taken in tries.items()
        if len(taken) > 1
        for retried in unheard_tries(_rows(relay, message_id))
    }
    return [replace(it, seen=False) if (it.message_id, it.retried) in unheard else it for it in arrivals]


def unheard_tries(rows: Iterable[dict[str, Any]]) -> set[int]:
    """Return the numbers of the tries, from 0, that ended without an answer; *rows* are a message's, oldest first."""
    ends = [it for it in rows if it["state"] in ENDS]
    return {number for number, it in enumerate(ends) if it["state"] == "ERROR" and not it.get("responseStatus")}


def _rows(relay: Relay, message_id: str) -> list[dict[str, Any]]:
    found = relay.qstash(f"/v2/logs?messageId={message_id}&order=earliestFirst&count=1000")
    rows: list[dict[str, Any]] = found["logs"]
    return rows
