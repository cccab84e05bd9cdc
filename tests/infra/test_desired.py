"""What a deploy tells sync that QStash should hold."""

from __future__ import annotations

from infra.sync import desired
from tests.flat import bus, group, url

BASE = "https://relay.example.com"
FLAT = {
    "name": "shop",
    "sources": {},
    "url_groups": {"audit": group("ledger", "erp", "crm"), "own": group("bank")},
    "destinations": {
        "ledger": bus("audit"),
        "erp": url("audit", "https://erp.example.com/in"),
        "crm": url("audit", "https://crm.example.com/in") | {"headers": {"X-Team": "a"}},
        "bank": url("own", "https://bank.example.com/in") | {"headers": {"X-Token": {"secret": "bank"}}},
    },
}


def test_a_destination_with_headers_of_its_own_is_in_no_group() -> None:
    """What goes to a group goes to all its endpoints; a change of such a URL is told all the same."""
    wanted = desired(FLAT, BASE)

    assert wanted["groups"] == {
        "shop.audit": [
            {"name": "ledger", "url": f"{BASE}/qstash/deliver/ledger"},
            {"name": "erp", "url": "https://erp.example.com/in"},
        ]
    }
    assert wanted["alone"] == {"crm": "https://crm.example.com/in", "bank": "https://bank.example.com/in"}
