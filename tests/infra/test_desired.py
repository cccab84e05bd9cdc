"""What a deploy tells sync that QStash should hold."""

from __future__ import annotations

from infra.config.desired import desired
from tests.flat import bus, group, url

BASE = "https://relay.example.com"
FLAT = {
    "name": "shop",
    "retention_days": 30,
    "sources": {},
    "url_groups": {"audit": group("ledger", "erp", "crm"), "own": group("bank"), "aws": group("lake", "pool")},
    "destinations": {
        "ledger": bus("audit"),
        "erp": url("audit", "https://erp.example.com/in"),
        "crm": url("audit", "https://crm.example.com/in") | {"headers": {"X-Team": "a"}},
        "bank": url("own", "https://bank.example.com/in") | {"headers": {"X-Token": {"secret": "bank"}}},
        "lake": bus("aws"),
        "pool": bus("aws"),
    },
}


def test_what_is_published_to_alone_is_in_no_group() -> None:
    """What goes to a group goes to all its endpoints; a change of such a URL is told all the same.

    A destination with headers of its own, and an AWS target beside URLs: those would learn how to forge a hand-over.
    """
    wanted = desired(FLAT, BASE)

    assert wanted["groups"]["shop.audit"] == [{"name": "erp", "url": "https://erp.example.com/in"}]
    assert wanted["alone"] == {
        "ledger": f"{BASE}/qstash/deliver/ledger",
        "crm": "https://crm.example.com/in",
        "bank": "https://bank.example.com/in",
    }


def test_aws_targets_among_themselves_are_a_group() -> None:
    wanted = desired(FLAT, BASE)

    assert wanted["groups"]["shop.aws"] == [
        {"name": "lake", "url": f"{BASE}/qstash/deliver/lake"},
        {"name": "pool", "url": f"{BASE}/qstash/deliver/pool"},
    ]
    assert wanted["groups"].keys() == {"shop.audit", "shop.aws"}
