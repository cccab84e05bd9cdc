"""`relay secret`: none of what goes in ever comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.cli.conftest import SECRET, TOKEN

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Relay

PUSH = str(Path(__file__).parents[3] / "events" / "github" / "push.json")


def test_no_command_ever_prints_a_secret(deployed: Relay) -> None:
    """What is set, what is held, and what signs: none of it comes out, in tables or JSON, well or not."""
    deployed.keep("qstash", {"token": TOKEN, "url": deployed.server.url})
    deployed.server.says("POST", "/webhooks/github", {"event_id": "rly_1"}, status=202)
    for flag in ((), ("--json",)):
        deployed.run("source", "list", *flag)
        deployed.run("doctor", *flag)
        deployed.run("send", PUSH, *flag)
        deployed.run("secret", "set", "github", *flag, stdin="s3cr3t-new")
        deployed.run("secret", "set", "acme", *flag, stdin='{"primary": "s3cr3t-a", "secondary": "s3cr3t-b"}')
        deployed.run("secret", "set", "acme", *flag, stdin='{"secret": "s3cr3t-a", "secondary": "s3cr3t-b"}')
        deployed.run("secret", "set", "acme", "--force", *flag, stdin='{"primary": "s3cr3t-a", "other": "s3cr3t-b"}')
        deployed.run("doctor", *flag)
        deployed.run("secret", "set", "qstash", "--force", *flag, stdin="s3cr3t-token")
        deployed.run("secret", "set", "github-api", *flag, stdin="s3cr3t-api")
        deployed.run("secret", "set", "github", *flag, stdin=" s3cr3t-padded")
        deployed.run("secret", "list", *flag)
        deployed.run("secret", "retire", "github", *flag)
        deployed.run("secret", "retire", "acme", *flag)
        deployed.run("secret", "retire", "acme", "--all", "--yes", *flag)

    everything = "".join(deployed.shown)
    assert len(everything) > 1500
    for secret in (SECRET, TOKEN, "s3cr3t", "hush-hush"):
        for part in (secret, secret[:5], secret[-5:]):
            assert part not in everything
