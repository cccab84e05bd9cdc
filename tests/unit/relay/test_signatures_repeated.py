"""A signature's header that stands in a request several times: the gateway joins its lines by commas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.samples import read
from infra.config.schemes import built_in_schemes
from infra.local.sources.request import SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import needs_signature, signed
from relay.errors import SignatureError
from relay.verification.presented import ITEMS_MAX
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.signatures import check_signature
from tests.unit.relay.signed import NOW, URL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EVENTS = Path(__file__).parents[3] / "events"
SCHEMES = built_in_schemes()


def signed_in_headers() -> list[str]:
    """Return the schemes whose signature stands in a header."""
    rows = {name: Row.of(it.row()) for name, it in SCHEMES.items() if (EVENTS / name).is_dir()}
    return sorted(name for name, row in rows.items() if row.spots and all(":" not in it.place for it in row.spots))


class Sent:
    """A webhook of a scheme, signed, and the signature that another secret makes for it."""

    def __init__(self, scheme: str) -> None:
        held: Mapping[str, Any] = SCHEMES[scheme].row()
        self.row = Row.of(held)
        found = [read(it) for it in sorted((EVENTS / scheme).glob("*.json")) if not it.name.endswith(".forged.json")]
        requests = [
            SourceRequest(
                method=sample.method,
                url=f"{URL}?{sample.query}" if sample.query else URL,
                headers=sample.headers,
                body=sample.body,
            )
            for sample in found
        ]
        request = next(it for it in requests if needs_signature(self.row, it))  # a handshake may need none
        self.secret = Secret(made_up(held))
        self.right = signed(held, request, self.secret, NOW)
        wrong = signed(held, request, Secret(made_up(held)), NOW)
        self.names = [it for it in self.right.headers if any(_is_at(it, spot.place) for spot in self.row.spots)]
        self.forged = {name: wrong.headers[name] for name in self.names}

    def is_taken(self, *lines: str) -> bool:
        """Tell whether the request is, whose signature's header has *lines*, each "right" or "wrong"."""
        of = {"right": self.right.headers, "wrong": self.forged}
        joined = {name: ",".join(of[it][name] for it in lines) for name in self.names}
        request = replace(self.right, headers={**self.right.headers, **joined})
        try:
            check_signature(self.row, request.inbound(), [self.secret], at=NOW)
        except SignatureError:
            return False
        return True


def _is_at(name: str, place: str) -> bool:
    return name.lower() == place.lower() or (place.endswith("*") and name.lower().startswith(place[:-1].lower()))


@pytest.mark.parametrize("scheme", signed_in_headers())
def test_lines_joined_by_commas_are_items_where_commas_separate_items(scheme: str) -> None:
    """Any of them may be the right one then.  Elsewhere a joined header is no signature, as it is to the SDKs."""
    sent = Sent(scheme)
    are_items, last_counts = sent.row.separator == ",", scheme == "paddle"  # whose items are separated otherwise

    assert sent.is_taken("right")
    assert not sent.is_taken("wrong")
    assert sent.is_taken("right", "right") is (are_items or last_counts)
    assert sent.is_taken("right", "wrong") is are_items
    assert sent.is_taken("wrong", "right") is (are_items or last_counts)
    assert not sent.is_taken("wrong", "wrong")
    assert not sent.is_taken(*["wrong"] * ITEMS_MAX, "right")


def test_the_documentation_names_the_schemes_whose_lines_are_items() -> None:
    page = (EVENTS.parent / "docs" / "schemes.md").read_text(encoding="utf-8")
    names = sorted(it for it in signed_in_headers() if Row.of(SCHEMES[it].row()).separator == ",")

    told = ", ".join(f"`{it}`" for it in names)
    assert f"(built in: {told})" in " ".join(page.split())
