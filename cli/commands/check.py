"""`relay check`: finds all mistakes in a configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.config_file import load_config, print_mistake
from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line, printable

if TYPE_CHECKING:
    from infra.config.models import Config


@click.command()
@click.argument("file", default="relay.toml", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Fail if there are warnings, too.")
@click.option("--account", is_flag=True, help="Also check this machine, AWS and QStash for a deploy.")
@click.option("--schema", is_flag=True, help="Print the file's JSON Schema, for editors.")
@global_options
def check(options: GlobalOptions, file: Path, strict: bool, account: bool, schema: bool) -> None:  # noqa: FBT001
    """Print every mistake in a configuration file.  FILE is relay.toml by default.

    A warning doesn't stop a deploy, but the file is probably meant otherwise.  With --account, the exit status is 1
    also if a deploy would fail; `make deploy` begins with this check.
    """
    if schema:
        from infra.config import json_schema

        click.echo(json.dumps(json_schema.schema(), indent=2))
        return
    config = load_config(file, as_json=options.as_json)
    warnings = config.warnings
    for warning in warnings:
        print_mistake(file, warning, "warning", as_json=options.as_json)
    groups = config.url_groups.values()
    facts = {
        "sources": len(config.sources),
        "url_groups": len(groups),
        "destinations": sum(len(it.destinations) for it in groups),
    }
    count = len(warnings) + (_check_account(config, as_json=options.as_json) if account else 0)
    if strict and count:
        raise CommandError(f"{file} has {count} warning{'s' if count > 1 else ''}, and --strict allows none")
    if options.as_json:
        json_line({"file": str(file), "ok": True, **facts})
        return
    counted = ", ".join(f"{what.replace('url_groups', 'URL groups')}: {count}" for what, count in facts.items())
    click.echo(f"{file} is valid ({counted})")


def _check_account(config: Config, *, as_json: bool) -> int:
    """Print the findings of the checks before a deploy of *config*; return the number of warnings.

    Raises:
        CommandError: The deploy would fail.
    """
    from cli import account

    states: list[str] = []
    for finding in account.findings(config):
        states.append(finding.state)
        if as_json:
            json_line({"check": finding.check, "state": finding.state, "found": finding.found, "next": finding.todo})
        elif finding.state != "ok":
            word = {"look": "warning: ", "skipped": "note: "}.get(finding.state, "")
            todo = f": {finding.todo}" if finding.todo else ""
            click.echo(printable(f"{word}{finding.check}: {finding.found}{todo}"))
    missing = states.count("missing")
    if missing:
        raise CommandError(f"a deploy would fail for {missing} of these: do what each says, then run the check again")
    return states.count("look")
