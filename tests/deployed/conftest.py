"""One relay for the whole run: the real CDK app on a local AWS, a local QStash, and destinations that obey."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from infra.config.schemes import built_in_schemes
from infra.local.aws.server import free_port
from infra.local.destinations import DEAD, Destinations, flaky
from infra.local.dev import running
from tests.deployed.clients import Outage, Relay
from tests.github_api import HOOK, GitHubApi, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

EVERY = "every-"  # before a scheme's name: the source that has it
GIVEN_SECRET = "given by the environment"
TICK = '{"kind":"tick"}'
HEARS = "ops@example.com"
CONFIG = """
[relay]
name = "deployed"
alarm_emails = ["{hears}"]

[schemes.acme]
signature = "X-Acme-Signature: {{base64}}"
algorithm = "hmac-sha512"
id = "X-Acme-Id"
type = "body:kind"
forward = ["X-Acme-Kind"]

[sources]
github = {{ scheme = "github", to = ["apps"], reconcile = "{hook}" }}
acme = {{ scheme = "acme", to = ["bytes"] }}
late = {{ scheme = "acme", to = ["late"] }}
paired = {{ scheme = "acme", to = ["pair"] }}
orders = {{ scheme = "acme", to = ["aws"] }}
mute = {{ scheme = "acme", to = ["bytes"] }}
kept = {{ scheme = "acme", to = ["bytes"], quarantine = "1h" }}
daily = {{ cron = "0 3 * * *", timezone = "Europe/Berlin", canary = true, to = ["bytes"] }}
minutely = {{ cron = "* * * * *", timezone = "Europe/Berlin", canary = true, body = '{tick}', to = ["ticks"] }}
{every}

[sources.fanout]
scheme = "acme"
[[sources.fanout.routes]]
event_types = ["order.*"]
when = "body.total > `10`"
transform = "{{paid: body.total}}"
to = ["picky"]
retries = 1
delay = {{ expression = "body.wait" }}
[[sources.fanout.routes]]
event_types = ["order.*"]
to = ["targets"]

[queues.fifo]
[flow_controls.calm]
rate = 100

[url_groups.picky]
labels = ["order-{{body.account}}"]
flow_control = "calm"
queue = "fifo"
[url_groups.picky.destinations.picky]
url = "{url}/picky"
headers = {{ X-Token = {{ secret = "picky" }}, X-Team = "a" }}

[url_groups.targets.destinations]
queue = {{ sqs = "shop" }}
fifo = {{ sqs = "shop.fifo", group_id = "body.account" }}
topic = {{ sns = "shop" }}
machine = {{ step_functions = "shop" }}
bucket = {{ s3 = "deployed-archive" }}

[url_groups.apps]
retries = 2
retry_delay = "100"
destinations = {{ healthy = "{url}/healthy", flaky = "{url}/flaky", dead = "{url}/dead" }}

[url_groups.bytes]
destinations = {{ bytes = "{url}/bytes" }}

[url_groups.ticks]
destinations = {{ ticks = "{url}/ticks" }}

[url_groups.every]
destinations = {{ every = "{url}/every" }}

[url_groups.late]
destinations = {{ late = "{url}/late" }}

[url_groups.pair]
destinations = {{ open = "{url}/open", shut = "{url}/shut" }}

[url_groups.aws.destinations]
ledger = {{ eventbridge = "default", detail_type = "order" }}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what begins a minute of waiting first and what needs its end last, so that it passes while the others run."""
    items.sort(key=lambda item: bool(item.get_closest_marker("late")) - bool(item.get_closest_marker("early")))


@pytest.fixture(scope="session")
def destinations() -> Iterator[Destinations]:
    """Serve the destinations of `CONFIG`."""
    with Destinations() as served:
        for name in ("healthy", "bytes", "late", "every", "open", "shut", "picky", "ticks"):
            served.behave(name)
        served.behave("flaky", flaky(2))
        served.behave("dead", DEAD)
        yield served


@pytest.fixture(scope="session")
def github() -> GitHubApi:
    """Give GitHub's API, in which all was sent ten minutes ago; its hook is added once there is a relay."""
    return GitHubApi(clock=lambda: datetime.now(UTC) - timedelta(minutes=10))


@pytest.fixture(scope="session")
def relay(destinations: Destinations, github: GitHubApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Deploy the relay of `CONFIG`; the source `mute` has no signing secret."""
    config = tmp_path_factory.mktemp("relay") / "relay.toml"
    every = "\n".join(f'{EVERY}{name} = {{ scheme = "{name}", to = ["every"] }}' for name in built_in_schemes())
    config.write_text(CONFIG.format(url=destinations.base_url, every=every, hook=HOOK, tick=TICK, hears=HEARS))
    with (
        served(github) as api,
        running(config, environ={"RELAY_SECRET_ACME": GIVEN_SECRET, "GITHUB_API_URL": api}) as local,
    ):
        destinations.expect_signatures(local.qstash_current_signing_key, local.qstash_next_signing_key)
        with closing(Relay(local)) as relay:
            kept = {name: value for name, value in relay.secret("sources").items() if name != "mute"}
            relay.put_secret("sources", kept)
            yield relay


@pytest.fixture(scope="session")
def outage(relay: Relay) -> Outage:
    """Send a webhook while QStash refuses connections, and another while it takes them and is silent."""
    refused = _send_to_nowhere(relay)
    pid = relay.local.qstash_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        unanswered = relay.send("late", b"unanswered")
    finally:
        os.kill(pid, signal.SIGCONT)
    return Outage(refused, unanswered)


def _send_to_nowhere(relay: Relay) -> httpx.Response:
    """Send a webhook while the secret names a QStash that isn't there, then have ingest start anew with the right."""
    right = relay.secret("qstash")
    relay.put_secret("qstash", right | {"url": f"http://127.0.0.1:{free_port()}"})
    try:
        return relay.send("late", b"refused")
    finally:
        relay.put_secret("qstash", right)
        relay.start_anew("Ingest", timeout_s=28)


@pytest.fixture(autouse=True)
def _early_outage(outage: Outage) -> None:
    """Have the outage before any test: it takes the relay a minute to mend it."""
