"""The `relay` command."""

from __future__ import annotations

import click

from cli.commands import (
    audit,
    check,
    delivery,
    destination,
    dev,
    doctor,
    event,
    replay,
    scheme,
    secret,
    send,
    source,
    sync,
)
from cli.terminal.options import json_option, name_option
from cli.terminal.streams import tolerant_streams
from infra.local.qstash.__main__ import main as qstash
from relay import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@name_option(envvar="RELAY_NAME", default="relay", show_default=True, show_envvar=True)
@json_option()
@click.version_option(VERSION, prog_name="relay")
def relay(name: str, as_json: bool) -> None:  # noqa: FBT001  # the commands read them from the context
    """Set up a Fanout Relay, see what happened to its events, and replay them.

    The command finds a deployed relay by its stack's name, in the AWS account and region of AWS_PROFILE, AWS_REGION and
    the other standard variables.  Exit status 1 is an error of the relay, 2 an error of usage.
    """


for _command in (
    event.event,
    delivery.delivery,
    destination.destination,
    source.source,
    replay.replay,
    audit.audit,
    sync.sync,
    scheme.scheme,
    secret.secret,
    send.send,
    doctor.doctor,
    check.check,
    dev.dev,
    qstash,
):
    relay.add_command(_command)


def main() -> None:
    """Run the command and end the process."""
    with tolerant_streams():
        relay(prog_name="relay")
