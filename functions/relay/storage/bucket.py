"""One S3 bucket, as files under keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.runtime import aws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import Any

    from mypy_boto3_s3 import S3Client

_GONE = ("NoSuchKey", "AccessDenied")


class Bucket:
    """A bucket.

    Args:
        s3: A client; by default that of `relay.runtime.aws`.

    Raises:
        UpstreamError: From every method: S3 refused, or didn't answer in time.
    """

    def __init__(self, name: str, s3: S3Client | None = None) -> None:
        self.name = name
        self._given = s3

    @property
    def client(self) -> S3Client:
        """The client that the time left allows, made when it is first needed."""
        return self._given or aws.client("s3")

    def put(self, key: str, data: bytes) -> None:
        """Put *data*, whatever was there."""
        with aws.speaking_to("S3"):
            self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Put *data* unless something is there; return whether nothing was."""
        with aws.speaking_to("S3"):
            try:
                self.client.put_object(Bucket=self.name, Key=key, Body=data, IfNoneMatch="*")
            except self.client.exceptions.ClientError as error:
                if aws.code_of(error) != "PreconditionFailed":
                    raise
                return False
        return True

    def get(self, key: str) -> bytes:
        """Return what is there; nothing there is an error."""
        with aws.speaking_to("S3"):
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def get_if_there(self, key: str) -> bytes | None:
        """Return what is there; None where nothing is."""
        with aws.speaking_to("S3"):
            try:
                return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
            except self.client.exceptions.ClientError as error:
                # A role that may list only a part of the bucket is told that a missing file is forbidden.
                if aws.code_of(error) not in _GONE or self._is_there(key):
                    raise
                return None

    def _is_there(self, key: str) -> bool:
        return bool(self.client.list_objects_v2(Bucket=self.name, Prefix=key, MaxKeys=1).get("Contents"))

    def delete(self, key: str) -> None:
        """Delete what is there, if anything is."""
        with aws.speaking_to("S3"):
            self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """Return the first *limit* keys that begin with *prefix* and come after the key *after*; up to 1,000."""
        with aws.speaking_to("S3"):
            page = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, StartAfter=after, MaxKeys=limit)
        return [file["Key"] for file in page.get("Contents", [])]

    def files(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Yield the key of each file under *prefix*, and when it was put there."""
        after = ""
        while True:
            with aws.speaking_to("S3"):
                page = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, StartAfter=after)
            for file in page.get("Contents", []):
                after = file["Key"]
                yield after, file["LastModified"]
            if not page.get("IsTruncated"):
                return

    def presigned(self, operation: str, key: str, seconds: int, **answer: Any) -> str:
        """Return a URL that is good for one *operation* (`get_object`, `head_object`) for so many *seconds*.

        Args:
            answer: What S3 is to say of the file, such as `ResponseContentType`.
        """
        asked = {"Bucket": self.name, "Key": key, **answer}
        with aws.speaking_to("S3"):
            return self.client.generate_presigned_url(operation, Params=asked, ExpiresIn=seconds)
