"""A JSON object in Secrets Manager: read, and changed so that nobody's change is lost.

Secrets Manager has no conditional put.  So a new version is put under a staging label of the relay's own, and then
AWSCURRENT is moved to it from the version that was read, which AWS refuses where somebody was faster: all begins anew
with what is there by then.  AWSPREVIOUS moves by itself.  The label is the same for all, and AWS takes it off the
version before: what somebody leaves who is interrupted is one version more, which no reader sees and AWS deletes.

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
from cli.terminal.options import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LABEL = "RELAYPENDING"  # not AWSPENDING, which is a rotation's
TRIES = 12  # each is a version, of which AWS keeps all of a day, and some 100
PAUSE_MAX_S = 1.0
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
SECRET_MAX_BYTES = 65_536


def read_object(name: str) -> dict[str, Any] | None:
    """Return the JSON object in the secret *name*; None where there is no such secret."""
    answer = answer_of(name)
    return None if answer is None else object_in(name, answer)


def answer_of(name: str) -> dict[str, Any] | None:
    """Return what Secrets Manager says of the secret *name*; None where there is no such secret, or nothing in it."""
    client = aws.client("secretsmanager")
    with aws.speaking_to("Secrets Manager"), _deleted_told(name):
        try:
            return dict(client.get_secret_value(SecretId=name))
        except client.exceptions.ResourceNotFoundException:
            return None


def object_in(name: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in *answer*, which is about the secret *name*.

    Raises:
        Failure: Somebody broke it.
    """
    try:
        held = json.loads(answer.get("SecretString", ""))
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise Failure(f"the secret {name} is no JSON object: mend it in Secrets Manager, or delete it and set it again")
    return held


def change_object(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], description: str) -> bool:
    """Make or change the secret *name*; tell whether there was anything to change.

    Args:
        change: Returns what is to be there instead of what it is given, {} where there is no such secret.  It is
            called again where somebody else was faster, with what is there by then; what it raises ends all.

    Raises:
        Failure: It would be larger than Secrets Manager takes, or others were faster every time.
    """
    mine: str | None = None  # the version that was put last
    is_made = False
    for tries in range(TRIES):
        answer = answer_of(name)
        if answer is not None and answer["VersionId"] == mine:
            return True  # it was moved, and that answer got lost
        held = {} if answer is None else object_in(name, answer)
        after = change(held)
        if answer is not None and after == held:
            return False
        text = _text(name, after)
        if answer is None and not is_made:
            if _make(name, text, description):
                return True
            is_made = True  # by somebody else, perhaps without anything in it
            continue
        mine = _put(name, text)
        if _move(name, mine, answer):
            return True
        time.sleep(random.uniform(0, min(PAUSE_MAX_S, 0.05 * 2**tries)))  # noqa: S311  # nothing secret
    raise Failure(
        f"the secret {name} was changed by others each of the {TRIES} times that this was to be written; nothing of"
        " this is: try again"
    )


def _text(name: str, after: Mapping[str, Any]) -> str:
    text = json.dumps(after, separators=(",", ":"))
    size_bytes = len(text)  # it is ASCII
    if size_bytes > SECRET_MAX_BYTES:
        raise Failure(
            f"the secret {name} would have {size_bytes:,} bytes, and Secrets Manager takes {SECRET_MAX_BYTES:,}:"
            " `relay secret list` shows who has several or needs none any more; take old ones away with"
            " `relay secret retire NAME`, and set this one again"
        )
    return text


def _make(name: str, text: str, description: str) -> bool:
    """Make the secret; tell whether nobody else had."""
    client = aws.client("secretsmanager")
    with aws.speaking_to("Secrets Manager"), _deleted_told(name):
        try:
            client.create_secret(Name=name, Description=description, SecretString=text)
        except client.exceptions.ResourceExistsException:
            return False
    return True


def _put(name: str, text: str) -> str:
    """Put a version that nobody reads yet; return its id."""
    client = aws.client("secretsmanager")
    with aws.speaking_to("Secrets Manager"), _deleted_told(name):
        return str(client.put_secret_value(SecretId=name, SecretString=text, VersionStages=[LABEL])["VersionId"])


def _move(name: str, version: str, answer: Mapping[str, Any] | None) -> bool:
    """Make *version* what is read, if that is still the version of *answer*; tell whether it was."""
    client = aws.client("secretsmanager")
    read = {} if answer is None else {"RemoveFromVersionId": answer["VersionId"]}
    with aws.speaking_to("Secrets Manager"), _deleted_told(name):
        try:
            client.update_secret_version_stage(
                SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=version, **read
            )
        except (client.exceptions.InvalidParameterException, client.exceptions.ResourceNotFoundException):
            return False
    return True


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
