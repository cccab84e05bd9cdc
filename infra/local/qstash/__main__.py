"""``python -m infra.local.qstash``: the local QStash as a process."""

from __future__ import annotations

import click

from .language.limits import PLANS


@click.command("qstash", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="On 127.0.0.1.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.option("--plan", type=click.Choice(list(PLANS)), default="payg", show_default=True, help="Whose limits hold.")
@click.option("--test-hosts", is_flag=True, help="Answer well-known public test hosts here, don't call them.")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds that a delivered message stays readable.",
)
@click.option("--admin", is_flag=True, help="Have the admin API: faults, time and windows on command.")
@click.pass_context
def main(
    context: click.Context, *, port: int, as_json: bool, plan: str, test_hosts: bool, grace_s: float, admin: bool
) -> None:
    """Run only the local QStash on this machine.

    Any QStash client can use it, until SIGINT (Ctrl-C) or SIGTERM.  It prints the variables that one needs, and logs a
    line for each attempt.  QSTASH_TOKEN, QSTASH_READ_ONLY_TOKEN, QSTASH_CURRENT_SIGNING_KEY, QSTASH_NEXT_SIGNING_KEY
    and QSTASH_REGION are taken over from its environment.
    """
    from .server import serve

    as_json = as_json or bool(context.find_root().params["as_json"])  # it may stand before the command's name
    serve(port=port, as_json=as_json, test_hosts=test_hosts, grace_s=grace_s, plan=plan, admin=admin)


if __name__ == "__main__":
    main()
