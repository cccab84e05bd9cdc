"""QStash's list of dead letters, played as it is: by time, in pages; and the letters that tests put there."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from relay import urls
from relay.model.ids import EventId, Generation, destination_scope, group_scope
from tests.unit.relay.world import BASE, MAC

if TYPE_CHECKING:
    from relay.model.event import Event
    from tests.unit.relay.world import World


class DeadLetters:
    """The dead letters at the QStash of *world*; all else is the world's.

    Attributes:
        letters: As QStash gives them, the oldest first.
        failures: The statuses that the next calls are answered.
        asked: How the list was asked for.
        page_max: The letters in a page, at most.
        takes_s: How long a page takes, by the world's clock.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.letters: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.asked: list[httpx.QueryParams] = []
        self.page_max = 100
        self.takes_s = 0.0
        self._number = 0
        world.rewire(self)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/v2/dlq"):
            return self.world.wire(request)
        if self.failures:
            return httpx.Response(self.failures.pop(0), json={"error": "no"})
        if request.method == "DELETE":
            gone = request.url.path.removeprefix("/v2/dlq").lstrip("/")  # without an id it is all of them
            self.letters = [it for it in self.letters if gone and it["dlqId"] != gone]
            return httpx.Response(200, json={})
        return self._page(request.url.params)

    def _page(self, asked: httpx.QueryParams) -> httpx.Response:
        self.asked.append(asked)
        self.world.clock.at += timedelta(seconds=self.takes_s)
        after, labels = asked.get("cursor", ""), asked.get_list("label")
        found = [
            letter
            for letter in self.letters
            if letter["dlqId"] > after
            and int(letter["dlqId"].partition("-")[0]) >= int(asked.get("fromDate", "0"))
            and (not labels or letter.get("label") in labels)
        ]
        page = found[: min(self.page_max, int(asked["count"]))]
        more = {"cursor": page[-1]["dlqId"]} if len(found) > len(page) else {}
        return httpx.Response(200, json={"messages": page, **more})

    @property
    def ids(self) -> list[str]:
        """The ids of those that are there."""
        return [it["dlqId"] for it in self.letters]

    def add(self, **letter: Any) -> str:
        """Add a dead letter; return its id."""
        self._number += 1
        dlq_id = f"{int(self.world.clock.at.timestamp() * 1000)}-{self._number:04d}"
        given = {"dlqId": dlq_id, "messageId": f"msg_dead_{self._number}", "method": "POST", "maxRetries": 2}
        self.letters.append(given | letter)
        return dlq_id

    def add_callback(
        self, event: Event, name: str, kind: str = "callback", *, base: str = BASE, mac: str = MAC, **wire: Any
    ) -> str:
        """Add a callback of the relay's that died, with what it reports of a delivery."""
        said = {"status": 200, "sourceMessageId": "msg_x", "maxRetries": 2, "endpointName": name} | wire
        scope = group_scope(event.expected.get(name, "audit"))
        url = urls.CallbackAddress(kind, event.id, event.generation, scope).url(base, mac)
        return self.add(url=url, body=json.dumps(said), responseStatus=503, maxRetries=5)

    def add_delivery(
        self, event: Event, name: str, *, generation: str | None = None, base: str = BASE, mac: str = MAC, **letter: Any
    ) -> str:
        """Add a delivery that died: as a URL group's message, or of a *generation* that was for its URL alone."""
        of = Generation(generation or event.generation)
        scope = destination_scope(name) if generation else group_scope(event.expected[name])
        address = urls.CallbackAddress("failure", EventId(event.id), of, scope)
        given = {
            "url": self.world.settings.destination_url(name),
            "label": f"{event.id}.{of}",
            "failureCallback": address.url(base, mac),
            "responseStatus": 500,
            "body": "{}",
            **({} if generation else {"endpointName": name}),
        }
        return self.add(**given | letter)
