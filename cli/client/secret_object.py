"""A JSON object in Secrets Manager: reads it, and changes it without losing another writer's change.

Secrets Manager has no conditional put.  So a writer puts a new version under the relay's own staging label, and then
moves AWSCURRENT to that version from the version that was read.  AWS refuses the move if another writer was faster;
then the writer begins again with the other's version.  AWSPREVIOUS moves by itself.  All writers use one label, which
AWS removes from the version before.  An interrupted writer leaves a version that no reader sees, and AWS deletes it.

Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
"""

from __future__ import annotations

import json
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.client import aws
from cli.terminal.options import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LABEL = "RELAYPENDING"  # not AWSPENDING, which rotations use
TRIES = 12  # each try adds a version; AWS keeps those of a day, and about 100
PAUSE_MAX_S = 1.0
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
SECRET_MAX_BYTES = 65_536


def read_object(name: str) -> dict[str, Any] | None:
    """Return the JSON object in the secret *name*; None if there is no such secret."""
    answer = answer_of(name)
    return None if answer is None else object_in(name, answer)


def answer_of(name: str) -> dict[str, Any] | None:
    """Return the answer to GetSecretValue for the secret *name*; None if there is no such secret, or no value in it."""
    client = aws.client("secretsmanager")
    with aws.calling("Secrets Manager"), _translating_deletion(name):
        try:
            return dict(client.get_secret_value(SecretId=name))
        except client.exceptions.ResourceNotFoundException:
            return None


def object_in(name: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in *answer*, GetSecretValue's for the secret *name*.

    Raises:
        CommandError: The value is no JSON object.
    """
    try:
        stored = json.loads(answer.get("SecretString", ""))
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise CommandError(
            f"the secret {name} is no JSON object: fix it in Secrets Manager, or delete it and set it again"
        )
    return stored


def change_object(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], description: str) -> bool:
    """Create or change the secret *name*; return whether the object changed.

    Args:
        change: Takes the stored object ({} if there is no secret) and returns the new one.  It is called again with the
            present object if another writer was faster.  Its exceptions end the change.
        description: The description of a new secret in Secrets Manager.

    Raises:
        CommandError: The object is larger than Secrets Manager accepts, or others were faster at every try.
    """
    put: str | None = None  # the version of the last try
    is_made = False
    for tries in range(TRIES):
        answer = answer_of(name)
        if answer is not None and answer["VersionId"] == put:
            return True  # the last try moved the label, but its answer got lost
        stored = {} if answer is None else object_in(name, answer)
        after = change(stored)
        if answer is not None and after == stored:
            return False
        text = _text(name, after)
        if answer is None and not is_made:
            if _make(name, text, description):
                return True
            is_made = True  # by another writer, perhaps without a value
            continue
        put = _put(name, text)
        if _move(name, put, answer):
            return True
        time.sleep(random.uniform(0, min(PAUSE_MAX_S, 0.05 * 2**tries)))  # noqa: S311  # nothing secret
    raise CommandError(
        f"the secret {name} was changed by others at each of {TRIES} tries, so nothing was written: run the"
        " command again"
    )


def _text(name: str, after: Mapping[str, Any]) -> str:
    text = json.dumps(after, separators=(",", ":"))
    size_bytes = len(text)  # it is ASCII
    if size_bytes > SECRET_MAX_BYTES:
        raise CommandError(
            f"the secret {name} would have {size_bytes:,} bytes, but Secrets Manager accepts {SECRET_MAX_BYTES:,}:"
            " find old values with `relay secret list`, delete them with `relay secret retire NAME`, and set this one"
            " again"
        )
    return text


def _make(name: str, text: str, description: str) -> bool:
    """Create the secret; return False if another writer did before."""
    client = aws.client("secretsmanager")
    with aws.calling("Secrets Manager"), _translating_deletion(name):
        try:
            client.create_secret(Name=name, Description=description, SecretString=text)
        except client.exceptions.ResourceExistsException:
            return False
    return True


def _put(name: str, text: str) -> str:
    """Put a version that no reader sees yet; return its id."""
    client = aws.client("secretsmanager")
    with aws.calling("Secrets Manager"), _translating_deletion(name):
        return str(client.put_secret_value(SecretId=name, SecretString=text, VersionStages=[LABEL])["VersionId"])


def _move(name: str, version: str, answer: Mapping[str, Any] | None) -> bool:
    """Make *version* the current one if *answer*'s version still is; return whether it was."""
    client = aws.client("secretsmanager")
    read = {} if answer is None else {"RemoveFromVersionId": answer["VersionId"]}
    with aws.calling("Secrets Manager"), _translating_deletion(name):
        try:
            client.update_secret_version_stage(
                SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=version, **read
            )
        except (client.exceptions.InvalidParameterException, client.exceptions.ResourceNotFoundException):
            return False
    return True


@contextmanager
def _translating_deletion(name: str) -> Iterator[None]:
    """Raise `CommandError` for a secret that is marked for deletion."""
    try:
        yield
    except ClientError as error:
        if aws.code_of(error) != "InvalidRequestException":
            raise
        raise CommandError(
            f"the secret {name} is marked for deletion: run `aws secretsmanager restore-secret --secret-id {name}`"
        ) from error
