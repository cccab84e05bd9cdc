"""A client of the deployed relay's API.  Finds the relay by its stack, and signs each request with SigV4.

The other modules see events, sources and deliveries.  Each error says what to do.
"""

from __future__ import annotations

import json
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

import click
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from cli.client import aws
from cli.terminal.options import CommandError, printable
from relay.query.routes import permission
from relay.urls import webhook_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_S = 35  # the gateway answers within 30
CONNECT_TIMEOUT_S = 5
PAGE_MAX = 200  # what the relay lists at most in one answer
MESSAGE_MAX_CHARS = 300


@dataclass(frozen=True)
class Stack:
    """The relay's stack in CloudFormation.

    Attributes:
        status: CloudFormation's `StackStatus`, such as UPDATE_COMPLETE.
        outputs: The stack's outputs, by name.
    """

    name: str
    region: str
    status: str
    outputs: Mapping[str, str]

    @property
    def steady(self) -> bool:
        """Whether the last change to the stack is complete, and the stack exists."""
        done = self.status.endswith("_COMPLETE") or self.status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        return done and self.status not in {"ROLLBACK_COMPLETE", "DELETE_COMPLETE"}


def find_stack(name: str) -> Stack | None:
    """Return the stack called *name*; None if there is none."""
    cloudformation = aws.client("cloudformation")
    with aws.calling("CloudFormation"):
        try:
            found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if aws.code_of(error) == "ValidationError":  # a well-formed name that no stack has
                return None
            raise
    outputs = {it["OutputKey"]: it["OutputValue"] for it in found.get("Outputs", [])}
    return Stack(name, str(aws.session().region_name), found["StackStatus"], outputs)


class SigV4(httpx.Auth):
    """Signs a request as the operator's AWS identity, for API Gateway's IAM authorizer."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Add the headers of AWS Signature Version 4 to *request*."""
        with aws.calling("AWS"):
            credentials = aws.session().get_credentials()
            if credentials is None:
                raise CommandError(f"there are no AWS credentials: {aws.SIGN_IN}")
            signed = AWSRequest(method=request.method, url=str(request.url), data=request.content)
            SigV4Auth(credentials.get_frozen_credentials(), "execute-api", aws.session().region_name).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class Deployed:
    """A client of one deployed relay."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = stack.outputs["RelayUrl"].rstrip("/")
        # The signature covers the gateway's own host.  Stacks of older versions have no output ApiUrl.
        self._api_url = stack.outputs.get("ApiUrl", self.url).rstrip("/")
        self._api_client = _client(self._api_url)
        self._webhook_client = self._api_client if self.url == self._api_url else _client(self.url)

    @classmethod
    def find(cls, name: str) -> Deployed:
        """Return the relay called *name*.

        Raises:
            CommandError: There is no such stack, or its deploy isn't complete.
        """
        stack = find_stack(name)
        if stack is None:
            raise CommandError(
                f"there is no stack {name} in region {aws.session().region_name}: deploy it with `make deploy`, or"
                " choose another with --name, AWS_REGION or AWS_PROFILE"
            )
        if "RelayUrl" not in stack.outputs:
            raise CommandError(
                f"the stack {name} is {stack.status} and has no output RelayUrl: if it is a relay, `relay doctor`"
                " says what is missing"
            )
        return cls(stack)

    def config(self) -> dict[str, Any]:
        """Return the deployed configuration: sources, URL groups, destinations, counts.  Source: GET /v1/config."""
        return self.get("config")

    def get(self, *path: str, **query: str | None) -> dict[str, Any]:
        """Return the answer to GET /v1/{path}; parameters of None are left out."""
        parameters = urlencode({k: v for k, v in query.items() if v is not None}, quote_via=quote)
        return self._call("GET", "/".join(quote(it, safe="") for it in path) + (f"?{parameters}" if parameters else ""))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to POST /v1/{path} with *body* as JSON."""
        return self._call("POST", path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})

    def pages(self, what: str, limit: int | None, **query: str | None) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Yield up to *limit* records of the listing /v1/{what}, newest first; None: all of them.

        Beside each record is a cursor: the one of the next page after the last record of a page, otherwise None.
        """
        given = 0
        while limit is None or given < limit:
            wanted = PAGE_MAX if limit is None else min(PAGE_MAX, limit - given)
            page = self.get(what, **query, limit=str(wanted))
            cursor = page.get("cursor")
            for index, record in enumerate(page[what], 1):
                yield record, cursor if index == len(page[what]) else None
            given += len(page[what])
            if cursor is None:
                return
            if cursor == query.get("cursor"):
                raise CommandError("the relay returned the same cursor twice: run `relay doctor`")
            query["cursor"] = cursor

    def webhook(self, source: str, method: str, query: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Send a webhook to *source* with exactly these headers, and without an AWS signature."""
        url = webhook_url(self.url, quote(source, safe="")) + (f"?{query}" if query else "")
        with translating(url):
            return self._webhook_client.send(httpx.Request(method, url, headers=dict(headers), content=body))

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        url = f"{self._api_url}/v1/{path}"
        if steps := [it for it in path.partition("?")[0].split("/") if it in {"", ".", ".."} or "%2F" in it]:
            # The gateway would take such a step for another route.
            raise CommandError(
                f"there is nothing called '{unquote(steps[0])}': no name and no id is empty or holds a '/'"
            )
        with translating(url):
            response = self._api_client.request(method, url, auth=SigV4(), **request)
        answer = _json(response)
        if response.is_success and isinstance(answer, dict):
            return answer
        raise self._error_for(response, answer, f"{method} /v1/{path.partition('?')[0]}: {response.status_code}")

    def _error_for(self, response: httpx.Response, answer: Any, call: str) -> CommandError:
        status = response.status_code
        code, message = error_of(response)
        if status == httpx.codes.FORBIDDEN or (status == httpx.codes.UNAUTHORIZED and not code):
            policy = permission(response.request.method)
            arn = self.stack.outputs.get(policy, policy)
            return aws.Denied(
                f"your AWS identity may not ask the relay ({call}): attach the managed policy {arn} to it"
            )
        if code and status == httpx.codes.NOT_FOUND:
            known = {"/destinations/": "`relay destination list` says", "/replays/": "`relay replay list` says"}
            lists = next(
                (says for part, says in known.items() if part in call),
                "`relay event list` and `relay delivery list` say",
            )
            return CommandError(f"{message} ({call}): {lists} what there is")
        if code and status < httpx.codes.INTERNAL_SERVER_ERROR:
            return CommandError(f"{message} ({call})")
        if status == httpx.codes.NOT_FOUND:
            return CommandError(f"the relay has no such route ({call}): deploy it again with `make deploy`")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            reason = message or "no reason given"
            return CommandError(
                f"the relay failed ({call}): {reason}: try again in a minute; failing that, read the logs in the log"
                f" group that begins with {self.stack.name}-{'Ingest' if '/quarantine' in call else 'Query'}Logs"
            )
        if answer is None:
            return CommandError(
                f"what answers at {self._api_url} isn't the relay: not JSON ({call}): run `relay doctor`"
            )
        return CommandError(
            f"{message or 'the relay gave an answer that can not be read'} ({call}): run `relay doctor`"
        )


def deployed_config(name: str) -> dict[str, Any] | None:
    """Return the configuration of the deployed relay *name*, as `Deployed.config` does; None if none is deployed.

    Raises:
        CommandError: The relay can't be called.
    """
    stack = find_stack(name)
    if stack is None or "RelayUrl" not in stack.outputs:
        return None
    return Deployed(stack).config()


def _client(url: str) -> httpx.Client:
    """Return an HTTP client for *url*, open until the command ends.  No proxy is used for a host on this machine."""
    timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    client = httpx.Client(timeout=timeout, transport=transport(url))
    click.get_current_context().call_on_close(client.close)
    return client


def transport(url: str) -> httpx.HTTPTransport | None:
    """Return a transport that uses no proxy if *url* is on this machine; otherwise None, for httpx's default."""
    if not aws.is_loopback(url):
        return None
    # Plain HTTP needs no certificates; httpx would read them all, which takes longer than the call.
    plain = url.startswith("http:")
    return httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True)


@contextmanager
def translating(url: str) -> Iterator[None]:
    """Raise `CommandError` for the errors of httpx within."""
    where = url.partition("?")[0]
    try:
        yield
    except httpx.TimeoutException as error:
        raise CommandError(f"no answer in time from {where}: try again in a minute") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(f"can't reach {where} ({str(error) or type(error).__name__}): check the network") from error


def error_of(response: httpx.Response) -> tuple[str | None, str]:
    """Return the relay's error code and message; the code is None if the answer isn't the relay's."""
    answer = _json(response)
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict) and isinstance(error.get("code"), str):
        return error["code"], printable(str(error.get("message", "")))[:MESSAGE_MAX_CHARS]
    message = answer.get("message") if isinstance(answer, dict) else None
    return None, printable(message)[:MESSAGE_MAX_CHARS] if isinstance(message, str) else ""


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
