"""`relay destination`: how each one is doing, and its pause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from cli.terminal.options import Asked, Moment, aside, asking, iso, json_line
from relay.model.replay import RATE_DEFAULT, RATE_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SMALL = 0.1  # below it, a rate is told to the tenth of a percent
SINCE_HELP = "Of the events from then on: 30m, 2h, 1d …  [default: 1d]"


@click.group()
def destination() -> None:
    """Ask how destinations are doing, pause them and resume them."""


@destination.command("list")
@click.option("--since", type=Moment(), metavar="TIME", help=SINCE_HELP)
@asking
def list_(asked: Asked, since: datetime | None) -> None:
    """List the destinations: which look dead, how much fails, how long it takes, what waits.

    WAIT is what is pending or held (`show` tells them apart): that and what is in flight counts however old it is; what
    has ended, of the events since --since.
    """
    from cli.client.api import Deployed
    from cli.terminal.tables import Column, ago_text, span_text, table

    answer = Deployed.find(asked.name).get("destinations", since=iso(since) if since else None)
    found = answer["destinations"]
    if asked.as_json:
        for it in found:
            json_line(it | {"since": answer["since"], "complete": answer["complete"]})
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
        aside("no destinations here")
    _tell_rest(answer)


@destination.command("show")
@click.argument("which", metavar="NAME")
@click.option("--since", type=Moment(), metavar="TIME", help=SINCE_HELP)
@asking
def show(asked: Asked, /, which: str, since: datetime | None) -> None:
    """Show how one destination is doing, and who paused it."""
    from cli.client.api import Deployed
    from cli.terminal.tables import facts, span_text, time_text

    answer = Deployed.find(asked.name).get("destinations", which, since=iso(since) if since else None)
    (it,) = answer["destinations"]
    if asked.as_json:
        json_line(it | {"since": answer["since"], "complete": answer["complete"]})
    else:
        paused = it["paused"] or {}
        facts(
            {
                "destination": it["destination"],
                "state": state(it),
                "group": it["group"],
                "url": it["url"],
                "events since": time_text(answer["since"]),
                **{status.replace("_", " "): count for status, count in it["counts"].items() if count},
                "attempts": f"{it['attempts']}, of which {it['failed_attempts']} failed" if it["attempts"] else None,
                "failure rate": None if it["failure_rate"] is None else _percent(it["failure_rate"]),
                "p95": None if it["p95_s"] is None else f"{span_text(it['p95_s'])} from received to delivered",
                "last success": time_text(it["last_success_at"]),
                "oldest in flight": _in_flight_age(it),
                "paused by": paused.get("by"),
                "paused at": time_text(paused["at"]) if paused else None,
                "reason": paused.get("reason"),
            }
        )
    _tell_rest(answer)


@destination.command()
@click.argument("which", metavar="NAME")
@click.option("--reason", metavar="TEXT", help="Kept with the pause.")
@asking
def pause(asked: Asked, /, which: str, reason: str | None) -> None:
    """Hold a destination's deliveries from now on: none is lost, and `relay destination resume` lets them go.

    Functions know it within ten seconds.  What QStash has already is tried on.
    """
    answer = _turn(asked, which, {"action": "pause"} | ({"reason": reason} if reason else {}))
    if asked.as_json:
        json_line(answer)
        return
    from cli.terminal.tables import line, time_text

    paused = answer["paused"]
    if answer["changed"]:
        line(f"{which} is paused: what comes for it is held")
        aside(f"`relay destination resume {which}` lets it go; what QStash has already is tried on")
    else:
        line(f"{which} was paused already, since {time_text(paused['at'])}, by {paused['by'] or 'somebody'}")


@destination.command()
@click.argument("which", metavar="NAME")
@click.option("--rate", type=click.IntRange(1, RATE_MAX), help=f"Deliveries a minute.  [default: {RATE_DEFAULT}]")
@click.option("--reason", metavar="TEXT", help="Kept with the replay.")
@asking
def resume(asked: Asked, /, which: str, rate: int | None, reason: str | None) -> None:
    """End a pause: what is held is let go by a replay, at a bounded rate; what comes from now on goes at once."""
    wanted = {"action": "resume"} | ({"reason": reason} if reason else {}) | ({"rate": rate} if rate else {})
    answer = _turn(asked, which, wanted)
    if asked.as_json:
        json_line(answer)
        return
    replay = answer["replay"]["id"]
    click.echo(replay)
    aside(f"{which} is paused no longer: `relay replay show {replay}` says how much of what was held has gone")


def state(it: Mapping[str, Any]) -> str:
    """Return what an operator must know first of a destination: one word."""
    if it["paused"]:
        return "paused"
    if not it["configured"]:
        return "removed"
    if it["looks_dead"]:
        return "dead"
    return "ok" if it["counts"]["delivered"] else "idle"


def _turn(asked: Asked, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from cli.client.api import Deployed

    return Deployed.find(asked.name).post(f"destinations/{quote(name, safe='')}", wanted)


def _in_flight(it: Mapping[str, Any]) -> str:
    from cli.terminal.tables import span_text

    count = it["counts"]["in_flight"]
    return f"{count}, {span_text(it['oldest_in_flight_s'])}" if count else "0"


def _in_flight_age(it: Mapping[str, Any]) -> str | None:
    from cli.terminal.tables import span_text

    age = it["oldest_in_flight_s"]
    return None if age is None else f"its event came {span_text(age)} ago"


def _percent(rate: float | None) -> str | None:
    if rate is None:
        return None
    return f"{100 * rate:.1f}%" if 0 < rate < SMALL else f"{100 * rate:.0f}%"


def _tell_rest(answer: Mapping[str, Any]) -> None:
    dead = [it["destination"] for it in answer["destinations"] if state(it) == "dead"]
    if dead:
        aside(f"{', '.join(dead)}: nothing arrived, and what was tried failed: `relay destination show NAME`")
    if not answer["complete"]:
        aside("there is more than one call could read: the oldest is missing; choose a later time with --since")
