"""`relay dev`: runs the relay on this machine until SIGINT or SIGTERM."""

from __future__ import annotations

import shlex
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.terminal.options import CommandError, GlobalOptions, global_options, json_line
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.local.dev import LocalRelay


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default="relay.toml",
    show_default=True,
    help="The configuration to deploy.",
)
@click.option("--iam", is_flag=True, help="Enforce IAM, as AWS does.")
@click.option("--admin", is_flag=True, help="Give the local QStash its admin API: faults, time and windows on command.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Most processes for each function; further calls wait for one.  [default: the number of cores]",
)
@click.option(
    "--own-qstash", is_flag=True, help="Use the QStash of QSTASH_URL and QSTASH_TOKEN instead of the local one."
)
@global_options
def dev(options: GlobalOptions, file: Path, iam: bool, admin: bool, workers: int | None, own_qstash: bool) -> None:  # noqa: FBT001
    """Run the whole relay on this machine.

    The real stack is deployed into a local AWS, with a local QStash.  Signing secrets come from RELAY_SECRET_{SOURCE},
    or are random.  Of your environment, nothing else is used except GITHUB_API_URL.  SIGINT (Ctrl-C) or SIGTERM ends
    the relay, which leaves nothing behind.
    """
    try:
        _run(options, file, iam=iam, admin=admin, workers=workers, own_qstash=own_qstash)
    except KeyboardInterrupt:
        return
    except SystemExit as ended:
        if ended.code not in {None, 0, 128 + signal.SIGTERM}:
            raise


def _run(options: GlobalOptions, file: Path, **how: Any) -> None:
    """Run the relay until a signal.

    The sandbox turns the signal into an exception, which ends and deletes everything on its way here.
    """
    from cli.config_file import load_config
    from infra.local.dev import running
    from infra.local.outside import shut_out
    from infra.local.processes.sandbox import LocalError

    load_config(file, allow_local=True)
    given = shut_out()
    try:
        with (
            _progress(silent=options.as_json) as step,
            running(file, environ=given, step=step, **how) as relay,
        ):
            step(None)
            if options.as_json:
                json_line(_line(relay))
            else:
                _print_addresses(relay)
            while True:
                signal.pause()
    except LocalError as error:
        reason, *log = str(error).splitlines()
        for text in log:
            click.echo(text, err=True)
        raise CommandError(reason) from error


@contextmanager
def _progress(*, silent: bool) -> Iterator[Callable[[str | None], None]]:
    """Yield a function that shows the present step on standard error; None ends the progress."""
    if silent:
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False)
    status = console.status("Starting")

    def step(text: str | None) -> None:
        if text is None:
            status.stop()
        elif console.is_terminal:
            status.update(text)
        else:
            console.print(text)

    if console.is_terminal:
        status.start()
    try:
        yield step
    finally:
        status.stop()


def _line(relay: LocalRelay) -> dict[str, Any]:
    admin = {"qstash_admin_token": relay.qstash_admin_token} if relay.qstash_admin_token else {}
    return {
        "relay_url": relay.relay_url,
        "qstash_url": relay.qstash_url,
        "qstash_token": relay.qstash_token,
        "qstash_current_signing_key": relay.qstash_current_signing_key,
        "qstash_next_signing_key": relay.qstash_next_signing_key,
        "aws_endpoint_url": relay.aws_endpoint_url,
        "table_name": relay.table_name,
        "secrets": relay.secrets,
        "aws_access_key_id": relay.access_key_id,
        "aws_secret_access_key": relay.secret_access_key,
        "region": relay.region,
        "name": relay.name,
        **admin,
    }


def _print_addresses(relay: LocalRelay) -> None:
    """Print the URLs, and the environment variables that the other commands need."""
    click.echo(f"The relay {relay.name} runs on this machine.  Ctrl-C ends it.\n")
    for source in relay.secrets:
        click.echo(f"  {source:<12} {webhook_url(relay.relay_url, source)}")
    click.echo(f"  {'QStash':<12} {relay.qstash_url}\n  {'AWS':<12} {relay.aws_endpoint_url}\n")
    click.echo("In another terminal, for `relay send`, `relay event list` and the others:\n")
    for name, value in relay.environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    if relay.qstash_admin_token:
        click.echo(f"export QSTASH_ADMIN_TOKEN={shlex.quote(relay.qstash_admin_token)}")
