"""The verb of query: answers operators' questions from indexes, never by a scan."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay import VERSION
from relay.errors import BadRequest, NotFound
from relay.ledger.balance import balance
from relay.model.delivery import Status
from relay.model.ids import EventId, event_id, from_iso, iso, split_delivery_id
from relay.model.refusal import UNKNOWN_SOURCE_NAME, Reason
from relay.query import implied, views
from relay.query.diagnosis import Facts, likely_cause
from relay.reconciliation.missing import Records
from relay.storage.filters import Filters, between, encoded, no_cursor, position, time_of
from relay.storage.items import EVENTS, UNROUTED
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relay.config.settings import Settings
    from relay.model.event import Conflict, Event
    from relay.storage.items import Item
    from relay.storage.store import Store

AUDIT_SINCE = timedelta(days=1)
UNROUTED_MAX = 1000


def _positions(store: Store, text: str, since: str, until: str) -> list[str | None]:
    """Return the position of each shard in *text*, a cursor of the balance of these times.

    Raises:
        BadRequest: The text is no such cursor.
    """
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != len(store.shards()):
        raise no_cursor()
    if not all(it is None or isinstance(it, str) for it in found):
        raise no_cursor()
    return [None if it is None else between(it, since, until) for it in found]


def list_events(store: Store, query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of events: `{"events": […], "cursor": … or null}`.

    With a destination or a status, only events with such a delivery; status `unrouted` finds events without a route.
    """
    filters = Filters.of(query, also=UNROUTED)
    if filters.statuses == (UNROUTED,) or (filters.destination is None and "status" not in query):
        items, at = _page(store, [UNROUTED] if "status" in query else [EVENTS, UNROUTED], filters)
        return {"events": [views.event_row(it) for it in items], "cursor": filters.cursor(at)}
    rows, at = _deliveries(store, filters)
    ids = list(dict.fromkeys(EventId(it["event_id"]) for it in rows))
    return {"events": [views.event_json(event) for event in store.events(ids)], "cursor": filters.cursor(at)}


def list_deliveries(store: Store, query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of deliveries, with and without a record: `{"deliveries": […], "cursor": … or null}`."""
    filters = Filters.of(query)
    rows, at = _deliveries(store, filters)
    return {"deliveries": rows, "cursor": filters.cursor(at)}


def _deliveries(store: Store, filters: Filters) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of deliveries as JSON, and the sort key to go on below."""
    places: list[implied.Place] = []
    implied_at: str | None = None
    if Status.PENDING in filters.statuses:  # before the records: none that comes meanwhile is missed
        places, implied_at = implied.newest(
            store,
            since=filters.since,
            below=filters.below,
            equal=filters.of_event,
            destination=filters.destination,
            limit=filters.limit,
        )
    items, recorded_at = _page(store, filters.statuses, filters)
    rows = {(it["pk"], it["destination"]): (it["feed_sk"], views.delivery_row(it)) for it in items}
    floor = max(recorded_at or "", implied_at or "")
    waiting = [it for it in places if (it.event, it.destination) not in rows]
    keys = sorted(key for key in (*(at for at, _ in rows.values()), *(it.at for it in waiting)) if key >= floor)
    if len(keys) > filters.limit:
        floor = keys[-filters.limit]
    for place in waiting:
        found = implied.delivery(store, place) if place.at >= floor else None
        if found is not None and found.status in filters.statuses:
            rows[place.event, place.destination] = place.at, views.delivery_json(found)
    page = sorted((it for it in rows.values() if it[0] >= floor), key=lambda it: it[0], reverse=True)
    return [row for _, row in page], floor or None


def _page(store: Store, partitions: Iterable[str], filters: Filters) -> tuple[list[Item], str | None]:
    return store.listings.page(
        [str(it) for it in partitions],
        since=filters.since,
        below=filters.below,
        equal=filters.equal,
        limit=filters.limit,
    )


def resolve(text: str, settings: Settings) -> EventId:
    """Return the event that *text* names: `rly_…`, `dlv_…`, or a source's name, `:` and the source's own id."""
    if text.startswith("dlv_"):
        return split_delivery_id(text)[0]
    source, colon, key = text.partition(":")
    if colon and source in settings.sources:
        return event_id(source, key)
    return EventId(text)


def show_event(store: Store, found_by: EventId, *, with_body: bool, sha256: str | None = None) -> dict[str, Any]:
    """Return an event with its deliveries and their attempts, and its body if *with_body*.

    Args:
        sha256: The hash of the wanted body, if several came under the event's id; None: the body that is delivered.

    Raises:
        NotFound: There is no such event, or the event has no such body.
    """
    history = store.history(found_by)
    if history is None:
        raise NotFound("there is no such event")
    event, deliveries = history
    found = (
        views.event_json(event)
        | views.request_json(event)
        | {
            "headers": event.headers,
            "route_error": event.route_error,
            "routed_at": iso(event.routed_at) if event.routed_at else None,
            "deliveries": [views.delivery_json(it) | {"attempts": views.attempts_json(it)} for it in deliveries],
        }
    )
    conflicts = store.conflicts(event) if event.conflicts else []
    if conflicts:
        found["conflicting"] = [views.conflict_json(it) for it in conflicts]
    if with_body:
        body = store.body(_body_meant(event, conflicts, sha256))
        try:
            found["body"] = body.decode()
        except UnicodeDecodeError:
            found["body_base64"] = base64.b64encode(body).decode()
    return found


def _body_meant(event: Event, conflicts: list[Conflict], sha256: str | None) -> Event:
    if sha256 in {None, event.sha256}:
        return event
    for conflict in conflicts:
        if conflict.sha256 == sha256:
            return replace(event, sha256=conflict.sha256, size_bytes=conflict.size_bytes)
    raise NotFound("no such body came under the event's id: `conflicting` has the hashes of those that did")


def show_config(settings: Settings, store: Store) -> dict[str, Any]:
    """Return the deployed configuration, without a secret."""
    base, hold = settings.base_urls[0], store.state.hold()
    quarantined = [it.name for it in settings.sources.values() if it.quarantine_s]
    return {
        "name": settings.name,
        "version": VERSION,
        "retention_days": settings.retention_days,
        "base_urls": list(settings.base_urls),
        "sources": {name: it | {"url": webhook_url(base, name)} for name, it in settings.flat["sources"].items()},
        "url_groups": settings.flat["url_groups"],
        "destinations": settings.flat["destinations"],
        "counts": {
            "orphans": store.state.count("orphans"),
            "missing": _missing(settings, store),
            "quarantined": {name: store.quarantine.count(name)[0] for name in quarantined},
        },
        "held_until": None if hold is None else iso(hold),
        "paused": store.pauses.all(),
        "spool": _spool(store),
        "drift": store.state.last_look(),
    }


def _spool(store: Store) -> dict[str, Any]:
    """Return how many webhooks are spooled, since when, and why the sweep last failed at one.

    The count is the bucket's own, since the sweep itself may be failing.
    """
    waiting, oldest_at = store.spool.backlog()
    reason = store.spool.word().get("reason") if waiting else None
    return {"waiting": waiting, "oldest_at": oldest_at and iso(oldest_at), "reason": reason}


def _missing(settings: Settings, store: Store) -> int:
    """Return how many missing events need a person, over all sources that reconcile; one query a source."""
    asking = [it for it in settings.sources.values() if it.reconcile]
    found = [it for source in asking for it in Records(store, source).all()[0].values()]
    return sum(it.needs_a_person(store.now()) for it in found)


def show_audit(store: Store, query: Mapping[str, str], seconds_left: Callable[[], float]) -> dict[str, Any]:
    """Return the balance of the ledger for a time: for each destination the expected deliveries, by status.

    If time runs out, the answer has a `cursor` to go on with; the numbers of all answers add up.

    Raises:
        BadRequest: A parameter is unknown, or a time can't be read.
    """
    if unknown := set(query) - {"since", "until", "cursor"}:
        raise BadRequest(
            f"unknown parameters: {', '.join(sorted(unknown))} (allowed: since, until, cursor)", code="unknown_filter"
        )
    since = time_of(query, "since") or iso(store.now() - AUDIT_SINCE)
    until = time_of(query, "until") or iso(store.now())
    if since >= until:
        raise BadRequest("since must be before until", code="bad_filter")
    digest = hashlib.sha256(f"{since}{until}".encode()).hexdigest()[:12]
    positions = _positions(store, position(query["cursor"], digest), since, until) if query.get("cursor") else None
    found = balance(store, since=since, until=until, positions=positions, seconds_left=seconds_left)
    cursor = None if found.complete else encoded(digest, json.dumps(found.positions))
    return {
        "since": since,
        "until": until,
        "destinations": [
            {"destination": name, "expected": counts.total(), **{it.value: counts[it] for it in Status}}
            for name, counts in sorted(found.by_destination.items())
        ],
        "unaccounted": [{"delivery_id": it.id, "event_id": it.event, "why": it.why} for it in found.findings],
        "unrouted": 0 if positions else _unrouted(store, since, until),
        "orphans": store.state.count("orphans"),
        "spool": _spool(store),
        "cursor": cursor,
    }


def _unrouted(store: Store, since: str, until: str) -> int:
    """Return how many events of a time have no route; at most `UNROUTED_MAX` of each shard are counted."""
    return store.listings.count(UNROUTED, above=since, below=until, most=UNROUTED_MAX)


def list_refusals(store: Store, source: str, settings: Settings) -> dict[str, Any]:
    """Return the refused requests of *source*: the counts by reason, and the samples, the newest first.

    `handshake` is the token of the last handshake, if its owner must paste it somewhere; else None.

    Args:
        source: A source's name; `(unknown)` for the requests to all unknown sources.

    Raises:
        NotFound: There is no such source.
    """
    if source != UNKNOWN_SOURCE_NAME:
        settings.source(source)
    slots = sorted(store.refusals.of(source), key=lambda it: it.refusal.at, reverse=True)
    reasons = dict.fromkeys(it.refusal.reason for it in slots)
    facts = _facts(store, source, settings, asked=Reason.BAD_SIGNATURE in reasons)
    return {
        "source": source,
        "handshake": store.state.handshake(source),
        "counts": [views.count_json(reason, [it for it in slots if it.refusal.reason is reason]) for reason in reasons],
        "refusals": [
            views.refusal_json(slot.refusal) | {"likely_cause": likely_cause(slot.refusal, facts)} for slot in slots
        ],
    }


def _facts(store: Store, source: str, settings: Settings, *, asked: bool) -> Facts:
    """Return the facts that explain the refusals of *source*; its newest event costs reads, so only if *asked*."""
    items: list[Item] = []
    more: str | None = None
    if asked:
        items, more = store.listings.page([EVENTS, UNROUTED], equal={"source": source}, limit=1)
    known = settings.sources.get(source)
    return Facts(
        scheme=known.scheme if known else None,
        signs_url=known is not None and known.row.signs_url,
        sources=tuple(settings.sources),
        base_urls=settings.base_urls,
        accepted_at=from_iso(items[0]["received_at"]) if items else None,
        surely=asked and more is None,
        signs_body=known is None or known.row.signs_body,
        signature=tuple(known.said.get("signature", [])) if known else (),
        is_schedule=known is not None and known.schedule is not None,
    )
