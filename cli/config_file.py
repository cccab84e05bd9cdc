"""Reads a configuration file for a command, and prints each mistake in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.options import Failure, json_line, printable

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config.mistakes import Mistake
    from infra.config.models import Config


def tell(file: Path, it: Mistake, level: str, *, as_json: bool) -> None:
    if as_json:
        told = {"level": level, "path": it.path, "line": it.line, "message": it.message}
        json_line({"file": str(file), "ok": level != "mistake", **told})
    else:
        click.echo(printable(f"{'warning: ' if level == 'warning' else ''}{it.at(file)}"))


def checked(file: Path, *, as_json: bool = False, allow_local: bool = False) -> Config:
    """Return the configuration in *file*, or print each mistake in it and fail.

    Args:
        allow_local: Also take destinations on this machine, for `relay dev`.
    """
    from infra.config.load import load
    from infra.config.mistakes import ConfigError

    try:
        return load(file, allow_local=allow_local)
    except ConfigError as error:
        for mistake in error.mistakes:
            tell(file, mistake, "mistake", as_json=as_json)
        count = len(error.mistakes)
        raise Failure(f"{file} has {count} mistake{'s' if count > 1 else ''}: mend and check it again") from error
