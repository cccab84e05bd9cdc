"""`relay sync`: hold QStash to what was deployed."""

from __future__ import annotations

from pathlib import Path

import click

from cli.terminal.options import Asked, Failure, aside, asking, json_line, printable


@click.command()
@click.option("--plan", is_flag=True, help="Only say what differs; the status is 1 where anything does.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The relay that FILE, a relay.toml, is of; in place of --name.",
)
@asking
def sync(asked: Asked, plan: bool, file: Path | None) -> None:  # noqa: FBT001
    """Make QStash's URL groups, schedules, queues and flow controls what the last deploy said.

    A deploy does so where what relay.toml says of them has changed; this also mends what somebody changed in QStash
    since, and `make deploy` ends with it.  What doesn't carry the relay's name is never touched.  A queue that left
    relay.toml is no difference: it goes with this, or with the next deploy that changes anything in QStash, once
    nothing is open that came before it left.
    """
    from cli.client.api import Deployed
    from cli.config_file import checked

    name = asked.name if file is None else checked(file, as_json=asked.as_json, allow_local=True).relay.name
    relay = Deployed.find(name)
    changes = relay.get("sync")["differs"] if plan else relay.post("sync", {})["done"]
    for it in changes:
        if asked.as_json:
            json_line(it)
        else:
            click.echo(printable(it["change"]))
    if not changes:
        aside("QStash holds what was deployed")
    elif plan:
        raise Failure(f"QStash differs in {len(changes)} things from what was deployed: `relay sync` mends that")
