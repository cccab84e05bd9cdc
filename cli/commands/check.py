"""`relay check`: read a configuration file and name all its mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.config_file import checked, tell
from cli.terminal.options import Asked, Failure, asking, json_line, printable

if TYPE_CHECKING:
    from infra.config.models import Config


@click.command()
@click.argument("file", default="relay.toml", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Fail where there is a warning, too.")
@click.option("--account", is_flag=True, help="Look at what a deploy of it needs of this machine, AWS and QStash, too.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file, for editors.")
@asking
def check(asked: Asked, file: Path, strict: bool, account: bool, schema: bool) -> None:  # noqa: FBT001
    """Name every mistake in a configuration file.  FILE is relay.toml by default.

    A warning is of what can be deployed and is likely to be meant otherwise.  With --account, status 1 also says that
    something there would make a deploy fail; `make deploy` looks so first.
    """
    if schema:
        from infra.config import json_schema

        click.echo(json.dumps(json_schema.schema(), indent=2))
        return
    config = checked(file, as_json=asked.as_json)
    warnings = config.warnings
    for warning in warnings:
        tell(file, warning, "warning", as_json=asked.as_json)
    groups = config.url_groups.values()
    facts = {
        "sources": len(config.sources),
        "url_groups": len(groups),
        "destinations": sum(len(it.destinations) for it in groups),
    }
    count = len(warnings) + (_look_at_account(config, as_json=asked.as_json) if account else 0)
    if strict and count:
        raise Failure(f"{file} has {count} warning{'s' if count > 1 else ''}, and --strict allows none")
    if asked.as_json:
        json_line({"file": str(file), "ok": True, **facts})
        return
    counted = ", ".join(f"{what.replace('url_groups', 'URL groups')}: {count}" for what, count in facts.items())
    click.echo(f"{file} is valid ({counted})")


def _look_at_account(config: Config, *, as_json: bool) -> int:
    """Tell what a deploy of *config* would meet; return how many warnings that gives.

    Raises:
        Failure: Something would make it fail.
    """
    from cli import account

    states: list[str] = []
    for it in account.findings(config):
        states.append(it.state)
        if as_json:
            json_line({"check": it.check, "state": it.state, "found": it.found, "next": it.todo})
        elif it.state != "ok":
            word = {"look": "warning: ", "skipped": "note: "}.get(it.state, "")
            click.echo(printable(f"{word}{it.check}: {it.found}" + (f": {it.todo}" if it.todo else "")))
    missing = states.count("missing")
    if missing:
        raise Failure(f"a deploy would fail for {missing} of these: do what each says, and run this again")
    return states.count("look")
