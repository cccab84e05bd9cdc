"""The one module that imports boto3: clients that give up early, and AWS's errors as the relay's own.

The less time is left (`relay.runtime.deadline`), the earlier a client gives up: a call that begins before the deadline
ends `LAST_CALL_S` after it at the latest.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from relay.errors import UpstreamError
from relay.runtime.deadline import seconds_left, time_for

if TYPE_CHECKING:
    from collections.abc import Iterator


class Patience(NamedTuple):
    """How long a client waits, in seconds, and how often it tries."""

    connect_s: float
    read_s: float
    tries: int

    @property
    def most_s(self) -> float:
        """How long a call takes at most, in seconds; the client waits up to a second between two tries."""
        return self.tries * (self.connect_s + self.read_s) + (self.tries - 1) * 1.0


PATIENCES = (Patience(1, 3, 2), Patience(0.3, 0.7, 2), Patience(0.3, 0.7, 1))  # the first that fits the time left
LAST_CALL_S = PATIENCES[-1].most_s
_making = Lock()  # boto3 makes one client at a time


def patience() -> Patience:
    """Return the patience of a call that begins now."""
    left = seconds_left()
    return next((it for it in PATIENCES if it.most_s <= left), PATIENCES[-1])


def client(service: str, region: str | None = None) -> Any:
    """Return the client of the AWS *service* that is as patient as the time left allows.

    Args:
        region: The region of the service; None for the region of this function.
    """
    with _making:
        return made(service, region, patience())


@cache
def made(service: str, region: str | None, patience: Patience) -> Any:
    """Return the client of the AWS *service* in a *region* that has *patience*, made once."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,  # type: ignore[call-overload]  # the service is a value here
        region_name=region,
        config=Config(
            connect_timeout=patience.connect_s,
            read_timeout=patience.read_s,
            retries={"total_max_attempts": patience.tries, "mode": "standard"},
            **(_presigning() if service == "s3" else {}),
        ),
    )


def _presigning() -> dict[str, Any]:
    """Return the client settings that make presigned URLs of S3 valid in every region.

    A region takes no other signature than its own version's, and under the bucket's global name regions from 2019 on
    answer 400, older ones redirect to where the signature isn't good, as long as the bucket is new.  An endpoint of
    one's own has no names below its own.
    """
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {"signature_version": "s3v4", **({} if own else {"s3": {"addressing_style": "virtual"}})}


@contextmanager
def speaking_to(service: str) -> Iterator[None]:
    """Translate boto3's errors in the block into `UpstreamError`, with AWS's code and nothing else.

    Raises:
        OutOfTime: No time is left to begin the call.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    time_for(service, LAST_CALL_S)
    try:
        yield
    except ClientError as error:
        raise UpstreamError(service, code_of(error)) from error
    except BotoCoreError as error:
        raise UpstreamError(service, type(error).__name__) from error


def code_of(error: Any) -> str:
    """Return the error code that AWS gave with the ClientError *error*."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))
