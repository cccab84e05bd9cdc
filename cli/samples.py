"""Reads a recorded request from a file.

A file holds the event of an API Gateway HTTP API for a Lambda function, payload format 2.0.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.terminal.options import CommandError
from relay.urls import source_in

if TYPE_CHECKING:
    from pathlib import Path

# The network between a source and a Lambda function adds these, and will add them again.
_NOT_THE_SOURCES = ("host", "content-length", "connection", "transfer-encoding", "via", "forwarded", "x-amzn-trace-id")


@dataclass(frozen=True)
class Sample:
    """A recorded request.

    Attributes:
        source: The source in the path, /webhooks/{source}; None if the path is another one.
        query: The raw query string, without the `?`.
        headers: Values by name, in lower case.
    """

    source: str | None
    method: str
    query: str
    headers: dict[str, str]
    body: bytes


def read(file: Path) -> Sample:
    """Return the request in *file*.

    Raises:
        CommandError: *file* can't be read, or isn't a request in payload format 2.0.
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
        return Sample(
            source=source_in(path),
            method=str(http["method"]),
            query=str(event.get("rawQueryString", "")),
            headers={name: value for name, value in headers.items() if _is_the_sources(name)},
            body=body,
        )
    except OSError as error:
        raise CommandError(f"{file} can't be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise CommandError(f"{file} isn't JSON (line {error.lineno}: {error.msg}): fix it") from error
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, RecursionError) as error:
        raise CommandError(
            f"{file} isn't the event of an HTTP API for a Lambda function (payload format 2.0: requestContext.http,"
            " headers, body, isBase64Encoded): see events/ for samples"
        ) from error


def _is_the_sources(name: str) -> bool:
    return name not in _NOT_THE_SOURCES and not name.startswith("x-forwarded-")
