"""`relay send`: sign a sample request and post it to the deployed relay, as its source would."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.command import Asked, Failure, asking, json_line

if TYPE_CHECKING:
    import httpx

    from cli.deployed import Deployed

TIMES_MAX = 1000
# What the network between a source and a Lambda adds; it is added again on the way.
_NOT_THE_SOURCES = ("host", "content-length", "connection", "transfer-encoding", "via", "forwarded", "x-amzn-trace-id")


@dataclass(frozen=True)
class Sample:
    """A recorded request.  *source* is the one it was sent to; header names are in lower case."""

    source: str | None
    method: str
    query: str
    headers: dict[str, str]
    body: bytes


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--source", metavar="NAME", help="Send it as this source.  [default: that of the sample's path]")
@click.option("--times", type=click.IntRange(1, TIMES_MAX), default=1, help="Send the very same so often.")
@asking
def send(asked: Asked, file: Path, source: str | None, times: int) -> None:
    """Sign a sample request and post it to the relay.

    FILE is a request as an HTTP API hands it to a Lambda, such as those in events/.  One that already has its scheme's
    signature is sent as it is.
    """
    sample = read(file)
    name = source or sample.source
    if name is None:
        raise click.UsageError(f"{file} isn't addressed to /webhooks/SOURCE: say --source")
    from cli.deployed import Deployed

    relay = Deployed.find(asked.name)
    headers = _signed(relay, name, sample)
    rows = [_row(name, relay.webhook(name, sample.method, sample.query, headers, sample.body)) for _ in range(times)]
    _tell(asked, rows)
    refused = [it for it in rows if it["error"]]
    if refused:
        raise Failure(f"the relay refused {len(refused)} of {times}: {refused[0]['status']} {refused[0]['error']}")


def read(file: Path) -> Sample:
    """Return the request in *file*.

    Raises:
        Failure: It isn't a request in payload format 2.0.
    """
    try:
        event = json.loads(file.read_bytes())
        http = event["requestContext"]["http"]
        path = event.get("rawPath", http["path"])
        headers = {str(name).lower(): str(value) for name, value in event["headers"].items()}
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        text = event.get("body") or ""
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        _, webhooks, source = path.rpartition("/webhooks/")
        return Sample(
            source=source if webhooks and source and "/" not in source else None,
            method=str(http["method"]),
            query=str(event.get("rawQueryString", "")),
            headers={name: value for name, value in headers.items() if _is_the_sources(name)},
            body=body,
        )
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise Failure(f"{file} isn't JSON (line {error.lineno}: {error.msg}): mend it") from error
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, RecursionError) as error:
        raise Failure(
            f"{file} isn't a request as an HTTP API hands it to a Lambda (payload format 2.0: requestContext.http,"
            " headers, body, isBase64Encoded): see events/ for samples"
        ) from error


def _is_the_sources(name: str) -> bool:
    return name not in _NOT_THE_SOURCES and not name.startswith("x-forwarded-")


def _signed(relay: Deployed, name: str, sample: Sample) -> dict[str, str]:
    """Return the sample's headers with its scheme's signature, made here where it has none."""
    from cli import secrets
    from relay.signatures import Row, sign

    sources = relay.config()["sources"]
    if name not in sources:
        raise Failure(
            f"the deployed relay has no source {name}, but {', '.join(sorted(sources)) or 'none at all'}: add it to"
            " relay.toml and run `make deploy`, or choose with --source"
        )
    try:
        row = Row.of(sources[name]["row"])
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(
            f"the scheme of {name} is one this version can't sign: use the version that was deployed"
        ) from error
    if row.header.lower() in sample.headers:
        return sample.headers
    values = secrets.signing_secrets(relay.stack.name, name)
    if not values:
        raise Failure(f"source {name} has no signing secret yet: run `relay secret set {name}`")
    header, value = sign(row, values[0], sample.body)
    return {**sample.headers, header.lower(): value}


def _row(source: str, response: httpx.Response) -> dict[str, Any]:
    from cli.deployed import told

    try:
        answer = response.json()
    except ValueError:
        answer = None
    event_id = answer.get("event_id") if isinstance(answer, dict) else None
    code, message = told(response)
    error = f"{code or 'refused'}: {message or 'it gave no reason'}"
    return {
        "source": source,
        "status": response.status_code,
        "event_id": event_id,
        "duplicate": isinstance(answer, dict) and answer.get("duplicate") is True,
        "error": None if response.is_success and event_id else error,
    }


def _tell(asked: Asked, rows: list[dict[str, Any]]) -> None:
    from cli.tables import Column, table

    if asked.as_json:
        for row in rows:
            json_line(row)
        return
    columns = [
        Column("STATUS", lambda it: it["status"]),
        Column("EVENT", lambda it: it["event_id"], whole=True),
        Column("NOTE", lambda it: it["error"] or ("duplicate" if it["duplicate"] else "")),
    ]
    table(columns, rows)
