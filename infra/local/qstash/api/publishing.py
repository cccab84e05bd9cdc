"""Publish, enqueue and batch.

Hides the form of a batch item, and that a publish with a cron expression creates a schedule instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..broker.messages import Wanted
from ..broker.publish import Publication, admit, commit, plan
from ..language.grammar import Refused, name
from . import schedules
from .call import Call, answer, lower_case

if TYPE_CHECKING:
    from starlette.responses import Response

    from .call import Verb


def publish(call: Call) -> Response:
    wanted = call.wanted()
    return schedules.create(call, wanted) if "upstash-cron" in wanted.headers else _publish(call, wanted)


def enqueue(call: Call) -> Response:
    return _publish(call, call.wanted(name(call.path("queue"), "queue name")))


def _publish(call: Call, wanted: Wanted) -> Response:
    publication = plan(call.engine, call.user, wanted)
    admit(call.engine, call.user, [publication])
    value, duplicate = commit(call.engine, call.user, publication)
    return answer(value, 202 if duplicate else 200)


def batch(call: Call) -> Response:
    items = call.json()
    if not isinstance(items, list):
        raise Refused(400, "the body is not a JSON array")
    planned = [_planned(call, wanted) for wanted in [_batch_item(call, item) for item in items]]
    admit(call.engine, call.user, [it for it in planned if isinstance(it, Publication)])
    return answer([_sent(call, it) if isinstance(it, Publication) else {"error": it.text} for it in planned])


def _planned(call: Call, wanted: Wanted) -> Publication | Refused:
    """Return the messages of a batch item, or why it is refused; a setting says whether that refuses the batch."""
    try:
        publication = plan(call.engine, call.user, wanted)
        if fault := call.engine.faults.of_item([message for _, message in publication.messages]):
            raise Refused(fault.status, f"fault on command: {fault.status}")  # noqa: TRY301 - like any other reason
    except Refused as refused:
        if call.engine.settings.batch_refused == "whole":
            raise
        return refused
    return publication


def _sent(call: Call, publication: Publication) -> Any:
    return commit(call.engine, call.user, publication)[0]


def _batch_item(call: Call, item: object) -> Wanted:
    if not isinstance(item, dict):
        raise Refused(400, "an item of the batch is not a JSON object")
    headers, body, destination = item.get("headers") or {}, item.get("body"), item.get("destination") or ""
    if not isinstance(destination, str) or not isinstance(body, str | None) or not isinstance(headers, dict):
        raise Refused(400, "destination and body of a batch item must be strings, headers an object")
    return Wanted(
        destination=destination,
        headers=lower_case(headers),
        body=(body or "").encode("utf-8", "replace"),
        caller_ip=call.caller_ip,
        queue_name=name(item["queue"], "queue") if item.get("queue") else None,
    )


ROUTES: list[tuple[str, str, Verb]] = [
    ("POST", "/v2/publish/{destination:path}", publish),
    ("POST", "/v2/enqueue/{queue}/{destination:path}", enqueue),
    ("POST", "/v2/batch", batch),
]
