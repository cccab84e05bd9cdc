"""Answers of QStash in every shape that it has: partial, sparse, older.  What they don't say, nobody needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from relay.errors import QStashError
from relay.model.delivery import Status
from tests.unit.relay.qstash_wire import Wire, client

if TYPE_CHECKING:
    from tests.unit.relay.world import World


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
        for message in json.loads(request.content):
            if message["body"].encode() in self.bad:
                entries.append(self.entry)
                continue
            alone = httpx.Request(
                "POST", f"/v2/publish/{message['destination']}", headers=message["headers"], content=message["body"]
            )
            entries.append(self.world.wire(alone).json())
        return httpx.Response(200, json=entries)


@pytest.mark.parametrize(
    "entry", [{"error": "invalid header"}, None, {}, [{"error": "no"}], {"messageId": None}], ids=str
)
def test_of_a_batch_that_is_taken_in_part_the_rest_alone_is_refused(world: World, entry: Any) -> None:
    """The good ones are in flight at once; the bad one's own answer says whether it ever can be."""
    partly = Partly(world, entry)
    world.rewire(partly)
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

    world.rewire(older)
    event = world.post().event

    assert set(world.statuses(event.id).values()) == {Status.IN_FLIGHT}


# -- what an account holds ----------------------------------------------------------------------------------------

LISTS = {"groups": "name", "schedules": "scheduleId", "queues": "name", "flow_keys": "flowControlKey"}
ANY_SHAPE: list[Any] = [
    1,
    None,
    "theirs",
    [],
    {},
    {"name": None, "scheduleId": None, "flowControlKey": None},
    {"name": 7, "scheduleId": 7, "flowControlKey": 7},
    *(
        {"name": name, "scheduleId": name, "flowControlKey": name, "endpoints": 7, "header": [1], "lag": "much"}
        for name in ("theirs", "shopping.a", "other.shop.a")
    ),
]


def listed(ask: str, answer: Any) -> Any:
    """Return what the client makes of *answer* for a relay called shop."""
    return getattr(client(Wire(answer)).resources, ask)("shop.")


@pytest.mark.parametrize("ask", LISTS)
def test_an_account_that_has_none_may_say_so_in_any_way(ask: str) -> None:
    answers: list[Any] = [None, [], b""]

    assert [listed(ask, it) for it in answers] == [{}, {}, {}]


@pytest.mark.parametrize("ask", LISTS)
def test_what_has_not_the_relays_name_may_have_any_shape(ask: str) -> None:
    """It is others'; of the relay's own nothing is missing."""
    found = listed(ask, [*ANY_SHAPE, {LISTS[ask]: "shop.a"}, *ANY_SHAPE])

    assert list(found) == ["shop.a"]


KEY = {"flowControlKey": "shop.a"}


@pytest.mark.parametrize("entry", [KEY, {**KEY, "rateMax": None, "isPinnedRate": None}, {**KEY, "rateMax": 5}], ids=str)
def test_a_flow_control_key_may_lack_anything(entry: dict[str, Any]) -> None:
    found = listed("flow_keys", [entry])["shop.a"]

    assert (found["pinned"], found["rate"]) == (False, entry.get("rateMax"))


def test_a_schedule_may_lack_anything() -> None:
    found = listed("schedules", [{"scheduleId": "shop.a"}, {"scheduleId": "shop.b", "body": None, "header": None}])

    assert found["shop.a"]["retries"] is None
    assert found["shop.b"]["body"] == ""


def test_a_queue_may_lack_anything() -> None:
    assert listed("queues", [{"name": "shop.a"}]) == {"shop.a": {"parallelism": None, "paused": False, "lag": 0}}


def test_an_endpoint_may_lack_anything() -> None:
    endpoints = [{}, {"name": None, "url": "https://a.io/"}, {"name": "a"}]

    found = listed("groups", [{"name": "shop.a", "endpoints": endpoints}, {"name": "shop.b", "endpoints": None}])

    assert found == {"shop.a": [{}, {"url": "https://a.io/"}, {"name": "a"}], "shop.b": []}


@pytest.mark.parametrize("answer", [{"a": 1}, "text", 7])
@pytest.mark.parametrize("ask", LISTS)
def test_what_is_no_list_of_things_is_told(ask: str, answer: Any) -> None:
    with pytest.raises(QStashError, match="form"):
        listed(ask, answer)


@pytest.mark.parametrize(
    ("ask", "broken"), [("groups", {"endpoints": 7}), ("schedules", {"header": 7}), ("queues", {"lag": "much"})]
)
def test_what_is_the_relays_and_has_no_form_of_qstashs_is_told(ask: str, broken: dict[str, Any]) -> None:
    with pytest.raises(QStashError, match="form"):
        listed(ask, [{LISTS[ask]: "shop.a"} | broken])
