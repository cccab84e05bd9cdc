"""A relay to command: a real stack and real secrets in the local AWS, and a server that plays relay and QStash."""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from cli.client import aws
from cli.main import relay
from infra.local.aws.server import client
from relay.qstash import regions
from relay.verification.scheme import Row
from tests.flat import bus, group, route, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalClients

SECRET = "It's a Secret to Everybody"
TOKEN = "eyJVc2VySUQiOiJ0ZXN0In0="
GITHUB: dict[str, Any] = {
    "signature": "X-Hub-Signature-256: sha256={hex}",
    "algorithm": "hmac-sha256",
    "id": "X-GitHub-Delivery",
    "type": ["X-GitHub-Event", "body:action"],
    "forward": ["X-GitHub-*"],
    "timeout_s": 10,
}
ACME: dict[str, Any] = {**GITHUB, "signature": "X-Acme-Signature: {hex}", "id": "body:id", "type": ["body:type"]}
ROW = Row.of(GITHUB)


@dataclass(frozen=True)
class Call:
    """One request that the server got; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """An HTTP server on loopback: answers in turn what a test tells it, the last for ever; keeps what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], list[tuple[int, bytes]]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def says(self, method: str, path: str, *answers: object, status: int = 200) -> None:
        """Have *answers* (JSON, or bytes as they are) given in turn to *method* *path* (percent-encoded, no query)."""
        told = [(status, it if isinstance(it, bytes) else json.dumps(it).encode()) for it in answers]
        self.answers[method, path] = told

    def answer(self, call: Call) -> tuple[int, bytes]:
        self.calls.append(call)
        told = self.answers.get((call.method, call.path))
        if told is None:
            return 404, b'{"message":"Not Found"}'
        return told.pop(0) if len(told) > 1 else told[0]

    def asked(self, path: str) -> list[Call]:
        return [it for it in self.calls if it.path == path]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as playing:
        yield playing


@contextmanager
def serving() -> Iterator[Server]:
    """Give a server for a while."""
    playing = Server()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = playing.answer(Call(self.command, path, query, headers, body))
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_CONNECT = _any  # noqa: N815  # the names that the library looks for

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        playing.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield playing
        listening.shutdown()
        thread.join()


@dataclass
class Relay:
    """The relay under command: `run` types a command; the clients look at what it did."""

    name: str
    server: Server
    cloudformation: Any
    secretsmanager: Any
    dynamodb: Any
    shown: list[str] = field(default_factory=list)

    def run(self, *words: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(relay, words, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.shown.append(result.output)
        return result

    def deploy(self, **outputs: str) -> None:
        """Make the stack, with what its relay's operators need as outputs."""
        told = {
            "RelayUrl": self.server.url,
            "RelayName": self.name,
            "TableName": self.name,
            "BucketName": self.name,
            "SyncFunction": "the-sync",
            "SweepFunction": "the-sweep",
            "OperatorReadPolicy": "arn:aws:iam::000000000000:policy/read",
            "OperatorOperatePolicy": "arn:aws:iam::000000000000:policy/operate",
            **outputs,
        }
        self.stack({name: {"Value": value} for name, value in told.items() if value})

    def stack(self, outputs: dict[str, Any]) -> None:
        template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
        self.cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        self.cloudformation.get_waiter("stack_create_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 200}
        )

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Have /v1/config answered: two sources, one URL group with two destinations."""
        base = self.server.url
        config = {
            "name": self.name,
            "version": "0.1.0",
            "retention_days": 30,
            "base_urls": [base],
            "sources": {
                name: {"scheme": name, "row": row, "routes": [route("audit")], "url": f"{base}/webhooks/{name}"}
                for name, row in (("github", GITHUB), ("acme", ACME))
            },
            "url_groups": {"audit": group("ledger", "erp")},
            "destinations": {
                "ledger": bus("audit"),
                "erp": url("audit", "https://erp.example.com/in"),
            },
            "counts": {"orphans": 0},
            "drift": None,
            **changes,
        }
        self.server.says("GET", "/v1/config", config)
        return config

    def keep(self, kind: str, value: object) -> None:
        """Put the relay's secret *kind* where it belongs."""
        text = value if isinstance(value, str) else json.dumps(value)
        self.secretsmanager.create_secret(Name=f"{self.name}/{kind}", SecretString=text)

    def kept(self, kind: str) -> Any:
        return json.loads(self.secretsmanager.get_secret_value(SecretId=f"{self.name}/{kind}")["SecretString"])


@pytest.fixture(scope="session")
def clients(local_clients: LocalClients) -> tuple[Any, Any]:
    """Make the clients once: each reads its service's description, which takes a tenth of a second."""
    return client("cloudformation", local_clients.url), client("secretsmanager", local_clients.url)


@pytest.fixture
def undeployed(
    local_clients: LocalClients, clients: tuple[Any, Any], server: Server, monkeypatch: pytest.MonkeyPatch
) -> Relay:
    """Give a relay that there is only the name of, AWS credentials, and a QStash that takes any token."""
    name = local_clients.new_name()
    monkeypatch.setattr(regions, "REGIONS", {"EU": server.url})
    server.says("GET", "/v2/keys", {"current": "sig_1", "next": "sig_2"})
    aws_variables(monkeypatch, AWS_ENDPOINT_URL=local_clients.url, RELAY_NAME=name)
    return Relay(name, server, *clients, local_clients.dynamodb)


@pytest.fixture
def deployed(undeployed: Relay) -> Relay:
    """Give a relay that is deployed, configured, and has the signing secret of its source github."""
    undeployed.deploy()
    undeployed.configure()
    undeployed.keep("sources", {"github": [{"value": SECRET, "created_at": "2026-11-01T00:00:00+00:00"}]})
    return undeployed


_AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "hush-hush",
    "AWS_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_PROFILE": "",
    "AWS_DEFAULT_REGION": "",
    "AWS_SESSION_TOKEN": "",
    "AWS_ENDPOINT_URL": "",
    "HTTP_PROXY": "",
    "HTTPS_PROXY": "",
}


def aws_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set what AWS clients read, and hide this machine's own; "" takes a variable out."""
    given = {name: variables.get(name, os.environ.get(name, "")) for name in ("AWS_ENDPOINT_URL", "RELAY_NAME")}
    for name, value in {**_AWS_VARIABLES, **given, **variables}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    _forget_clients(tuple((name, os.environ.get(name)) for name in _AWS_VARIABLES))


@lru_cache(maxsize=1)
def _forget_clients(_: object) -> None:
    """Have clients made anew, once the variables are others than before: making them takes long."""
    aws.session.cache_clear()
    aws.client.cache_clear()


def event(number: int, **changes: Any) -> dict[str, Any]:
    """Return an event as /v1 shows it."""
    return {
        "id": f"rly_{number:032d}",
        "source": "github",
        "type": "pull_request.opened",
        "idempotency_key": f"72d3162e-cc78-11e3-81ab-{number:012d}",
        "received_at": "2026-11-24T08:31:08.123456Z",
        "size_bytes": 10009,
        "sha256": "ab" * 32,
        "content_type": "application/json",
        "published": True,
        **changes,
    }


def delivery(number: int, destination: str = "ledger", **changes: Any) -> dict[str, Any]:
    """Return a delivery as /v1 shows it."""
    return {
        "id": f"dlv_{number:032d}.{destination}",
        "event_id": f"rly_{number:032d}",
        "destination": destination,
        "group": "audit",
        "source": "github",
        "type": "push",
        "status": "dead_lettered",
        "generation": "fb389ad0bba790f5",
        "message_id": "msg_26hZCxZCuWyyTWPmSVBrNB882",
        "dlq_id": "1725323658779-0",
        "attempts_count": 6,
        "event_received_at": "2026-11-24T08:31:08.123456Z",
        "updated_at": "2026-11-24T09:31:08.123456Z",
        "received_at": None,
        **changes,
    }


def values(relay: Relay, source: str) -> list[str]:
    """Return the signing secrets of *source* that are kept."""
    return [it["value"] for it in relay.kept("sources")[source]]


def entry(value: str, **age: float) -> dict[str, str]:
    """Return a signing secret as it is kept, of an age such as `days=3`."""
    return {"value": value, "created_at": (datetime.now(UTC) - timedelta(**age)).isoformat(timespec="seconds")}
