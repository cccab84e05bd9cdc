"""ANY /webhooks/{source}: takes webhooks in, and refuses requests to unknown paths.

And GET and POST /v1/sources/{source}/quarantine, which answer operators.
"""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from relay.errors import Defect, HandshakeFailed, OperatorError, SenderError, UnknownPath, UpstreamError
from relay.ingest.accept import Acceptance, Proof, accept_or_spool, budget_s, examine
from relay.ingest.refusals import record_refusal
from relay.ingest.ticks import describe_tick
from relay.ingest.webhook import Webhook
from relay.query.routes import served_by
from relay.runtime.deadline import at_most
from relay.runtime.http_api import DEFAULT_ROUTE, Request, Response, answering, note
from relay.runtime.metrics import Metric, count, count_routing
from relay.verification.request import InboundRequest
from relay.verification.verify import WebhookInfo
from relay.wiring import relay

if TYPE_CHECKING:
    from relay.config.settings import Source
    from relay.verification.handshakes import HandshakeAnswer
    from relay.verification.secret import Secret
    from relay.wiring import Parts

AGE_MAX_S = 30.0  # the gateway waits no longer: a greater age is another clock's
QUARANTINE = served_by("ingest")  # IAM lets operators in
NO_WEBHOOKS = frozenset({"v1", "qstash", "claims"})  # the first steps of the other functions' paths
QUARANTINE_S = 20.0  # the gateway waits 30


@answering
def handler(request: Request) -> Response:
    """Answer 202 once the event is durable, 200 for a redelivery; or the answer that the source wants instead."""
    parts = relay("RELAY_BUCKET", "RELAY_QSTASH_SECRET", "RELAY_SOURCES_SECRET")
    if request.route in QUARANTINE:
        return _quarantine(request, parts)
    if request.route == DEFAULT_ROUTE and _is_of_others(request.path):
        return Response(404, {"message": "Not Found"})  # as the gateway says it
    source: Source | None = None
    try:
        if request.route == DEFAULT_ROUTE:
            raise UnknownPath("nothing is at this path: a webhook's is /webhooks/ and the name of its source")
        source = parts.settings.source(request.path_parameters.get("source", ""))
        with at_most(budget_s(source, _age_s(request))):
            return _taken_in(source, request, parts)
    except (SenderError, OperatorError, HandshakeFailed) as error:
        record_refusal(error, request, settings=parts.settings, store=parts.store)
        if source is not None and source.quarantine_s:
            from relay.ingest.quarantine import keep

            keep(error, source, request, bases=parts.settings.base_urls, store=parts.store)
        if source is not None and source.row.bare:
            return Response(error.status, "")
        raise


def _is_of_others(path: str) -> bool:
    """Tell whether *path* belongs to another function: callback and claim paths hold a MAC, which isn't to be kept."""
    return not NO_WEBHOOKS.isdisjoint(unquote(path).lower().split("/"))


def _age_s(request: Request) -> float:
    """Return how many seconds ago the request came: a cold start may have taken some."""
    age_s = 0.0 if request.at is None else time() - request.at
    return age_s if 0 <= age_s <= AGE_MAX_S else 0.0


def _taken_in(source: Source, request: Request, parts: Parts) -> Response:
    now = parts.store.now()
    info = examine(source, _received(request, parts), _proof(source, parts), at=now.timestamp())
    if not isinstance(info, WebhookInfo):
        return _greet(source, info, parts)
    if source.schedule is not None:
        info = describe_tick(info, request.headers, path=request.path, mac_key=parts.mac_key)
    webhook = Webhook(source.name, now, info, request.headers.get("content-type"), request.body)
    accepted = accept_or_spool(
        source, webhook, settings=parts.settings, store=parts.store, publisher=parts.publisher, paused=parts.paused
    )
    return _acknowledge(source, accepted)


def _received(request: Request, parts: Parts) -> InboundRequest:
    urls = request.urls(parts.settings.base_urls)
    return InboundRequest(method=request.method, urls=urls, headers=request.headers, body=request.body)


def _proof(source: Source, parts: Parts) -> Proof:
    if source.schedule is not None:  # QStash alone posts to it
        return Proof(secrets=parts.qstash_secrets, refresh=parts.refresh_qstash_secrets, fetch=None)
    return Proof(
        secrets=lambda: _secrets(source, parts),
        refresh=parts.refresh_signing_secrets,
        fetch=lambda *asked: parts.fetch(*asked),
    )


def _secrets(source: Source, parts: Parts) -> list[Secret]:
    secrets = parts.signing_secrets(source.name)
    if parts.secrets.trouble is not None:
        note(secrets_not_read=str(parts.secrets.trouble))  # the earlier ones stay in use
    return secrets


def _greet(source: Source, answer: HandshakeAnswer, parts: Parts) -> Response:
    """Answer a handshake, which makes no event."""
    note(source=source.name, handshake=source.row.handshake)
    count(Metric.HANDSHAKES)
    if answer.confirm:
        _confirm(answer.confirm, parts)
    if answer.keep:
        parts.store.state.save_handshake(source.name, answer.keep)
    content_type = {"content-type": answer.content_type} if answer.content_type else {}
    return Response(answer.status, answer.body, {**content_type, **answer.headers})


def _confirm(url: str, parts: Parts) -> None:
    try:
        parts.fetch.visit(url)
    except UpstreamError as error:
        raise HandshakeFailed("the confirmation URL", str(error)) from error


def _acknowledge(source: Source, accepted: Acceptance | Webhook) -> Response:
    note(source=source.name)
    if isinstance(accepted, Webhook):
        note(event_type=accepted.info.event_type, spooled=True)
        count(Metric.SPOOLED)
        return _answer(source, 202, {"spooled": True}, {})
    event = accepted.event
    note(event_id=event.id, event_type=event.event_type, duplicate=accepted.duplicate)
    headers: dict[str, str] = {"relay-event-id": event.id}
    if accepted.failure is not None:
        count(Metric.DEFECTS if isinstance(accepted.failure, Defect) else Metric.PUBLISH_FAILED)
        note(publish_failed=str(accepted.failure))
    if accepted.duplicate:
        return _acknowledge_again(source, accepted, {**headers, "relay-duplicate": "true"})
    count(Metric.ACCEPTED)
    count_routing(event)
    if not event.expected:
        note(unrouted=True)
    if event.route_error:
        note(route_error=event.route_error)
    if event.suspected_replay_of:
        count(Metric.SUSPECTED_REPLAYS)
        note(suspected_replay_of=event.suspected_replay_of)
    return _answer(source, 202, {"event_id": event.id}, headers)


def _acknowledge_again(source: Source, accepted: Acceptance, headers: dict[str, str]) -> Response:
    count(Metric.DUPLICATES)
    body: dict[str, object] = {"event_id": accepted.event.id, "duplicate": True}
    if accepted.conflict:
        count(Metric.CONFLICTS)
        note(conflict=True)
        body["conflict"] = True
    if accepted.reopened:
        count(Metric.REOPENED, len(accepted.reopened))
        note(reopened=accepted.reopened)
        body["reopened"] = accepted.reopened
    return _answer(source, 200, body, headers)


def _answer(source: Source, status: int, body: dict[str, object], headers: dict[str, str]) -> Response:
    """Return the acknowledgement in the source's form, else in the relay's own."""
    if source.row.answer is None:
        return Response(status, body, headers)
    wanted, text, content_type = source.row.answer
    return Response(wanted, text, {**headers, "content-type": content_type} if content_type else headers)


def _quarantine(request: Request, parts: Parts) -> Response:
    """Answer an operator: list a source's quarantine, or admit or discard requests of it."""
    from relay.ingest.readmission import Readmission, listed, turned

    deadline = monotonic() + QUARANTINE_S
    source = parts.settings.source(request.path_parameters.get("source", ""))
    parts.read_signing_secrets()
    readmission = Readmission(
        source,
        settings=parts.settings,
        store=parts.store,
        secrets=_secrets(source, parts),
        publisher=parts.publisher,
        paused=parts.paused,
    )
    note(source=source.name)
    if request.method == "GET":
        return Response(200, listed(readmission, request.query, lambda: deadline - monotonic()))
    note(by=request.caller)
    return Response(200, turned(readmission, request.json(), lambda: deadline - monotonic()))
