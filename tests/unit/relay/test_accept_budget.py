"""What a source waits is all the time there is: however slow anything is, its answer comes within that."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.config.settings import Settings
from relay.errors import OperatorError, UpstreamError
from relay.ingest.accept import Acceptance, Proof, accept_or_spool, budget_s, examine
from relay.ingest.webhook import Webhook
from relay.internet.fetcher import Fetcher
from relay.model.delivery import Status
from relay.query import answers
from relay.runtime import aws
from relay.runtime.deadline import at_most, within
from relay.runtime.secrets import Secrets
from relay.verification.request import InboundRequest
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo
from tests.conftest import Clients
from tests.examples import examples
from tests.memory_aws import MemoryDynamoDB, MemoryS3
from tests.unit.relay.slow import SlowClient, SlowWire, left, slow_aws, slow_qstash
from tests.unit.relay.world import BASE, FLAT, SECRET, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.relay.slow import Seconds

BODY = b'{"n": 1}'
FUNCTION_S = 29.0


class _Secrets:
    """Secrets Manager, as far as the relay asks it."""

    class exceptions:  # noqa: N801  # as boto3 has it
        ResourceNotFoundException = KeyError
        InvalidRequestException = LookupError

    def get_secret_value(self, **_: str) -> dict[str, str]:
        return {"SecretString": json.dumps({"github": [{"value": SECRET}]})}


@dataclass
class Pace:
    """How long each call of a service takes, one after the other, over and over."""

    seconds: Sequence[Seconds]
    calls: int = 0

    def __call__(self) -> Seconds:
        self.calls += 1
        return self.seconds[(self.calls - 1) % len(self.seconds)]


class Timed:
    """A relay whose source waits *waits_s*, and whose services take what is said, or next to nothing."""

    def __init__(self, waits_s: float, **seconds: Sequence[Seconds]) -> None:
        self.world = World(Clients(MemoryDynamoDB(), MemoryS3()))
        github = FLAT["sources"]["github"]
        row = {**github["row"], "timeout_s": waits_s}
        flat = FLAT | {"sources": {"github": github | {"row": row}}}
        self.world.settings = self.world.publisher.settings = Settings.of({"RELAY_BASE_URLS": BASE}, flat)
        self.pace = {it: Pace(seconds.get(it, [0.02])) for it in SERVICES}
        now = self.world.clock
        self.secrets_manager = Secrets(
            SlowClient(_Secrets(), now, self.pace["secrets"]), clock=lambda: now.at.timestamp()
        )
        certificate = SlowWire(lambda _: httpx.Response(200), now, self.pace["fetch"])
        self.fetch = Fetcher(httpx.MockTransport(certificate), clock=lambda: now.at.timestamp())

    def secrets(self) -> list[Secret]:
        self.fetch("https://sns.us-east-1.amazonaws.com/a.pem")  # as a scheme does that needs a certificate
        return [Secret(it) for it in self.secrets_manager.signing_secrets("relay/sources", "github")]

    def take_in(self) -> tuple[Acceptance | Webhook | None, float]:
        """Take a webhook in as ingest does; return what became of it (None: refused), and when it was answered."""
        world = self.world
        source, began = world.settings.sources["github"], world.clock.at
        digest = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "d-1", "x-github-event": "push"}
        received = InboundRequest(method="POST", urls=[f"{BASE}/webhooks/github"], headers=headers, body=BODY)
        proof = Proof(secrets=self.secrets, refresh=lambda: False, fetch=None)
        taken: Acceptance | Webhook | None = None
        slow_qstash(world, self.pace["qstash"])
        with (
            slow_aws(world, self.pace["table"], self.pace["bucket"]),
            within(left(world, FUNCTION_S)),
            at_most(budget_s(source, 0.0)),
        ):
            try:
                said = examine(source, received, proof, at=began.timestamp())
                assert isinstance(said, WebhookInfo)
                webhook = Webhook("github", began, said, None, BODY)
                taken = accept_or_spool(
                    source,
                    webhook,
                    settings=world.settings,
                    store=world.store,
                    publisher=lambda: world.publisher,
                    paused=world.store.pauses.all,
                )
            except (OperatorError, UpstreamError):  # answered 503: it comes again
                pass
        return taken, (world.clock.at - began).total_seconds()

    @property
    def is_saved(self) -> bool:
        """Tell whether its event is in the table, or waits in the spool."""
        return bool(answers.list_events(self.world.store, {})["events"]) or bool(self.world.store.spool.oldest(1))


SECONDS = st.none() | st.floats(0, 12) | st.sampled_from([0.02, 0.69, 0.99, 1.0, 2.9, 3.9])
SERVICES = ("secrets", "fetch", "table", "bucket", "qstash")
PACES = st.fixed_dictionaries(
    {},
    optional={it: st.lists(SECONDS, min_size=1, max_size=5) for it in SERVICES},
)
SLOW = [0.99]


@settings(max_examples=examples(200), deadline=None)
@given(waits_s=st.sampled_from([5.0, 10.0, 15.0, 30.0]), paces=PACES)
@example(waits_s=10.0, paces={"secrets": [None]})
@example(waits_s=10.0, paces={"secrets": [2.9], "fetch": [3.9], "table": SLOW, "bucket": SLOW})
@example(waits_s=10.0, paces={"fetch": [1.2], "secrets": [2.99], "table": [2.9, 0.99, None], "bucket": SLOW})
@example(waits_s=5.0, paces={"fetch": [3.25], "secrets": SLOW, "bucket": SLOW})
@example(waits_s=5.0, paces={"table": [0.69], "bucket": SLOW, "qstash": [None]})
@example(waits_s=10.0, paces={"qstash": [None]})
@example(waits_s=30.0, paces={"table": [0.4], "qstash": [9.9]})
def test_however_slow_anything_is_its_source_has_an_answer_in_time(
    waits_s: float, paces: dict[str, list[Seconds]]
) -> None:
    """With half a second to spare for the network; whose sender is proven is saved."""
    relay = Timed(waits_s, **paces)

    taken, answered_s = relay.take_in()

    assert answered_s <= min(waits_s, FUNCTION_S) - 0.5
    assert taken is None or relay.is_saved


@pytest.mark.parametrize("waits_s", [1.0, 3.0, 5.0, 10.0])
def test_with_nothing_slow_it_is_published_before_the_answer(waits_s: float) -> None:
    """However little a source waits."""
    relay = Timed(waits_s)

    taken, answered_s = relay.take_in()

    assert isinstance(taken, Acceptance)
    assert taken.failure is None
    assert set(relay.world.statuses(taken.event.id).values()) == {Status.IN_FLIGHT}
    assert answered_s < waits_s


def test_a_table_that_is_away_leaves_time_for_the_spool() -> None:
    """A source that waits ten seconds has its 202, though each call of the table is waited for."""
    relay = Timed(10.0, table=[None])

    taken, answered_s = relay.take_in()

    assert isinstance(taken, Webhook)
    assert relay.is_saved
    assert answered_s <= 9.5


def test_a_source_that_waits_little_is_not_refused_for_a_functions_start() -> None:
    """The time before the function ran is over; a second is left at least."""
    source = Timed(1.0).world.settings.sources["github"]

    assert budget_s(source, 0.9) == 1.0
    assert budget_s(source, 0.0) == 1.0


def test_a_patience_is_what_is_left() -> None:
    """The first that fits; the last always does."""
    found = []
    for seconds in (60.0, 8.9, 2.9, 0.1):
        with within(partial(float, seconds)):
            found.append(aws.patience())

    assert found == [*aws.PATIENCES, aws.PATIENCES[-1]]
