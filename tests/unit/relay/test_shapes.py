"""Answers of QStash in every shape that it has: partial, sparse, older.  What they don't say, nobody needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.errors import QStashError
from relay.model import Status
from tests.unit.relay.qstash_wire import Wire, client

if TYPE_CHECKING:
    from tests.unit.relay.world import World

KEYS = {"flowControlKey": "theirs"}


# -- a batch ------------------------------------------------------------------------------------------------------


class Partly:
    """QStash that takes of a batch what it can, and says of the rest why not, entry by entry."""

    def __init__(self, world: World, entry: Any) -> None:
        self.world = world
        self.entry = entry
        self.bad: set[bytes] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v2/batch":
            return self.world.wire(request)
        entries = []
        for it in json.loads(request.content):
            if it["body"].encode() in self.bad:
                entries.append(self.entry)
                continue
            alone = httpx.Request("POST", f"/v2/publish/{it['destination']}", headers=it["headers"], content=it["body"])
            entries.append(self.world.wire(alone).json())
        return httpx.Response(200, json=entries)


@pytest.mark.parametrize(
    "entry", [{"error": "invalid header"}, None, {}, [{"error": "no"}], {"messageId": None}], ids=str
)
def test_of_a_batch_that_is_taken_in_part_the_rest_alone_is_refused(world: World, entry: Any) -> None:
    """The good ones are in flight at once; the bad one's own answer says whether it ever can be."""
    partly = Partly(world, entry)
    world.qstash._transport = httpx.MockTransport(partly)  # noqa: SLF001  # the wire of the world's own client
    partly.bad.add(b'{"n":1}')
    world.wire.refused[b'{"n":1}'] = 413
    events = [world.save(b'{"n":%d}' % number, key=str(number)) for number in range(4)]

    world.sweep(400)

    assert [set(world.statuses(it.id).values()) for it in events] == [
        {Status.IN_FLIGHT},
        {Status.UNPUBLISHABLE},
        {Status.IN_FLIGHT},
        {Status.IN_FLIGHT},
    ]


def test_a_batch_that_is_answered_with_messages_in_an_object_is_read(world: World) -> None:
    def older(request: httpx.Request) -> httpx.Response:
        answer = world.wire(request)
        if request.url.path == "/v2/batch":
            return httpx.Response(200, json=[{"messages": it} for it in answer.json()])
        return answer

    world.qstash._transport = httpx.MockTransport(older)  # noqa: SLF001
    event = world.post().event

    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


# -- what an account holds ----------------------------------------------------------------------------------------


def test_an_account_without_groups_has_none() -> None:
    assert client(Wire(None)).groups() == {}


@pytest.mark.parametrize("it", [KEYS, {**KEYS, "rateMax": None, "isPinnedRate": None}, {**KEYS, "rateMax": 5}], ids=str)
def test_a_flow_control_key_of_others_may_lack_anything(it: dict[str, Any]) -> None:
    found = client(Wire([it])).flow_keys()

    assert found["theirs"]["pinned"] is False
    assert found["theirs"]["rate"] == it.get("rateMax")


def test_a_schedule_of_others_may_lack_anything() -> None:
    found = client(Wire([{"scheduleId": "theirs"}, {"scheduleId": "more", "body": None, "header": None}])).schedules()

    assert found["theirs"]["retries"] is None
    assert found["more"]["body"] == ""


def test_a_queue_of_others_may_lack_anything() -> None:
    assert client(Wire([{"name": "theirs"}])).queues() == {"theirs": {"parallelism": None, "paused": False, "lag": 0}}


@pytest.mark.parametrize("answer", [{"a": 1}, "text", 7, [1]])
def test_what_is_no_list_of_things_is_told(answer: Any) -> None:
    for ask in ("groups", "schedules", "queues", "flow_keys"):
        with pytest.raises(QStashError, match="form"):
            getattr(client(Wire(answer)), ask)()
