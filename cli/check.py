"""`relay check`: read a configuration file and name all its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.command import Asked, Failure, asking, json_line, printable

if TYPE_CHECKING:
    from infra.config import Config


@click.command()
@click.argument("file", default="relay.toml", type=click.Path(path_type=Path))
@asking
def check(asked: Asked, file: Path) -> None:
    """Name every mistake in a configuration file.  FILE is relay.toml by default."""
    config = checked(file, as_json=asked.as_json)
    groups = config.url_groups.values()
    facts = {
        "sources": len(config.sources),
        "url_groups": len(groups),
        "destinations": sum(len(it.destinations) for it in groups),
    }
    if asked.as_json:
        json_line({"file": str(file), "ok": True, **facts})
        return
    counted = ", ".join(f"{what.replace('url_groups', 'URL groups')}: {count}" for what, count in facts.items())
    click.echo(f"{file} is right ({counted})")


def checked(file: Path, *, as_json: bool = False, allow_local: bool = False) -> Config:
    """Return the configuration in *file*, or print each mistake in it and fail.

    Args:
        allow_local: Also take destinations on this machine, for `relay dev`.
    """
    from infra.config import ConfigError, load

    try:
        return load(file, allow_local=allow_local)
    except ConfigError as error:
        for mistake in error.mistakes if as_json else ():
            told = {"path": mistake.path, "line": mistake.line, "message": mistake.message}
            json_line({"file": str(file), "ok": False, **told})
        for text in () if as_json else str(error).splitlines():
            click.echo(printable(text))
        count = len(error.mistakes)
        raise Failure(f"{file} has {count} mistake{'s' if count > 1 else ''}: mend and check it again") from error
