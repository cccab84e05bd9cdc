"""GET and POST /v1/…: answers operators, who sign in with IAM."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from relay.errors import BadRequest, NotFound, RelayError
from relay.model.ids import EventId
from relay.model.replay import RATE_DEFAULT, ReplayState
from relay.query import answers, health, views
from relay.query.routes import served_by
from relay.replay import bulk, pauses
from relay.replay.deliveries import Router, StartedReplay, replay_deliveries, replay_event
from relay.runtime import aws
from relay.runtime.http_api import Request, Response, answering, note
from relay.wiring import Parts, relay

if TYPE_CHECKING:
    from collections.abc import Callable

REASON_MAX_CHARS = 500
LISTED_MAX = 100
TEXT_MAX_BYTES = 1000  # of an id, a name or a filter: no key of the table is longer
CURSOR_MAX_BYTES = 8000
COUNT_S = 20.0  # the gateway waits 30


def list_events(parts: Parts, request: Request) -> Response:
    """Answer with one page of events."""
    return Response(200, answers.list_events(parts.store, request.query))


def show_event(parts: Parts, request: Request) -> Response:
    """Answer with one event, its deliveries and their attempts; with `body=true` also with its body."""
    request.check_parameters("body", "sha256")
    with_body = request.query.get("body", "false")
    if with_body not in {"true", "false"}:
        raise BadRequest("body must be true or false", code="unknown_filter")
    event_id = answers.resolve(request.path_parameters.get("event_id", ""), parts.settings)
    sha256 = request.query.get("sha256")
    return Response(200, answers.show_event(parts.store, event_id, with_body=with_body == "true", sha256=sha256))


def list_deliveries(parts: Parts, request: Request) -> Response:
    """Answer with one page of deliveries."""
    return Response(200, answers.list_deliveries(parts.store, request.query))


def show_config(parts: Parts, request: Request) -> Response:
    """Answer with the deployed configuration, without a secret."""
    request.check_parameters()
    return Response(200, answers.show_config(parts.settings, parts.store))


def show_audit(parts: Parts, request: Request) -> Response:
    """Answer with the balance of the ledger for a time."""
    deadline = monotonic() + COUNT_S
    return Response(200, answers.show_audit(parts.store, request.query, lambda: deadline - monotonic()))


def list_destinations(parts: Parts, request: Request) -> Response:
    """Answer with the health of all destinations, or of the one that the path names."""
    deadline = monotonic() + COUNT_S
    name = request.path_parameters.get("destination")
    found = health.list_destinations(
        parts.settings, parts.store, request.query, lambda: deadline - monotonic(), destination=name
    )
    return Response(200, found)


def pause_or_resume(parts: Parts, request: Request) -> Response:
    """Pause a destination, or resume it."""
    asked, name = request.json(), request.path_parameters.get("destination", "")
    action, reason = asked.get("action"), _reason(asked)
    request.check_fields(asked, "action", "reason", "rate")
    if action not in ("pause", "resume"):
        raise BadRequest(
            'body must be {"action": "pause" | "resume", "reason": …}; with resume also "rate": …; both may be left out'
        )
    if name not in parts.settings.destinations and name not in parts.store.pauses.all():
        raise NotFound("there is no such destination")
    note(destination=name, action=action, by=request.caller)
    if action == "pause":
        if "rate" in asked:
            raise BadRequest("a rate goes with resume")
        paused, changed = parts.store.pauses.add(name, request.caller, reason)
        return Response(200, {"destination": name, "paused": paused, "changed": changed})
    job = pauses.resume(parts.store, name, rate=_rate(asked), by=request.caller, reason=reason)
    note(replay_id=job.id)
    _nudge_sweep(parts)
    return Response(202, {"destination": name, "paused": None, "replay": views.replay_json(job)})


def list_refusals(parts: Parts, request: Request) -> Response:
    """Answer with the refused requests of a source, and the likely causes."""
    request.check_parameters()
    return Response(200, answers.list_refusals(parts.store, request.path_parameters.get("source", ""), parts.settings))


def list_replays(parts: Parts, request: Request) -> Response:
    """Answer with the newest replays."""
    request.check_parameters()
    return Response(200, {"replays": [views.replay_json(job) for job in parts.store.replays.newest(LISTED_MAX)]})


def show_replay(parts: Parts, request: Request) -> Response:
    """Answer with one replay and its first deliveries."""
    request.check_parameters()
    replay_id = request.path_parameters.get("replay_id", "")
    job = parts.store.replays.get(replay_id)
    if job is None:
        raise NotFound("there is no such replay")
    started = parts.store.replays.started(replay_id, LISTED_MAX)
    deliveries = [{"delivery_id": delivery, "generation": generation} for delivery, generation in started]
    return Response(200, views.replay_json(job) | {"deliveries": deliveries})


def stop_or_resume(parts: Parts, request: Request) -> Response:
    """Stop a running replay, or resume a stopped one."""
    asked = request.json()
    states = {"stop": ReplayState.STOPPED, "resume": ReplayState.RUNNING}
    request.check_fields(asked, "action")
    action = asked.get("action")
    if not isinstance(action, str) or action not in states:
        raise BadRequest('body must be {"action": "stop" | "resume"}')
    job = bulk.turn(parts.store, request.path_parameters.get("replay_id", ""), states[action])
    note(replay_id=job.id, action=action, by=request.caller)
    return Response(200, views.replay_json(job))


def start_replay(parts: Parts, request: Request) -> Response:
    """Replay deliveries: named ones, those of an event, or all that a query finds."""
    asked = request.json()
    reason = _reason(asked)
    chosen = {"delivery_ids", "event_id", "query"}
    request.check_fields(asked, *sorted(chosen), "destinations", "dry_run", "include_delivered", "rate", "reason")
    if len(chosen & set(asked)) != 1:
        raise BadRequest("say either delivery_ids, event_id or query")
    if "query" in asked:
        return _replay_query(parts, asked, by=request.caller, reason=reason)
    if {"rate", "dry_run"} & set(asked):
        raise BadRequest("rate and dry_run go with a query")
    replay = _replay_named(parts, asked, by=request.caller, reason=reason)
    note(replay_id=replay.id, by=request.caller)
    if replay.deliveries:
        _nudge_sweep(parts)
    said = {
        "id": replay.id,
        "deliveries": [views.delivery_json(delivery) for delivery in replay.deliveries],
        "skipped": [{"delivery_id": name, "reason": reason} for name, reason in replay.skipped],
    }
    return Response(202, said)


def _replay_query(parts: Parts, asked: dict[str, Any], *, by: str | None, reason: str | None) -> Response:
    """Count, or start, a replay of all deliveries that a query finds."""
    given, rate, dry_run = asked["query"], _rate(asked), asked.get("dry_run", False)
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadRequest("query must be an object of texts, the filters of a listing")
    for name, text in given.items():
        _bounded(name, text)
    if not isinstance(dry_run, bool):
        raise BadRequest("dry_run must be true or false")
    if {"destinations", "include_delivered"} & set(asked):
        raise BadRequest("a query says destination and status itself")
    if dry_run:
        deadline = monotonic() + COUNT_S
        counted = bulk.count(parts.store, given, lambda: deadline - monotonic())
        return Response(200, {"count": counted.by_status, "complete": counted.complete})
    job = bulk.start(parts.store, given, rate=rate, by=by, reason=reason)
    note(replay_id=job.id, by=by)
    _nudge_sweep(parts)
    return Response(202, views.replay_json(job))


def _replay_named(parts: Parts, asked: dict[str, Any], *, by: str | None, reason: str | None) -> StartedReplay:
    if "delivery_ids" in asked:
        if {"destinations", "include_delivered"} & set(asked):
            raise BadRequest("destinations and include_delivered choose from an event's deliveries: say event_id")
        return replay_deliveries(parts.store, _texts(asked, "delivery_ids"), by=by, reason=reason)
    event_id, include_delivered = asked["event_id"], asked.get("include_delivered", False)
    if not isinstance(event_id, str) or not event_id or not isinstance(include_delivered, bool):
        raise BadRequest("event_id must be text, include_delivered true or false")
    _bounded("event_id", event_id)
    return replay_event(
        parts.store,
        EventId(answers.resolve(event_id, parts.settings)),
        Router(parts.settings, parts.store.pauses.all),
        destinations=_texts(asked, "destinations") if "destinations" in asked else None,
        include_delivered=include_delivered,
        by=by,
        reason=reason,
    )


def _reason(asked: dict[str, Any]) -> str | None:
    reason = asked.get("reason")
    if reason is not None and (not isinstance(reason, str) or len(reason) > REASON_MAX_CHARS):
        raise BadRequest(f"reason must be text of up to {REASON_MAX_CHARS} characters")
    return reason


def _rate(asked: dict[str, Any]) -> int:
    rate = asked.get("rate", RATE_DEFAULT)
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise BadRequest("rate must be a whole number")
    return rate


def _bounded(name: str, text: str, most_bytes: int = TEXT_MAX_BYTES) -> str:
    """Return *text*, the caller's *name*, unless it has over *most_bytes*.

    Raises:
        BadRequest: The text is longer.
    """
    if len(text.encode()) > most_bytes:
        raise BadRequest(f"{name} has over {most_bytes} bytes: ask for an event with a long id by its rly_…")
    return text


def _texts(asked: dict[str, Any], name: str) -> list[str]:
    value = asked[name]
    if not isinstance(value, list) or not value or not all(isinstance(it, str) for it in value):
        raise BadRequest(f"{name} must be a list of texts")
    return [_bounded(name, text) for text in dict.fromkeys(value)]


def _nudge_sweep(parts: Parts) -> None:
    """Start the sweep now; if that fails, the sweep of the next minute publishes the same."""
    name = parts.settings.environment.get("RELAY_SWEEP_FUNCTION")
    if not name:
        return
    try:
        with aws.speaking_to("Lambda"):
            aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    except RelayError as error:
        note(nudge_failed=str(error))


ANSWERS: dict[str, Callable[[Parts, Request], Response]] = {
    key: globals()[route.verb] for key, route in served_by("query").items()
}


@answering
def handler(request: Request) -> Response:
    """Answer one request of an operator."""
    if request.route not in ANSWERS:
        raise NotFound("there is no such route")
    for name, text in (*request.path_parameters.items(), *request.query.items()):
        _bounded(name, text, CURSOR_MAX_BYTES if name == "cursor" else TEXT_MAX_BYTES)
    if empty := [name for name, text in request.path_parameters.items() if not text]:
        raise BadRequest(f"{empty[0]} is empty")
    return ANSWERS[request.route](relay("RELAY_BUCKET"), request)
