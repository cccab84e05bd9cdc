"""`python -m tests.chaos SEED`: one chaos run; status 0 only if the promise held."""

from __future__ import annotations

import sys

import click

from tests.chaos.mix import FAMILIES, mix
from tests.chaos.run import Run, facts, stage

FINDINGS_SHOWN = 60


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("seed", type=int, default=1)
@click.option("--count", type=click.IntRange(1), default=2000, show_default=True, help="How many webhooks to send.")
@click.option("--only", default=",".join(FAMILIES), show_default=True, help="Which families of faults.")
def main(seed: int, count: int, only: str) -> None:
    """Send webhooks under the faults of SEED, and print the ledger."""
    families = frozenset(filter(None, only.split(",")))
    if unknown := families - set(FAMILIES):
        raise click.UsageError(f"no family of faults: {', '.join(sorted(unknown))}")

    def step(text: str) -> None:
        click.echo(f"  … {text}", err=True)

    with stage(step) as on:
        outcome = Run(mix(seed, count, families), on, step).judged()
    click.echo(f"seed: {seed}")
    for kind, number in sorted(outcome.struck.items()):
        click.echo(f"struck: {kind}: {number}")
    for name, figure in facts(outcome).items():
        click.echo(f"{name}: {figure}")
    for line in outcome.ledger.lines():
        click.echo(line)
    for finding in outcome.ledger.findings[:FINDINGS_SHOWN]:
        click.echo(f"  {finding}")
    if outcome.missing:
        click.echo(f"invalid: never struck: {', '.join(outcome.missing)}")
    sys.exit(0 if outcome.ledger.holds and not outcome.missing else 1)


if __name__ == "__main__":
    main()
