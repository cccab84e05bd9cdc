"""Loads a configuration file for a command, and prints each mistake in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.terminal.options import CommandError, json_line, printable

if TYPE_CHECKING:
    from pathlib import Path

    from infra.config.mistakes import Mistake
    from infra.config.models import Config


def print_mistake(file: Path, mistake: Mistake, level: str, *, as_json: bool) -> None:
    """Print *mistake* on one line; *level* is `mistake` or `warning`."""
    if as_json:
        place = {"level": level, "path": mistake.path, "line": mistake.line, "message": mistake.message}
        json_line({"file": str(file), "ok": level != "mistake", **place})
    else:
        click.echo(printable(f"{'warning: ' if level == 'warning' else ''}{mistake.at(file)}"))


def load_config(file: Path, *, as_json: bool = False, allow_local: bool = False) -> Config:
    """Return the configuration in *file*; print each mistake.

    Args:
        allow_local: Accept destinations on this machine too, for `relay dev`.

    Raises:
        CommandError: The file has mistakes.
    """
    from infra.config.load import load
    from infra.config.mistakes import ConfigError

    try:
        return load(file, allow_local=allow_local)
    except ConfigError as error:
        for mistake in error.mistakes:
            print_mistake(file, mistake, "mistake", as_json=as_json)
        count = len(error.mistakes)
        mistakes, them = ("mistakes", "them") if count > 1 else ("mistake", "it")
        raise CommandError(f"{file} has {count} {mistakes}: fix {them}, then run `relay check` again") from error
