"""`relay replay`: delivers past events again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.listing import STATUSES, UNROUTED
from cli.terminal.options import CommandError, GlobalOptions, Moment, event_id_of, global_options, iso, json_line, note
from relay.model.delivery import OPEN
from relay.model.replay import DELIVERIES_MAX, RATE_DEFAULT, RATE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPLAYABLE = [*(status for status in STATUSES if status not in OPEN), UNROUTED]
QUERY = {"source": "source", "type": "type_", "status": "status", "since": "since", "until": "until"}


@click.group()
def replay() -> None:
    """Deliver past events again."""


@replay.command("start")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--destination", "destinations", metavar="NAME", multiple=True, help="Only to this destination.")
@click.option("--include-delivered", is_flag=True, help="Of an event, also its delivered deliveries.")
@click.option("--source", metavar="NAME", help="All deliveries of this source.")
@click.option("--type", "type_", metavar="TYPE", help="All deliveries of this event type.")
@click.option(
    "--status",
    type=click.Choice(REPLAYABLE),
    help="All in this status; unrouted: all events that no route matched.  [default: all dead ones]",
)
@click.option(
    "--since", type=Moment(), metavar="TIME", help="All of events from this time on: 30m, 2h, 1d, or ISO 8601."
)
@click.option("--until", type=Moment(), metavar="TIME", help="All of events before this time.")
@click.option("--dry-run", is_flag=True, help="Only count the deliveries.")
@click.option("--rate", type=click.IntRange(1, RATE_MAX), help=f"Deliveries a minute.  [default: {RATE_DEFAULT}]")
@click.option("--reason", metavar="TEXT", help="Kept with the replay.")
@global_options
def start(options: GlobalOptions, /, ids: tuple[str, ...], reason: str | None, **given: Any) -> None:
    """Start a replay of events (their dead deliveries), of single deliveries, or of many.

    ID is an event id (rly_…), SOURCE:ID with the source's own id, or a delivery id (dlv_….DESTINATION).

    Without an ID, all deliveries that match the options are replayed, at a bounded rate.  Count them first with
    --dry-run.

    Deliveries that haven't ended are skipped; so are an event's delivered ones.  An event that no route matched, or
    whose route failed, is routed again with the present routes.
    """
    query = {name: given[key] for name, key in QUERY.items() if given[key] is not None}
    if not ids:
        _start_many(options, _query_of(query, given), reason, given)
        return
    if query or given["dry_run"] or given["rate"]:
        raise click.UsageError("an ID names the deliveries: leave out --source, --status and the like")
    _start_named(options, ids, reason, given)


def _start_named(options: GlobalOptions, ids: tuple[str, ...], reason: str | None, given: Mapping[str, Any]) -> None:
    destinations, include_delivered = given["destinations"], given["include_delivered"]
    ids = _ids_of(ids, narrowed=bool(destinations or include_delivered))
    from cli.client.api import Deployed

    relay = Deployed.find(options.name)
    answers: list[dict[str, Any]] = []
    try:
        for body in _bodies(ids, destinations, include_delivered=include_delivered):
            answers.append(relay.post("replays", body | ({"reason": reason} if reason else {})))  # noqa: PERF401
    finally:  # print the replays that started before an error
        _print_replays(options, answers)
    if not any(it["deliveries"] for it in answers):
        raise CommandError("nothing was replayed: every delivery was skipped for the reason above")


def _query_of(query: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters of a replay of many."""
    if len(given["destinations"]) > 1 or given["include_delivered"]:
        raise click.UsageError(
            "without an ID, give one --destination, and --status delivered instead of --include-delivered"
        )
    filters = {name: iso(it) if isinstance(it, datetime) else str(it) for name, it in query.items()}
    if given["destinations"]:
        filters["destination"] = given["destinations"][0]
    if not filters:
        raise click.UsageError("name the deliveries: an ID, or --source, --destination, --status, --since …")
    return filters


def _start_many(options: GlobalOptions, query: dict[str, str], reason: str | None, given: Mapping[str, Any]) -> None:
    from cli.client.api import Deployed

    relay = Deployed.find(options.name)
    if given["dry_run"]:
        answer = relay.post("replays", {"query": query, "dry_run": True})
        if options.as_json:
            json_line(answer)
            return
        for status, count in answer["count"].items():
            click.echo(f"{status}: {count}")
        if not answer["complete"]:
            note("there are more than one call can count: choose a shorter time with --since and --until")
        return
    body = (
        {"query": query} | ({"reason": reason} if reason else {}) | ({"rate": given["rate"]} if given["rate"] else {})
    )
    answer = relay.post("replays", body)
    if options.as_json:
        json_line(answer)
    else:
        click.echo(answer["id"])
        note(f"the relay continues by itself: `relay replay show {answer['id']}` counts, `relay replay stop` stops")


@replay.command("list")
@global_options
def list_(options: GlobalOptions) -> None:
    """List the newest replays: who started each, and why."""
    from cli.client.api import Deployed
    from cli.terminal.tables import Column, table, time_text

    found = Deployed.find(options.name).get("replays")["replays"]
    if options.as_json:
        for record in found:
            json_line(record)
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
        note("there are no replays")


@replay.command("show")
@click.argument("replay_id", metavar="ID")
@global_options
def show(options: GlobalOptions, replay_id: str) -> None:
    """Show the progress of a replay (rpl_…), and its first deliveries."""
    from cli.client.api import Deployed

    _print_replay(options, Deployed.find(options.name).get("replays", replay_id))


@replay.command("stop")
@click.argument("replay_id", metavar="ID")
@global_options
def stop(options: GlobalOptions, replay_id: str) -> None:
    """Stop a replay of many: no more deliveries are started; the started ones continue."""
    _post_action(options, replay_id, "stop")


@replay.command("resume")
@click.argument("replay_id", metavar="ID")
@global_options
def resume(options: GlobalOptions, replay_id: str) -> None:
    """Resume a stopped replay where it was."""
    _post_action(options, replay_id, "resume")


def _post_action(options: GlobalOptions, replay_id: str, action: str) -> None:
    from cli.client.api import Deployed

    _print_replay(options, Deployed.find(options.name).post(f"replays/{quote(replay_id, safe='')}", {"action": action}))


def _print_replay(options: GlobalOptions, found: Mapping[str, Any]) -> None:
    from cli.terminal.tables import facts, time_text

    if options.as_json:
        json_line(found)
        return
    facts(
        {
            "replay": found["id"],
            "state": found["state"],
            "started": time_text(found["started_at"]),
            "by": found["by"] or "-",
            "reason": found["reason"] or "-",
            "of": ", ".join(f"{name} {value}" for name, value in found["query"].items()) or "the named ids",
            "rate": f"{found['rate']} a minute" if found["rate"] else "-",
            "replayed": found["replayed"],
            "skipped": found["skipped"],
        }
    )
    for delivery in found.get("deliveries", []):
        click.echo(delivery["delivery_id"])


def _ids_of(ids: tuple[str, ...], *, narrowed: bool) -> tuple[str, ...]:
    """Return *ids* with each event's as rly_….

    Raises:
        click.UsageError: An id names no destination, or *narrowed* (other options choose deliveries) and is one's.
    """
    for text in ids:
        if not text.startswith("dlv_") or ":" in text:
            continue
        if "." not in text:
            raise click.BadParameter(f"{text!r} names no destination: dlv_….DESTINATION", param_hint="ID")
        if narrowed:
            raise click.UsageError("--destination and --include-delivered choose from an event's deliveries (rly_…)")
    return tuple(it if it.startswith("dlv_") and ":" not in it else event_id_of(it) for it in ids)


def _bodies(
    ids: tuple[str, ...], destinations: tuple[str, ...], *, include_delivered: bool
) -> Iterator[dict[str, Any]]:
    deliveries = list(dict.fromkeys(it for it in ids if it.startswith("dlv_")))
    for first in range(0, len(deliveries), DELIVERIES_MAX):
        yield {"delivery_ids": deliveries[first : first + DELIVERIES_MAX]}
    for event in dict.fromkeys(it for it in ids if it.startswith("rly_")):
        named = {"destinations": list(destinations)} if destinations else {}
        yield {"event_id": event, "include_delivered": include_delivered, **named}


def _print_replays(options: GlobalOptions, answers: list[dict[str, Any]]) -> None:
    from cli.terminal.tables import Column, table

    if options.as_json:
        for answer in answers:
            json_line(answer)
        return
    rows = [
        {"replay": answer["id"], "delivery": delivery["id"], "status": delivery["status"], "note": ""}
        for answer in answers
        for delivery in answer["deliveries"]
    ] + [
        {"replay": "", "delivery": delivery["delivery_id"], "status": "skipped", "note": delivery["reason"]}
        for answer in answers
        for delivery in answer["skipped"]
    ]
    if rows:
        columns = [
            Column("DELIVERY", lambda it: it["delivery"], whole=True),
            Column("STATUS", lambda it: it["status"], whole=True),
            Column("REPLAY", lambda it: it["replay"], whole=True),
            Column("NOTE", lambda it: it["note"]),
        ]
        table(columns, rows)
