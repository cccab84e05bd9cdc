"""`relay sync`: hold QStash to what was deployed."""

from __future__ import annotations

import click

from cli.command import Asked, Failure, aside, asking, json_line, printable


@click.command()
@click.option("--plan", is_flag=True, help="Only say what differs; the status is 1 where anything does.")
@asking
def sync(asked: Asked, plan: bool) -> None:  # noqa: FBT001
    """Make QStash's URL groups, schedules, queues and flow controls what the last deploy said.

    Every deploy does so by itself: this mends what somebody changed in QStash since.  What doesn't carry the relay's
    name is never touched.  A queue that left relay.toml is no difference: it goes with this, or with the next deploy,
    once nothing is open that came before it left.
    """
    from cli.deployed import Deployed

    relay = Deployed.find(asked.name)
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
