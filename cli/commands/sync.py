"""`relay sync`: restores the deployed URL groups, schedules, queues and flow controls in QStash."""

from __future__ import annotations

from pathlib import Path

import click

from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line, note, printable


@click.command()
@click.option("--plan", is_flag=True, help="Only print the differences; the exit status is 1 if there are any.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the relay's name from FILE, a relay.toml, instead of --name.",
)
@global_options
def sync(options: GlobalOptions, plan: bool, file: Path | None) -> None:  # noqa: FBT001
    """Restore QStash's URL groups, schedules, queues and flow controls to the last deploy.

    A deploy writes them if relay.toml changes them.  This command also restores what somebody changed in QStash since;
    `make deploy` ends with it.  Resources without the relay's name are never touched.  A queue that was removed from
    relay.toml is no difference.  The queue is deleted by this command, or by the next deploy that changes anything in
    QStash, once its earlier deliveries have ended.
    """
    from cli.client.api import Deployed
    from cli.config_file import load_config

    name = options.name if file is None else load_config(file, as_json=options.as_json, allow_local=True).relay.name
    relay = Deployed.find(name)
    changes = relay.get("sync")["differs"] if plan else relay.post("sync", {})["done"]
    for change in changes:
        if options.as_json:
            json_line(change)
        else:
            click.echo(printable(change["change"]))
    if not changes:
        note("QStash matches the last deploy")
    elif plan:
        raise CommandError(f"QStash differs from the last deploy in {len(changes)} things: run `relay sync`")
