"""`relay audit`: does the ledger balance?"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import Asked, Failure, Moment, aside, asking, iso, json_line
from relay.model.delivery import MEANINGS, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.terminal.tables import Column

_FIRST = (Status.DELIVERED, Status.DEAD_LETTERED, Status.IN_FLIGHT, Status.PENDING, Status.HELD)
STATUSES = [status.value for status in (*_FIRST, *(it for it in MEANINGS if it not in _FIRST))]  # the columns


@click.command()
@click.option("--since", type=Moment(), metavar="TIME", help="Events from then on: 30m, 2h, 1d …  [default: 1d]")
@click.option("--until", type=Moment(), metavar="TIME", help="Events before then.  [default: now]")
@asking
def audit(asked: Asked, since: datetime | None, until: datetime | None) -> None:
    """Balance the ledger: of each destination, what was expected and what became of it.

    Every expected delivery has one status; those of which nobody can tell what became are named, with the reason, and
    make the status 1.
    """
    from cli.client.api import Deployed

    now = datetime.now(UTC)
    relay = Deployed.find(asked.name)
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
            raise Failure("the relay returned the same cursor twice: run `relay doctor`")
        cursor = answer["cursor"]
    counts = {"unrouted": unrouted, "orphans": answer["orphans"]}
    _tell(asked, window, totals, unaccounted, counts, answer.get("spool") or {})


def _tell(
    asked: Asked,
    window: Mapping[str, str],
    totals: Mapping[str, Counter[str]],
    unaccounted: list[dict[str, Any]],
    counts: Mapping[str, int],
    spool: Mapping[str, Any],
) -> None:
    lines = [{"destination": name, **totals[name]} for name in sorted(totals)]
    if asked.as_json:
        json_line({**window, "destinations": lines, "unaccounted": unaccounted, **counts, "spool": spool})
    else:
        _show(lines, unaccounted, counts)
        if spool.get("waiting"):
            aside(f"{spool['waiting']} webhooks wait in the bucket to be taken in: `relay doctor` says why")
    if unaccounted:
        raise Failure(
            f"{len(unaccounted)} deliveries are unaccounted: look at each at its destination, then"
            " `relay replay start` those that didn't arrive"
        )


def _show(lines: list[dict[str, Any]], unaccounted: list[dict[str, Any]], counts: Mapping[str, int]) -> None:
    from cli.terminal.tables import Column, heading, table

    if not lines:
        aside("no events in that time")
    else:
        named = Column("DESTINATION", lambda it: it["destination"])
        table([named, *map(_counted, ("expected", *STATUSES))], lines)
    if unaccounted:
        heading("Unaccounted")
        table(
            [Column("DELIVERY", lambda it: it["delivery_id"], whole=True), Column("WHY", lambda it: it["why"])],
            unaccounted,
        )
    if counts["unrouted"]:
        aside(f"{counts['unrouted']} events went nowhere, for no route took them: `relay event list --status unrouted`")
    if counts["orphans"]:
        aside(f"{counts['orphans']} callbacks told of events that the relay doesn't know")


def _counted(name: str) -> Column:
    from cli.terminal.tables import Column

    return Column(name.replace("_", " ").upper(), lambda it: it[name])
