"""The mix of a chaos run is the seed's, and has of every fault enough to be met."""

from __future__ import annotations

from collections import Counter

import pytest

from infra.local.qstash.api.admin import Changes
from infra.local.qstash.broker.faults import Fault
from tests.chaos.mix import DYNAMODB, FAILURES, FAMILIES, KILLS, LASTING, SENDS_AGAIN, mix

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
    made = mix(seed, COUNT)

    orders = Counter(webhook.order for webhook in made.webhooks if webhook.order)
    assert set(orders) == {*KILLS, *DYNAMODB}
    assert min(orders.values()) >= COUNT // 250
    assert {behaviour.kind for behaviour in made.behaviours.values()} == set(FAILURES)
    assert max(webhook.copies for webhook in made.webhooks) == 4
    assert any(webhook.again for webhook in made.webhooks)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_can_be_had_alone_and_adds_faults(family: str) -> None:
    none, alone = mix(1, COUNT, frozenset()), mix(1, COUNT, frozenset({family}))

    assert none.expected_strikes() == frozenset()
    assert alone.expected_strikes() > none.expected_strikes()
    assert alone.expected_strikes() < mix(1, COUNT).expected_strikes()


def test_qstash_takes_the_rules() -> None:
    rules = [Fault.model_validate(rule) for _, rule in mix(1, COUNT).rules]

    assert {it.on for it in rules} == {"call", "item", "delivery", "callback", "turn"}
    assert len({it.seed for it in rules}) == len(rules)


def test_nonces_and_keys_are_of_one_webhook() -> None:
    webhooks = mix(1, COUNT).webhooks

    assert len({it.nonce for it in webhooks}) == len({(it.source, it.key) for it in webhooks}) == COUNT
    assert all(it.nonce.encode() in it.body for it in webhooks)
    assert {it.source in SENDS_AGAIN for it in webhooks} == {True, False}


def test_qstash_takes_the_settings_and_batches_are_refused_in_both_ways() -> None:
    settings = [Changes.model_validate(mix(seed, COUNT).settings) for seed in (1, 2)]

    assert {it.batch_refused for it in settings} == {"whole", "by_item"}


@pytest.mark.parametrize("count", [1, 30, 500, COUNT])
def test_what_comes_while_qstash_is_away_is_little_and_has_no_order_that_needs_it(count: int) -> None:
    made = mix(1, count)

    assert 1 <= made.held_back <= max(1, count // 25)
    assert not [webhook for webhook in made.webhooks[-made.held_back :] if webhook.order]
    assert mix(1, count, frozenset()).held_back == 0


def test_what_lasts_is_a_rule() -> None:
    assert set(LASTING) <= {name for name, _ in mix(1, COUNT).rules}
