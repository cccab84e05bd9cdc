"""An operator who asks the function query, over the real store, as an HTTP API hands on what IAM has signed in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import query
from relay import wiring
from tests.unit.relay.world import BASE, FLAT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from relay.wiring import Parts
    from tests.unit.relay.world import World

ARN = "arn:aws:iam::000000000000:user/ada"


@dataclass
class Context:
    """What a function is told of its run."""

    aws_request_id: str = "one"
    left_s: float = 60.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left_s * 1000)


class Operator:
    """Somebody who may ask all that there is."""

    def ask(self, route: str, body: object = None, /, *, asked: dict[str, str] | None = None, **path: str) -> Any:
        """Return status and answer of *route*; *asked* is the query string."""
        event = {
            "routeKey": route,
            "requestContext": {"http": {"method": route.split()[0]}, "authorizer": {"iam": {"userArn": ARN}}},
            "pathParameters": path,
            "queryStringParameters": asked or {},
            "body": body if isinstance(body, str) else json.dumps(body),
        }
        answer = query.handler(event, Context())
        return answer["statusCode"], json.loads(answer["body"])


def wired(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needs: str) -> Parts:
    """Return the relay that a function finds which needs a variable: its store is the world's."""
    (tmp_path / "relay.json").write_text(json.dumps(FLAT), encoding="utf-8")
    for variable, value in {
        "RELAY_TABLE": world.store.table.name,
        "RELAY_BUCKET": world.store.bucket.name,
        "RELAY_QSTASH_SECRET": "relay/qstash",
        "RELAY_BASE_URLS": BASE,
        "RELAY_CONFIG": str(tmp_path / "relay.json"),
        "POWERTOOLS_SERVICE_NAME": "test",
    }.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("RELAY_SWEEP_FUNCTION", raising=False)
    wiring.relay.cache_clear()
    found = wiring.relay(needs)
    found.store = world.store
    return found
