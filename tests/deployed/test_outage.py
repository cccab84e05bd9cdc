"""Webhooks that came while QStash was down; see the fixture `outage`.  The relay's own schedule mends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Outage, Relay

pytestmark = pytest.mark.late

WITHIN_S = 120
OUTAGES = ["refused", "unanswered"]


@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_of_qstash_costs_the_source_nothing(outage: Outage, kind: str) -> None:
    answer = getattr(outage, kind)

    assert answer.status_code == 202
    assert answer.elapsed.total_seconds() < 10


@pytest.mark.parametrize("kind", OUTAGES)
def test_what_was_not_known_to_be_published_is_delivered_within_two_minutes_and_once(
    relay: Relay, outage: Outage, destinations: Destinations, kind: str
) -> None:
    """Where QStash was only silent, it has the event and the second publish of the sweep is a duplicate."""
    event_id = getattr(outage, kind).json()["event_id"]

    eventually(lambda: relay.event(event_id)["published"], "the sweep publishes", WITHIN_S)

    delivery = relay.delivery(event_id, "late", "delivered")
    assert delivery["attempts_count"] == 1
    assert [it.body for it in destinations.received("late", event_id)] == [kind.encode()]
