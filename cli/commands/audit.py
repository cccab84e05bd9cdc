"""`relay audit`: balances the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import CommandError, GlobalOptions, Moment, global_options, iso, json_line, note
from relay.model.delivery import MEANINGS, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.terminal.tables import Column

_FIRST = (Status.DELIVERED, Status.DEAD_LETTERED, Status.IN_FLIGHT, Status.PENDING, Status.HELD)
STATUSES = [status.value for status in (*_FIRST, *(it for it in MEANINGS if it not in _FIRST))]  # the columns


@click.command()
@click.option("--since", type=Moment(), metavar="TIME", help="Events from this time on: 30m, 2h, 1d …  [default: 1d]")
@click.option("--until", type=Moment(), metavar="TIME", help="Events before this time.  [default: now]")
@global_options
def audit(options: GlobalOptions, since: datetime | None, until: datetime | None) -> None:
    """Balance the ledger: for each destination, the number of expected deliveries in each status.

    Every expected delivery has one status.  Unaccounted deliveries, whose outcome nobody can tell, are listed with the
    reason, and make the exit status 1.
    """
    from cli.client.api import Deployed

    now = datetime.now(UTC)
    relay = Deployed.find(options.name)
    window = {"since": iso(since or now - timedelta(days=1)), "until": iso(until or now)}
    totals: dict[str, Counter[str]] = {}
    unaccounted: list[dict[str, Any]] = []
    unrouted = 0
    cursor: str | None = None
    while True:
        answer = relay.get("audit", **window, cursor=cursor)
        for line in answer["destinations"]:
            counts = {name: line.get(name, 0) for name in ("expected", *STATUSES)}
            totals.setdefault(line["destination"], Counter()).update(counts)
        unaccounted += answer["unaccounted"]
        unrouted += answer.get("unrouted", 0)
        if answer["cursor"] is None:
            break
        if answer["cursor"] == cursor:
            raise CommandError("the relay returned the same cursor twice: run `relay doctor`")
        cursor = answer["cursor"]
    counts = {"unrouted": unrouted, "orphans": answer["orphans"]}
    _report(options, window, totals, unaccounted, counts, answer.get("spool") or {})


def _report(
    options: GlobalOptions,
    window: Mapping[str, str],
    totals: Mapping[str, Counter[str]],
    unaccounted: list[dict[str, Any]],
    counts: Mapping[str, int],
    spool: Mapping[str, Any],
) -> None:
    lines = [{"destination": name, **totals[name]} for name in sorted(totals)]
    if options.as_json:
        json_line({**window, "destinations": lines, "unaccounted": unaccounted, **counts, "spool": spool})
    else:
        _print_tables(lines, unaccounted, counts)
        if spool.get("waiting"):
            note(f"{spool['waiting']} webhooks wait in the bucket to be recorded: run `relay doctor`")
    if unaccounted:
        raise CommandError(
            f"{len(unaccounted)} deliveries are unaccounted: look for each at its destination, then run"
            " `relay replay start` for those that didn't arrive"
        )


def _print_tables(lines: list[dict[str, Any]], unaccounted: list[dict[str, Any]], counts: Mapping[str, int]) -> None:
    from cli.terminal.tables import Column, heading, table

    if not lines:
        note("there are no events in that time")
    else:
        named = Column("DESTINATION", lambda it: it["destination"])
        table([named, *map(_count_column, ("expected", *STATUSES))], lines)
    if unaccounted:
        heading("Unaccounted")
        table(
            [Column("DELIVERY", lambda it: it["delivery_id"], whole=True), Column("WHY", lambda it: it["why"])],
            unaccounted,
        )
    if counts["unrouted"]:
        note(f"{counts['unrouted']} events matched no route: run `relay event list --status unrouted`")
    if counts["orphans"]:
        note(f"{counts['orphans']} callbacks are about events that the relay doesn't know")


def _count_column(name: str) -> Column:
    from cli.terminal.tables import Column

    return Column(name.replace("_", " ").upper(), lambda it: it[name])
