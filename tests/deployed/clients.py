"""A source, QStash and an operator, as programs of their own: nothing here uses the relay's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from infra.local.aws import server
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.dev import LocalRelay

SETTLED_S = 60
ATTEMPTS = {"healthy": 1, "flaky": 3, "dead": 3}


@dataclass(frozen=True)
class Outage:
    """What a source was answered while QStash refused connections, and while it took them and was silent."""

    refused: httpx.Response
    unanswered: httpx.Response


class Relay:
    """A deployed relay, seen from outside."""

    def __init__(self, local: LocalRelay) -> None:
        self.local = local
        self._http = httpx.Client(timeout=30, trust_env=False)

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    # -- a source ---------------------------------------------------------------------------------------------------

    def send(self, source: str, body: bytes, *, id: str | None = None, **headers: str) -> httpx.Response:  # noqa: A002
        """Post *body* as *source* does, signed; *headers* in Python spelling come on top, or replace."""
        key = self.local.secrets[source].encode()
        named = {
            "X-Acme-Id": id or uuid4().hex,
            "X-Acme-Signature": base64.b64encode(hmac.digest(key, body, "sha512")).decode(),
            "Content-Type": "application/octet-stream",
        }
        return self.post(f"/webhooks/{source}", body, named | _spelt(headers))

    def push(self, body: bytes = b'{"action":"opened"}', *, id: str | None = None, **headers: str) -> httpx.Response:  # noqa: A002
        """Post *body* as GitHub does, a pull request."""
        key = self.local.secrets["github"].encode()
        named = {
            "X-GitHub-Delivery": id or str(uuid4()),
            "X-GitHub-Event": "pull_request",
            "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
            "Content-Type": "application/json",
        }
        return self.post("/webhooks/github", body, named | _spelt(headers))

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Post *body* to *path* of the relay."""
        return self._http.post(self.local.relay_url + path, content=body, headers=dict(headers))

    # -- QStash -----------------------------------------------------------------------------------------------------

    def call_back(self, url: str, report: Mapping[str, Any], **claims: Any) -> httpx.Response:
        """Post *report* to *url* as QStash does, signed; *claims* replace the right ones, `key` the right key."""
        body = json.dumps(report).encode()
        now = int(time.time())
        right = {
            "iss": "Upstash",
            "sub": url,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        }
        key = claims.pop("key", self.local.qstash_current_signing_key)
        token = jwt.encode(right | claims, key, algorithm="HS256")
        headers = {"Upstash-Signature": token, "Content-Type": "application/json"}
        return self._http.post(url, content=body, headers=headers)

    def qstash(self, path: str, method: str = "GET", **json_body: Any) -> Any:
        """Return what QStash says at *path*."""
        headers = {"Authorization": f"Bearer {self.local.qstash_token}"}
        answer = self._http.request(method, self.local.qstash_url + path, headers=headers, json=json_body or None)
        return answer.raise_for_status().json() if answer.content else None

    def groups(self, relay: str) -> dict[str, dict[str, str]]:
        """Return QStash's URL groups under the name *relay*: group -> endpoint -> URL."""
        return {
            group["name"]: {it["name"]: it["url"] for it in group["endpoints"]}
            for group in self.qstash("/v2/topics")
            if group["name"].startswith(f"{relay}.")
        }

    def dead_letter(self, event_id: str) -> dict[str, Any]:
        """Return QStash's dead letter of the delivery of *event_id* to `dead`, once all its deliveries are over."""
        found: dict[str, Any] = self.qstash(f"/v2/dlq/{self.settled(event_id)['dead']['dlq_id']}")
        return found

    # -- an operator ------------------------------------------------------------------------------------------------

    def ask(self, path: str, **query: Any) -> httpx.Response:
        """GET *path* under /v1, signed."""
        return self._signed("GET", str(httpx.URL(f"{self.local.relay_url}/v1/{path}", params=query)), b"")

    def replay(self, **asked: Any) -> httpx.Response:
        """POST /v1/replays, signed."""
        return self._signed("POST", f"{self.local.relay_url}/v1/replays", json.dumps(asked).encode())

    def turn(self, destination: str, **asked: Any) -> httpx.Response:
        """POST /v1/destinations/{destination}, signed."""
        return self._signed("POST", f"{self.local.relay_url}/v1/destinations/{destination}", json.dumps(asked).encode())

    def turn_quarantine(self, source: str, **asked: Any) -> httpx.Response:
        """POST /v1/sources/{source}/quarantine, signed."""
        url = f"{self.local.relay_url}/v1/sources/{source}/quarantine"
        return self._signed("POST", url, json.dumps(asked).encode())

    def mend(self) -> dict[str, Any]:
        """POST /v1/sync, signed."""
        answer: dict[str, Any] = self._signed("POST", f"{self.local.relay_url}/v1/sync", b"{}").json()
        return answer

    def _signed(self, method: str, url: str, body: bytes) -> httpx.Response:
        request = AWSRequest(method=method, url=url, data=body, headers={"Content-Type": "application/json"})
        credentials = Credentials(self.local.access_key_id, self.local.secret_access_key)
        SigV4Auth(credentials, "execute-api", self.local.region).add_auth(request)
        return self._http.request(method, url, content=body, headers=dict(request.headers.items()))

    def event(self, event_id: str) -> dict[str, Any]:
        """Return the event with its deliveries by destination."""
        shown: dict[str, Any] = self.ask(f"events/{event_id}").raise_for_status().json()
        return shown | {"deliveries": {it["destination"]: it for it in shown["deliveries"]}}

    def delivery(self, event_id: str, destination: str, status: str, timeout_s: float = SETTLED_S) -> dict[str, Any]:
        """Wait until the delivery of *event_id* to *destination* has *status*, and return it with its attempts."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.event(event_id)["deliveries"][destination]
            return found if found["status"] == status else None

        return eventually(look, f"{event_id} at {destination} is {status}", timeout_s)

    def settled(self, event_id: str) -> dict[str, Any]:
        """Wait until every attempt that a `push` leads to is known, and return its deliveries by destination.

        QStash reports each attempt, and a dead letter again, in any order.
        """

        def look() -> dict[str, Any] | None:
            found = self.event(event_id)["deliveries"]
            attempts = {name: len(it["attempts"]) for name, it in found.items()}
            done = attempts == ATTEMPTS and found["dead"]["dlq_id"] and found["flaky"]["status"] == "delivered"
            return found if done else None

        return eventually(look, f"every attempt of {event_id} is known")

    # -- the owner --------------------------------------------------------------------------------------------------

    def aws(self, service: str) -> Any:
        """Return a client of the local AWS."""
        return server.client(service, self.local.aws_endpoint_url)

    def secret(self, kind: str) -> dict[str, Any]:
        """Return the relay's secret *kind*."""
        name = f"{self.local.name}/{kind}"
        value: dict[str, Any] = json.loads(self.aws("secretsmanager").get_secret_value(SecretId=name)["SecretString"])
        return value

    def put_secret(self, kind: str, value: Mapping[str, Any]) -> None:
        """Set the relay's secret *kind*."""
        name = f"{self.local.name}/{kind}"
        self.aws("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps(value))

    def start_anew(self, verb: str, *, timeout_s: int) -> None:
        """Have the function of *verb* forget what it knows: any change of its configuration does that."""
        lambda_ = self.aws("lambda")
        names = [it["FunctionName"] for it in lambda_.list_functions()["Functions"]]
        (function,) = [name for name in names if name.startswith(f"{self.local.name}-{verb}")]
        lambda_.update_function_configuration(FunctionName=function, Timeout=timeout_s)

    def sweep(self) -> None:
        """Do what EventBridge does every minute."""
        self.aws("lambda").invoke(FunctionName=self.local.outputs["SweepFunction"])

    def records(self, event_id: str) -> dict[tuple[str, str], Any]:
        """Return everything that the table holds of *event_id*."""
        pages = self.aws("dynamodb").get_paginator("scan").paginate(TableName=self.local.table_name)
        items = [item for page in pages for item in page["Items"]]
        return {(it["pk"]["S"], it["sk"]["S"]): it for it in items if event_id in it["pk"]["S"]}


def _spelt(headers: Mapping[str, str]) -> dict[str, str]:
    return {"-".join(part.capitalize() for part in name.split("_")): value for name, value in headers.items()}
