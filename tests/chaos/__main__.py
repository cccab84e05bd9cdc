"""`python -m tests.chaos SEED`: one chaos run; status 0 only if the promise held."""

from __future__ import annotations

import sys

import click

from tests.chaos.mix import FAMILIES, mix
from tests.chaos.report import PAGE, README, lines, page, readme
from tests.chaos.run import Run, stage


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("seed", type=int, default=1)
@click.option("--count", type=click.IntRange(1), default=2000, show_default=True, help="How many webhooks to send.")
@click.option("--only", default=",".join(FAMILIES), show_default=True, help="Which families of faults.")
@click.option("--write", is_flag=True, help="Write the tables of docs/reliability.md and the figures of README.md.")
def main(seed: int, count: int, only: str, *, write: bool) -> None:
    """Send webhooks under the faults of SEED, let the relay settle, and print the ledger."""
    families = frozenset(filter(None, only.split(",")))
    if unknown := families - set(FAMILIES):
        raise click.UsageError(f"no family of faults: {', '.join(sorted(unknown))}")

    def step(text: str) -> None:
        click.echo(f"  … {text}", err=True)

    with stage(step) as on:
        outcome = Run(mix(seed, count, families), on, step).judged()
    for line in lines(outcome):
        click.echo(line)
    if write:
        for file, written in ((PAGE, page), (README, readme)):
            file.write_text(written(file.read_text(encoding="utf-8"), outcome), encoding="utf-8")
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    main()
