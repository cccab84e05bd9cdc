"""`relay replay`: have past events delivered again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.listing import STATUSES, UNROUTED
from cli.terminal.options import Asked, Failure, Moment, aside, asking, event_named, iso, json_line
from relay.model.delivery import OPEN
from relay.model.replay import DELIVERIES_MAX, RATE_DEFAULT, RATE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPLAYABLE = [*(status for status in STATUSES if status not in OPEN), UNROUTED]
QUERY = {"source": "source", "type": "type_", "status": "status", "since": "since", "until": "until"}


@click.group()
def replay() -> None:
    """Have past events delivered again."""


@replay.command("start")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--destination", "destinations", metavar="NAME", multiple=True, help="Only to this one.")
@click.option("--include-delivered", is_flag=True, help="Of an event, also the deliveries that arrived.")
@click.option("--source", metavar="NAME", help="All of this source.")
@click.option("--type", "type_", metavar="TYPE", help="All of this event type.")
@click.option(
    "--status",
    type=click.Choice(REPLAYABLE),
    help="All in this status; unrouted: all events that no route took.  [default: all that died]",
)
@click.option("--since", type=Moment(), metavar="TIME", help="All of events from then on: 30m, 2h, 1d, or ISO 8601.")
@click.option("--until", type=Moment(), metavar="TIME", help="All of events before then.")
@click.option("--dry-run", is_flag=True, help="Only count what would be replayed.")
@click.option("--rate", type=click.IntRange(1, RATE_MAX), help=f"Deliveries a minute.  [default: {RATE_DEFAULT}]")
@click.option("--reason", metavar="TEXT", help="Kept with the replay.")
@asking
def start(asked: Asked, /, ids: tuple[str, ...], reason: str | None, **given: Any) -> None:
    """Start a replay of events (their dead deliveries), of single deliveries, or of many.

    ID is an event's, rly_… or SOURCE:ID with the source's own, or a delivery's, dlv_….DESTINATION.

    Without an ID: of all deliveries that the options choose, at a bounded rate; count them first with --dry-run.

    A delivery that is still under way is skipped; so is, of an event, one that arrived.  An event that no route
    took, or of which one couldn't tell, goes where the routes of now take it.
    """
    query = {name: given[key] for name, key in QUERY.items() if given[key] is not None}
    if not ids:
        _start_many(asked, _query_of(query, given), reason, given)
        return
    if query or given["dry_run"] or given["rate"]:
        raise click.UsageError("an ID says which deliveries: leave out --source, --status and the like")
    _start_named(asked, ids, reason, given)


def _start_named(asked: Asked, ids: tuple[str, ...], reason: str | None, given: Mapping[str, Any]) -> None:
    destinations, include_delivered = given["destinations"], given["include_delivered"]
    ids = _checked(ids, narrowed=bool(destinations or include_delivered))
    from cli.client.api import Deployed

    relay = Deployed.find(asked.name)
    answers: list[dict[str, Any]] = []
    try:
        for body in _bodies(ids, destinations, include_delivered=include_delivered):
            answers.append(relay.post("replays", body | ({"reason": reason} if reason else {})))  # noqa: PERF401
    finally:  # what was started before a failure must be told
        _tell(asked, answers)
    if not any(it["deliveries"] for it in answers):
        raise Failure("nothing was replayed: every delivery was skipped, as said above")


def _query_of(query: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters of a replay of many."""
    if len(given["destinations"]) > 1 or given["include_delivered"]:
        raise click.UsageError("without an ID there is one --destination, and --status delivered for what arrived")
    said = {name: iso(it) if isinstance(it, datetime) else str(it) for name, it in query.items()}
    if given["destinations"]:
        said["destination"] = given["destinations"][0]
    if not said:
        raise click.UsageError("say what to replay: an ID, or --source, --destination, --status, --since …")
    return said


def _start_many(asked: Asked, query: dict[str, str], reason: str | None, given: Mapping[str, Any]) -> None:
    from cli.client.api import Deployed

    relay = Deployed.find(asked.name)
    if given["dry_run"]:
        answer = relay.post("replays", {"query": query, "dry_run": True})
        if asked.as_json:
            json_line(answer)
            return
        for status, count in answer["count"].items():
            click.echo(f"{status}: {count}")
        if not answer["complete"]:
            aside("and more: that is as far as one call could count; choose a shorter time with --since and --until")
        return
    asks = (
        {"query": query} | ({"reason": reason} if reason else {}) | ({"rate": given["rate"]} if given["rate"] else {})
    )
    answer = relay.post("replays", asks)
    if asked.as_json:
        json_line(answer)
    else:
        click.echo(answer["id"])
        aside(f"it goes on by itself: `relay replay show {answer['id']}` says how far, `relay replay stop` stops it")


@replay.command("list")
@asking
def list_(asked: Asked) -> None:
    """List the newest replays: who started each, and why."""
    from cli.client.api import Deployed
    from cli.terminal.tables import Column, table, time_text

    found = Deployed.find(asked.name).get("replays")["replays"]
    if asked.as_json:
        for it in found:
            json_line(it)
        return
    columns = [
        Column("REPLAY", lambda it: it["id"], whole=True),
        Column("STATE", lambda it: it["state"], whole=True),
        Column("STARTED", lambda it: time_text(it["started_at"]), whole=True),
        Column("REPLAYED", lambda it: it["replayed"]),
        Column("SKIPPED", lambda it: it["skipped"]),
        Column("BY", lambda it: it["by"]),
        Column("REASON", lambda it: it["reason"]),
    ]
    if found:
        table(columns, found)
    else:
        aside("no replays here")


@replay.command("show")
@click.argument("replay_id", metavar="ID")
@asking
def show(asked: Asked, replay_id: str) -> None:
    """Show how far a replay (rpl_…) is, and the first of its deliveries."""
    from cli.client.api import Deployed

    _tell_one(asked, Deployed.find(asked.name).get("replays", replay_id))


@replay.command("stop")
@click.argument("replay_id", metavar="ID")
@asking
def stop(asked: Asked, replay_id: str) -> None:
    """Stop a replay of many: what it has started goes on, nothing more is started."""
    _turn(asked, replay_id, "stop")


@replay.command("resume")
@click.argument("replay_id", metavar="ID")
@asking
def resume(asked: Asked, replay_id: str) -> None:
    """Resume a replay that was stopped, where it was."""
    _turn(asked, replay_id, "resume")


def _turn(asked: Asked, replay_id: str, action: str) -> None:
    from cli.client.api import Deployed

    _tell_one(asked, Deployed.find(asked.name).post(f"replays/{quote(replay_id, safe='')}", {"action": action}))


def _tell_one(asked: Asked, found: Mapping[str, Any]) -> None:
    from cli.terminal.tables import facts, time_text

    if asked.as_json:
        json_line(found)
        return
    facts(
        {
            "replay": found["id"],
            "state": found["state"],
            "started": time_text(found["started_at"]),
            "by": found["by"] or "-",
            "reason": found["reason"] or "-",
            "of": ", ".join(f"{name} {value}" for name, value in found["query"].items()) or "what was named",
            "rate": f"{found['rate']} a minute" if found["rate"] else "-",
            "replayed": found["replayed"],
            "skipped": found["skipped"],
        }
    )
    for it in found.get("deliveries", []):
        click.echo(it["delivery_id"])


def _checked(ids: tuple[str, ...], *, narrowed: bool) -> tuple[str, ...]:
    """Return *ids* with those of events as rly_…."""
    for text in ids:
        if not text.startswith("dlv_") or ":" in text:
            continue
        if "." not in text:
            raise click.BadParameter(f"{text!r} names no destination: dlv_….DESTINATION", param_hint="ID")
        if narrowed:
            raise click.UsageError("--destination and --include-delivered choose from an event's deliveries (rly_…)")
    return tuple(it if it.startswith("dlv_") and ":" not in it else event_named(it) for it in ids)


def _bodies(
    ids: tuple[str, ...], destinations: tuple[str, ...], *, include_delivered: bool
) -> Iterator[dict[str, Any]]:
    deliveries = list(dict.fromkeys(it for it in ids if it.startswith("dlv_")))
    for first in range(0, len(deliveries), DELIVERIES_MAX):
        yield {"delivery_ids": deliveries[first : first + DELIVERIES_MAX]}
    for event in dict.fromkeys(it for it in ids if it.startswith("rly_")):
        named = {"destinations": list(destinations)} if destinations else {}
        yield {"event_id": event, "include_delivered": include_delivered, **named}


def _tell(asked: Asked, answers: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, table

    if asked.as_json:
        for answer in answers:
            json_line(answer)
        return
    rows = [
        {"replay": answer["id"], "delivery": it["id"], "status": it["status"], "note": ""}
        for answer in answers
        for it in answer["deliveries"]
    ] + [
        {"replay": "", "delivery": it["delivery_id"], "status": "skipped", "note": it["reason"]}
        for answer in answers
        for it in answer["skipped"]
    ]
    if rows:
        columns = [
            Column("DELIVERY", lambda it: it["delivery"], whole=True),
            Column("STATUS", lambda it: it["status"], whole=True),
            Column("REPLAY", lambda it: it["replay"], whole=True),
            Column("NOTE", lambda it: it["note"]),
        ]
        table(columns, rows)
