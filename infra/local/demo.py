"""`make demo`: a few real webhooks go the whole way on this machine, and every number shown is checked.

It shows the output of the `relay` command, as an operator sees it.  It checks that output against counts from outside
the relay: the webhooks that were sent, and the requests that the destinations got.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from infra.local.destinations import DEAD, HEALTHY, Destinations, flaky
from infra.local.dev import running
from infra.local.outside import shut_out
from infra.local.processes.sandbox import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHECKOUT = Path(__file__).parents[2]
EVENTS = CHECKOUT / "events" / "github"
RETRIES = 3
SETTLE_S = 120
WIDTH_MIN = 150  # ids are shown whole
CONFIG = """\
[relay]
name = "demo"

[sources.github]
scheme = "github"
to = ["fanout"]
reopen = "never"  # else what is sent again brings back what died before, and that depends on this machine's speed

[url_groups.fanout]
retries = {retries}
retry_delay = "300"  # milliseconds: QStash's own backoff begins at 12 seconds

[url_groups.fanout.destinations]
healthy = "{healthy}"
flaky = "{flaky}"
dead = "{dead}"
"""


class Demo:
    """One run of the demo; `wrong` collects the numbers that differ from the expected ones."""

    def __init__(self, console: Console, environment: Mapping[str, str]) -> None:
        self.console = console
        self.environment = {**os.environ, **environment}
        self.wrong: list[str] = []

    def relay(self, *words: str, fails: bool = False) -> None:
        """Run the `relay` command as a person would; print the command and its output."""
        shown = shlex.join(words).replace(f"{CHECKOUT}/", "")
        self.console.print(f"\n[bold]$ relay {shown}[/bold]", highlight=False)
        result = self._run(*words)
        self.console.print((result.stdout + result.stderr).rstrip(), markup=False, highlight=False, soft_wrap=True)
        self.check(f"`relay {shown}` ends with", result.returncode, 1 if fails else 0)

    def ask(self, *words: str) -> list[dict[str, Any]]:
        """Run the `relay` command with --json; return its objects, and print nothing.

        Raises:
            LocalError: The command failed.
        """
        result = self._run(*words, "--json")
        if result.returncode != 0:
            raise LocalError(f"relay {' '.join(words)} failed: {result.stderr.strip()}")
        return [json.loads(line) for line in result.stdout.splitlines()]

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("relay")), *words]
        environment = {**self.environment, "COLUMNS": str(self.console.width)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603

    def check(self, what: str, found: object, expected: object) -> None:
        """Add a line to `wrong` if *found* isn't *expected*."""
        if found != expected:
            self.wrong.append(f"{what} {found}, and should be {expected}")

    def await_(self, what: str, ready: Callable[[], tuple[int, int]]) -> None:
        """Show a progress line until *ready* returns (n, n); after `SETTLE_S` seconds add a line to `wrong`."""
        self.console.print()
        with _progress(self.console) as progress:
            task = progress.add_task(what, total=None)
            deadline = time.monotonic() + SETTLE_S
            while time.monotonic() < deadline:
                done, of = ready()
                progress.update(task, description=f"{what}: {done} of {of}")
                if done >= of:
                    return
                time.sleep(0.2)
        self.wrong.append(f"{what}: {done} of {of} after {SETTLE_S} s")


def _progress(console: Console) -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console)


def main() -> None:
    """Run the demo; exit with status 0 only if every number is right."""
    shut_out()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", *(it for it in os.environ if it.upper() == "HTTPS_PROXY")):
        os.environ.pop(name, None)  # the demo calls no other machine
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that can't show a character must not end the demo
    console = Console(width=max(Console().width, WIDTH_MIN), highlight=False)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder, Destinations() as destinations:
            wrong = _demo(console, Path(folder), destinations)
    except (LocalError, subprocess.TimeoutExpired) as error:
        console.print(f"[red]error:[/red] {error}", markup=True, soft_wrap=True)
        sys.exit(1)
    took = time.monotonic() - started
    if wrong:
        console.print("\n[red]Not as it should be:[/red]")
        for line in wrong:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        sys.exit(1)
    console.print(f"\n[green]Every number is as it should be.[/green] It took {took:.0f} s.")


def _demo(console: Console, folder: Path, destinations: Destinations) -> list[str]:
    config = folder / "relay.toml"
    config.write_text(
        CONFIG.format(
            retries=RETRIES,
            healthy=destinations.behave("healthy", HEALTHY),
            flaky=destinations.behave("flaky", flaky(2)),
            dead=destinations.behave("dead", DEAD),
        )
    )
    console.print("Three destinations: [green]healthy[/green], [yellow]flaky[/yellow], which fails twice for each")
    console.print("event and then recovers, and [red]dead[/red], which answers 503 to everything.\n")
    with _progress(console) as progress:
        task = progress.add_task("starting", total=None)
        running_relay = running(config, step=lambda text: progress.update(task, description=text))
        relay = running_relay.__enter__()
    try:
        destinations.expect_signatures(relay.qstash_current_signing_key, relay.qstash_next_signing_key)
        demo = Demo(console, relay.environment())
        _in_and_out(demo, destinations)
        _replay(demo, destinations)
        return demo.wrong
    finally:
        running_relay.__exit__(None, None, None)


def _in_and_out(demo: Demo, destinations: Destinations) -> None:
    """Send four webhooks: a push, a pull request, the same pull request again, and a forged one."""
    for sample in ("push.json", "pull_request.opened.json", "pull_request.opened.json"):
        demo.relay("send", str(EVENTS / sample))
    demo.relay("send", str(EVENTS / "pull_request.opened.forged.json"), fails=True)

    expected = {"healthy": 2, "flaky": 2 * 3, "dead": 2 * (1 + RETRIES)}
    demo.await_(
        "requests at the destinations",
        lambda: (sum(len(destinations.received(name)) for name in expected), sum(expected.values())),
    )
    demo.await_("deliveries settled", lambda: (_settled(demo), 6))
    for name, count in expected.items():
        demo.check(f"requests that {name} got:", len(destinations.received(name)), count)
        demo.check(f"of them not signed by QStash at {name}:", _refused(destinations, name), 0)

    demo.relay("event", "list")
    demo.relay("delivery", "list")
    events = demo.ask("event", "list")
    demo.check("events:", len(events), 2)
    statuses = {"healthy": "delivered", "flaky": "delivered", "dead": "dead_lettered"}
    attempts = {"healthy": 1, "flaky": 3, "dead": 1 + RETRIES}
    deliveries = demo.ask("delivery", "list")
    demo.check("deliveries:", len(deliveries), 6)
    for delivery in deliveries:
        name = delivery["destination"]
        demo.check(f"{delivery['id']} is", delivery["status"], statuses[name])
        demo.check(f"attempts of {delivery['id']}:", delivery["attempts_count"], attempts[name])
    pull_request = next(it for it in events if it["type"] == "pull_request.opened")
    sent = json.loads((EVENTS / "pull_request.opened.json").read_text("utf-8"))["body"].encode()
    got = [it.body for it in destinations.received("healthy", pull_request["id"])]
    demo.check("the body at healthy is the one sent, byte for byte:", [it == sent for it in got], [True])
    demo.relay("event", "show", pull_request["id"])


def _settled(demo: Demo) -> int:
    return sum(it["status"] in {"delivered", "dead_lettered"} for it in demo.ask("delivery", "list"))


def _refused(destinations: Destinations, name: str) -> int:
    return sum(it.answered == 401 for it in destinations.received(name))  # HTTP's unauthorized


def _replay(demo: Demo, destinations: Destinations) -> None:
    """Repair the dead destination, and replay its dead letters to that destination alone."""
    demo.console.print("\nThe dead destination is repaired; its dead letters are replayed.")
    before = {name: len(destinations.received(name)) for name in ("healthy", "flaky", "dead")}
    destinations.behave("dead", HEALTHY)
    dead = [it["id"] for it in demo.ask("delivery", "list", "--status", "dead_lettered")]
    demo.check("dead letters:", len(dead), 2)
    demo.relay("replay", "start", *dead, "--reason", "destination repaired")
    demo.await_("replayed deliveries settled", lambda: (_settled(demo), 6))

    demo.relay("delivery", "list", "--destination", "dead")
    after = {name: len(destinations.received(name)) for name in before}
    demo.check("requests since the replay:", {name: after[name] - before[name] for name in before}, _only("dead", 2))
    for delivery in demo.ask("delivery", "list", "--destination", "dead"):
        demo.check(f"{delivery['id']} is", delivery["status"], "delivered")
        demo.check(f"attempts of {delivery['id']}:", delivery["attempts_count"], 1 + RETRIES + 1)
    demo.relay("event", "show", demo.ask("event", "list", "--type", "push")[0]["id"])


def _only(name: str, count: int) -> dict[str, int]:
    return {"healthy": 0, "flaky": 0, "dead": 0} | {name: count}


if __name__ == "__main__":
    main()
