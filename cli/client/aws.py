"""AWS with the operator's own credentials: boto3's clients, and its errors with what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as aws_errors
from botocore.config import Config

from cli.terminal.options import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
TRIES = 3
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SIGN_IN = "sign in with `aws login` or `aws sso login`, or set AWS_PROFILE"

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN_KEY = {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure"}
_WRONG_KEY = {"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_SLOW_DOWN = {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}


class Denied(CommandError):
    """The caller's AWS identity may not do this."""


@cache
def session() -> boto3.Session:
    """Return the session for AWS_PROFILE, AWS_REGION and the other standard variables.

    Raises:
        CommandError: There is no such profile.
    """
    with calling("AWS"):
        return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)  # boto3 reads only AWS_DEFAULT_REGION


@cache
def client(service: str) -> Any:
    """Return the client of the AWS *service*; a call gives up within a minute."""
    endpoint = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"total_max_attempts": TRIES, "mode": "standard"},
        proxies={} if endpoint and is_loopback(endpoint) else None,
    )
    with calling("AWS"):
        return session().client(service, config=config)  # type: ignore[call-overload]  # the stubs want a literal


def is_loopback(url: str) -> bool:
    """Return whether *url* is on this machine, which no proxy can reach."""
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


def code_of(error: Any) -> str:
    """Return AWS's error code in the ClientError *error*."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextmanager
def calling(service: str) -> Iterator[None]:
    """Raise `CommandError`, which says what to do, for the errors of boto3 within.

    Raises:
        Denied: The caller may not do this.
        CommandError: Every other error.
    """
    try:
        yield
    except aws_errors.ClientError as error:
        raise _refused(service, error) from error
    except (aws_errors.BotoCoreError, ValueError) as error:
        raise CommandError(_unsent(service, error)) from error


def _refused(service: str, error: Any) -> CommandError:
    code = code_of(error)
    refusal = f"{service} refused {error.operation_name} ({code})"
    if code in _EXPIRED:
        return CommandError(f"{refusal}: your AWS credentials have expired: {SIGN_IN}")
    if code in _UNKNOWN_KEY:
        return CommandError(f"{refusal}: AWS doesn't know these credentials: {SIGN_IN}")
    if code in _WRONG_KEY:
        return CommandError(f"{refusal}: the secret key or this machine's clock is wrong: check both")
    if code in _DENIED:
        return Denied(f"{refusal}: your AWS identity may not do that: ask the account's owner for the permission")
    if code in _SLOW_DOWN:
        return CommandError(f"{refusal}: too many requests: try again in a minute")
    return CommandError(f"{refusal}: {error.response.get('Error', {}).get('Message', 'no reason given')}")


def _unsent(service: str, error: Exception) -> str:
    match error:
        case aws_errors.NoCredentialsError() | aws_errors.PartialCredentialsError():
            return f"there are no AWS credentials, or not all of them: {SIGN_IN}"
        case aws_errors.NoRegionError():
            return "no AWS region is chosen: set AWS_REGION, such as AWS_REGION=eu-central-1"
        case aws_errors.ProfileNotFound():
            return f"{error}: set AWS_PROFILE to one of `aws configure list-profiles`"
        case (
            aws_errors.SSOError()
            | aws_errors.TokenRetrievalError()
            | aws_errors.CredentialRetrievalError()
            | aws_errors.UnauthorizedSSOTokenError()
        ):
            return f"your AWS sign-in can't be used any more ({type(error).__name__}): {SIGN_IN}"
        case aws_errors.HTTPClientError() | aws_errors.ConnectionError():
            where = os.environ.get("AWS_ENDPOINT_URL")
            hint = f"is anything at AWS_ENDPOINT_URL={where}?" if where else "check the network, and AWS_REGION"
            return f"{service} doesn't answer ({type(error).__name__}): {hint}"
    return f"{service}: {error}"
