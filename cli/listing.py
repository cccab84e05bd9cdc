"""The lists of events and deliveries: their shared filter options, their pages, and the cursor at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import GlobalOptions, Moment, iso, json_line, note
from relay.model.delivery import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.terminal.tables import Column

LIMIT_DEFAULT = 50
STATUSES = [status.value for status in MEANINGS]

_FILTERS = (
    click.option("--source", metavar="NAME", help="Only of this source."),
    click.option("--type", "type_", metavar="TYPE", help="Only of this event type, such as push."),
    click.option("--destination", metavar="NAME", help="Only to this destination."),
    click.option(
        "--since", type=Moment(), metavar="TIME", help="From this time on: 30m, 2h, 1d, or ISO 8601 with a zone."
    ),
    click.option("--until", type=Moment(), metavar="TIME", help="Before this time."),
    click.option("--limit", type=click.IntRange(min=1), help=f"At most this many.  [default: {LIMIT_DEFAULT}]"),
    click.option("--cursor", metavar="CURSOR", help="Continue an earlier list with the same filters."),
    click.option("--all", "all_", is_flag=True, help="All records, without a limit."),
)


UNROUTED = "unrouted"  # an event's, not a delivery's


def filters(*more_statuses: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the filter options; --status also accepts *more_statuses*."""
    choice = click.Choice([*STATUSES, *more_statuses])
    status = click.option("--status", type=choice, help="Only with a delivery in this status.")

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed((status, *_FILTERS)):
            command = option(command)
        return command

    return decorate


def listing(options: GlobalOptions, what: str, columns: list[Column], given: Mapping[str, Any]) -> None:
    """Print the records of GET /v1/{what} that match the filter options *given*."""
    if given["all_"] and given["limit"]:
        raise click.UsageError("--all and --limit contradict each other: choose one")
    from cli.client.api import Deployed
    from cli.terminal.tables import table

    query = _query(given)
    limit = None if given["all_"] else given["limit"] or LIMIT_DEFAULT
    ends: list[str | None] = []

    def records() -> Iterator[dict[str, Any]]:
        for record, cursor in Deployed.find(options.name).pages(what, limit, **query):
            ends[:] = [cursor]
            yield record

    if options.as_json:
        for record in records():
            json_line(record)
    else:
        found = list(records())
        if found:
            table(columns, found)
        else:
            note(f"no {what} match")
    if ends and ends[0]:
        # An age such as 1d would mean another time by then.  A cursor belongs to the exact times of its list.
        times = "".join(f"--{name} {query[name]} " for name in ("since", "until") if query[name])
        note(f"there are more: continue with {times}--cursor {ends[0]}, or list --all")


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
