"""What QStash's log says of tries that nobody answered, on the log of a real local one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from infra.local.destinations import Behaviour, Destinations, flaky
from tests.chaos.witness import unheard_tries
from tests.local_qstash import running_qstash
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def deliver() -> Iterator[Callable[[Behaviour], list[dict[str, Any]]]]:
    """Deliver a message to a destination of some behaviour, and return its rows."""
    with running_qstash() as facts, httpx.Client(base_url=facts.url) as client, Destinations() as there:
        user = {"Authorization": f"Bearer {facts.token}"}

        def delivered(behaviour: Behaviour) -> list[dict[str, Any]]:
            settings = {"Upstash-Retries": "2", "Upstash-Retry-Delay": "1", "Upstash-Timeout": "1s"}
            url = f"/v2/publish/{there.behave('it', behaviour)}"
            message_id = client.post(url, headers=user | settings).json()["messageId"]

            def rows() -> list[dict[str, Any]]:
                asked = {"messageId": message_id, "order": "earliestFirst"}
                found: list[dict[str, Any]] = client.get("/v2/logs", params=asked, headers=user).json()["logs"]
                return found

            eventually(lambda: rows()[-1]["state"] in {"DELIVERED", "FAILED"}, "the message is over")
            return rows()

        yield delivered


def test_a_try_that_was_answered_was_heard_whatever_the_answer(deliver: Callable[..., list[dict[str, Any]]]) -> None:
    assert unheard_tries(deliver(flaky(1))) == set()


def test_a_try_that_timed_out_was_not_heard(deliver: Callable[..., list[dict[str, Any]]]) -> None:
    assert unheard_tries(deliver(Behaviour(delay_s=1.5))) == {0, 1, 2}
