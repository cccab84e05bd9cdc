"""A relay that refuses: its settings, its real store, and the requests that strangers make of it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relay.config.settings import Settings
from relay.errors import RelayError, SignatureError
from relay.ingest.refusals import RefusalPace, record_refusal
from relay.model.refusal import Reason, Refusal
from relay.query import answers
from relay.runtime.http_api import Request
from relay.storage.store import Store
from tests.local_table import make_table
from tests.memory_aws import Calls
from tests.store_conformance import Clock

if TYPE_CHECKING:
    from tests.conftest import Clients

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
BASE = "https://relay.example.com"
ROW: dict[str, Any] = {
    "signature": ["X-Hub-Signature-256: sha256={hex}"],
    "algorithm": "hmac-sha256",
    "id": "X-GitHub-Delivery",
    "type": ["X-GitHub-Event"],
    "forward": [],
    "timeout_s": 10,
}
HEADED: dict[str, dict[str, Any]] = {  # rows whose senders put the secret into a header, or only sign with it
    "headed": {"algorithm": "token", "signature": ["X-Token: {text}"]},
    "formed": ROW | {"signature": ["form:signature: {hex}"]},
    "versioned": ROW | {"requires": {"body:version": "1", "X-Key": "{secret:key}"}},
}
FLAT: dict[str, Any] = {
    "name": "relay",
    "retention_days": 30,
    "sources": {
        "github": {"scheme": "github", "row": ROW, "routes": []},
        "calls": {"scheme": "twilio", "row": ROW | {"signs": "{url}{body}"}, "routes": []},
        **{name: {"scheme": "own", "row": row, "routes": []} for name, row in HEADED.items()},
    },
    "url_groups": {},
    "destinations": {},
}
BAD = SignatureError("X-Hub-Signature-256 doesn't match", reason="bad_signature")


def asked(source: str = "github", body: bytes = b"{}", method: str = "POST", **headers: str) -> Request:
    """Return a webhook as an HTTP API hands it over; headers in Python spelling."""
    return Request.of(
        {
            "routeKey": "ANY /webhooks/{source}",
            "rawPath": f"/webhooks/{source}",
            "rawQueryString": "token=hush",
            "pathParameters": {"source": source},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {"http": {"method": method}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
    )


def refused(reason: Reason = Reason.BAD_SIGNATURE, *, body: bytes = b"{}", **changes: Any) -> Refusal:
    """Return what is kept of a refused request."""
    request: dict[str, Any] = {"at": NOW, "method": "POST", "path": "/webhooks/github", "query_string": ""}
    request |= {"message": "no", "headers": {}, "source_ip": None}
    return Refusal.of("github", reason, body=body, **{**request, **changes})


class World:
    """A relay's settings, its real store, and the pace of one function instance."""

    def __init__(self, clients: Clients) -> None:
        self.clock = Clock(NOW)
        name = clients.new_name()
        make_table(clients.dynamodb, name)
        self.dynamodb = clients.dynamodb
        self.calls: Calls = getattr(clients.dynamodb, "calls", Calls())
        self.store = Store(name, name, now=self.clock, dynamodb=clients.dynamodb)
        self.configure()
        self.pace = RefusalPace()

    def configure(self, **rows: dict[str, Any]) -> None:
        """Have a source for each of *rows* too."""
        more = {name: {"scheme": "own", "row": row, "routes": []} for name, row in rows.items()}
        flat = FLAT | {"sources": FLAT["sources"] | more}
        self.settings = Settings.of({"RELAY_BASE_URLS": f"{BASE},https://api.example.com"}, flat)

    def refuse(self, error: RelayError, request: Request) -> Reason | None:
        with self.calls.process("ingest"):
            return record_refusal(error, request, settings=self.settings, store=self.store, pace=self.pace)

    def items(self) -> list[Any]:
        found: list[Any] = self.dynamodb.scan(TableName=self.store.table.name)["Items"]
        return found

    def shown(self, source: str = "github") -> dict[str, Any]:
        return answers.list_refusals(self.store, source, self.settings)
