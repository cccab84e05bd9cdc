"""The mix of a chaos run is the seed's, and has of every fault enough to be met."""

from __future__ import annotations

from collections import Counter

import pytest

from infra.local.qstash.faults import Fault
from tests.chaos.mix import DYNAMODB, FAILURES, FAMILIES, KILLS, SENDS_AGAIN, mix

COUNT = 2000


def test_the_same_seed_gives_the_same_mix() -> None:
    assert mix(7, 300) == mix(7, 300)


def test_another_seed_gives_another() -> None:
    one, other = mix(7, 300), mix(8, 300)

    assert {it.nonce for it in one.webhooks}.isdisjoint(it.nonce for it in other.webhooks)
    assert one.behaviours != other.behaviours
    assert one.rules != other.rules


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_has_a_place_in_every_mix(seed: int) -> None:
    it = mix(seed, COUNT)

    orders = Counter(webhook.order for webhook in it.webhooks if webhook.order)
    assert set(orders) == {*KILLS, *DYNAMODB}
    assert min(orders.values()) >= COUNT // 250
    assert {behaviour.kind for behaviour in it.behaviours.values()} == set(FAILURES)
    assert max(webhook.copies for webhook in it.webhooks) == 4
    assert any(webhook.again for webhook in it.webhooks)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_can_be_had_alone_and_adds_faults(family: str) -> None:
    none, alone = mix(1, COUNT, frozenset()), mix(1, COUNT, frozenset({family}))

    assert none.expected_strikes() == frozenset()
    assert alone.expected_strikes() > none.expected_strikes()
    assert alone.expected_strikes() < mix(1, COUNT).expected_strikes()


def test_qstash_takes_the_rules() -> None:
    rules = [Fault.model_validate(rule) for _, rule in mix(1, COUNT).rules]

    assert {it.on for it in rules} == {"call", "delivery", "callback"}
    assert len({it.seed for it in rules}) == len(rules)


def test_nonces_and_keys_are_of_one_webhook() -> None:
    webhooks = mix(1, COUNT).webhooks

    assert len({it.nonce for it in webhooks}) == len({(it.source, it.key) for it in webhooks}) == COUNT
    assert all(it.nonce.encode() in it.body for it in webhooks)
    assert {it.source in SENDS_AGAIN for it in webhooks} == {True, False}
