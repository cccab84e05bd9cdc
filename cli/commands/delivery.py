"""`relay delivery`: lists deliveries, of one event to one destination each."""

from __future__ import annotations

from typing import Any

import click

from cli.listing import filters, listing
from cli.terminal.options import GlobalOptions, global_options


@click.group()
def delivery() -> None:
    """Show deliveries, of one event to one destination each."""


@delivery.command("list")
@filters()
@global_options
def list_(options: GlobalOptions, /, **given: Any) -> None:
    """List deliveries, newest event first."""
    from cli.terminal.tables import Column, time_text

    columns = [
        Column("DELIVERY", lambda it: it["id"], whole=True),
        Column("STATUS", lambda it: it["status"], whole=True),
        Column("SOURCE", lambda it: it["source"]),
        Column("TYPE", lambda it: it["type"]),
        Column("GROUP", lambda it: it["group"]),
        Column("ATTEMPTS", lambda it: it["attempts_count"]),
        Column("RECEIVED", lambda it: time_text(it["event_received_at"]), whole=True),
        Column("UPDATED", lambda it: time_text(it["updated_at"]), whole=True),
    ]
    listing(options, "deliveries", columns, given)
