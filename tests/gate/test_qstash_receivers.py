"""What the local QStash delivers, judged by both official receivers: PyPI's ``qstash``, npm's ``@upstash/qstash``."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from qstash import QStash, Receiver
from qstash.errors import SignatureError

from infra.local.destinations import DEAD, HEALTHY, Destinations, flaky
from tests.local_qstash import ENVIRONMENT, Facts, running_qstash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.local.destinations import Received

VERIFY = Path(__file__).parent / "js" / "verify.mjs"
PATIENCE_S = 30


class Keys(NamedTuple):
    """The signing keys that a receiver is given."""

    current: str
    next: str


class Verifies(Protocol):
    """Say whether a receiver with these keys takes a request."""

    def __call__(self, keys: Keys, *, signature: str, body: str, url: str) -> bool: ...


def python_receiver(keys: Keys, *, signature: str, body: str, url: str) -> bool:
    """Ask PyPI's receiver."""
    try:
        Receiver(keys.current, keys.next).verify(signature=signature, body=body, url=url)
    except SignatureError:
        return False
    return True


class JavaScriptReceiver:
    """npm's receiver, in a process that takes a line and gives a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, keys: Keys, *, signature: str, body: str, url: str) -> bool:
        """Ask it."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"signature": signature, "body": body, "url": url}
        print(json.dumps({"keys": keys._asdict(), "request": request}), file=self._process.stdin, flush=True)
        verdict = json.loads(self._process.stdout.readline())
        assert verdict in (True, "SignatureError"), verdict
        return verdict is True


@pytest.fixture(scope="module", params=["python", "javascript"])
def verifies(request: pytest.FixtureRequest) -> Iterator[Verifies]:
    """Return one receiver after the other."""
    if request.param == "python":
        yield python_receiver
        return
    node = shutil.which("node") or "node"
    with subprocess.Popen(  # noqa: S603 - our own script
        [node, str(VERIFY)], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield JavaScriptReceiver(process)
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def facts() -> Iterator[Facts]:
    """Run a server."""
    with running_qstash() as facts:
        yield facts


@pytest.fixture(scope="module")
def sdk(facts: Facts) -> Iterator[QStash]:
    """Return a client of the server."""
    client = QStash(facts.token, base_url=facts.url)
    yield client
    client.http._client.close()  # noqa: SLF001 - the SDK has no other way to be closed


@pytest.fixture
def destinations() -> Iterator[Destinations]:
    """Run destinations for one test."""
    with Destinations() as destinations:
        yield destinations


def keys_of(sdk: QStash) -> Keys:
    """Return the keys that the server signs with now."""
    keys = sdk.signing_key.get()
    return Keys(keys.current, keys.next)


def delivery(destinations: Destinations, received: Received) -> dict[str, str]:
    """Return what a receiver looks at."""
    return {
        "signature": received.headers["upstash-signature"],
        "body": received.body.decode(),
        "url": destinations.base_url + received.path,
    }


def claims(signature: str) -> dict[str, Any]:
    """Return the claims of a token, unverified."""
    part = signature.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@pytest.mark.parametrize(
    "body", ["", "{}", "\r\n grüße, 世界\x00 \n", "x" * 100_000], ids=["none", "json", "text", "long"]
)
def test_a_delivery_is_taken(sdk: QStash, verifies: Verifies, destinations: Destinations, body: str) -> None:
    """The signature is of the body as it came and of the URL as it was published, query and all."""
    url = destinations.behave("hook", HEALTHY) + "/a%20b?x=1&y=%20"

    sdk.message.publish(url=url, body=body or None)

    (received,) = destinations.await_received("hook", 1, timeout_s=PATIENCE_S)
    arrived = delivery(destinations, received)
    assert (arrived["body"], arrived["url"]) == (body, url)
    assert verifies(keys_of(sdk), **arrived)


def test_a_delivery_that_was_touched_is_refused(sdk: QStash, verifies: Verifies, destinations: Destinations) -> None:
    """Another body, another URL, another signature, other keys: none of them will do."""
    keys = keys_of(sdk)
    sdk.message.publish(url=destinations.behave("hook", HEALTHY) + "/?a=1", body="paid 1")

    (received,) = destinations.await_received("hook", 1, timeout_s=PATIENCE_S)

    arrived = delivery(destinations, received)
    head, payload, tail = arrived["signature"].split(".")
    forged = base64.urlsafe_b64encode(json.dumps(claims(arrived["signature"]) | {"sub": "x"}).encode()).decode()
    assert verifies(keys, **arrived)
    assert not verifies(keys, **arrived | {"body": "paid 2"})
    assert not verifies(keys, **arrived | {"body": ""})
    assert not verifies(keys, **arrived | {"url": arrived["url"] + "2"})
    assert not verifies(keys, **arrived | {"url": arrived["url"].partition("?")[0]})
    assert not verifies(keys, **arrived | {"signature": f"{head}.{forged.rstrip('=')}.{tail}"})
    assert not verifies(keys, **arrived | {"signature": f"{head}.{payload}.{tail[::-1]}"})
    assert not verifies(Keys("sig_other", "sig_another"), **arrived)


def test_every_attempt_is_signed_anew(sdk: QStash, verifies: Verifies, destinations: Destinations) -> None:
    """A retry has a token of its own, under the same message id."""
    url = destinations.behave("hook", flaky(2))
    sdk.message.publish(url=url, body="b", retries=2, retry_delay="10")

    attempts = destinations.await_received("hook", 3, timeout_s=PATIENCE_S)

    keys = keys_of(sdk)
    assert [it.headers["upstash-retried"] for it in attempts] == ["0", "1", "2"]
    assert len({it.headers["upstash-message-id"] for it in attempts}) == 1
    assert all(verifies(keys, **delivery(destinations, it)) for it in attempts)
    assert len({claims(it.headers["upstash-signature"])["jti"] for it in attempts}) == 3


def test_the_endpoints_of_a_group_take_their_own_deliveries_only(
    sdk: QStash, verifies: Verifies, destinations: Destinations
) -> None:
    """The same event has another signature at each endpoint."""
    names = ("first", "second")
    endpoints: Any = [{"name": it, "url": destinations.behave(it, HEALTHY)} for it in names]
    sdk.url_group.upsert_endpoints("receivers", endpoints)
    sdk.message.publish_json(url_group="receivers", body={"a": 1})

    first, second = (
        delivery(destinations, destinations.await_received(name, 1, timeout_s=PATIENCE_S)[0]) for name in names
    )

    keys = keys_of(sdk)
    assert first["body"] == second["body"]
    assert verifies(keys, **first)
    assert verifies(keys, **second)
    assert not verifies(keys, **first | {"signature": second["signature"]})
    sdk.url_group.delete("receivers")


def test_callbacks_are_deliveries(sdk: QStash, verifies: Verifies, destinations: Destinations) -> None:
    """The report of each attempt, and that of the failure, are signed for the URL that they go to."""
    reports, failures = destinations.behave("report", HEALTHY), destinations.behave("failure", HEALTHY)
    published = sdk.message.publish(
        url=destinations.behave("hook", DEAD),
        body="b",
        retries=1,
        retry_delay="10",
        callback=reports + "/?of=attempt",
        failure_callback=failures,
    )

    attempts = destinations.await_received("report", 2, timeout_s=PATIENCE_S)
    (failure,) = destinations.await_received("failure", 1, timeout_s=PATIENCE_S)

    keys = keys_of(sdk)
    assert all(verifies(keys, **delivery(destinations, it)) for it in (*attempts, failure))
    assert not verifies(keys, **delivery(destinations, failure) | {"url": reports})
    told = [json.loads(it.body) for it in (*attempts, failure)]
    assert [it["sourceMessageId"] for it in told] == [getattr(published, "message_id", None)] * 3
    assert [(it["status"], it.get("retried", 0), it["maxRetries"]) for it in told[:2]] == [(503, 0, 1), (503, 1, 1)]
    assert base64.b64decode(told[2]["body"]) == b"status 503\n"
    assert base64.b64decode(told[2]["sourceBody"]) == b"b"
    (dead,) = sdk.dlq.list(filter={"message_id": told[2]["sourceMessageId"]}).messages
    assert told[2]["dlqId"] == dead.dlq_id


def test_a_receiver_outlives_one_rotation_by_its_next_key(
    sdk: QStash, verifies: Verifies, destinations: Destinations
) -> None:
    """After a rotation the old next key signs, so that who knows both old keys still verifies; after two, nobody."""
    old = keys_of(sdk)
    url = destinations.behave("hook", HEALTHY)

    sdk.signing_key.rotate()
    sdk.message.publish(url=url, body="1")
    once = delivery(destinations, destinations.await_received("hook", 1, timeout_s=PATIENCE_S)[0])
    sdk.signing_key.rotate()
    sdk.message.publish(url=url, body="2")
    twice = delivery(destinations, destinations.await_received("hook", 2, timeout_s=PATIENCE_S)[1])

    assert verifies(old, **once)
    assert not verifies(Keys(old.current, old.current), **once)
    assert not verifies(old, **twice)
    assert verifies(keys_of(sdk), **twice)
