"""Demo and tests touch nothing but this machine, whatever the environment of who types them says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
DEMO_S = 300


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Serve what stands for the real services; give its URL, and what it was asked: nothing, if all is well."""
    lines: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            lines.append(self.requestline)
            self.send_error(500)

        do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _any  # noqa: N815  # the names that the library looks for

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", lines
        server.shutdown()
        thread.join()


def nonsense(url: str, home: Path) -> dict[str, str]:
    """Return an environment in which everything that is meant for the real services is set, and wrong."""
    config = home / "config"
    config.write_text(f"[default]\nregion = nowhere\nendpoint_url = {url}\noutput = nonsense\n")
    return {
        **os.environ,
        "QSTASH_URL": url,
        "QSTASH_TOKEN": "nonsense",
        "QSTASH_CURRENT_SIGNING_KEY": "nonsense",
        "QSTASH_NEXT_SIGNING_KEY": "nonsense",
        "QSTASH_REGION": "nonsense",
        "AWS_PROFILE": "nonsense",
        "AWS_REGION": "nonsense",
        "AWS_DEFAULT_REGION": "nonsense",
        "AWS_ACCESS_KEY_ID": "nonsense",
        "AWS_SECRET_ACCESS_KEY": "nonsense",
        "AWS_SESSION_TOKEN": "nonsense",
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_CA_BUNDLE": "/nonsense",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(config),
        "AWS_MAX_ATTEMPTS": "nonsense",
        "CDK_DEFAULT_ACCOUNT": "nonsense",
        "CDK_DEFAULT_REGION": "nonsense",
        "RELAY_NAME": "nonsense",
        "RELAY_CONFIG": "nonsense",
        "RELAY_SECRET_GITHUB": "",
        "RELAY_BASE_URLS": url,
        "GITHUB_API_URL": "nonsense",
        "POWERTOOLS_DEV": "nonsense",
        "LOG_LEVEL": "nonsense",
        "HTTP_PROXY": url,
        "http_proxy": ":::nonsense",
        "HTTPS_PROXY": "foo://nonsense",
        "ALL_PROXY": "socks5://127.0.0.1:1",
        "SSL_CERT_FILE": "/nonsense",
        "NODE_OPTIONS": "--require /nonsense",
        "JSII_NODE": "/nonsense",
        "FORCE_COLOR": "1",
        "PYTHONIOENCODING": "ascii",
        "NO_PROXY": "",
        "no_proxy": "",
    }


def run(url: str, home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run *command* in the checkout, in that environment."""
    environment = nonsense(url, home)
    return subprocess.run(  # noqa: S603  # our own commands
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=DEMO_S, check=False
    )


def test_the_demo_runs_on_this_machine_alone(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    url, lines = asked

    done = run(url, tmp_path, "make", "--no-print-directory", "demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every number is as it should be." in done.stdout
    assert lines == []


def test_the_tests_run_on_this_machine_alone(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    """Some of each kind: of the command, of the store on a local AWS, of the stack's template."""
    url, lines = asked
    some = ["tests/unit/cli/test_listings.py", "tests/unit/relay/test_store.py", "tests/infra/test_reconcile.py"]

    done = run(url, tmp_path, sys.executable, "-m", "pytest", "-q", *some)

    assert done.returncode == 0, done.stdout + done.stderr
    assert lines == []
