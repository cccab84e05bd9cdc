"""`relay doctor`: checks everything from the AWS credentials to QStash, and prints the next commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line

if TYPE_CHECKING:
    from cli.finding import Finding


@click.command()
@global_options
def doctor(options: GlobalOptions) -> None:
    """Print what is missing, and the next command.  The exit status is 1 if anything is missing."""
    from cli.checks import Checks

    findings: list[Finding] = []
    for finding in Checks(options.name).findings():
        findings.append(finding)
        if options.as_json:
            json_line(_record(finding))
    if not options.as_json:
        _print_findings(findings)
    count = sum(it.state == "missing" for it in findings)
    if count:
        raise CommandError(
            f"{count} of {len(findings)} checks failed: do what the first of them says, then run `relay doctor` again"
        )


def _record(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "state": finding.state, "found": finding.found, "next": finding.todo}


def _print_findings(findings: list[Finding]) -> None:
    from cli.terminal.tables import Column, heading, table

    table(
        [
            Column("CHECK", lambda it: it["check"]),
            Column("STATE", lambda it: it["state"], whole=True),
            Column("FOUND", lambda it: it["found"]),
        ],
        [_record(it) for it in findings],
    )
    todo = [it for it in findings if it.todo]
    if todo:
        heading("Next")
        for finding in todo:
            click.echo(f"{finding.check}: {finding.todo}")
