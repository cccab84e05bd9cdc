"""JSON objects in Secrets Manager, read and changed; no change is lost where several people make one at once.

Secrets Manager puts a value without a condition, so that of two who read the same and put theirs the second would undo
the first.  A label is moved on condition, though: a new value is put under a label of its own, and is current only once
`AWSCURRENT` could be moved to it from the version that was read.
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
"""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cli import aws
from cli.command import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Object = dict[str, Any]

# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
SECRET_MAX_BYTES = 65_536
TRIES = 20  # each is lost to somebody whose change went in
CURRENT = "AWSCURRENT"
SERVICE = "Secrets Manager"
# The documentation doesn't say which; whether somebody was faster, reading again tells.
_NOT_MOVED = {"InvalidParameterException", "InvalidRequestException"}


def read_object(name: str) -> Object | None:
    """Return the JSON object in the secret *name*; None where there is no such secret.

    Raises:
        Denied: The caller may not read it.
        Failure: It is no JSON object, or marked for deletion.
    """
    answer = answer_of(name)
    return None if answer is None else object_of(name, answer)


def answer_of(name: str) -> dict[str, Any] | None:
    """Return what Secrets Manager says of the secret *name*; None where there is no such secret."""
    client = aws.client("secretsmanager")
    with aws.speaking_to(SERVICE), _deleted_told(name):
        try:
            return dict(client.get_secret_value(SecretId=name))
        except client.exceptions.ResourceNotFoundException:
            return None


def object_of(name: str, answer: dict[str, Any]) -> Object:
    """Return the JSON object in *answer*, which Secrets Manager gave for the secret *name*."""
    try:
        held = json.loads(answer.get("SecretString", ""))
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise Failure(f"the secret {name} is no JSON object: mend it in Secrets Manager, or delete it and set it again")
    return held


def change(name: str, changed: Callable[[Object], Object], description: str) -> tuple[Object, Object]:
    """Make or change the secret *name*; return what it held, {} where it wasn't there, and what it holds now.

    Args:
        changed: Returns what the secret is to hold, of what it holds; it is asked again where somebody else was faster.
        description: Of a new secret, for people.

    Raises:
        Denied: The caller may not read or change it.
        Failure: It would be larger than Secrets Manager takes, or others changed it all the time; nothing was changed.
    """
    for _ in range(TRIES):
        answer = answer_of(name)
        before = {} if answer is None else object_of(name, answer)
        after = changed(before)
        if after == before:
            return before, after
        text = _text_of(name, after)
        if _created(name, text, description) if answer is None else _moved(name, text, answer["VersionId"]):
            return before, after
    raise Failure(f"the secret {name} is being changed by others all the time: nothing was changed; try again")


def _text_of(name: str, value: Object) -> str:
    text = json.dumps(value, separators=(",", ":"))
    size_bytes = len(text)  # it is ASCII
    if size_bytes > SECRET_MAX_BYTES:
        raise Failure(
            f"the secret {name} would have {size_bytes:,} bytes, and Secrets Manager takes {SECRET_MAX_BYTES:,}:"
            " `relay secret list` shows who has several or needs none any more; take old ones away with"
            " `relay secret retire NAME`, and set this one again"
        )
    return text


def _created(name: str, text: str, description: str) -> bool:
    """Make the secret *name*; tell whether nobody else was faster."""
    client = aws.client("secretsmanager")
    with aws.speaking_to(SERVICE), _deleted_told(name):
        try:
            client.create_secret(Name=name, Description=description, SecretString=text)
        except client.exceptions.ResourceExistsException:
            return False
    return True


def _moved(name: str, text: str, read: str) -> bool:
    """Make *text* the current value of the secret *name*, whose version *read* was; tell whether it still was."""
    client = aws.client("secretsmanager")
    label = f"relay-{uuid.uuid4().hex}"
    with aws.speaking_to(SERVICE), _deleted_told(name):
        put = client.put_secret_value(SecretId=name, SecretString=text, VersionStages=[label])
    version = put["VersionId"]
    try:
        with aws.speaking_to(SERVICE):
            client.update_secret_version_stage(
                SecretId=name, VersionStage=CURRENT, MoveToVersionId=version, RemoveFromVersionId=read
            )
    except Failure as error:
        # Also where a first try of it was carried out and its answer lost.
        answer = answer_of(name)
        if answer is not None and answer["VersionId"] == version:
            return True
        if answer is None or answer["VersionId"] == read or _code_of(error) not in _NOT_MOVED:
            raise
        return False
    finally:
        # A secret has twenty labels at most; what has none is forgotten by and by.
        with suppress(ClientError, BotoCoreError):
            client.update_secret_version_stage(SecretId=name, VersionStage=label, RemoveFromVersionId=version)
    return True


def _code_of(error: Failure) -> str | None:
    cause = error.__cause__
    return aws.code_of(cause) if isinstance(cause, ClientError) else None


@contextmanager
def _deleted_told(name: str) -> Iterator[None]:
    """Translate AWS's answer about a secret that waits for its deletion."""
    try:
        yield
    except ClientError as error:
        if aws.code_of(error) != "InvalidRequestException":
            raise
        raise Failure(
            f"the secret {name} is marked for deletion: run `aws secretsmanager restore-secret --secret-id {name}`"
        ) from error
