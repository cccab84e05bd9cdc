"""Secrets of destinations' headers as functions have them: read seldom; one that isn't set names the command."""

from __future__ import annotations

from typing import Any

import pytest

from relay.config.settings import Settings, named_secrets
from relay.errors import OperatorError
from relay.runtime.secrets import KEPT_S, REFRESHED_S, Secrets
from relay.wiring import Parts
from tests.unit.relay.world import FLAT


class Manager:
    """Secrets Manager with one secret, that counts how often it is read."""

    class exceptions:  # noqa: N801  # the name that boto3's clients give it
        class ResourceNotFoundException(Exception):
            """There is no such secret."""

        class InvalidRequestException(Exception):
            """It waits for its deletion."""

    def __init__(self) -> None:
        self.text: str | None = '{"erp": "one"}'
        self.reads: list[str] = []
        self.now = 1000.0

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        self.reads.append(SecretId)
        if self.text is None:
            raise self.exceptions.ResourceNotFoundException
        return {"SecretString": self.text}


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def relay(manager: Manager) -> Parts:
    relay = Parts(Settings.of({"RELAY_DESTINATIONS_SECRET": "relay/destinations"}, FLAT))
    relay.secrets = Secrets(manager, clock=lambda: manager.now)
    return relay


def test_a_secret_is_read_once_a_minute_and_a_change_works_without_a_deploy(relay: Parts, manager: Manager) -> None:
    first = [relay.destination_secret("erp") for _ in range(9)]
    manager.text = '{"erp": "two"}'
    manager.now += KEPT_S
    later = relay.destination_secret("erp")

    assert (first, later) == (["one"] * 9, "two")
    assert manager.reads == ["relay/destinations"] * 2


def test_one_that_was_set_just_now_is_looked_for_again_but_not_each_time(relay: Parts, manager: Manager) -> None:
    relay.destination_secret("erp")
    manager.text = '{"erp": "one", "crm": "new"}'
    with pytest.raises(OperatorError):
        relay.destination_secret("crm")
    reads = len(manager.reads)
    manager.now += REFRESHED_S

    found = relay.destination_secret("crm")

    assert (reads, found, len(manager.reads)) == (1, "new", 2)


@pytest.mark.parametrize("text", [None, "{}", '{"erp": ""}', '{"erp": {"value": "x"}}'])
def test_one_that_is_not_set_names_the_command(relay: Parts, manager: Manager, text: str | None) -> None:
    """And no value."""
    manager.text = text

    with pytest.raises(OperatorError, match="relay secret set destination:erp"):
        relay.destination_secret("erp")


def test_a_function_that_may_read_none_says_to_deploy() -> None:
    with pytest.raises(OperatorError, match="deploy it again"):
        Parts(Settings.of({}, FLAT)).destination_secret("erp")


def test_the_headers_tell_which_destination_needs_which_secret() -> None:
    destinations: dict[str, Any] = {
        "a": {"headers": {"Authorization": {"secret": "one"}, "X-Key": {"secret": "one"}, "X-Team": "text"}},
        "b": {"headers": {"Authorization": {"secret": "one"}, "X-Other": {"secret": "two"}}},
        "c": {"headers": {}},
        "d": {},
        "e": {"headers": None},
    }

    assert named_secrets(destinations) == {"one": ["a", "b"], "two": ["b"]}
