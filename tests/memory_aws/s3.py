"""S3 in memory behind the methods of boto3's client: objects, and listings in the order of their keys' bytes.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/
"""

# ruff: noqa: N803 - the parameters have the names that AWS gave them

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from .calls import Boundary, Calls
from .dynamodb import TRIES, exceptions, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS_MAX = 1000
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)  # each put comes a second after the one before


class MemoryS3:
    """What the relay uses of a boto3 client of S3."""

    def __init__(self, calls: Calls | None = None) -> None:
        self.calls = calls or Calls()
        self.exceptions = exceptions("s3")
        self.buckets: dict[str, dict[str, bytes]] = {}
        self._puts = 0
        self._put_at: dict[tuple[str, str], datetime] = {}
        self._boundary = Boundary(
            refused=lambda name: refusal("s3", name, "SlowDown", "Please reduce your request rate."),
            silent=lambda name: ReadTimeoutError(endpoint_url=f"memory://{name}"),
            tries=TRIES,
        )

    def _take(self, name: str, do: Callable[[], Any]) -> Any:
        return self.calls.take(f"s3.{name}", do, self._boundary)

    def create_bucket(self, *, Bucket: str) -> None:
        """Make an empty bucket."""
        self.buckets[Bucket] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> Any:
        """Put an object, whatever was there; with *IfNoneMatch*, which is `*`, only where none was."""

        def do() -> Any:
            if IfNoneMatch and Key in self.buckets[Bucket]:
                raise refusal("s3", "PutObject", "PreconditionFailed", "A condition did not hold")
            self.buckets[Bucket][Key] = bytes(Body)
            self._puts += 1
            self._put_at[Bucket, Key] = BEGAN + timedelta(seconds=self._puts)
            return {}

        return self._take("PutObject", do)

    def get_object(self, *, Bucket: str, Key: str) -> Any:
        """Return the object, its body as a stream."""

        def do() -> Any:
            body = self.buckets[Bucket].get(Key)
            if body is None:
                raise refusal("s3", "GetObject", "NoSuchKey", "The specified key does not exist.")
            return {"Body": io.BytesIO(body), "ContentLength": len(body)}

        return self._take("GetObject", do)

    def delete_object(self, *, Bucket: str, Key: str) -> Any:
        """Have no object there."""

        def do() -> Any:
            self.buckets[Bucket].pop(Key, None)
            return {}

        return self._take("DeleteObject", do)

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        StartAfter: str = "",
        MaxKeys: int = KEYS_MAX,
        ContinuationToken: str = "",
    ) -> Any:
        """Return a page of the keys that begin with *Prefix*."""

        def do() -> Any:
            after = (ContinuationToken or StartAfter).encode()
            keys = sorted((it for it in self.buckets[Bucket] if it.startswith(Prefix)), key=str.encode)
            keys = [it for it in keys if not after or it.encode() > after]
            page = keys[: min(MaxKeys, KEYS_MAX)]
            answer: dict[str, Any] = {"KeyCount": len(page), "IsTruncated": len(page) < len(keys)}
            if page:
                answer["Contents"] = [
                    {
                        "Key": key,
                        "Size": len(self.buckets[Bucket][key]),
                        "LastModified": self._put_at.get((Bucket, key), BEGAN),
                    }
                    for key in page
                ]
            if answer["IsTruncated"]:
                answer["NextContinuationToken"] = page[-1]
            return answer

        return self._take("ListObjectsV2", do)
