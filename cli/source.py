"""`relay source`: who sends webhooks."""

from __future__ import annotations

import click

from cli.command import Asked, aside, asking, json_line


@click.group()
def source() -> None:
    """Ask about sources: who sends webhooks."""


@source.command("list")
@asking
def list_(asked: Asked) -> None:
    """List the deployed sources: scheme, URL, URL groups, and how many signing secrets each has."""
    from cli import secrets
    from cli.aws import Denied
    from cli.deployed import Deployed
    from cli.tables import Column, table

    sources = Deployed.find(asked.name).config()["sources"]
    held: dict[str, int] | None = None
    try:
        held = secrets.counts(asked.name)
    except Denied:
        aside(f"the secret {secrets.sources_secret(asked.name)} isn't yours to read: how many there are isn't shown")
    records = [
        {
            "name": name,
            "scheme": it["scheme"],
            "url": it["url"],
            "url_groups": it["to"],
            "secrets": None if held is None else held.get(name, 0),
        }
        for name, it in sources.items()
    ]
    if asked.as_json:
        for record in records:
            json_line(record)
        return
    columns = [
        Column("SOURCE", lambda it: it["name"], whole=True),
        Column("SCHEME", lambda it: it["scheme"]),
        Column("URL GROUPS", lambda it: ", ".join(it["url_groups"])),
        Column("SECRETS", lambda it: "?" if it["secrets"] is None else it["secrets"] or "none"),
        Column("URL", lambda it: it["url"], whole=True),
    ]
    table(columns, records)
