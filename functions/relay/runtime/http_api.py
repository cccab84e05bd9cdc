"""Requests and responses of an HTTP API (payload format 2.0), and how an error becomes a response."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from relay.errors import BadRequest, RelayError
from relay.runtime import deadline
from relay.urls import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

MARGIN_S = 1.5  # for the last call, and the answer
WEBHOOKS = f"ANY {WEBHOOK_PATH}"
DEFAULT_ROUTE = "$default"  # the route of requests that no other route takes
_SLASHED = re.compile("/webhooks/([^/]+)/")
logger = Logger()  # its service and level come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_LOG_LEVEL


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        route: The gateway's; of a webhook with one slash more at its end, that of the same without.
        path: As the caller wrote it, which some schemes sign.
        headers: Names in lower case; of a repeated header the values, joined by commas.
        body: The bytes as they came.
        caller: The IAM principal that signed it, on routes that ask for one.
        source_ip: The address that called the API.
        at: When it came to the API, in epoch seconds; None where the gateway doesn't say.
    """

    method: str
    route: str
    path: str
    query_string: str
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller: str | None
    source_ip: str | None = None
    at: float | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Request:
        """Return the request that *event* describes."""
        context = event.get("requestContext", {})
        route, path, parameters = event.get("routeKey", ""), event.get("rawPath", ""), event.get("pathParameters") or {}
        if route == DEFAULT_ROUTE and (slashed := _SLASHED.fullmatch(path)):  # the gateway takes it for another path
            route, parameters = WEBHOOKS, {"source": slashed[1]}
        text = event.get("body") or ""
        iam = (context.get("authorizer") or {}).get("iam") or {}
        return cls(
            method=context.get("http", {}).get("method", ""),
            route=route,
            path=path,
            query_string=event.get("rawQueryString", ""),
            path_parameters=_texts(parameters),
            query=_texts(event.get("queryStringParameters")),
            headers={name.lower(): value for name, value in _texts(event.get("headers")).items()},
            body=base64.b64decode(text) if event.get("isBase64Encoded") else text.encode(errors="replace"),
            caller=iam.get("userArn"),
            source_ip=context.get("http", {}).get("sourceIp"),
            at=context["timeEpoch"] / 1000 if "timeEpoch" in context else None,
        )

    def urls(self, bases: tuple[str, ...]) -> list[str]:
        """Return the URLs that this request may have been sent to: one for each of our own bases, no Host header."""
        query = f"?{self.query_string}" if self.query_string else ""
        return [f"{base}{self.path}{query}" for base in bases]

    def check_parameters(self, *allowed: str) -> None:
        """Raise `BadRequest` if the query string has a parameter that isn't *allowed*."""
        check_known("parameters", self.query, allowed, code="unknown_filter")

    def check_fields(self, asked: Mapping[str, Any], *allowed: str) -> None:
        """Raise `BadRequest` if *asked*, the body's object, has a field that isn't *allowed*."""
        check_known("fields", asked, allowed)

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body, or raise `BadRequest`."""
        try:
            value = json.loads(self.body)
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text that can be kept
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise BadRequest("the body must be a JSON object")
        return value


def check_known(what: str, given: Iterable[str], allowed: Collection[str], *, code: str = "bad_request") -> None:
    """Raise `BadRequest`, which names the unknown ones of *given* and those *allowed*, if there are unknown ones."""
    if unknown := sorted(set(given) - set(allowed)):
        raise BadRequest(f"unknown {what}: {', '.join(unknown)} (allowed: {', '.join(allowed) or 'none'})", code=code)


def _texts(given: Mapping[str, str] | None) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in (given or {}).items()}


def _text(value: str) -> str:
    """Return *value* without halves of surrogate pairs, which JSON can hold and nothing can store."""
    return value if value.isascii() else value.encode(errors="replace").decode()


@dataclass(frozen=True)
class Response:
    """One answer; a *body* that isn't text becomes JSON."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """Return the answer as an HTTP API takes it."""
        if isinstance(self.body, str):
            return {"statusCode": self.status, "headers": dict(self.headers), "body": self.body}
        return {
            "statusCode": self.status,
            "headers": {"content-type": "application/json", **self.headers},
            "body": json.dumps(self.body, separators=(",", ":")),
        }


def refusal(error: RelayError) -> Response:
    """Return the answer to a request that ended in *error*: its code and message, without its cause."""
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if error.status == 489:  # QStash retries a 489 unless this header says no
        headers["upstash-nonretryable-error"] = "true"
    return Response(error.status, {"error": {"code": error.code, "message": str(error)}}, headers)


def answering(verb: Callable[[Request], Response]) -> Callable[[Mapping[str, Any], Any], dict[str, Any]]:
    """Make a Lambda handler of *verb*: a request in, an answer out, one log line a call, errors as answers.

    The verb has the time of the function, less a margin.
    """

    @wraps(verb)
    def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        request = Request.of(event)
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(request_id=getattr(context, "aws_request_id", None), route=request.route)
        try:
            with deadline.within(deadline.of(context, MARGIN_S)):
                response = verb(request)
        except RelayError as error:
            response = refusal(error)
            logger.thread_safe_append_keys(error=error.code, reason=str(error))
        level = logger.warning if response.status >= 500 else logger.info  # an HTTP status
        level("answered", extra={"status": response.status})
        return response.wire()

    return handler


def note(**fields: Any) -> None:
    """Add *fields* to this call's log line."""
    logger.thread_safe_append_keys(**fields)
