"""Reading secrets from the local Secrets Manager, with a clock and a wire on command: when each is read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import OperatorError, UpstreamError
from relay.runtime.secrets import Secrets
from tests.aws_wire import Wire, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalClients

OUTAGES = [
    pytest.param("ThrottlingException", id="throttled"),
    pytest.param("AccessDeniedException", id="denied"),
    pytest.param(ConnectTimeoutError(endpoint_url="https://secretsmanager"), id="no answer"),
]


class Clock:
    """Seconds, put forward by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A reader of secrets, its clock and wire, and in the local AWS the secret `name` with a secret of github."""

    name: str
    client: Any
    wire: Wire
    clock: Clock
    secrets: Secrets

    def hold(self, value: object) -> None:
        """Have the secret hold *value*: JSON of it, or the text."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.client.put_secret_value(SecretId=self.name, SecretString=text)

    def hold_secrets(self, *values: str) -> None:
        self.hold({"github": [{"value": it, "created_at": "2026-11-01T00:00:00+00:00"} for it in values]})

    def signing_secrets(self) -> list[str]:
        """Return the signing secrets of github as the reader has them."""
        return self.secrets.signing_secrets(self.name, "github")


@pytest.fixture(scope="module")
def client(local_clients: LocalClients) -> Any:
    """Give a client that tries once: a second try would count, and wait."""
    return boto3.client(
        "secretsmanager",
        endpoint_url=local_clients.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def world(local_clients: LocalClients, client: Any) -> Iterator[World]:
    name = f"{local_clients.new_name()}/sources"
    client.create_secret(Name=name, SecretString="{}")
    clock = Clock()
    with wire_of(client) as wire:
        world = World(name, client, wire, clock, Secrets(client, clock=clock))
        world.hold_secrets("one")
        yield world


# -- a minute -----------------------------------------------------------------------------------------------------


def test_a_secret_is_read_once_a_minute_and_a_change_is_seen_then(world: World) -> None:
    seen = []
    for now in (1000, 1030, 1059.9, 1060, 1119.9):
        world.clock.now = now
        seen.append(world.signing_secrets())
        world.hold_secrets("two", "one")

    assert seen == [["one"], ["one"], ["one"], ["two", "one"], ["two", "one"]]
    assert len(world.wire.reads) == 2


def test_each_secret_has_a_minute_of_its_own(world: World, local_clients: LocalClients) -> None:
    other = f"{local_clients.new_name()}/qstash"
    world.client.create_secret(Name=other, SecretString='{"token": "t0ken", "url": "https://qstash.example.com"}')
    world.signing_secrets()
    world.clock.now += 40

    assert world.secrets.qstash(other) == ("t0ken", "https://qstash.example.com")
    world.clock.now += 40
    world.signing_secrets()
    world.secrets.qstash(other)

    assert world.wire.reads == [world.name, other, world.name]


# -- Secrets Manager is down --------------------------------------------------------------------------------------


@pytest.mark.parametrize("outage", OUTAGES)
def test_what_is_known_outlives_an_outage_and_is_read_again_every_five_seconds(
    world: World, outage: str | Exception
) -> None:
    """Nothing is refused that could be checked a minute ago; a try costs seconds, so not every webhook makes one."""
    world.signing_secrets()
    world.wire.refusals[world.name] = outage
    tried_at = []
    for now in (1060, 1060.1, 1064.9, 1065, 1069.9, 1070, 5000, 5001):
        world.clock.now, before = now, len(world.wire.reads)
        assert world.signing_secrets() == ["one"]
        if len(world.wire.reads) > before:
            tried_at.append(now)

    assert tried_at == [1060, 1065, 1070, 5000]
    assert isinstance(world.secrets.trouble, UpstreamError)


def test_after_an_outage_the_secret_is_as_it_is_now(world: World) -> None:
    world.signing_secrets()
    world.wire.refusals[world.name] = "InternalServiceError"
    world.clock.now += 60
    world.signing_secrets()
    world.hold_secrets("two")
    world.wire.refusals.clear()
    world.clock.now += 5

    assert world.signing_secrets() == ["two"]
    assert world.secrets.trouble is None


def test_the_five_seconds_begin_when_the_try_has_ended(world: World) -> None:
    """Two tries of four seconds: counted from their beginning, every webhook would wait for them."""

    def slow() -> None:
        world.clock.now += 8

    world.signing_secrets()
    world.wire.refusals[world.name] = "InternalServiceError"
    world.clock.now += 60
    world.wire.on_read = slow
    world.signing_secrets()
    world.clock.now += 4.9
    world.signing_secrets()

    assert len(world.wire.reads) == 2


@pytest.mark.parametrize("broken", ["not JSON", "[]", "[" * 20_000, '"text"'])
def test_a_secret_that_somebody_broke_is_as_good_as_unread(world: World, broken: str) -> None:
    world.signing_secrets()
    world.hold(broken)
    world.clock.now += 60

    assert world.signing_secrets() == ["one"]
    assert isinstance(world.secrets.trouble, OperatorError)
    with pytest.raises(OperatorError, match="JSON"):
        Secrets(world.client).signing_secrets(world.name, "github")


@pytest.mark.parametrize("outage", OUTAGES)
def test_where_nothing_is_known_an_outage_refuses(world: World, outage: str | Exception) -> None:
    world.wire.refusals[world.name] = outage

    with pytest.raises(UpstreamError):
        world.secrets.read(world.name)
    with pytest.raises(UpstreamError):
        world.secrets.refreshed(world.name)
    with pytest.raises(OperatorError, match="can't be read"):
        world.signing_secrets()


@pytest.mark.parametrize("way", [{"ForceDeleteWithoutRecovery": True}, {"RecoveryWindowInDays": 7}], ids=str)
def test_a_secret_that_is_deleted_counts_no_longer(world: World, way: dict[str, Any]) -> None:
    """Deleting it is somebody's will and no outage: closed, within a minute."""
    world.signing_secrets()
    world.client.delete_secret(SecretId=world.name, **way)
    world.clock.now += 60

    assert world.signing_secrets() == []
    assert world.secrets.trouble is None


# -- a signature that fits none -----------------------------------------------------------------------------------


def test_a_new_secret_works_at_once_for_a_signature_that_fits_none(world: World) -> None:
    world.signing_secrets()
    world.hold_secrets("two", "one")
    world.clock.now += 10

    assert world.secrets.refreshed(world.name) is True
    assert world.signing_secrets() == ["two", "one"]
    assert len(world.wire.reads) == 2


def test_bad_signatures_cause_one_read_in_ten_seconds(world: World) -> None:
    world.signing_secrets()
    world.hold_secrets("two")
    world.clock.now += 9.9
    assert world.secrets.refreshed(world.name) is False
    assert len(world.wire.reads) == 1

    world.clock.now += 0.1
    assert [world.secrets.refreshed(world.name) for _ in range(3)] == [True, False, False]
    world.clock.now += 9.9
    assert world.secrets.refreshed(world.name) is False
    assert len(world.wire.reads) == 2


def test_an_unchanged_secret_is_told_so(world: World) -> None:
    world.signing_secrets()
    world.clock.now += 10

    assert world.secrets.refreshed(world.name) is False
    assert len(world.wire.reads) == 2


def test_a_change_is_told_where_the_minute_ended_meanwhile(world: World) -> None:
    world.signing_secrets()
    world.hold_secrets("two")
    world.clock.now += 60.1

    assert world.secrets.refreshed(world.name) is True


def test_what_was_read_for_a_signature_is_good_for_a_minute(world: World) -> None:
    world.signing_secrets()
    world.clock.now += 50
    world.secrets.refreshed(world.name)
    world.clock.now += 59.9
    world.signing_secrets()

    assert len(world.wire.reads) == 2


def test_bad_signatures_in_an_outage_change_nothing(world: World) -> None:
    world.signing_secrets()
    world.wire.refusals[world.name] = "InternalServiceError"
    world.clock.now += 10

    assert [world.secrets.refreshed(world.name) for _ in range(2)] == [False, False]
    assert world.signing_secrets() == ["one"]
    assert len(world.wire.reads) == 2


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 20), st.sampled_from(["webhook", "bad signature"]), st.booleans()), max_size=60
    )
)
def test_whatever_comes_and_when_reads_are_rare(steps: list[tuple[float, str, bool]]) -> None:
    """Ten seconds between two reads, five after one that failed; known secrets are there at every moment."""
    clock, manager = Clock(), Manager()
    secrets = Secrets(manager, clock=clock)
    secrets.signing_secrets("it", "github")
    reads = [(clock.now, False)]
    for wait_s, call, down in steps:
        clock.now += wait_s
        manager.down, before = down, manager.reads
        if call == "bad signature":
            secrets.refreshed("it")
        assert secrets.signing_secrets("it", "github") == ["one"]
        assert manager.reads - before <= 1
        if manager.reads > before:
            last, failed = reads[-1]
            assert clock.now - last >= (5 if failed else 10)
            reads.append((clock.now, down))
        assert reads[-1][1] or clock.now - reads[-1][0] < 60


class Manager:
    """As much of boto3's client as the property needs, which reads some thousand times."""

    class exceptions:  # noqa: N801  # boto3's name
        """The errors that the client knows."""

        ResourceNotFoundException = InvalidRequestException = KeyError

    def __init__(self) -> None:
        self.reads = 0
        self.down = False

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803
        """Return the secret *SecretId*, or don't answer."""
        self.reads += 1
        if self.down:
            raise ConnectTimeoutError(endpoint_url=SecretId)
        return {"SecretString": '{"github": [{"value": "one"}]}'}


# -- what counts --------------------------------------------------------------------------------------------------


def test_a_first_secret_works_at_once(world: World) -> None:
    """Who forgot it hears 503 from the source's test, sets it and tests again."""
    world.hold({})
    assert world.signing_secrets() == []
    world.hold_secrets("one")
    world.clock.now += 10

    assert world.signing_secrets() == ["one"]


def test_a_source_without_a_secret_costs_one_read_in_ten_seconds(world: World) -> None:
    world.hold({})
    for _ in range(5):
        assert world.signing_secrets() == []

    assert len(world.wire.reads) == 1


def test_secrets_are_the_stored_texts_newest_first(world: World) -> None:
    parts = '{"password":"p","username":"u"}'
    world.hold_secrets(parts, "plain", "grün")

    assert world.signing_secrets() == [parts, "plain", "grün"]


@pytest.mark.parametrize(
    "held",
    [
        {},
        {"acme": [{"value": "another's"}]},
        {"github": []},
        {"github": "text"},
        {"github": {"value": "one"}},
        {"github": None},
        {"github": ["one"]},
        {"github": [{"value": ""}, {"value": 1}, {"value": None}, {}]},
    ],
    ids=json.dumps,
)
def test_without_a_secret_there_is_none(world: World, held: dict[str, Any]) -> None:
    """Then a verification refuses, whatever it is given."""
    world.hold(held)

    assert world.signing_secrets() == []


@pytest.mark.parametrize("held", [{}, {"url": "https://qstash.example.com"}, {"token": ""}], ids=json.dumps)
def test_without_a_token_the_owner_is_told_the_command(world: World, held: dict[str, str]) -> None:
    world.hold(held)

    with pytest.raises(OperatorError, match="relay secret set qstash"):
        world.secrets.qstash(world.name)


def test_a_secret_that_is_not_there_holds_nothing(world: World) -> None:
    assert world.secrets.read(f"{world.name}-not") == {}


def test_a_secret_of_bytes_is_no_secret(world: World) -> None:
    world.client.put_secret_value(SecretId=world.name, SecretBinary=b"\x00\x01")

    with pytest.raises(OperatorError, match="not JSON"):
        world.secrets.read(world.name)


def test_an_operator_sees_a_secret_that_was_set_a_second_ago(world: World) -> None:
    """What strangers can cause is bounded; who signs in with IAM isn't told of a secret from before."""
    world.hold_secrets("old")
    assert world.signing_secrets() == ["old"]
    world.hold_secrets("new", "old")

    assert not world.secrets.refreshed(world.name)
    assert world.secrets.refreshed(world.name, after_s=0)
    assert world.signing_secrets() == ["new", "old"]
