"""Listings: the filters that events and deliveries share, pages, and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import Asked, Moment, aside, iso, json_line
from relay.model.delivery import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.terminal.tables import Column

LIMIT_DEFAULT = 50
STATUSES = [status.value for status in MEANINGS]

_FILTERS = (
    click.option("--source", metavar="NAME", help="Of this source."),
    click.option("--type", "type_", metavar="TYPE", help="Of this event type, such as push."),
    click.option("--destination", metavar="NAME", help="To this destination."),
    click.option("--since", type=Moment(), metavar="TIME", help="From then on: 30m, 2h, 1d, or ISO 8601 with a zone."),
    click.option("--until", type=Moment(), metavar="TIME", help="Before then."),
    click.option("--limit", type=click.IntRange(min=1), help=f"At most so many.  [default: {LIMIT_DEFAULT}]"),
    click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list of the same filters ended."),
    click.option("--all", "all_", is_flag=True, help="All there are, not only the first."),
)


UNROUTED = "unrouted"  # an event's, not a delivery's


def filters(*more_statuses: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command the options that choose records; *more_statuses* than deliveries have, too."""
    choice = click.Choice([*STATUSES, *more_statuses])
    status = click.option("--status", type=choice, help="With a delivery in this status.")

    def give(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed((status, *_FILTERS)):
            command = option(command)
        return command

    return give


def listing(asked: Asked, what: str, columns: list[Column], given: Mapping[str, Any]) -> None:
    """List the records of /v1/{what} that the options *given* choose."""
    if given["all_"] and given["limit"]:
        raise click.UsageError("--all and --limit contradict each other: choose one")
    from cli.client.api import Deployed
    from cli.terminal.tables import table

    query = _query(given)
    limit = None if given["all_"] else given["limit"] or LIMIT_DEFAULT
    ends: list[str | None] = []

    def records() -> Iterator[dict[str, Any]]:
        for record, cursor in Deployed.find(asked.name).pages(what, limit, **query):
            ends[:] = [cursor]
            yield record

    if asked.as_json:
        for record in records():
            json_line(record)
    else:
        found = list(records())
        if found:
            table(columns, found)
        else:
            aside(f"no {what} here")
    if ends and ends[0]:
        # An age is another time by then, and a cursor belongs to the very times of its list.
        times = "".join(f"--{name} {query[name]} " for name in ("since", "until") if query[name])
        aside(f"there is more: go on with {times}--cursor {ends[0]}, or list --all")


def _query(given: Mapping[str, Any]) -> dict[str, str | None]:
    return {
        "source": given["source"],
        "type": given["type_"],
        "destination": given["destination"],
        "status": given["status"],
        "since": given["since"] and iso(given["since"]),
        "until": given["until"] and iso(given["until"]),
        "cursor": given["cursor"],
    }
