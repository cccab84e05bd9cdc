"""Every provider's sample, signed as the provider would, through the deployed relay to a destination."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from cli.samples import Sample, read
from infra.config.schemes import built_in_schemes
from infra.local.sources.request import SourceRequest
from infra.local.sources.sign import signed, tampered
from relay.verification.handshakes import HandshakeAnswer
from relay.verification.scheme import Row
from relay.verification.secret import Secret
from relay.verification.verify import verify
from tests.deployed.clients import SETTLED_S
from tests.deployed.conftest import EVERY

if TYPE_CHECKING:
    from infra.local.destinations import Destinations
    from tests.deployed.clients import Relay

EVENTS = Path(__file__).parents[2] / "events"
ELSEWHERE = {"subscription_confirmation.json"}  # the relay would fetch Amazon's URL
SAMPLES = sorted(
    sample
    for sample in EVENTS.glob("*/*.json")
    if sample.parent.name in built_in_schemes()
    and sample.name not in ELSEWHERE
    and not sample.name.endswith(".forged.json")
)


def sent_by(relay: Relay, sample: Sample) -> tuple[SourceRequest, dict[str, object], Secret]:
    """Return *sample* as its provider sends it to the deployed source of its scheme."""
    scheme = str(sample.source)
    row = built_in_schemes()[scheme].row()
    secret = Secret(relay.local.secrets[EVERY + scheme])
    query = f"?{sample.query}" if sample.query else ""
    url = f"{relay.local.relay_url}/webhooks/{EVERY}{scheme}{query}"
    request = SourceRequest(method=sample.method, url=url, headers=sample.headers, body=sample.body)
    return signed(row, request, secret, time.time()), row, secret


def post(request: SourceRequest) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=30) as http:
        return http.request(request.method, request.url, content=request.body, headers=dict(request.headers))


@pytest.mark.parametrize("file", SAMPLES, ids=lambda it: f"{it.parent.name}/{it.stem}")
def test_a_sample_is_answered_as_its_provider_wants_and_an_event_arrives(
    relay: Relay, destinations: Destinations, file: Path
) -> None:
    request, row, secret = sent_by(relay, read(file))
    said = verify(Row.of(row), request.inbound(), [secret], at=time.time())

    answer = post(request)

    if isinstance(said, HandshakeAnswer):
        assert (answer.status_code, answer.text) == (said.status, said.body if request.method != "HEAD" else "")
        assert all(answer.headers[name] == value for name, value in said.headers.items())
        assert answer.headers.get("content-type", "").startswith(said.content_type)
        return
    wanted = Row.of(row).answer
    if wanted is not None:
        assert (answer.status_code, answer.text) == wanted[:2]
    else:
        assert answer.status_code == 202
    (event, *_) = relay.ask("events", source=EVERY + file.parent.name).json()["events"]
    assert event["type"] == said.event_type
    (got, *_) = destinations.await_received("every", 1, event_id=event["id"], timeout_s=SETTLED_S)
    assert got.body == request.body
    assert "authorization" not in got.headers


@pytest.mark.parametrize(
    "sample",
    ["slack/url_verification", "discord/ping", "paypal/PAYMENT.CAPTURE.COMPLETED", "livekit/room_started"],
)
def test_a_sample_that_somebody_changed_is_refused(relay: Relay, sample: str) -> None:
    """A handshake, too, where it is signed."""
    request, row, _ = sent_by(relay, read(EVENTS / f"{sample}.json"))

    answer = post(tampered(Row.of(row), request))

    assert answer.status_code == 401
