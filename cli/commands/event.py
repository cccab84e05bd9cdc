"""`relay event`: lists and shows events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.listing import UNROUTED, filters, listing
from cli.terminal.options import CommandError, GlobalOptions, event_id_of, global_options, json_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.group()
def event() -> None:
    """Show events: each webhook of a source, once."""


@event.command("list")
@filters(UNROUTED)
@global_options
def list_(options: GlobalOptions, /, **given: Any) -> None:
    """List events, newest first."""
    from cli.terminal.tables import Column, size_text, time_text

    columns = [
        Column("EVENT", lambda it: it["id"], whole=True),
        Column("SOURCE", lambda it: it["source"]),
        Column("TYPE", lambda it: it["type"]),
        Column("RECEIVED", lambda it: time_text(it["received_at"]), whole=True),
        Column("SIZE", lambda it: size_text(it["size_bytes"])),
        Column("PUBLISHED", lambda it: "yes" if it["published"] else "no"),
        Column("RECONCILED", lambda it: "yes" if it.get("reconciled_at") else "-"),
        Column("CONFLICTS", lambda it: it.get("conflicts") or None),
        Column("SOURCE'S ID", lambda it: it["idempotency_key"], whole=True),
    ]
    listing(options, "events", columns, given)


@event.command("show")
@click.argument("event_id", metavar="ID")
@click.option("--body", is_flag=True, help="Show the body too.")
@click.option("--sha256", metavar="HASH", help="Show the body with this hash, if several bodies have the same id.")
@global_options
def show(options: GlobalOptions, event_id: str, body: bool, sha256: str | None) -> None:  # noqa: FBT001
    """Show one event: its deliveries and each of their attempts.

    ID is an event id (rly_…), a delivery id (dlv_…) or SOURCE:ID with the source's own id, such as
    github:72d3162e-cc78-11e3-81ab-4c9367dc0958.
    """
    event = event_id_of(event_id)
    from cli.client.api import Deployed

    found = Deployed.find(options.name).get("events", event, body="true" if body or sha256 else None, sha256=sha256)
    if options.as_json:
        json_line(found)
    else:
        _print_event(found, with_body=body or sha256 is not None)


def _print_event(found: Mapping[str, Any], *, with_body: bool) -> None:
    from cli.terminal.tables import Column, facts, heading, size_text, table, time_text

    facts(
        {
            "event": found["id"],
            "source": found["source"],
            "type": found["type"],
            "source's id": found["idempotency_key"],
            "received": time_text(found["received_at"]),
            "body": f"{size_text(found['size_bytes'])}, {found.get('content_type') or 'no content type'}",
            "sha256": found["sha256"],
            **({"a route failed": found["route_error"]} if found.get("route_error") else {}),
            **({"routed again": time_text(found["routed_at"])} if found.get("routed_at") else {}),
            **({"suspected replay of": found["suspected_replay_of"]} if found.get("suspected_replay_of") else {}),
            **({"reconciled": _reconciled(found["reconciled_at"])} if found.get("reconciled_at") else {}),
            "published": "yes" if found["published"] else "no: run `relay doctor` for the reason",
        }
    )
    heading("Headers")
    facts(found.get("headers") or {"-": "none"})
    if found.get("conflicting"):
        heading("Other bodies under the same id")
        table(
            [
                Column("SHA256", lambda it: it["sha256"], whole=True),
                Column("RECEIVED", lambda it: time_text(it["received_at"]), whole=True),
                Column("SIZE", lambda it: size_text(it["size_bytes"])),
            ],
            found["conflicting"],
        )
    heading("Deliveries")
    table(
        [
            Column("DELIVERY", lambda it: it["id"], whole=True),
            Column("STATUS", lambda it: it["status"], whole=True),
            Column("GROUP", lambda it: it["group"]),
            Column("ATTEMPTS", lambda it: it["attempts_count"]),
            Column("UPDATED", lambda it: time_text(it["updated_at"]), whole=True),
            Column("HANDED OVER", lambda it: time_text(it["received_at"])),
            Column("DLQ ID", lambda it: it["dlq_id"], whole=True),
            Column("REASON", lambda it: it.get("reason")),
        ],
        found["deliveries"],
    )
    heading("Attempts")
    table(
        [
            Column("DESTINATION", lambda it: it["destination"]),
            Column("#", lambda it: it["number"]),
            Column("AT", lambda it: time_text(it["at"]), whole=True),
            Column("OUTCOME", lambda it: it["outcome"], whole=True),
            Column("HTTP", lambda it: it["status_code"]),
            Column("GENERATION", lambda it: it["generation"], whole=True),
            Column("ANSWER", lambda it: it["response"]),
        ],
        [{**it, "destination": to["destination"]} for to in found["deliveries"] for it in to["attempts"]],
    )
    if with_body:
        heading("Body")
        _print_body(found)


def _reconciled(at: str) -> str:
    from cli.terminal.tables import time_text

    return f"{time_text(at)}: the event was lost, and arrived when the relay requested it again"


def _print_body(found: Mapping[str, Any]) -> None:
    if "body" in found:
        for text in str(found["body"]).splitlines():
            click.echo(printable(text))
    elif "body_base64" in found:
        click.echo("the body is no text; in base64:")
        click.echo(found["body_base64"])
    else:
        raise CommandError("the relay has no body of this event: it may have expired")
