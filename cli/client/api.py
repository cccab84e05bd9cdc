"""The deployed relay: finds it by its stack, signs and sends requests to it, and tells its errors with what to do.

Hides CloudFormation's outputs, SigV4 and HTTP; the other modules speak of events, sources and deliveries.
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
from cli.terminal.options import Failure, printable
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
    """What CloudFormation says of the relay's stack.

    Attributes:
        status: CloudFormation's own word.
        outputs: Those of the stack.
    """

    name: str
    region: str
    status: str
    outputs: Mapping[str, str]

    @property
    def steady(self) -> bool:
        """Tell whether nothing is under way and nothing is half done."""
        done = self.status.endswith("_COMPLETE") or self.status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
        return done and self.status not in {"ROLLBACK_COMPLETE", "DELETE_COMPLETE"}


def find_stack(name: str) -> Stack | None:
    """Return the stack called *name*; None where there isn't one."""
    cloudformation = aws.client("cloudformation")
    with aws.speaking_to("CloudFormation"):
        try:
            found = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if aws.code_of(error) == "ValidationError":  # the name is right: what it says is that there is none
                return None
            raise
    outputs = {it["OutputKey"]: it["OutputValue"] for it in found.get("Outputs", [])}
    return Stack(name, str(aws.session().region_name), found["StackStatus"], outputs)


class SigV4(httpx.Auth):
    """Signs a request as the operator's AWS identity, for API Gateway's IAM authorizer."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Add the headers of AWS Signature Version 4 to *request*."""
        with aws.speaking_to("AWS"):
            credentials = aws.session().get_credentials()
            if credentials is None:
                raise Failure(f"there are no AWS credentials: {aws.SIGN_IN}")
            signed = AWSRequest(method=request.method, url=str(request.url), data=request.content)
            SigV4Auth(credentials.get_frozen_credentials(), "execute-api", aws.session().region_name).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class Deployed:
    """One deployed relay, ready to be asked."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = stack.outputs["RelayUrl"].rstrip("/")
        # IAM's signature is for the gateway's own host; a relay of before had no output of it.
        self._api_url = stack.outputs.get("ApiUrl", self.url).rstrip("/")
        self._asking = _client(self._api_url)
        self._posting = self._asking if self.url == self._api_url else _client(self.url)

    @classmethod
    def find(cls, name: str) -> Deployed:
        """Return the relay called *name*.

        Raises:
            Failure: It isn't deployed here, or not wholly.
        """
        stack = find_stack(name)
        if stack is None:
            raise Failure(
                f"there is no stack {name} in region {aws.session().region_name}: deploy it with `make deploy`, or"
                " choose another with --name, AWS_REGION or AWS_PROFILE"
            )
        if "RelayUrl" not in stack.outputs:
            raise Failure(
                f"the stack {name} is {stack.status} and has no output RelayUrl: if it is a relay, `relay doctor`"
                " says what is missing"
            )
        return cls(stack)

    def config(self) -> dict[str, Any]:
        """Return what is deployed: sources, URL groups and destinations."""
        return self.get("config")

    def get(self, *path: str, **query: str | None) -> dict[str, Any]:
        """Return the answer to GET /v1/{path}; a parameter that is None isn't sent."""
        asked = urlencode({k: v for k, v in query.items() if v is not None}, quote_via=quote)
        return self._call("GET", "/".join(quote(it, safe="") for it in path) + (f"?{asked}" if asked else ""))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to POST /v1/{path} with *body* as JSON."""
        return self._call("POST", path, content=json.dumps(body).encode(), headers={"content-type": "application/json"})

    def pages(self, what: str, limit: int | None, **query: str | None) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Yield up to *limit* records of the listing /v1/{what}, newest first; None: all there are.

        Each comes with the cursor that goes on after it: None but for the last of a page, and none after the very last.
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
                raise Failure("the relay returned the same cursor twice: run `relay doctor`")
            query["cursor"] = cursor

    def webhook(self, source: str, method: str, query: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Send a webhook to *source* as a stranger would: exactly these headers, no AWS signature."""
        url = webhook_url(self.url, quote(source, safe="")) + (f"?{query}" if query else "")
        with translating(url):
            return self._posting.send(httpx.Request(method, url, headers=dict(headers), content=body))

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        url = f"{self._api_url}/v1/{path}"
        if steps := [it for it in path.partition("?")[0].split("/") if it in {"", ".", ".."} or "%2F" in it]:
            # The gateway would look for another route.
            raise Failure(f"there is nothing called '{unquote(steps[0])}': no name and no id is empty or holds a '/'")
        with translating(url):
            response = self._asking.request(method, url, auth=SigV4(), **request)
        answer = _json(response)
        if response.is_success and isinstance(answer, dict):
            return answer
        raise self._refused(response, answer, f"{method} /v1/{path.partition('?')[0]}: {response.status_code}")

    def _refused(self, response: httpx.Response, answer: Any, asked: str) -> Failure:
        status = response.status_code
        code, message = told(response)
        if status == httpx.codes.FORBIDDEN or (status == httpx.codes.UNAUTHORIZED and not code):
            policy = permission(response.request.method)
            arn = self.stack.outputs.get(policy, policy)
            return aws.Denied(
                f"your AWS identity may not ask the relay ({asked}): attach the managed policy {arn} to it"
            )
        if code and status == httpx.codes.NOT_FOUND:
            lists = (
                "`relay destination list` says"
                if "/destinations/" in asked
                else "`relay event list` and `relay delivery list` say"
            )
            return Failure(f"{message} ({asked}): {lists} what there is")
        if code and status < httpx.codes.INTERNAL_SERVER_ERROR:
            return Failure(f"{message} ({asked})")
        if status == httpx.codes.NOT_FOUND:
            return Failure(f"the relay has no such route ({asked}): deploy it again with `make deploy`")
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            reason = message or "it gave no reason"
            return Failure(
                f"the relay failed ({asked}): {reason}: try again in a minute; failing that, read the logs in the log"
                f" group that begins with {self.stack.name}-{'Ingest' if '/quarantine' in asked else 'Query'}Logs"
            )
        if answer is None:
            return Failure(f"what answers at {self._api_url} isn't the relay: not JSON ({asked}): run `relay doctor`")
        return Failure(f"{message or 'the relay gave an answer that can not be read'} ({asked}): run `relay doctor`")


def _client(url: str) -> httpx.Client:
    """Return what calls *url*, until the command ends: on this machine without a proxy, which can't reach it."""
    timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    client = httpx.Client(timeout=timeout, transport=transport(url))
    click.get_current_context().call_on_close(client.close)
    return client


def transport(url: str) -> httpx.HTTPTransport | None:
    """Return a way to *url* around any proxy where it is on this machine; None for httpx's own choice."""
    if not aws.is_loopback(url):
        return None
    # Plain HTTP needs no certificates; httpx would read them all, which takes longer than the call.
    plain = url.startswith("http:")
    return httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True)


@contextmanager
def translating(url: str) -> Iterator[None]:
    """Translate what httpx raises within into a `Failure`."""
    where = url.partition("?")[0]
    try:
        yield
    except httpx.TimeoutException as error:
        raise Failure(f"no answer in time from {where}: try again in a minute") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failure(f"can't reach {where} ({str(error) or type(error).__name__}): check the network") from error


def told(response: httpx.Response) -> tuple[str | None, str]:
    """Return the relay's error code and message; no code where it wasn't the relay that answered."""
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
