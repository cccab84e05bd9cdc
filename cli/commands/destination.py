"""`relay destination`: the health of destinations, and pausing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.terminal.options import GlobalOptions, Moment, global_options, iso, json_line, note
from relay.model.replay import RATE_DEFAULT, RATE_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SMALL = 0.1  # lower rates are printed to a tenth of a percent
SINCE_HELP = "Events from this time on: 30m, 2h, 1d …  [default: 1d]"


@click.group()
def destination() -> None:
    """Show the health of destinations, pause and resume them."""


@destination.command("list")
@click.option("--since", type=Moment(), metavar="TIME", help=SINCE_HELP)
@global_options
def list_(options: GlobalOptions, since: datetime | None) -> None:
    """List the destinations: state, failure rate, time to deliver, waiting deliveries.

    WAIT counts pending and held deliveries (`show` has each).  Waiting deliveries and those in flight count whatever
    their age; ended deliveries count if their event arrived since --since.
    """
    from cli.client.api import Deployed
    from cli.terminal.tables import Column, ago_text, span_text, table

    answer = Deployed.find(options.name).get("destinations", since=iso(since) if since else None)
    found = answer["destinations"]
    if options.as_json:
        for record in found:
            json_line(record | {"since": answer["since"], "complete": answer["complete"]})
    elif found:
        columns = [
            Column("NAME", lambda it: it["destination"], whole=True),
            Column("STATE", state, whole=True),
            Column("DELIVERED", lambda it: it["counts"]["delivered"]),
            Column("FAILED", lambda it: _percent(it["failure_rate"])),
            Column("P95", lambda it: span_text(it["p95_s"]), whole=True),
            Column("DEAD", lambda it: it["dead_letters"]),
            Column("WAIT", lambda it: it["counts"]["pending"] + it["counts"]["held"]),
            Column("IN FLIGHT", _in_flight),
            Column("LAST OK", lambda it: ago_text(it["last_success_at"]), whole=True),
        ]
        table(columns, found)
    else:
        note("the relay has no destinations")
    _print_notes(answer)


@destination.command("show")
@click.argument("which", metavar="NAME")
@click.option("--since", type=Moment(), metavar="TIME", help=SINCE_HELP)
@global_options
def show(options: GlobalOptions, /, which: str, since: datetime | None) -> None:
    """Show the health of one destination, and who paused it."""
    from cli.client.api import Deployed
    from cli.terminal.tables import facts, span_text, time_text

    answer = Deployed.find(options.name).get("destinations", which, since=iso(since) if since else None)
    (health,) = answer["destinations"]
    if options.as_json:
        json_line(health | {"since": answer["since"], "complete": answer["complete"]})
    else:
        paused = health["paused"] or {}
        facts(
            {
                "destination": health["destination"],
                "state": state(health),
                "group": health["group"],
                "url": health["url"],
                "events since": time_text(answer["since"]),
                **{status.replace("_", " "): count for status, count in health["counts"].items() if count},
                "attempts": _attempts(health),
                "failure rate": None if health["failure_rate"] is None else _percent(health["failure_rate"]),
                "p95": None if health["p95_s"] is None else f"{span_text(health['p95_s'])} from received to delivered",
                "last success": time_text(health["last_success_at"]),
                "oldest in flight": _in_flight_age(health),
                "paused by": paused.get("by"),
                "paused at": time_text(paused["at"]) if paused else None,
                "reason": paused.get("reason"),
            }
        )
    _print_notes(answer)


@destination.command()
@click.argument("which", metavar="NAME")
@click.option("--reason", metavar="TEXT", help="Kept with the pause.")
@global_options
def pause(options: GlobalOptions, /, which: str, reason: str | None) -> None:
    """Hold a destination's new deliveries until `relay destination resume`; none is lost.

    A pause takes effect within ten seconds.  QStash keeps trying the deliveries that it already has.
    """
    answer = _post_action(options, which, {"action": "pause"} | ({"reason": reason} if reason else {}))
    if options.as_json:
        json_line(answer)
        return
    from cli.terminal.tables import line, time_text

    paused = answer["paused"]
    if answer["changed"]:
        line(f"{which} is paused: its new deliveries are held")
        note(
            f"`relay destination resume {which}` releases them; QStash keeps trying the deliveries that it already has"
        )
    else:
        line(f"{which} is already paused, since {time_text(paused['at'])}, by {paused['by'] or 'somebody'}")


@destination.command()
@click.argument("which", metavar="NAME")
@click.option("--rate", type=click.IntRange(1, RATE_MAX), help=f"Deliveries a minute.  [default: {RATE_DEFAULT}]")
@click.option("--reason", metavar="TEXT", help="Kept with the replay.")
@global_options
def resume(options: GlobalOptions, /, which: str, rate: int | None, reason: str | None) -> None:
    """End a pause: a replay sends the held deliveries at a bounded rate; new deliveries go out at once."""
    wanted = {"action": "resume"} | ({"reason": reason} if reason else {}) | ({"rate": rate} if rate else {})
    answer = _post_action(options, which, wanted)
    if options.as_json:
        json_line(answer)
        return
    replay = answer["replay"]["id"]
    click.echo(replay)
    note(f"{which} is no longer paused: `relay replay show {replay}` counts the held deliveries that were sent")


def state(health: Mapping[str, Any]) -> str:
    """Return a destination's state in one word: `paused`, `removed`, `dead`, `ok` or `idle`.

    Args:
        health: The destination as GET /v1/destinations describes it.
    """
    if health["paused"]:
        return "paused"
    if not health["configured"]:
        return "removed"
    if health["looks_dead"]:
        return "dead"
    return "ok" if health["counts"]["delivered"] else "idle"


def _post_action(options: GlobalOptions, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from cli.client.api import Deployed

    return Deployed.find(options.name).post(f"destinations/{quote(name, safe='')}", wanted)


def _attempts(health: Mapping[str, Any]) -> str | None:
    return f"{health['attempts']}, of which {health['failed_attempts']} failed" if health["attempts"] else None


def _in_flight(health: Mapping[str, Any]) -> str:
    from cli.terminal.tables import span_text

    count = health["counts"]["in_flight"]
    return f"{count}, {span_text(health['oldest_in_flight_s'])}" if count else "0"


def _in_flight_age(health: Mapping[str, Any]) -> str | None:
    from cli.terminal.tables import span_text

    age = health["oldest_in_flight_s"]
    return None if age is None else f"its event arrived {span_text(age)} ago"


def _percent(rate: float | None) -> str | None:
    if rate is None:
        return None
    return f"{100 * rate:.1f}%" if 0 < rate < SMALL else f"{100 * rate:.0f}%"


def _print_notes(answer: Mapping[str, Any]) -> None:
    dead = [it["destination"] for it in answer["destinations"] if state(it) == "dead"]
    if dead:
        note(f"{', '.join(dead)}: every attempt failed: run `relay delivery list --destination {dead[0]}`")
    if not answer["complete"]:
        note(
            "there is more than one call can read: the oldest deliveries are missing; choose a later time with --since"
        )
