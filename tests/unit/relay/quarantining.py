"""A relay with a source whose refused requests are kept, and all who meet it: strangers, the sender, an operator."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.errorfactory import ClientExceptionsFactory

import ingest
from infra.config.schemes import built_in_schemes
from relay.config.settings import Settings
from relay.runtime.secrets import Secrets
from tests.unit.relay.operator import ARN, Context
from tests.unit.relay.world import BASE, FLAT

if TYPE_CHECKING:
    from relay.wiring import Parts
    from tests.unit.relay.world import World

NEW = "the key that the sender has now"
OLD = "the key that the relay has still"
DAY_S = 86_400
HOOK = {"x-github-delivery": "d-1", "x-github-event": "push", "content-type": "application/json"}
ROUTE = "/v1/sources/{source}/quarantine"


def configured(**settings: Any) -> dict[str, Any]:
    """Return FLAT with `github`, kept for three days, `stripe`, too, whose requests age, and *settings* of both."""
    github = FLAT["sources"]["github"] | {"quarantine_s": 3 * DAY_S} | settings
    stripe = github | {"scheme": "stripe", "row": built_in_schemes()["stripe"].row()}
    return FLAT | {"sources": {"github": github, "stripe": stripe}}


class SecretsManager:
    """The secret with all sources' signing secrets, as boto3's client gives it."""

    def __init__(self) -> None:
        model = botocore.session.get_session().get_service_model("secretsmanager")
        self.exceptions = ClientExceptionsFactory().create_client_exceptions(model)
        self.secrets: dict[str, list[str]] = {}

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:  # noqa: ARG002, N803  # AWS's name
        """Return all of them."""
        held = {source: [{"value": it} for it in values] for source, values in self.secrets.items()}
        return {"SecretString": json.dumps(held)}


class Quarantining:
    """The function ingest of *world*, as the HTTP API calls it."""

    def __init__(self, world: World, relay: Parts, s3: Any) -> None:
        self.world = world
        self.s3 = s3
        self.relay = relay
        self.manager = SecretsManager()
        relay.secrets = Secrets(self.manager, clock=lambda: world.clock.at.timestamp())
        world.settings = world.publisher.settings
        self.set("github", OLD)
        self.set("stripe", OLD)

    def configure(self, flat: dict[str, Any]) -> None:
        """Have the relay configured otherwise."""
        self.world.deploy(flat)
        self.relay.settings = Settings.of(
            {"RELAY_BASE_URLS": BASE, "RELAY_SOURCES_SECRET": "relay/sources"}, self.world.settings.flat
        )

    def set(self, source: str, *secrets: str) -> None:
        """Have *source* sign with *secrets*, as far as the relay is told."""
        self.manager.secrets[source] = list(secrets)

    def post(self, body: bytes = b"{}", key: str = NEW, source: str = "github", **headers: str) -> dict[str, Any]:
        """Have *body* posted, signed with *key* unless *headers* say otherwise; return status, body and headers."""
        named = {name.replace("_", "-"): it for name, it in headers.items()}
        return self.raw(source, body, self.signed(source, body, key) | named)

    def signed(self, source: str, body: bytes, key: str) -> dict[str, str]:
        """Return the headers that the sender signs *body* with *key* by, now."""
        if source == "stripe":
            at = int(self.world.clock.at.timestamp())
            mac = hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            return {"stripe-signature": f"t={at},v1={mac}", "content-type": "application/json"}
        return HOOK | {"x-hub-signature-256": "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}

    @staticmethod
    def raw(source: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Have a request made that has these headers and no other."""
        answer = ingest.handler(
            {
                "routeKey": "ANY /webhooks/{source}",
                "rawPath": f"/webhooks/{source}",
                "requestContext": {"http": {"method": "POST", "sourceIp": "203.0.113.9"}},
                "pathParameters": {"source": source},
                "headers": {name: it for name, it in headers.items() if it},
                "body": base64.b64encode(body).decode(),
                "isBase64Encoded": True,
            },
            Context(),
        )
        return {"status": answer["statusCode"], "body": json.loads(answer["body"]), "headers": answer["headers"]}

    def ask(self, method: str, body: object = None, source: str = "github", **query: str) -> tuple[int, Any]:
        """Ask as an operator; return status and answer."""
        asked = {
            "routeKey": f"{method} {ROUTE}",
            "requestContext": {"http": {"method": method}, "authorizer": {"iam": {"userArn": ARN}}},
            "pathParameters": {"source": source},
            "queryStringParameters": query,
            "body": json.dumps(body),
        }
        answer = ingest.handler(asked, Context())
        return answer["statusCode"], json.loads(answer["body"])

    def listed(self, source: str = "github") -> list[dict[str, Any]]:
        """Return what an operator sees of what is kept."""
        status, answer = self.ask("GET", source=source)
        assert (status, answer["cursor"]) == (200, None)
        found: list[dict[str, Any]] = answer["requests"]
        return found

    def released(self, source: str = "github", **asked: Any) -> list[dict[str, Any]]:
        """Let in what passes; return what became of each."""
        status, answer = self.ask("POST", {"action": "release"} | asked, source)
        assert status == 200, answer
        found: list[dict[str, Any]] = answer["requests"]
        return found

    def outcomes(self, source: str = "github") -> list[str]:
        """Let in what passes; return in a word what became of each."""
        return [it["outcome"] for it in self.released(source)]

    @property
    def published(self) -> list[bytes]:
        """The bodies that QStash was given, one for each URL group."""
        return [it.content for it in self.world.wire.published]
