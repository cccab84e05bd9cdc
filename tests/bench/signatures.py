"""What a verification costs, scheme by scheme, beside the libraries that people use: the same body, the same run.

`PYTHONPATH=functions:. .venv-sdks/bin/python -m tests.bench.signatures` prints CPU time per verification of a JSON body
of 4 KiB: the median over rounds in which all take turns.  Each time is that of proof, id and type together, as ingest
takes it; the yardsticks only prove.  Ends with 1 where an HMAC scheme takes longer than `LIMIT_US`.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.local.sources.request import CannotSign, SourceRequest
from infra.local.sources.secrets import made_up
from infra.local.sources.sign import signed
from relay.verification.scheme import HMACS, Row
from relay.verification.secret import Secret
from relay.verification.verify import WebhookInfo, verify

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LIMIT_US = 100.0
BODY_BYTES = 4096
ROUNDS = 15
CALLS = 100  # a scheme and round
URL = "https://relay.example.com/webhooks/x"
FIRST: dict[str, dict[str, Any]] = {  # what a body must hold besides, where its signature covers a field of it
    "linear": {"webhookTimestamp": 0},
    "pusher": {"time_ms": 0},
    "mailgun": {"signature": {"timestamp": "0", "token": "t", "signature": ""}, "event-data": {"id": "1"}},
}


def main() -> int:
    """Measure, print the table, and say whether every HMAC scheme keeps within the limit."""
    rows = tomllib.loads((ROOT / "infra" / "config" / "schemes.toml").read_text(encoding="utf-8"))
    ways: dict[str, Callable[[], object]] = {**yardsticks(), **dict(filter(None, map(scheme_way, rows.items())))}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time()
            for _ in range(CALLS):
                way()
            taken[name].append((time.process_time() - began) / CALLS * 1e6)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    tell(medians)
    slow = {name for name, value in medians.items() if name in rows and is_hmac(rows[name]) and value > LIMIT_US}
    sys.stdout.write(f"\nHMAC schemes over {LIMIT_US:g} µs: {', '.join(sorted(slow)) or 'none'}\n")
    return 1 if slow else 0


def is_hmac(row: dict[str, Any]) -> bool:
    """Tell whether *row* signs with an HMAC."""
    return Row.of(row).algorithms[0] in HMACS


def scheme_way(named: tuple[str, dict[str, Any]]) -> tuple[str, Callable[[], object]] | None:
    """Return the verification of a request that the scheme's provider would send; None where it signs no JSON body."""
    name, raw = named
    row, secret, now = Row.of(raw), Secret(made_up(raw)), time.time()
    form = any("form:" in it.place for it in row.spots) or row.custom in {"@mandrill", "@braintree"}
    if form:
        return None
    request = SourceRequest("POST", URL, {"content-type": "application/json", "x-id": "1"}, body(FIRST.get(name, {})))
    try:
        request = signed(raw, request, secret, now)
    except CannotSign:
        return None  # it signs items of another shape

    def way() -> object:
        said = verify(row, request.inbound(), [secret], at=now)
        assert isinstance(said, WebhookInfo), name
        return said

    way()
    return name, way


def body(first: dict[str, Any]) -> bytes:
    """Return a JSON body of `BODY_BYTES`."""
    held: dict[str, Any] = {**first, "id": "evt_1", "type": "invoice.paid", "data": []}
    while len(json.dumps(held)) < BODY_BYTES - 60:
        held["data"].append({"id": len(held["data"]), "amount": 1295, "note": "Grüße"})
    text = json.dumps(held)
    return (text[:-1] + " " * (BODY_BYTES - len(text)) + "}").encode()


def yardsticks() -> dict[str, Callable[[], object]]:
    """Return what the libraries take to prove the same body."""
    text = body({}).decode()
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found: dict[str, Callable[[], object]] = {}
    for library in ("standardwebhooks", "svix"):
        webhook = import_module(library if library == "standardwebhooks" else "svix.webhooks").Webhook(secret)
        found[library] = _standard(webhook, text)
    signature = import_module("stripe").WebhookSignature
    header = signature.generate_signature_header(text, secret, int(time.time()))
    found["stripe"] = lambda: signature.verify_header(text, header, secret, 300)
    return {f"library {name}": way for name, way in found.items()}


def _standard(webhook: Any, text: str) -> Callable[[], object]:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": webhook.sign("msg_1", now, text),
    }
    return lambda: webhook.verify(text, headers)


def tell(medians: dict[str, float]) -> None:
    """Print the table, the slowest last, with each time as a ratio of every library's."""
    libraries = [name for name in medians if name.startswith("library ")]
    heads = "".join(f"{'/ ' + name.removeprefix('library '):>20}" for name in libraries)
    sys.stdout.write(f"{BODY_BYTES} bytes, Python {platform.python_version()}, CPU time\n\n{'':28}{'µs':>8}{heads}\n")
    for name, value in sorted(medians.items(), key=lambda it: (it[0] not in libraries, it[1])):
        ratios = "".join(f"{value / medians[it]:>20.2f}" for it in libraries)
        sys.stdout.write(f"{name:28}{value:>8.1f}{ratios}\n")


if __name__ == "__main__":
    sys.exit(main())
