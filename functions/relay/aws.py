"""The one place that imports boto3: clients that give up early, and AWS's errors told as the relay's own."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from relay.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 3
TRIES = 2


@cache
def client(service: str, region: str | None = None) -> Any:
    """Return the client of the AWS *service*, made once: two tries, a second to connect, three to answer.

    Args:
        region: Where the service is asked; None: where this function runs.
    """
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,  # type: ignore[call-overload]  # the service is a value here
        region_name=region,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            # Of presigned URLs; without it some regions get a signature that S3 takes in no other.
            signature_version="s3v4" if service == "s3" else None,
        ),
    )


@contextmanager
def speaking_to(service: str) -> Iterator[None]:
    """Translate what boto3 raises within into `UpstreamError`, with AWS's code and no more."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise UpstreamError(service, code_of(error)) from error
    except BotoCoreError as error:
        raise UpstreamError(service, type(error).__name__) from error


def code_of(error: Any) -> str:
    """Return the error code that AWS gave with the ClientError *error*."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
