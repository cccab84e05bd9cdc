"""`relay doctor`: walk from the AWS credentials to QStash; say at each step what is missing, and the next command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import Asked, Failure, asking, json_line

if TYPE_CHECKING:
    from cli.finding import Finding


@click.command()
@asking
def doctor(asked: Asked) -> None:
    """Say what is missing, and the next command; status 1 if anything is."""
    from cli.checks import Examination

    findings: list[Finding] = []
    for finding in Examination(asked.name).findings():
        findings.append(finding)
        if asked.as_json:
            json_line(_record(finding))
    if not asked.as_json:
        _tell(findings)
    count = sum(it.state == "missing" for it in findings)
    if count:
        raise Failure(f"{count} of {len(findings)} checks failed: do what the first of them says, and run this again")


def _record(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "state": finding.state, "found": finding.found, "next": finding.todo}


def _tell(findings: list[Finding]) -> None:
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
